"""A finished tiny study, made once, and copies of it for tests to change."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from projects import Study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Study:
    """The tiny study, run from nothing to its tables. Tests must not change it: `copy` it."""
    own = tmp_path_factory.getbasetemp()
    # Processes of pytest-xdist have folders of their own in a common one: whoever comes first makes it for all, and
    # each has a copy, since some tests look whether it stays as it was.
    folder = (own if worker_id == "master" else own.parent) / "made-once"
    study, made = Study(folder / "project"), folder / "made"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not made.exists():
            _make(study.folder)
            made.touch()
    return study.copy(tmp_path_factory.mktemp("finished") / "project")


def _make(folder: Path) -> None:
    study = Study.with_code(folder)
    built = study.python("tests/tiny.py", "results/assets/tiny")
    assert built.returncode == 0, built.stderr
    study.run(PYTHONHASHSEED="1")


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    """A finished study of the test's own."""
    return finished.copy(tmp_path / "project")
