"""The lines that end a run: what they say where nothing was decided."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/write_summary.py"
NAN = float("nan")


def summary(folder: Path, *win_rates: dict, verdicts: tuple[str, ...] = ()) -> str:
    """The summary of a study with these rows of win rates, and comparisons of accuracy with these verdicts."""
    row = {"model": "toy", "seed": 1, "method": "sft", "iteration": 1, "task": "sums", "metric": "acc", "items": 9}
    pd.DataFrame([row | {"mean": 0.5, "low": 0.4, "high": 0.6}]).to_csv(folder / "accuracy.csv", index=False)
    (folder / "consistency.csv").write_text("\n")  # of a study of supervised fine-tuning alone
    pd.DataFrame(win_rates).to_csv(folder / "win_rates.csv", index=False)
    command = [sys.executable, str(SCRIPT), "--accuracy", "accuracy.csv", "--consistency", "consistency.csv"]
    command += ["--win-rates", "win_rates.csv", "--level", "0.95", "--summary", "summary.txt"]
    if verdicts:
        row = {"model": "toy", "task": "sums", "metric": "acc", "method": "cream", "iteration": 2, "against": "M1"}
        row |= {"difference": 0.2, "low": 0.1, "high": 0.3}
        pd.DataFrame([row | {"verdict": verdict} for verdict in verdicts]).to_csv(folder / "differences.csv")
        command += ["--comparisons", "differences.csv"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "summary.txt").read_text(encoding="utf-8")


def comparison(**changes) -> dict:
    row = {"model": "toy", "instructions": "mail", "method": "cream", "iteration": 2, "against": "sft M1"}
    row |= {"judge": "somebody", "won": 5, "lost": 3, "tied": 1, "failed": 0, "used": 9, "win_rate": 0.6}
    return row | {"low": 0.4, "high": 0.7, "first": 0.75, "verdict": "no difference shown"} | changes


NOTHING = comparison(won=0, lost=0, tied=0, failed=9, used=0, win_rate=NAN, low=NAN, high=NAN, first=NAN)


@pytest.mark.parametrize("rows", [[comparison()], [comparison(), NOTHING]])
def test_position_bias_is_of_the_verdicts_there_are(tmp_path: Path, rows: list[dict]) -> None:
    said = summary(tmp_path, *rows)
    assert "position bias: 75% of the verdicts prefer the answer in first place" in said
    assert "0.600 [0.400, 0.700]   5 won, 3 lost, 1 tied, 0 failed" in said and "nan" not in said


def test_a_judge_that_decided_nothing_is_told_in_words(tmp_path: Path) -> None:
    said = summary(tmp_path, NOTHING)
    assert "position bias: no verdict prefers either place" in said
    assert "no rate: no pair has a verdict   0 won, 0 lost, 0 tied, 9 failed" in said and "nan" not in said


def test_ties_alone_have_a_rate_and_no_position_bias(tmp_path: Path) -> None:
    said = summary(tmp_path, comparison(won=0, lost=0, tied=9, win_rate=0.5, low=0.5, high=0.5, first=NAN))
    assert "0.500 [0.500, 0.500]" in said and "position bias: no verdict prefers either place" in said


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["gain", "no difference shown", "no difference shown"], "2 other comparisons of accuracy"),
        (["loss", "no difference shown"], "1 other comparison of accuracy"),
        (["no difference shown"], "1 comparison of accuracy"),
        (["gain"], "0 other comparisons of accuracy"),
    ],
)
def test_what_shows_no_difference_is_counted(tmp_path: Path, verdicts: list[str], said: str) -> None:
    found = summary(tmp_path, comparison(), verdicts=tuple(verdicts))
    assert f"no difference shown: {said}" in found
    assert found.count("+0.200 [+0.100, +0.300]") == sum(verdict != "no difference shown" for verdict in verdicts)
