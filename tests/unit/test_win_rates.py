"""From judged pairs to the table of win rates, against counts by hand and a plain logistic regression."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from cream.comparisons import Resampling
from cream.errors import UserError
from cream.tables import write_table
from cream.win_rates.length_control import alpaca_eval_length_controlled, length_controlled
from cream.win_rates.rates import counts, points, position_bias, win_rate
from cream.win_rates.tables import JUDGED
from cream.win_rates.verdicts import outcome

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/tabulate_win_rates.py"
HOW = Resampling(0.95, 300, 1)
PREFERENCE = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0, math.nan])


def judged(preferences: list[tuple[float, float]], lengths: list[tuple[int, int]] | None = None) -> pd.DataFrame:
    lengths = lengths or [(10, 12)] * len(preferences)
    return pd.DataFrame(
        [
            {"instruction_id": f"{at:05d}", "ours_characters": ours, "theirs_characters": theirs}
            | {"words_first": "", "words_second": "", "ours_first": first, "ours_second": second}
            | {"outcome": outcome(first, second), "failure": ""}
            for at, ((first, second), (ours, theirs)) in enumerate(zip(preferences, lengths, strict=True))
        ]
    )


@given(st.lists(st.tuples(PREFERENCE, PREFERENCE), min_size=1, max_size=30))
def test_what_went_in_comes_out(preferences: list[tuple[float, float]]) -> None:
    found = counts([judged(preferences), judged(preferences)])
    assert found["pairs"] == 2 * len(preferences)
    assert found["won"] + found["lost"] + found["tied"] + found["failed"] == found["pairs"]
    sums = [first + second for first, second in preferences]
    assert found["won"] == 2 * sum(total > 1 for total in sums)
    assert found["failed"] == 2 * sum(math.isnan(total) for total in sums)


@given(st.lists(st.tuples(PREFERENCE, PREFERENCE), min_size=1, max_size=30))
def test_position_bias_is_what_counting_says(preferences: list[tuple[float, float]]) -> None:
    places, flips = [], []
    for first, second in preferences:
        # Ours stands first in one order and second in the other.
        places += ["first" if first > 0.5 else "second"] if first != 0.5 and first == first else []
        places += ["second" if second > 0.5 else "first"] if second != 0.5 and second == second else []
        if not {0.5} & {first, second} and first == first and second == second:
            flips.append((first > 0.5) != (second > 0.5))
    found = position_bias([judged(preferences)])
    assert found["first"] == pytest.approx(places.count("first") / len(places) if places else math.nan, nan_ok=True)
    assert found["flipped"] == pytest.approx(sum(flips) / len(flips) if flips else math.nan, nan_ok=True)


def test_a_win_rate_counts_a_tie_as_half_and_leaves_failures_out() -> None:
    table = judged([(1, 1), (1, 1), (1, 0), (0, 0), (math.nan, 1)])
    found = win_rate([table], HOW)
    assert found["used"] == 4 and found["win_rate"] == (2 + 0.5) / 4
    assert 0 <= found["low"] <= found["win_rate"] <= found["high"] <= 1


def test_seeds_are_paired_by_instruction() -> None:
    one, other = judged([(1, 1), (math.nan, 1), (0, 0)]), judged([(1, 1), (1, 1), (1, 1)])
    found = win_rate([one, other], HOW)
    assert found["used"] == 2 and found["win_rate"] == (1 + 0 + 1 + 1) / 4


def test_no_verdict_at_all_is_no_win_rate() -> None:
    found = win_rate([judged([(math.nan, math.nan)])], HOW)
    assert found["used"] == 0 and math.isnan(found["win_rate"]) and found["p"] == 1


def test_pairs_with_an_empty_answer_are_counted_once_whoever_gave_it() -> None:
    table = judged([(1, 1), (0, 0), (0.5, 0.5), (1, 0)], [(5, 0), (0, 5), (0, 0), (4, 4)])
    assert counts([table])["empty_answers"] == 3


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(UserError, match="none of won, lost, tied, failed"):
        counts([judged([(1, 1)]).assign(outcome="maybe")])


def test_length_control_is_the_logistic_regression_without_the_length_term() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = rng.integers(5, 900, 800), rng.integers(5, 900, 800)
    difference = (ours - theirs) / (ours - theirs).std(ddof=1)
    won = (rng.random(800) < 1 / (1 + np.exp(-0.4 - 1.5 * np.tanh(difference)))).astype(float)
    won[rng.random(800) < 0.2] = 0.5
    fit = sm.GLM(won, np.column_stack([np.ones(800), np.tanh(difference)]), family=sm.families.Binomial()).fit()
    expected = 1 / (1 + math.exp(-fit.params[0]))
    assert length_controlled(won, ours, theirs) == pytest.approx(expected, abs=2e-3)


def test_longer_answers_that_win_by_length_alone_lose_their_lead() -> None:
    rng = np.random.default_rng(6)
    theirs = rng.integers(100, 500, 600)
    ours = theirs + rng.integers(-100, 400, 600)
    won = (rng.random(600) < 1 / (1 + np.exp(-2 * np.tanh((ours - theirs) / (ours - theirs).std())))).astype(float)
    assert won.mean() > 0.6
    assert length_controlled(won, ours, theirs) == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("won", "ours", "expected"),
    [([1, 0, 1, 0.5, 1], [9] * 5, 0.7), ([1] * 6, range(6), 1.0), ([1, 0], [1, 2], math.nan)],
)
def test_length_control_where_nothing_can_be_fitted(won: list, ours, expected: float) -> None:
    found = length_controlled(np.array(won, dtype=float), np.array(list(ours)), np.full(len(won), 4))
    assert found == pytest.approx(expected, nan_ok=True)


def test_the_packages_own_control_is_for_its_own_instructions_alone() -> None:
    with pytest.raises(UserError, match="for AlpacaEval's own 805 instructions, there are 3"):
        alpaca_eval_length_controlled(np.ones(3), np.ones(3), np.ones(3))


def tabulate(
    folder: Path, control: str = "fit", hub: Path | None = None, **tables: pd.DataFrame
) -> subprocess.CompletedProcess:
    """Run the script on tables named MODEL__SEED__METHOD__T, with a hub that nobody answers for and its cache."""
    paths = []
    for name, table in tables.items():
        model, seed, method, t = name.split("__")
        paths.append(f"results/{model}/seed{seed}/{method}/M{t}/judged/set/sft-M1.parquet")
        (folder / paths[-1]).parent.mkdir(parents=True)
        write_table(table, JUDGED, folder / paths[-1])
    command = [sys.executable, str(SCRIPT), "--judged", *paths, "--judge", "somebody", "--length-control"]
    command += [
        json.dumps({"set": control}),
        "--level",
        "0.95",
        "--resamples",
        "200",
        "--seed",
        "1",
        "--win-rates",
        "out.csv",
    ]
    elsewhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(hub or folder / "no_hub")}
    environment = {**os.environ, **elsewhere}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_table_of_two_methods_and_two_seeds(tmp_path: Path) -> None:
    better, worse = [(1.0, 1.0)] * 18 + [(1.0, 0.0)] * 2, [(0.0, 0.0)] * 20
    done = tabulate(
        tmp_path,
        m__1__cream__2=judged(better),
        m__2__cream__2=judged(better),
        m__1__srlm__2=judged(worse),
        m__2__srlm__2=judged([*worse[:-1], (math.nan, 0.0)]),
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out.csv").set_index("method")
    assert table["against"].unique().tolist() == ["sft M1"] and (table["seeds"] == 2).all()
    assert table.loc["cream", ["pairs", "won", "tied", "failed"]].tolist() == [40, 36, 4, 0]
    assert table.loc["srlm", ["lost", "failed", "used"]].tolist() == [39, 1, 19]
    assert table["win_rate"].tolist() == [0.95, 0.0]
    assert table["verdict"].tolist() == ["gain", "loss"]
    assert np.allclose(points(judged(better)), [1.0] * 18 + [0.5] * 2)


def test_seeds_judged_on_other_instructions_are_refused(tmp_path: Path) -> None:
    done = tabulate(tmp_path, m__1__cream__2=judged([(1, 1)]), m__2__cream__2=judged([(1, 1), (0, 0)]))
    assert done.returncode == 1
    assert done.stderr.strip().endswith("error: cream M2 was judged on other instructions in each seed")


def alpaca_eval_instructions(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Verdicts on 805 pairs, and a made-up difficulty for each instruction that they depend on."""
    difficulty = rng.normal(size=805)
    lengths = rng.integers(50, 2000, size=(805, 2))
    gap = (lengths[:, 0] - lengths[:, 1]) / (lengths[:, 0] - lengths[:, 1]).std(ddof=1)
    won = rng.random(805) < 1 / (1 + np.exp(-(0.5 + np.tanh(gap) + 0.8 * difficulty)))
    preferences = [(1.0, 1.0) if each else (0.0, 0.0) for each in won]
    return judged(preferences, [tuple(map(int, pair)) for pair in lengths]), difficulty


def test_the_packages_own_length_control_on_its_own_instructions(tmp_path: Path) -> None:
    """Its instruction difficulties lie in the hub's cache, as a machine with a network leaves them there."""
    rng = np.random.default_rng(11)
    table, difficulty = alpaca_eval_instructions(rng)
    # What the package fetches: answers of two models that game the length, with every instruction's difficulty.
    gamed = pd.DataFrame(
        {
            "model": np.repeat(["verbose", "concise"], 805),
            "index": np.tile(np.arange(805), 2),
            "preference": rng.random(1610).round(),
            "std_delta_len": rng.normal(size=1610),
            "instruction_difficulty": np.tile(difficulty, 2),
            "not_gamed_baseline": False,
        }
    )
    repository = tmp_path / "hub/hub/datasets--tatsu-lab--alpaca_eval"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    gamed.to_csv(repository / "snapshots" / ("0" * 40) / "df_gamed.csv", index=False)

    done = tabulate(tmp_path, "alpaca_eval", tmp_path / "hub", m__1__cream__2=table)
    assert done.returncode == 0, done.stderr
    (row,) = pd.read_csv(tmp_path / "out.csv").to_dict("records")
    # The same regression by statsmodels: gamed answers weigh a tenth each.
    gap = (table["ours_characters"] - table["theirs_characters"]).to_numpy(dtype=float)
    # The package takes the first answer's length less the second's, ours being the second.
    gap = -gap / gap.std(ddof=1)
    ours = np.column_stack([np.tanh(gap), difficulty, np.ones(805)])
    theirs = np.column_stack([np.tanh(gamed["std_delta_len"]), gamed["instruction_difficulty"], np.zeros(1610)])
    weights = np.concatenate([np.ones(805), np.full(1610, 0.1)])
    won = np.concatenate([points(table), gamed["preference"]])
    fit = sm.GLM(won, np.vstack([ours, theirs]), family=sm.families.Binomial(), freq_weights=weights).fit()
    even = ours * [0, 1, 1]
    expected = (1 / (1 + np.exp(-even @ fit.params))).mean()
    assert row["length_control"] == "alpaca_eval"
    assert row["length_controlled"] == pytest.approx(expected, abs=1e-3)
    assert abs(expected - row["win_rate"]) > 2e-3, "the oracle must differ from the plain win rate"


def test_length_control_without_the_packages_data_says_what_to_do(tmp_path: Path) -> None:
    table, _ = alpaca_eval_instructions(np.random.default_rng(12))
    done = tabulate(tmp_path, "alpaca_eval", m__1__cream__2=table)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "needs df_gamed.csv of tatsu-lab/alpaca_eval from the hub, which can't be reached" in done.stderr
