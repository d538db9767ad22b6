"""Which functions and classes of two versions of a code file differ, comments and docstrings not counted."""

from __future__ import annotations

import ast
import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cream.code_kept import kept_code
from cream.errors import UserError
from cream.fingerprint import without_docstrings

# What stands in a module or a class outside its functions.
REST = "top level"


@dataclass(frozen=True)
class Change:
    """`definition`: a function, `Class.method`, a class, or what stands outside them; `diff`: how its lines differ."""

    definition: str
    diff: tuple[str, ...]


def changes(name: str, ours: Path, theirs: Path) -> tuple[Change, ...]:
    """What differs between two versions of the code file `name`; nothing where only comments or docstrings do."""
    before, after = (path.read_text(encoding="utf-8") for path in (ours, theirs))
    if not name.endswith(".py"):
        return (Change(REST, _diff(before, after)),) if before != after else ()
    old, new = _definitions(before), _definitions(after)
    nothing = ("", "")
    return tuple(
        Change(definition, _diff(old.get(definition, nothing)[1], new.get(definition, nothing)[1]))
        for definition in sorted({*old, *new}, key=[*new, *old].index)
        if old.get(definition, nothing)[0] != new.get(definition, nothing)[0]
    )


def source(results: Path, name: str, digest: str) -> Path:
    """Where the kept text of a code file lies. Raises `UserError` if it is gone or isn't what it was."""
    path = kept_code(results, digest)
    if not path.is_file():
        raise UserError(f"the text of {name} isn't kept in {path.parent}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise UserError(f"the kept text of {name}, {path}, was changed")
    return path


def _definitions(text: str) -> dict[str, tuple[str, str]]:
    """Definition → its tree without docstrings, its lines."""
    lines = text.splitlines()
    found: dict[str, tuple[str, str]] = {}
    for owner, nodes in _groups(without_docstrings(ast.parse(text))).items():
        tree = "\n".join(ast.dump(node) for node in nodes)
        found[owner] = tree, "\n".join("\n".join(lines[_first(node) - 1 : node.end_lineno]) for node in nodes)
    return found


def _groups(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Definition → its statements, in the order of the file."""
    groups: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            for method in methods:
                groups.setdefault(f"{node.name}.{method.name}", []).append(method)
            # The class without its methods: its name, bases, decorators and fields.
            node.body = [part for part in node.body if part not in methods]
            node.end_lineno = max([part.end_lineno for part in node.body], default=_header_end(node))
            groups.setdefault(node.name, []).append(node)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            groups.setdefault(node.name if function else REST, []).append(node)
    return groups


def _header_end(node: ast.ClassDef) -> int:
    return max([node.lineno, *(part.end_lineno for part in (*node.bases, *node.keywords))])


def _first(node: ast.stmt) -> int:
    """The line a statement begins on, decorators included."""
    return min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", []))])


def _diff(before: str, after: str) -> tuple[str, ...]:
    """The lines of a unified diff with one line around each change, without its header."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))
