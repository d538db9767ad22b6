"""Drift monitors against counting by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cream.drift import Limits, distinct_ngrams, flags, of_log_ratio, of_pairs, of_responses
from cream.tables import LOGPROBS, PAIRS, SAMPLES, VERDICTS, write_table

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/measure_drift.py"
LIMITS = Limits(length=2, distinct=0.5, cut=0.25, level=0.95)
STEADY = {"tokens": 20.0, "distinct_2": 0.4, "cut": 0.1, "told_apart": 0, "wrong_chosen": 0}


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=6), st.integers(1, 3))
def test_distinct_ngrams_against_strings(responses: list[list[int]], n: int) -> None:
    """Tokens as letters: n-grams are substrings of length n."""
    texts = ["".join(map(str, ids)) for ids in responses]
    grams = [text[i : i + n] for text in texts for i in range(len(text)) if len(text[i : i + n]) == n]
    found = distinct_ngrams(responses, n)
    assert math.isnan(found) if not grams else found == len(set(grams)) / len(grams)


def test_responses_are_counted() -> None:
    samples = pd.DataFrame(
        {"response_ids": [[1, 2, 3], [], [1, 2, 3, 4, 5]], "finish_reason": ["stop", "stop", "length"]}
    )
    found = of_responses(samples)
    assert found["responses"] == 3 and found["empty"] == 1
    assert found["tokens"] == pytest.approx(8 / 3) and found["cut"] == pytest.approx(1 / 3)
    assert found["distinct_1"] == 5 / 8 and found["distinct_2"] == 4 / 6


def scores(values: dict[tuple[str, int], float]) -> pd.DataFrame:
    rows = [(*key, value, 1) for key, value in values.items()]
    return pd.DataFrame(rows, columns=["prompt_id", "response_index", "logprob_sum", "tokens"])


def test_log_ratio_is_a_mean_by_prompt_and_joins_by_key() -> None:
    current = scores({("a", 0): -1.0, ("a", 1): -2.0, ("b", 0): -3.0})
    other = scores({("b", 0): -5.0, ("a", 1): -2.5, ("a", 0): -1.5})
    assert of_log_ratio(current, other).to_dict() == {"a": 0.5, "b": 2.0}
    with pytest.raises(ValueError, match="different responses"):
        of_log_ratio(current, other.iloc[1:])


def test_pairs_that_tell_nothing_are_not_counted() -> None:
    pairs = pd.DataFrame(
        [("a", 0, 1, 2.0, 1.0), ("b", 0, 1, 3.0, 1.0), ("c", 1, 0, 1.0, 0.0), ("d", 0, 1, 1.0, 0.0)],
        columns=["prompt_id", "chosen_index", "rejected_index", "chosen_reward", "rejected_reward"],
    )
    verdicts = pd.DataFrame(
        [("a", 0, 1), ("a", 1, 0), ("b", 0, 0), ("b", 1, 1), ("c", 0, 1), ("c", 1, 1), ("d", 0, math.nan), ("d", 1, 1)],
        columns=["prompt_id", "response_index", "verdict"],
    )
    assert of_pairs(pairs, verdicts) == {"pairs": 4, "margin": 1.25, "told_apart": 2, "wrong_chosen": 1}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, None),
        ({"tokens": 39.0, "distinct_2": 0.21, "cut": 0.34}, None),
        ({"tokens": 41.0}, "2.0 times as long"),
        ({"tokens": 9.0}, "0.5 times as long"),
        ({"distinct_2": 0.19}, "distinct bigrams 0.19, 0.40 in iteration 1"),
        ({"cut": 0.36}, "36% of the responses cut off, 10% in iteration 1"),
        ({"told_apart": 10, "wrong_chosen": 8}, None),
        ({"told_apart": 10, "wrong_chosen": 9}, "the wrong response is chosen in 9 of 10 pairs"),
    ],
)
def test_flags_follow_the_stated_limits(now: dict, said: str | None) -> None:
    found = flags(STEADY, STEADY | now, LIMITS)
    assert (found == []) if said is None else (len(found) == 1 and said in found[0])


def test_later_iterations_alone_are_refused(tmp_path: Path) -> None:
    """Drift is measured against iteration 1: without its pairs there is nothing to say."""
    folder = tmp_path / "results/toy/seed1/cream"
    key = {"prompt_id": ["a", "a"], "response_index": [0, 1]}
    samples = pd.DataFrame({**key, "task": "t", "prompt_ids": [[1]] * 2, "response_ids": [[2], [3]]})
    samples = samples.assign(text="x", finish_reason="stop")
    pair = {"prompt_id": "a", "chosen_index": 0, "rejected_index": 1, "prompt_ids": [1], "chosen_ids": [2]}
    pair |= {"rejected_ids": [3], "chosen_reward": 1.0, "rejected_reward": 0.0, "weight": 0.5}
    pair |= {"ref_chosen_logps": -1.0, "ref_rejected_logps": -2.0}
    for path in ("M2/logprobs", "iter2"):
        (folder / path).mkdir(parents=True)
    write_table(samples, SAMPLES, folder / "M2/samples.parquet")
    write_table(pd.DataFrame({**key, "verdict": [1.0, 0.0]}), VERDICTS, folder / "M2/verdicts.parquet")
    for k in (0, 1, 2):
        logprobs = pd.DataFrame({**key, "logprob_sum": [-1.0, -2.0], "tokens": [1, 1]})
        write_table(logprobs, LOGPROBS, folder / f"M2/logprobs/M{k}.parquet")
    write_table(pd.DataFrame([pair]), PAIRS, folder / "iter2/pairs.parquet")
    command = [sys.executable, str(SCRIPT), "--pairs", str(folder / "iter2/pairs.parquet")]
    command += ["--samples", str(folder / "M2/samples.parquet"), "--verdicts", str(folder / "M2/verdicts.parquet")]
    command += ["--logprobs", *(str(folder / f"M2/logprobs/M{k}.parquet") for k in (0, 1, 2))]
    command += [
        "--length",
        "2",
        "--distinct",
        "0.5",
        "--cut",
        "0.25",
        "--level",
        "0.95",
        "--resamples",
        "100",
        "--seed",
        "1",
    ]
    done = subprocess.run(
        [*command, "--drift", str(tmp_path / "drift.csv")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: no pairs of cream's iteration 1 (seed 1) are given: drift is measured against it"
    )
    assert not (tmp_path / "drift.csv").exists()
