"""The table of faults (docs/faults.md): each test of a fault adds its row when what it promises held.

    pytest -m "faults or row" tests --faults-table docs/faults.md

A test takes the fixture `fault`, which marks it `row`, and does its work in its block; `faults` marks those that take
minutes and wait for `make faults`:

    with fault("a node dies", made="its daemon and jobs killed", held="the jobs went on elsewhere"):

Rows are merged by the fault's name, so a part of the tests renews its own rows and no others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HEAD = ["| fault | what was made to happen | what held | seconds |", "|---|---|---|---|"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", type=Path, help="file whose table of faults gets a row from each passed test")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "fault" in getattr(item, "fixturenames", ()):
            item.add_marker("row")


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Callable[..., contextlib.AbstractContextManager[None]]:
    """A block that stands for one fault: its name, what was made to happen, and what held."""

    @contextlib.contextmanager
    def block(name: str, made: str, held: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        table = request.config.getoption("--faults-table")
        if table is not None:
            merge(table, name, [made, held, f"{time.monotonic() - started:.0f}"])

    return block


def merge(file: Path, name: str, cells: list[str]) -> None:
    """Put a fault's row into the file's table, in place of its old one; text around the table stays."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if HEAD[1] not in lines:
        lines += [*([""] if lines else []), *HEAD]
    start = lines.index(HEAD[1]) + 1
    end = next((at for at in range(start, len(lines)) if not lines[at].startswith("|")), len(lines))
    row = f"| {' | '.join([name, *cells])} |"
    same = [at for at in range(start, end) if lines[at].startswith(f"| {name} |")]
    if same:
        lines[same[0]] = row
    else:
        lines.insert(end, row)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
