"""Differences of files whose bytes are their content: CSV tables cell by cell, all others by their first byte."""

from __future__ import annotations

import csv
from itertools import zip_longest
from pathlib import Path

from cream.audit.differences.difference import LISTED, NOTHING, Difference, agree, shown
from cream.digests import CHUNK
from cream.promises import Tolerance


def differences(ours: Path, theirs: Path, tolerance: Tolerance | None, names: tuple[str, str]) -> Difference:
    if ours.suffix == theirs.suffix == ".csv":
        try:
            return _of_csv(ours, theirs, tolerance, names)
        except (UnicodeDecodeError, csv.Error):
            pass
    return _of_bytes(ours, theirs, names)


def _of_csv(ours: Path, theirs: Path, tolerance: Tolerance | None, names: tuple[str, str]) -> Difference:
    mine, others = (_cells(path) for path in (ours, theirs))
    header = (mine or [[]])[0], (others or [[]])[0]
    if header[0] != header[1]:
        told = [sorted(set(a) - set(b)) for a, b in (header, header[::-1])]
        said = [
            f"column {shown(columns[0])} is {name} alone" for columns, name in zip(told, names, strict=True) if columns
        ]
        return Difference(
            False, said or ["the columns are in another order"], {"columns": dict(zip(names, header, strict=True))}
        )
    cells, far = [], set()
    for line, (a, b) in enumerate(zip_longest(mine[1:], others[1:]), start=2):
        if a is None or b is None or len(a) != len(b):
            far.add(line)
            continue
        for column, x, y in zip(header[1], a, b, strict=False):
            if x != y:
                cells.append({"line": line, "row": _leading(b), "column": column, names[0]: x, names[1]: y})
                if not _numbers_agree(x, y, tolerance or NOTHING):
                    far.add(line)
    rows = len(mine) - 1, len(others) - 1
    said = [f"{rows[0]} rows {names[0]}, {rows[1]} {names[1]}"] if rows[0] != rows[1] else []
    said += [
        f"line {cell['line']} ({cell['row']}), column {shown(cell['column'])}: "
        + ", ".join(f"{shown(cell[name])} {name}" for name in names)
        for cell in cells[:LISTED]
    ]
    changed = {cell["line"] for cell in cells} | far
    said.append(f"{len(changed)} of {max(rows)} rows differ")
    return Difference(
        tolerance is not None and len(far) <= tolerance.rows * max(rows),
        said,
        {"rows": dict(zip(names, rows, strict=True)), "differing": len(changed), "cells": cells[:100]},
    )


def _cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def _leading(row: list[str]) -> str:
    """The words at a row's beginning, which say what it is of."""
    words = []
    for cell in row:
        if _number(cell) is not None and words:
            break
        words.append(cell)
    return shown(", ".join(words))[1:-1]


def _numbers_agree(ours: str, theirs: str, tolerance: Tolerance) -> bool:
    a, b = _number(ours), _number(theirs)
    return a is not None and b is not None and agree(a, b, tolerance)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _of_bytes(ours: Path, theirs: Path, names: tuple[str, str]) -> Difference:
    offset, line = _first_byte(ours, theirs)
    sizes = [path.stat().st_size for path in (ours, theirs)]
    said = [f"the first byte that differs is number {offset} (from 0), in line {line}"]
    told = [_line(path, line) for path in (ours, theirs)]
    if None not in told:
        said += [f"line {line}: " + ", ".join(f"{shown(text)} {name}" for text, name in zip(told, names, strict=True))]
    if sizes[0] != sizes[1]:
        said.append(f"{sizes[0]} bytes {names[0]}, {sizes[1]} {names[1]}")
    return Difference(False, said, {"offset": offset, "line": line, "bytes": dict(zip(names, sizes, strict=True))})


def _first_byte(ours: Path, theirs: Path) -> tuple[int, int]:
    """Offset of the first byte that differs (from 0), and its line (from 1)."""
    offset, line = 0, 1
    with ours.open("rb") as a, theirs.open("rb") as b:
        while True:
            x, y = a.read(CHUNK), b.read(CHUNK)
            if x != y or not x:
                at = next(
                    (at for at, pair in enumerate(zip(x, y, strict=False)) if pair[0] != pair[1]), min(len(x), len(y))
                )
                return offset + at, line + x[:at].count(b"\n")
            offset, line = offset + len(x), line + x.count(b"\n")


def _line(path: Path, number: int) -> str | None:
    """A line of a text, from 1; nothing behind its end. None for a file that is no text."""
    try:
        with path.open(encoding="utf-8") as file:
            return next((text.rstrip("\n") for at, text in enumerate(file, start=1) if at == number), "")
    except UnicodeDecodeError:
        return None
