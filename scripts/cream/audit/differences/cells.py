"""Two columns held against each other, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cream.audit.differences.values import apart, beyond
from cream.promises import Tolerance

ROWS = 4096  # of nested values that are Python's at a time


@dataclass(frozen=True)
class Cells:
    """For every row: `changed`, not the very same value; `beyond`, further apart than the tolerance allows.

    `largest`: the largest difference of two numbers and its row; None where there are no numbers.
    """

    changed: np.ndarray
    beyond: np.ndarray
    largest: tuple[float, int] | None = None


def compared(ours: pa.ChunkedArray, theirs: pa.ChunkedArray, tolerance: Tolerance) -> Cells:
    """Of two columns of the same type and length."""
    if pa.types.is_integer(ours.type) or pa.types.is_floating(ours.type):
        return _numbers(ours, theirs, tolerance)
    if pa.types.is_nested(ours.type):
        return _nested(ours, theirs, tolerance)
    there = [column.is_valid().to_numpy() for column in (ours, theirs)]
    changed = pc.fill_null(pc.not_equal(ours, theirs), False).to_numpy() | (there[0] != there[1])
    return Cells(changed, changed)


def _numbers(ours: pa.ChunkedArray, theirs: pa.ChunkedArray, tolerance: Tolerance) -> Cells:
    there = [column.is_valid().to_numpy() for column in (ours, theirs)]
    a, b = (
        np.ascontiguousarray(pc.fill_null(column, pa.scalar(0, column.type)).to_numpy()) for column in (ours, theirs)
    )
    bits = np.dtype(f"u{a.itemsize}")  # 0.0 and −0.0 are other content; so is NaN with a note in it
    both = there[0] & there[1]
    changed = (there[0] != there[1]) | (both & (a.view(bits) != b.view(bits)))
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(a.astype(np.float64) - b.astype(np.float64))
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        allowed = tolerance.absolute + tolerance.relative * np.abs(b.astype(np.float64))
        near = same | (np.isfinite(size) & (size <= allowed))
    # A number for NaN is as far as can be.
    size = np.where(same, 0.0, np.where(np.isnan(size), np.inf, size))
    sizes = np.where(changed & both, size, -1.0)
    at = int(sizes.argmax()) if len(sizes) else 0
    return Cells(changed, changed & ~(both & near), (float(sizes[at]), at) if (sizes > 0).any() else None)


def _nested(ours: pa.ChunkedArray, theirs: pa.ChunkedArray, tolerance: Tolerance) -> Cells:
    changed, far = np.zeros(len(ours), dtype=bool), np.zeros(len(ours), dtype=bool)
    for start in range(0, len(ours), ROWS):
        pairs = zip(ours.slice(start, ROWS).to_pylist(), theirs.slice(start, ROWS).to_pylist(), strict=True)
        for row, (a, b) in enumerate(pairs, start):
            if a is b or repr(a) == repr(b):
                continue
            changed[row] = True
            far[row] = any(beyond(x, y, tolerance) for _, x, y in apart(a, b))
    return Cells(changed, far)
