"""Accuracy and tau of a reward against counting every pair by hand."""

from __future__ import annotations

import argparse
import math
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rankings import counted_tau_b

from cream.errors import UserError
from cream.reward_bench import REWARD_BENCH, TOO_LONG
from cream.reward_quality import TIED, UNSCORED, UNTOLD, of_reward_bench, of_samples, summarised
from cream.tables import SAMPLES, write_table
from measure_reward_quality import main

SCORES = st.one_of(st.just(math.nan), st.integers(-2, 2).map(float))
VERDICTS = st.sampled_from([0.0, 1.0, math.nan])
PROMPTS = st.lists(st.lists(st.tuples(SCORES, VERDICTS), min_size=1, max_size=6), min_size=1, max_size=4)


def responses(prompts: list[list[tuple[float, float]]], subset: str = "task") -> pd.DataFrame:
    rows = [(f"p{at}", subset, *pair) for at, pairs in enumerate(prompts) for pair in pairs]
    return pd.DataFrame(rows, columns=["prompt_id", "subset", "score", "verdict"])


def values(measured: pd.DataFrame, measure: str) -> pd.DataFrame:
    return measured[measured["measure"] == measure].set_index("prompt_id")


@given(PROMPTS)
def test_accuracy_and_tau_are_those_counted_by_hand(prompts: list[list[tuple[float, float]]]) -> None:
    measured = of_samples(responses(prompts))
    for at, pairs in enumerate(prompts):
        known = [(score, verdict) for score, verdict in pairs if not (math.isnan(score) or math.isnan(verdict))]
        told = [(a, b) if a[1] > b[1] else (b, a) for a, b in combinations(known, 2) if a[1] != b[1]]
        points = sum(1.0 if right[0] > wrong[0] else 0.5 if right[0] == wrong[0] else 0.0 for right, wrong in told)
        accuracy, tau = values(measured, "accuracy").loc[f"p{at}"], values(measured, "kendall").loc[f"p{at}"]
        assert accuracy["pairs"] == len(told)
        assert accuracy["value"] == pytest.approx(points / len(told) if told else math.nan, nan_ok=True)
        expected = counted_tau_b([score for score, _ in known], [verdict for _, verdict in known])
        assert tau["value"] == pytest.approx(expected, nan_ok=True)
        assert accuracy["unscored"] == sum(math.isnan(score) for score, _ in pairs)
        for row in (accuracy, tau):
            assert math.isnan(row["value"]) == (row["left_out"] != "")


@given(st.lists(st.booleans(), min_size=2, max_size=8), st.randoms())
def test_without_tied_scores_tau_follows_from_accuracy(right: list[bool], chance) -> None:
    """τ-b = (2·accuracy − 1)·√(right·wrong / pairs): against right and wrong it says how many there are of each."""
    scores = chance.sample(range(100), len(right))
    measured = of_samples(responses([[(float(s), float(v)) for s, v in zip(scores, right, strict=True)]]))
    accuracy = values(measured, "accuracy")["value"].item()
    tau = values(measured, "kendall")["value"].item()
    share = sum(right) * (len(right) - sum(right)) / math.comb(len(right), 2)
    assert (math.isnan(accuracy) and share == 0) or tau == pytest.approx((2 * accuracy - 1) * math.sqrt(share))


def test_why_a_prompt_is_left_out() -> None:
    nan = math.nan
    prompts = [[(1, 1), (2, 1)], [(1, nan), (2, nan)], [(nan, 1), (2, 0), (3, 0)], [(2, 1), (2, 0)], [(2, 1), (1, 0)]]
    measured = of_samples(responses(prompts))
    assert values(measured, "accuracy")["left_out"].tolist() == [UNTOLD, UNTOLD, UNSCORED, "", ""]
    assert values(measured, "kendall")["left_out"].tolist() == [UNTOLD, UNTOLD, UNSCORED, TIED, ""]
    assert values(measured, "accuracy")["value"].tolist()[3:] == [0.5, 1.0]


def mean(found: pd.Series) -> dict[str, float]:
    return {"mean": found.mean()}


def test_every_prompt_is_counted_once_and_every_reason_given() -> None:
    first = responses([[(2, 1), (1, 0), (0, 0)], [(1, 1), (2, 1)]], "legs")
    second = responses([[(5, 1), (5, 0), (math.nan, 0)]], "siqa").assign(prompt_id="q")
    rows = {(row["subset"], row["measure"]): row for row in summarised(of_samples(pd.concat([first, second])), mean)}
    assert set(rows) == {(subset, measure) for subset in ("", "legs", "siqa") for measure in ("accuracy", "kendall")}
    assert rows["", "accuracy"] == {
        "subset": "",
        "measure": "accuracy",
        "mean": 0.75,
        "prompts": 3,
        "used": 2,
        "pairs": 3,
        "left_out": 1,
        "why": "1 responses not told apart",
        "unscored": 1,
    }
    assert rows["", "kendall"]["why"] == "1 all scores tied; 1 responses not told apart"
    assert rows["", "kendall"]["pairs"] == 2
    assert rows["siqa", "kendall"]["used"] == 0 and math.isnan(rows["siqa", "kendall"]["mean"])


def bench(chosen: list[float], rejected: list[float], subsets: list[str], failure: str = "") -> pd.DataFrame:
    count = len(chosen)
    table = pd.DataFrame({"item": range(1, count + 1), "id": "", "subset": subsets})
    table = table.assign(prompt_tokens=3, chosen_tokens=2, rejected_tokens=2)
    table = table.assign(chosen_logprob_sum=chosen, rejected_logprob_sum=rejected)
    table["failure"] = [failure if math.isnan(value) else "" for value in chosen]
    return table[list(REWARD_BENCH.columns)]


def test_the_chosen_answer_must_have_gained_more() -> None:
    subsets = ["a", "a", "b", "", "b"]
    base = bench([-9, -9, -9, -9, math.nan], [-5, -5, -5, -5, math.nan], subsets, TOO_LONG)
    # Gains of the chosen: 4, 1, 2, 0; of the rejected: 1, 2, 2, -3. Likelihoods prefer the rejected throughout.
    current = bench([-5, -8, -7, -9, math.nan], [-4, -3, -3, -8, math.nan], subsets, TOO_LONG)
    measured = of_reward_bench(current, base)
    assert measured["value"].tolist()[:4] == [1, 0, 0.5, 1] and math.isnan(measured["value"][4])
    rows = {row["subset"]: row for row in summarised(measured, mean)}
    assert {subset: row["mean"] for subset, row in rows.items()} == {"": 0.625, "a": 0.5, "b": 0.5}
    assert (rows[""]["prompts"], rows[""]["used"], rows[""]["pairs"], rows[""]["left_out"]) == (5, 4, 4, 1)
    assert rows[""]["why"] == rows["b"]["why"] == f"1 {TOO_LONG}" and rows["b"]["unscored"] == 2


def test_tables_of_two_files_are_refused() -> None:
    one, other = bench([-1.0], [-2.0], ["a"]), bench([-1.0], [-2.0], ["b"])
    with pytest.raises(UserError, match="different items"):
        of_reward_bench(one, other)


def run(folder: Path, **tables: list[Path]) -> None:
    given_tables = {name: tables.get(name, []) for name in ("samples", "verdicts", "logprobs", "judgements")}
    numbers = {"level": 0.95, "resamples": 100, "seed": 1, "reward_quality": folder / "out.csv"}
    main(argparse.Namespace(**given_tables, reward_bench=tables.get("reward_bench", []), **numbers))


def test_a_table_given_without_its_companion_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "results/toy/seed1/cream/M2"
    folder.mkdir(parents=True)
    write_table(bench([-1.0], [-2.0], ["a"]), REWARD_BENCH, folder / "reward_bench.parquet")
    with pytest.raises(UserError, match=r"M2/reward_bench.parquet .* without .* base/M0/reward_bench.parquet"):
        run(tmp_path, reward_bench=[folder / "reward_bench.parquet"])
    sample = {"prompt_id": "a", "response_index": 0, "task": "t", "prompt_ids": [1], "response_ids": [2]}
    sample |= {"text": "x", "finish_reason": "stop"}
    write_table(pd.DataFrame([sample]), SAMPLES, folder / "samples.parquet")
    with pytest.raises(UserError, match=r"M2/samples.parquet .* without .* logprobs/M0.parquet"):
        run(tmp_path, samples=[folder / "samples.parquet"])
