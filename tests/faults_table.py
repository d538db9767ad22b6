"""The table of faults (docs/faults.md): each test of a fault adds its row when what it promises held.

    pytest -m "faults or row" tests --faults-table docs/faults.md

A test takes the fixture `fault`, which marks it `row`, and does its work in its block; `faults` marks those that take
minutes and wait for `make faults`:

    with fault("a node dies", made="its daemon and jobs killed", held="the jobs went on elsewhere"):

Rows are merged by the fault's name, so a part of the tests renews its own rows and no others.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SECONDS = pytest.StashKey[dict[str, float]]()  # by fault, in this session
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

    table, seconds = request.config.getoption("--faults-table"), request.config.stash.setdefault(SECONDS, {})

    @contextlib.contextmanager
    def block(name: str, made: str, held: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except BaseException:
            seconds[name] = math.nan
            raise
        finally:
            # One row for all variants of a test: the sum of their seconds, and none once one of them has failed.
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - started
            if table is not None:
                merge(table, name, [] if math.isnan(seconds[name]) else [made, held, f"{seconds[name]:.0f}"])

    return block


def merge(file: Path, name: str, cells: list[str]) -> None:
    """Put a fault's row into the file's table, in place of its old one; without cells, take it out. Text around the
    table stays."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if HEAD[1] not in lines:
        lines += [*([""] if lines else []), *HEAD]
    start = lines.index(HEAD[1]) + 1
    end = next((at for at in range(start, len(lines)) if not lines[at].startswith("|")), len(lines))
    row = f"| {' | '.join([name, *cells])} |"
    same = [at for at in range(start, end) if lines[at].startswith(f"| {name} |")]
    if same:
        lines[same[0] : same[0] + 1] = [row] if cells else []
    elif cells:
        lines.insert(end, row)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
