"""What a stage's result depends on besides its inputs: the code it runs and the packages it uses.

Snakemake watches neither imported modules nor, without conda, the packages. Both become
parameters of every rule: the digest of a script, of all project modules it imports, free of
comments and docstrings, and of the task files beside them; and the versions of the packages those
import, with everything these require in turn. Only the standard library is used here: every
cluster job computes this anew.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9._-]+")
# Where packages are looked for: as the process began. setuptools adds its own copies of some once it is imported, and
# the answer must not depend on when it is asked for.
PLACES = [*sys.path]


# How the modules of each engine are called: a stage depends on those of the engine it runs on.
ENGINE_MODULES = {"transformers": "hf_", "vllm": "vllm_"}


def code_digest(script: Path, engine: str = "transformers") -> str:
    """SHA-256 over the syntax trees of `script` and the project modules it imports, directly or
    through others, and over the task files (YAML) that lie in their packages. Comments, docstrings
    and layout of the code don't count; everything else does."""
    digest = hashlib.sha256()
    code = _closure(script.resolve(), engine)
    for path in code:
        digest.update(path.name.encode() + b"\0" + _tree_without_docstrings(path).encode())
    for path in sorted(file for folder in {path.parent for path in code} for file in folder.glob("*.yaml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def code_files(script: Path, engine: str = "transformers") -> list[Path]:
    """The files that `code_digest` is made from."""
    code = _closure(script.resolve(), engine)
    return [*code, *sorted(file for folder in {path.parent for path in code} for file in folder.glob("*.yaml"))]


def tree_digest(path: Path) -> str:
    """SHA-256 of a Python file without comments, docstrings and layout."""
    return hashlib.sha256(_tree_without_docstrings(path).encode()).hexdigest()


def stage_packages(script: Path, engine: str = "transformers") -> dict[str, str]:
    """Installed name → version of every package the script's code imports and those they need."""
    imported = {name for path in _closure(script.resolve(), engine) for name in _imports(path)[1]}
    wanted = sorted(owner for name in imported for owner in _owners(name))
    versions: dict[str, str] = {}
    while wanted:
        name = wanted.pop()
        if name in versions:
            continue
        found = _installed(name)
        if found is not None:
            versions[name], needs = found
            wanted.extend(needs)
    return dict(sorted(versions.items()))


def environment_digest(script: Path, engine: str = "transformers") -> str:
    """SHA-256 of the Python version and of `stage_packages`."""
    facts = [f"python {sys.version_info.major}.{sys.version_info.minor}"]
    facts += [f"{name} {version}" for name, version in stage_packages(script, engine).items()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


@cache
def _closure(script: Path, engine: str) -> tuple[Path, ...]:
    """The script and every project module reachable from it by import, those of other engines left out,
    sorted by path."""
    foreign = tuple(prefix for name, prefix in ENGINE_MODULES.items() if name != engine)
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found and not path.name.startswith(foreign):
            found.add(path)
            waiting.extend(_imports(path)[0])
    return tuple(sorted(found))


@cache
def _imports(path: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Project files and top-level outside modules that a file imports, wherever in it."""
    inside: set[Path] = set()
    outside: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _absolute_module(node, path)
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            files = _project_files(name)
            inside.update(files)
            if not files and name.split(".")[0] != "cream":
                outside.add(name.split(".")[0])
    return tuple(sorted(inside)), tuple(sorted(outside - set(sys.stdlib_module_names)))


def _absolute_module(node: ast.ImportFrom, path: Path) -> str:
    """The module that `from … import` names, a relative one resolved from the file it stands in."""
    if not node.level:
        return node.module or ""
    package = path.relative_to(LIBRARY).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _project_files(module: str) -> list[Path]:
    """The files that importing a project module runs: the module and its packages' __init__."""
    parts = module.split(".")
    if parts[0] != "cream":
        return []
    packages = [LIBRARY.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [path for path in (*packages, LIBRARY.joinpath(*parts).with_suffix(".py")) if path.is_file()]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _tree_without_docstrings(path: Path) -> str:
    # In place: who asks for the imports of the same tree doesn't miss its docstrings.
    return ast.dump(without_docstrings(_tree(path)))


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree itself, its docstrings taken out."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            node.body = body[1:]
    return tree


@cache
def _owners(module: str) -> tuple[str, ...]:
    """The installed packages that a top-level module belongs to: nearly always its namesake, and
    looking through every package's files for the others takes half a second."""
    if _installed(_canonical(module)) is not None:
        return (_canonical(module),)
    return tuple(_canonical(name) for name in _modules().get(module, ()))


@cache
def _modules() -> Mapping[str, list[str]]:
    """Every top-level module and the packages it belongs to; a fifth of a second."""
    now = sys.path[:]
    try:
        sys.path[:] = PLACES
        return metadata.packages_distributions()
    finally:
        sys.path[:] = now


@cache
def _installed(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Version of an installed package and the names of what it needs (extras left out)."""
    found = next(iter(metadata.distributions(name=name, path=PLACES)), None)
    if found is None:
        return None
    facts = found.read_text("METADATA") or ""
    # Read line by line: the standard parser takes ten times as long, and it is all of the cost.
    header = facts.split("\n\n", 1)[0].splitlines()
    version = next((line.removeprefix("Version: ") for line in header if line.startswith("Version: ")), "unknown")
    needs = [line.removeprefix("Requires-Dist: ") for line in header if line.startswith("Requires-Dist: ")]
    return version, tuple(_canonical(_NAME.match(need).group()) for need in needs if "extra ==" not in need)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
