"""A finished tiny study, made once, and copies of it for tests to change."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import Study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study, run from nothing to its tables. Tests must not change it: `copy` it."""
    study = Study.with_code(tmp_path_factory.mktemp("finished") / "project")
    built = study.python("tests/tiny.py", "results/assets/tiny")
    assert built.returncode == 0, built.stderr
    study.run(PYTHONHASHSEED="1")
    return study


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    """A finished study of the test's own."""
    return finished.copy(tmp_path / "project")
