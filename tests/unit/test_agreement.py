"""The agreement stage: the model against its predecessor and against the verifier, on real files."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rankings import counted_tau_b

from cream.consistency import CONSTANT
from cream.errors import UserError
from cream.tables import AGREEMENT, LOGPROBS, REWARDS, SAMPLES, VERDICTS, TableSpec, read_table, write_table
from measure_agreement import main

PROMPTS, RESPONSES = ("a", "b", "c"), 5


class Files:
    """The five tables that the stage reads, and what it makes of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        generator = np.random.default_rng(seed)
        keys = pd.DataFrame([{"prompt_id": p, "response_index": i} for p in PROMPTS for i in range(RESPONSES)])
        tokens = generator.integers(1, 9, size=len(keys))

        def numbers() -> np.ndarray:
            return np.round(generator.normal(scale=20, size=len(keys)), 2)

        self.folder = folder
        self.samples = keys.assign(
            task="t",
            prompt_ids=[[1]] * len(keys),
            response_ids=[[1] * n for n in tokens],
            text="",
            finish_reason="stop",
        )
        self.tables = {
            name: keys.assign(logprob_sum=numbers(), tokens=tokens) for name in ("current", "previous", "base")
        }
        self.tables["rewards"] = keys.assign(reward=np.round(numbers() / 20), comparison=numbers())
        self.tables["verdicts"] = keys.assign(verdict=generator.integers(0, 2, size=len(keys)).astype(float))

    def set(self, table: str, column: str, prompt: str, values: list[float]) -> None:
        frame = self.tables[table]
        frame.loc[frame["prompt_id"] == prompt, column] = values

    def run(self, iteration: int) -> tuple[pd.DataFrame, dict]:
        specs: dict[str, TableSpec] = {"rewards": REWARDS, "verdicts": VERDICTS}
        for name, table in self.tables.items():
            write_table(table, specs.get(name, LOGPROBS), self.folder / f"{name}.parquet")
        write_table(self.samples, SAMPLES, self.folder / "samples.parquet")
        paths = {name: self.folder / f"{name}.parquet" for name in (*self.tables, "samples", "agreement")}
        found = main(argparse.Namespace(**paths, iteration=iteration))
        return read_table(paths["agreement"], AGREEMENT).set_index("prompt_id"), found

    def of(self, prompt: str, iteration: int) -> dict[str, list[float]]:
        """A prompt's rewards, own scores, the model before's scores and verdicts, in plain Python."""

        def column(table: str, name: str = "logprob_sum") -> list[float]:
            frame = self.tables[table]
            return frame[frame["prompt_id"] == prompt].sort_values("response_index")[name].tolist()

        base = column("base")
        before = (
            [total / tokens for total, tokens in zip(base, column("base", "tokens"), strict=True)]
            if iteration == 1
            else [x - y for x, y in zip(column("previous"), base, strict=True)]
        )
        return {
            "reward": column("rewards", "reward"),
            "own": [x - y for x, y in zip(column("current"), base, strict=True)],
            "before": before,
            "verdict": column("verdicts", "verdict"),
        }


def counted_accuracy(rewards: list[float], verdicts: list[float]) -> tuple[float, int]:
    points = pairs = 0
    for r, v in zip(rewards, verdicts, strict=True):
        for other_r, other_v in zip(rewards, verdicts, strict=True):
            if v == 1 and other_v == 0 and not math.isnan(r) and not math.isnan(other_r):
                pairs += 1
                points += 1 if r > other_r else 0.5 if r == other_r else 0
    return (points / pairs if pairs else math.nan), pairs


@pytest.mark.parametrize("iteration", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_every_number_follows_its_definition(iteration: int, seed: int, tmp_path: Path) -> None:
    files = Files(tmp_path, seed)
    table, found = files.run(iteration)
    assert table.index.tolist() == list(PROMPTS)
    for prompt in PROMPTS:
        given, row = files.of(prompt, iteration), table.loc[prompt]
        tau = counted_tau_b(given["own"], given["before"])
        assert row["self_kendall"] == pytest.approx(tau)
        assert row["self_consistency"] == pytest.approx((tau + 1) / 2)
        assert row["self_spearman"] == pytest.approx(
            pd.Series(given["own"]).corr(pd.Series(given["before"]), method="spearman")
        )
        ends = [(np.argmax(given[side]), np.argmin(given[side])) for side in ("own", "before")]
        assert row["self_toporder"] == float(ends[0] == ends[1])
        accuracy, told_apart = counted_accuracy(given["reward"], given["verdict"])
        assert row["told_apart"] == told_apart
        assert row["reward_accuracy"] == pytest.approx(accuracy, nan_ok=True)
        assert row["self_accuracy"] == pytest.approx(counted_accuracy(given["own"], given["verdict"])[0], nan_ok=True)
    for name in ("self_consistency", "reward_accuracy", "self_accuracy"):
        assert found[name] == pytest.approx(np.nanmean(table[name]))


def test_a_method_that_trains_on_the_implicit_reward_has_one_accuracy(tmp_path: Path) -> None:
    files = Files(tmp_path, 1)
    difference = files.tables["current"]["logprob_sum"] - files.tables["base"]["logprob_sum"]
    files.tables["rewards"]["reward"] = difference
    table, _ = files.run(2)
    pd.testing.assert_series_equal(table["reward_accuracy"], table["self_accuracy"], check_names=False)


def test_the_first_iteration_does_not_compare_with_a_constant(tmp_path: Path) -> None:
    # M{t−1} is M0: its log-ratio to itself is zero everywhere, its likelihood per token is not.
    files = Files(tmp_path, 2)
    files.tables["previous"] = files.tables["base"].copy()
    first, _ = files.run(1)
    assert (first["self_left_out"] == "").all()
    second, _ = files.run(2)
    assert (second["self_left_out"] == CONSTANT).all()
    assert second["self_consistency"].isna().all()


def test_prompts_that_tell_nothing_have_no_number_and_do_not_pull_the_mean(tmp_path: Path) -> None:
    files = Files(tmp_path, 3)
    files.set("verdicts", "verdict", "a", [1.0] * RESPONSES)
    files.set("verdicts", "verdict", "b", [math.nan] * RESPONSES)
    files.set("verdicts", "verdict", "c", [1.0, 0.0, math.nan, math.nan, math.nan])
    files.set("rewards", "reward", "c", [2.0, 1.0, 3.0, 4.0, 0.0])
    table, found = files.run(2)
    assert table["told_apart"].tolist() == [0, 0, 1]
    assert table["reward_accuracy"].isna().tolist() == [True, True, False]
    assert found["reward_accuracy"] == 1.0
    # The model's agreement with its predecessor doesn't need the verifier.
    assert table["self_kendall"].notna().all()


def test_a_response_without_a_reward_counts_for_the_models_own_accuracy_alone(tmp_path: Path) -> None:
    files = Files(tmp_path, 4)
    files.set("verdicts", "verdict", "a", [1.0, 1.0, 0.0, 0.0, 0.0])
    files.set("rewards", "reward", "a", [math.nan, 2.0, 1.0, 3.0, math.nan])
    table, _ = files.run(2)
    given = files.of("a", 2)
    assert table.loc["a", "reward_accuracy"] == 0.5
    assert table.loc["a", "told_apart"] == 6  # by the verifier, whatever has a reward
    assert table.loc["a", "self_accuracy"] == pytest.approx(counted_accuracy(given["own"], given["verdict"])[0])


@pytest.mark.parametrize("iteration", [1, 2])
def test_rows_are_joined_by_key(iteration: int, tmp_path: Path) -> None:
    files = Files(tmp_path, 5)
    straight, _ = files.run(iteration)
    for number, name in enumerate(files.tables):
        files.tables[name] = files.tables[name].sample(frac=1, random_state=number)
    shuffled, _ = files.run(iteration)
    pd.testing.assert_frame_equal(shuffled, straight)


@pytest.mark.parametrize("name", ["rewards", "current", "previous", "base", "verdicts"])
def test_tables_of_other_responses_are_refused(name: str, tmp_path: Path) -> None:
    # As in compute_rewards: a table that lacks a response is one of other samples, not a smaller one.
    files = Files(tmp_path, 6)
    files.tables[name] = files.tables[name].iloc[1:]
    with pytest.raises(UserError):
        files.run(2)
