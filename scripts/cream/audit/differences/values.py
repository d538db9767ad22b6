"""Differences of nested values: JSON documents, and cells of tables that hold lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from cream.audit.differences.difference import LISTED, NOTHING, Difference, agree, is_number, shown
from cream.promises import Tolerance

MISSING = object()  # in the place of a value that only the other has


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every plain value of a nested one with its path: `items[3].acc`. What is empty counts as a value."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for at, item in enumerate(value):
            yield from leaves(item, f"{path}[{at}]")
    else:
        yield path, value


def apart(ours: object, theirs: object) -> Iterator[tuple[str, object, object]]:
    """Path and both values of every plain value that isn't the very same: 1 is not 1.0, NaN is NaN."""
    mine, others = dict(leaves(ours)), dict(leaves(theirs))
    for path in dict.fromkeys([*mine, *others]):
        a, b = mine.get(path, MISSING), others.get(path, MISSING)
        if a is MISSING or b is MISSING or repr(a) != repr(b):
            yield path, a, b


def beyond(ours: object, theirs: object, tolerance: Tolerance) -> bool:
    """Whether two plain values that differ do so by more than the tolerance's `absolute` and `relative` allow."""
    return not (is_number(ours) and is_number(theirs) and agree(ours, theirs, tolerance))


def differences(ours: Path, theirs: Path, tolerance: Tolerance | None, names: tuple[str, str]) -> Difference:
    """Of two JSON files: the first value that differs, the metrics that do, the largest difference of numbers.

    Values in lists count as rows do, of which a share may differ; an item falls to the other side, a metric doesn't.
    """
    mine, others = (json.loads(path.read_text(encoding="utf-8")) for path in (ours, theirs))
    found = list(apart(mine, others))
    paths = [[path for path, _ in leaves(value)] for value in (mine, others)]
    total, in_lists = max(map(len, paths)), max(sum(map(_in_list, each)) for each in paths)
    far = [path for path, a, b in found if beyond(a, b, tolerance or NOTHING)]
    sizes = [(abs(a - b), path) for path, a, b in found if is_number(a) and is_number(b)]
    largest = max((size for size in sizes if size[0] == size[0]), default=None)
    metrics = [entry for entry in found if entry[0].startswith("metrics.")]
    told = [*metrics[:LISTED], *(entry for entry in found[:1] if entry not in metrics)]
    said = [sentence(entry, names) for entry in told]
    said.append(f"{len(found)} of {total} values differ")
    if largest:
        said.append(f"the largest difference of two numbers is {largest[0]:.6g}, at {shown(largest[1])[1:-1]}")
    return Difference(
        tolerance is not None and bool(found) and _within(far, in_lists, tolerance),
        said,
        {
            "values": total,
            "differing": len(found),
            "beyond_tolerance": len(far),
            "first": _entry(found[0], names) if found else None,
            "metrics": [_entry(entry, names) for entry in metrics],
            "largest": {"size": largest[0], "at": largest[1]} if largest else None,
        },
    )


def _in_list(path: str) -> bool:
    return "[" in path


def _within(far: list[str], in_lists: int, tolerance: Tolerance) -> bool:
    return all(map(_in_list, far)) and len(far) <= tolerance.rows * in_lists


def sentence(entry: tuple[str, object, object], names: tuple[str, str]) -> str:
    """One entry of `apart` in words."""
    path, *values = entry
    told = ", ".join(f"{_told(value)} {name}" for value, name in zip(values, names, strict=True))
    return f"{shown(path)[1:-1] or 'the whole document'}: {told}"


def _told(value: object) -> str:
    return "nothing" if value is MISSING else shown(value)


def _entry(entry: tuple[str, object, object], names: tuple[str, str]) -> dict:
    path, *values = entry
    return {"at": path, **{name: value for name, value in zip(names, values, strict=True) if value is not MISSING}}
