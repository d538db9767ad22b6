"""Two artifacts held against each other: identical, the same content, within a tolerance, or diverged, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cream.audit.differences.difference import Difference
from cream.audit.harmless import harmless
from cream.contents import file_digests, files_below
from cream.promises import Tolerance

IDENTICAL, SAME_CONTENT, WITHIN_TOLERANCE, DIVERGED = "IDENTICAL", "SAME CONTENT", "WITHIN TOLERANCE", "DIVERGED"
VERDICTS = (IDENTICAL, SAME_CONTENT, WITHIN_TOLERANCE, DIVERGED)  # from best to worst
TENSORS = ".safetensors"


@dataclass(frozen=True)
class Comparison:
    """`verdict`: one of VERDICTS; `said`: sentences about the difference, the weightiest first; `data`: as JSON."""

    verdict: str
    said: list[str] = field(default_factory=list)
    data: dict = field(default_factory=dict)


def compare(
    ours: Path,
    theirs: Path,
    tolerance: Tolerance | None = None,
    names: tuple[str, str] = ("ours", "theirs"),
    artifact: str = "",
    start: Path | None = None,
) -> Comparison:
    """Hold two files or folders against each other. `names`: what the sentences call them.

    `tolerance`: of the stage that made them (promises.py), its distances relative to `theirs`; without one only
    content counts. `artifact`: the recorded name, by which harmless files of a folder are known (harmless.py).
    `start`: the model's folder that a training of both began with.
    """
    for path, name in zip((ours, theirs), names, strict=True):
        if not path.exists():
            return Comparison(DIVERGED, [f"there is nothing {name}: {path.name} is missing"], {"missing": name})
    if ours.is_dir() != theirs.is_dir():
        kinds = [
            f"a {'folder' if path.is_dir() else 'file'} {name}"
            for path, name in zip((ours, theirs), names, strict=True)
        ]
        return Comparison(DIVERGED, [f"it is {', '.join(kinds)}"], {})
    if ours.is_dir():
        return _folders(ours, theirs, tolerance, names, artifact, start)
    return _files(ours, theirs, tolerance, names)


def _files(ours: Path, theirs: Path, tolerance: Tolerance | None, names: tuple[str, str]) -> Comparison:
    mine, others = file_digests(ours), file_digests(theirs)
    data = {"kind": others["kind"], names[0]: mine, names[1]: others}
    if mine["file"] == others["file"]:
        return Comparison(IDENTICAL, [], data)
    if mine["kind"] == others["kind"] and mine["content"] == others["content"]:
        return Comparison(SAME_CONTENT, [f"other bytes ({_sizes(mine, others, names)}), the same content"], data)
    kind = mine["kind"] if mine["kind"] == others["kind"] else "file"
    found = _difference(kind, ours, theirs, tolerance, names)
    verdict = WITHIN_TOLERANCE if found.within else DIVERGED
    return Comparison(verdict, found.said, {**data, "difference": found.data})


def _sizes(mine: dict, others: dict, names: tuple[str, str]) -> str:
    return ", ".join(f"{digests['bytes']} bytes {name}" for digests, name in zip((mine, others), names, strict=True))


def _difference(kind: str, ours: Path, theirs: Path, tolerance: Tolerance | None, names: tuple[str, str]) -> Difference:
    from cream.audit.differences import lines, tables, tensors, values

    if kind == "tensors":
        return tensors.differences([ours], [theirs], tolerance, names)
    return {"table": tables, "json": values}.get(kind, lines).differences(ours, theirs, tolerance, names)


def _folders(
    ours: Path,
    theirs: Path,
    tolerance: Tolerance | None,
    names: tuple[str, str],
    artifact: str,
    start: Path | None,
) -> Comparison:
    """File by file; tensors of all files together, so that another division into files is no difference of numbers."""
    mine, others = ({str(path.relative_to(folder)): path for path in files_below(folder)} for folder in (ours, theirs))
    files, said, waved = {}, [], []
    for name in sorted({*mine, *others}):
        there = [name in found for found in (mine, others)]
        why = harmless(f"{artifact}/{name}" if artifact else name)
        found = (
            _files(mine[name], others[name], tolerance, names)
            if all(there)
            else Comparison(DIVERGED, [f"is {names[there.index(True)]} alone"])
        )
        if why and found.verdict != IDENTICAL:
            waved.append({"file": name, "why": why})
            continue
        files[name] = found
        said += [f"{name}: {sentence}" for sentence in found.said]
    tensors = {name for name, found in files.items() if name.endswith(TENSORS) and found.verdict in VERDICTS[2:]}
    rest = [found.verdict for name, found in files.items() if name not in tensors]
    data = {"kind": "folder", "files": {name: found.data | {"verdict": found.verdict} for name, found in files.items()}}
    if tensors and all(file_digests(path)["kind"] == "tensors" for found in (mine, others) for path in _tensors(found)):
        from cream.audit.differences.tensors import differences

        begun = sorted(start.glob(f"*{TENSORS}")) if start else None
        whole = differences(_tensors(mine), _tensors(others), tolerance, names, begun)
        said = [*whole.said, *(line for line in said if line.partition(":")[0] not in tensors)]
        rest.append(WITHIN_TOLERANCE if whole.within else DIVERGED)
        data["difference"] = whole.data
    else:
        rest += [files[name].verdict for name in tensors]
    said += [f"{entry['file']} counts for nothing: {entry['why']}" for entry in waved]
    return Comparison(max(rest, key=VERDICTS.index, default=IDENTICAL), said, {**data, "harmless": waved})


def _tensors(files: dict[str, Path]) -> list[Path]:
    return [path for name, path in files.items() if name.endswith(TENSORS)]
