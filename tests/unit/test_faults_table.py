"""The table of faults: rows by name, text around them kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults_table import HEAD, merge


def test_a_row_is_added_and_renewed_and_the_text_around_the_table_stays(tmp_path: Path) -> None:
    file = tmp_path / "faults.md"
    file.write_text("\n".join(["# Faults", "", *HEAD, "| a | x | y | 1 |", "", "After."]) + "\n")
    merge(file, "b", ["made", "held", "2"])
    merge(file, "a", ["made", "held", "3"])
    assert file.read_text().splitlines() == [
        *["# Faults", "", *HEAD, "| a | made | held | 3 |", "| b | made | held | 2 |", "", "After."]
    ]


def test_a_file_without_a_table_gets_one(tmp_path: Path) -> None:
    merge(tmp_path / "faults.md", "a", ["made", "held", "2"])
    assert (tmp_path / "faults.md").read_text().splitlines() == [*HEAD, "| a | made | held | 2 |"]


def test_a_row_without_cells_goes(tmp_path: Path) -> None:
    file = tmp_path / "faults.md"
    for name in "ab":
        merge(file, name, ["made", "held", "2"])
    for name in "ac":
        merge(file, name, [])
    assert file.read_text().splitlines() == [*HEAD, "| b | made | held | 2 |"]


def test_a_failed_variant_takes_its_faults_row_back(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = row")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 0, 1])
        def test_one(fault, number):
            with fault("one", made="x", held="y"):
                assert number

        def test_two(fault):
            with fault("two", made="x", held="y"):
                pass
        """
    )
    result = pytester.runpytest("-p", "faults_table", "--faults-table", "faults.md")
    result.assert_outcomes(passed=3, failed=1)
    assert (pytester.path / "faults.md").read_text().splitlines() == [*HEAD, "| two | x | y | 0 |"]
