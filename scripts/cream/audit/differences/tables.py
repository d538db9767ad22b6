"""Differences of two parquet tables: rows matched by their key, one column in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cream.audit.differences.cells import Cells, compared
from cream.audit.differences.difference import LISTED, NOTHING, Difference, first_apart, shown
from cream.promises import Tolerance

# Columns that name a row, in any of the project's tables; as many as a table has of them.
KEYS = ("prompt_id", "response_index", "vote", "item_id", "instruction_id", "item")


@dataclass(frozen=True)
class Rows:
    """Which row of ours belongs to which of theirs (`ours[i]` to `theirs[i]`), and those without a partner."""

    key: list[str]
    keys: pd.DataFrame
    ours: np.ndarray
    theirs: np.ndarray
    ours_alone: np.ndarray
    theirs_alone: np.ndarray
    keys_of_ours: pd.DataFrame

    def name(self, pair: int) -> str:
        """A matched row in words: prompt_id='sums-000007', response_index=2."""
        return _named(self.keys, self.key, int(self.theirs[pair]))


def differences(ours: Path, theirs: Path, tolerance: Tolerance | None, names: tuple[str, str]) -> Difference:
    mine, others = pq.ParquetFile(ours), pq.ParquetFile(theirs)
    said, same_form = _forms(mine.schema_arrow, others.schema_arrow, names)
    rows = _matched(mine, others)
    total = max(mine.metadata.num_rows, others.metadata.num_rows)
    alone = [len(rows.ours_alone), len(rows.theirs_alone)]
    if any(alone):
        said.append(_alone(rows, names))
    moved = not any(alone) and not np.array_equal(rows.ours, rows.theirs)
    if moved:
        said.append("the rows are in another order")
    changed, far = np.zeros(len(rows.ours), dtype=bool), np.zeros(len(rows.ours), dtype=bool)
    first, largest, columns = None, None, {}
    for name in _shared(mine.schema_arrow, others.schema_arrow):
        a = mine.read([name]).column(0).take(pa.array(rows.ours))
        b = others.read([name]).column(0).take(pa.array(rows.theirs))
        cells = compared(a, b, tolerance or NOTHING)
        if not cells.changed.any():
            continue
        changed, far = changed | cells.changed, far | cells.beyond
        columns[name] = int(cells.changed.sum())
        cell = _cell(name, cells, a, b)
        first = cell if first is None or cell[0] < first[0] else first
        if cells.largest is not None and (largest is None or cells.largest[0] > largest[0]):
            largest = (*cells.largest, name)
    beyond = int(far.sum()) + sum(alone)
    if first:
        said.append(_sentence(rows, first, names))
        listed = ", ".join(f"{shown(name)[1:-1]} ({count})" for name, count in columns.items())
        said.append(f"{int(changed.sum())} of {total} rows differ; by column: {listed}")
    if largest:
        size, pair, name = largest
        said.append(f"the largest difference of two numbers is {size:.6g}, at {rows.name(pair)}, column {name!r}")
    return Difference(
        tolerance is not None and same_form and not moved and beyond <= tolerance.rows * total,
        said or ["the tables hold the same values in another form"],
        {
            "rows": dict(zip(names, (mine.metadata.num_rows, others.metadata.num_rows), strict=True)),
            "alone": dict(zip(names, alone, strict=True)),
            "differing": int(changed.sum()),
            "beyond_tolerance": beyond,
            "columns": columns,
            "first": {"row": rows.name(first[0]), "column": first[1]} if first else None,
            "largest": {"size": largest[0], "row": rows.name(largest[1]), "column": largest[2]} if largest else None,
        },
    )


def _forms(ours: pa.Schema, theirs: pa.Schema, names: tuple[str, str]) -> tuple[list[str], bool]:
    """Sentences about the columns, and whether both tables have the same, in the same order."""
    said = []
    for a, b, name in ((ours, theirs, names[0]), (theirs, ours, names[1])):
        said += [f"column {shown(column)} is {name} alone" for column in a.names if column not in b.names]
    for column in ours.names:
        if column in theirs.names and ours.field(column).type != theirs.field(column).type:
            kinds = [f"{schema.field(column).type} {name}" for schema, name in zip((ours, theirs), names, strict=True)]
            said.append(f"column {shown(column)} is {', '.join(kinds)}")
    if not said and ours.names != theirs.names:
        said.append("the columns are in another order")
    return said, not said


def _shared(ours: pa.Schema, theirs: pa.Schema) -> list[str]:
    """Columns that both tables have with the same type."""
    return [name for name in theirs.names if name in ours.names and ours.field(name).type == theirs.field(name).type]


def _matched(ours: pq.ParquetFile, theirs: pq.ParquetFile) -> Rows:
    shared = _shared(ours.schema_arrow, theirs.schema_arrow)
    key = [name for name in KEYS if name in shared]
    mine, others = (_keys(table, key) for table in (ours, theirs))
    if not key or any(frame.duplicated().any() for frame in (mine, others)):
        # Without a key that names each row, a row is its number.
        key, mine, others = [], *(pd.DataFrame(index=range(table.metadata.num_rows)) for table in (ours, theirs))
        found = np.where(np.arange(len(others)) < len(mine), np.arange(len(others)), -1)
    else:
        found = pd.MultiIndex.from_frame(mine).get_indexer(pd.MultiIndex.from_frame(others))
    both = np.flatnonzero(found >= 0)
    return Rows(
        key, others, found[both], both, np.setdiff1d(np.arange(len(mine)), found), np.flatnonzero(found < 0), mine
    )


def _keys(table: pq.ParquetFile, key: list[str]) -> pd.DataFrame:
    return table.read(key).to_pandas() if key else pd.DataFrame()


def _named(keys: pd.DataFrame, key: list[str], row: int) -> str:
    if not key:
        return f"row {row} (from 0)"
    return ", ".join(f"{name}={shown(keys[name].iloc[row : row + 1].tolist()[0])}" for name in key)


def _alone(rows: Rows, names: tuple[str, str]) -> str:
    told = []
    for found, keys, name in (
        (rows.ours_alone, rows.keys_of_ours, names[0]),
        (rows.theirs_alone, rows.keys, names[1]),
    ):
        if len(found):
            listed = "; ".join(_named(keys, rows.key, int(row)) for row in found[:LISTED])
            told.append(f"{len(found)} rows are {name} alone ({listed}{'; …' if len(found) > LISTED else ''})")
    return ", ".join(told)


def _cell(column: str, cells: Cells, ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> tuple:
    """The first differing cell of a column: pair of rows, column, both values."""
    pair = int(np.argmax(cells.changed))
    return pair, column, ours[pair].as_py(), theirs[pair].as_py()


def _sentence(rows: Rows, cell: tuple, names: tuple[str, str]) -> str:
    pair, column, *values = cell
    where = ""
    if all(isinstance(value, list) for value in values) or all(isinstance(value, str) for value in values):
        at = first_apart(*values)
        unit = "character" if isinstance(values[0], str) else "position"
        where = f", first at {unit} {at} (from 0)"
        values = [value[max(0, at - 20) : at + 20] if unit == "character" else _element(value, at) for value in values]
    told = ", ".join(f"{shown(value)} {name}" for value, name in zip(values, names, strict=True))
    return f"the first row that differs is {rows.name(pair)}, column {shown(column)}{where}: {told}"


def _element(values: list, at: int) -> object:
    return values[at] if at < len(values) else f"end after {len(values)}"
