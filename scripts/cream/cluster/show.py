"""How plans and costs look in a terminal: tables that fit 80 columns, and sentences below them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

# A column's head, the column of the frame, and how its values are written.
Column = tuple[str, str, Callable[[float], str]]


def show_table(console: Console, frame: pd.DataFrame, columns: Sequence[Column], title: str) -> None:
    """A table whose first column is text, the last row a sum of the others."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for place, (head, *_) in enumerate(columns):
        # Numbers stay whole; the names of stages give way.
        table.add_column(head, justify="right" if place else "left", no_wrap=place > 0)
    for place, (_, row) in enumerate(frame.iterrows(), start=1):
        last = place == len(frame)
        cells = [write(row[name]) for _, name, write in columns]
        table.add_row(*cells, style="bold" if last else None, end_section=place == len(frame) - 1)
    console.print(table)


def show_notes(console: Console, notes: Sequence[str]) -> None:
    for note in notes:
        bullet = Table.grid(padding=(0, 1))
        bullet.add_row("-", note)
        console.print(Padding(bullet, (0, 0, 0, 1)), markup=False, highlight=False)
    console.print()


def text(value: object) -> str:
    return str(value)


def count(value: float) -> str:
    return "–" if _none(value) else f"{int(value):,}"


def hours(value: float) -> str:
    """0.07, 3.2 or 1,240."""
    if _none(value) or value == 0:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """55 s, 12 min, 7.5 h or 3.1 days."""
    if _none(seconds):
        return "–"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def megabytes(value: float) -> str:
    if _none(value):
        return "–"
    return f"{value / 1000:.1f} GB" if value >= 1000 else f"{value:.0f} MB"


def size(value: float) -> str:
    """Of bytes."""
    return (
        f"{value / 1e12:.1f} TB"
        if value >= 1e12
        else f"{value / 1e9:.1f} GB"
        if value >= 1e8
        else f"{value / 1e6:.0f} MB"
    )


def share(value: float) -> str:
    return "–" if _none(value) else f"{value:.0%}"


def ratio(value: float) -> str:
    return "–" if _none(value) else f"{value:.2f}"


def _none(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
