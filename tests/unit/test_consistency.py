"""Agreement of two rankings, against counts and ranks worked out here from the definitions."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.consistency import (
    CONSTANT,
    MEASURES,
    MISSING,
    kendall_tau,
    measure_prompts,
    scaled,
    spearman_rho,
    top_order,
    weigh_prompts,
)

# Few distinct values make many ties; the floats make none.
TIED = st.integers(-2, 2).map(float)
FREE = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def two_lists(draw) -> tuple[list[float], list[float]]:
    size, values = draw(st.integers(2, 8)), draw(st.sampled_from([TIED, FREE]))
    return tuple(draw(st.lists(values, min_size=size, max_size=size)) for _ in range(2))


def counted_tau_b(a: list[float], b: list[float]) -> float:
    """Kendall's tau-b from its definition: every pair of items looked at once."""
    agreeing = untied_a = untied_b = 0
    for i, j in combinations(range(len(a)), 2):
        step_a = (a[i] > a[j]) - (a[i] < a[j])
        step_b = (b[i] > b[j]) - (b[i] < b[j])
        agreeing += step_a * step_b
        untied_a += step_a != 0
        untied_b += step_b != 0
    return agreeing / math.sqrt(untied_a * untied_b) if untied_a and untied_b else math.nan


def average_ranks(values: list[float]) -> list[float]:
    """1 plus those below, plus half of the others that are equal."""
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]


def ranked_pearson(a: list[float], b: list[float]) -> float:
    ranks_a, ranks_b = average_ranks(a), average_ranks(b)
    mean = (len(a) + 1) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(ranks_a, ranks_b, strict=True))
    spread = math.sqrt(sum((x - mean) ** 2 for x in ranks_a) * sum((y - mean) ** 2 for y in ranks_b))
    return product / spread if spread else math.nan


def same_ends(a: list[float], b: list[float]) -> float:
    if len(set(a)) == 1 or len(set(b)) == 1:
        return math.nan
    ends = [({i for i, v in enumerate(x) if v == max(x)}, {i for i, v in enumerate(x) if v == min(x)}) for x in (a, b)]
    return 1.0 if ends[0] == ends[1] else 0.0


def rewards_table(prompts: dict[str, tuple[list[float], list[float]]]) -> pd.DataFrame:
    rows = [
        {"prompt_id": prompt, "response_index": index, "reward": now, "previous_reward": before}
        for prompt, (current, previous) in prompts.items()
        for index, (now, before) in enumerate(zip(current, previous, strict=True))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("measure", "oracle"),
    [(kendall_tau, counted_tau_b), (spearman_rho, ranked_pearson), (top_order, same_ends)],
)
@settings(deadline=None, max_examples=150)
@given(lists=two_lists())
def test_each_measure_equals_its_definition(measure, oracle, lists) -> None:
    a, b = lists
    assert measure(a, b) == pytest.approx(oracle(a, b), abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=50)
@given(lists=two_lists(), data=st.data())
def test_measures_do_not_depend_on_order_or_on_which_list_comes_first(lists, data) -> None:
    a, b = lists
    order = data.draw(st.permutations(range(len(a))))
    for measure in (kendall_tau, spearman_rho, top_order):
        value = measure(a, b)
        assert measure([a[i] for i in order], [b[i] for i in order]) == pytest.approx(value, abs=1e-12, nan_ok=True)
        assert measure(b, a) == pytest.approx(value, abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=50)
@given(lists=two_lists())
def test_consistency_never_leaves_zero_to_one(lists) -> None:
    for name, measure in zip(MEASURES, (kendall_tau, spearman_rho, top_order), strict=True):
        value = scaled(name, measure(*lists))
        assert math.isnan(value) or 0 <= value <= 1


@settings(deadline=None, max_examples=50)
@given(values=st.lists(FREE, min_size=2, max_size=8, unique=True))
def test_same_ranking_gives_one_and_reversed_gives_zero(values: list[float]) -> None:
    # Only the order counts: the other list has quite other numbers.
    same, reversed_ = [math.exp(v / 50) for v in values], [-v for v in values]
    for name, measure in zip(MEASURES, (kendall_tau, spearman_rho, top_order), strict=True):
        assert scaled(name, measure(values, values)) == pytest.approx(1, abs=1e-12)
        assert scaled(name, measure(values, reversed_)) == pytest.approx(0, abs=1e-12)
    if len(set(same)) == len(values):
        assert kendall_tau(values, same) == pytest.approx(1, abs=1e-12)


def test_worked_examples() -> None:
    # One of the ten pairs of five is turned round: tau = (9 - 1) / 10.
    assert kendall_tau([5, 4, 3, 2, 1], [4, 5, 3, 2, 1]) == pytest.approx(0.8)
    # rho = 1 - 6 * sum of squared rank differences / (n (n^2 - 1)) = 1 - 6 * 2 / 120.
    assert spearman_rho([5, 4, 3, 2, 1], [4, 5, 3, 2, 1]) == pytest.approx(0.9)
    # tau-b with one tie: 2 untied pairs agree, sqrt(2 * 3).
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))


@pytest.mark.parametrize("measure", [kendall_tau, spearman_rho, top_order])
def test_a_constant_list_says_nothing(measure) -> None:
    # Pitfall 2: ranking ties by position would call this perfect agreement.
    assert math.isnan(measure([1, 1, 1], [1, 1, 1]))
    assert math.isnan(measure([1, 1, 1], [1, 2, 3]))
    assert math.isnan(measure([1, 2, 3], [7, 7, 7]))


@pytest.mark.parametrize("measure", [kendall_tau, spearman_rho])
def test_two_responses_agree_or_disagree(measure) -> None:
    assert measure([1, 2], [10, 20]) == pytest.approx(1, abs=1e-12)
    assert measure([1, 2], [20, 10]) == pytest.approx(-1, abs=1e-12)


def test_top_order_looks_at_best_and_worst_not_at_first_and_last() -> None:
    # Pitfall 3: the first and last sampled responses agree here, best and worst don't …
    assert top_order([2, 9, 1, 3], [2, 1, 9, 3]) == 0
    # … and here best and worst agree while the middle is turned round.
    assert top_order([2, 9, 1, 3], [3, 9, 1, 2]) == 1
    # Only one of the two ends agrees.
    assert top_order([3, 2, 1], [3, 1, 2]) == 0
    assert top_order([3, 2, 1], [2, 3, 1]) == 0


def test_scaled_ranges() -> None:
    for correlation in ("kendall", "spearman"):
        assert [scaled(correlation, value) for value in (-1, 0, 0.5, 1)] == [0, 0.5, 0.75, 1]
    assert [scaled("toporder", value) for value in (0, 1)] == [0, 1]


def test_independent_rankings_of_five_have_tau_zero_plus_minus_point_41() -> None:
    # Var tau = 2 (2n + 5) / (9 n (n - 1)) = 30 / 180 for n = 5, so the sd is 0.408.
    generator = np.random.default_rng(3)
    taus = [kendall_tau(generator.permutation(5).tolist(), generator.permutation(5).tolist()) for _ in range(1500)]
    assert np.mean(taus) == pytest.approx(0, abs=4 * 0.41 / math.sqrt(1500))
    assert np.std(taus) == pytest.approx(math.sqrt(1 / 6), abs=0.03)


@pytest.mark.parametrize("flip", [0.1, 0.3, 0.5])
def test_expected_tau_is_one_minus_twice_the_flip_rate(flip: float) -> None:
    # The paper's model: each pair of responses is ranked the other way round with chance lambda.
    # With two responses that is one pair a prompt, and every list of flips is a ranking.
    generator = np.random.default_rng(5)
    flips = generator.random(600) < flip
    table = rewards_table(
        {f"p{i}": ([1.0, 2.0], [2.0, 1.0] if turned else [1.0, 2.0]) for i, turned in enumerate(flips)}
    )
    measured = measure_prompts(table)
    assert measured["kendall"].mean() == pytest.approx(1 - 2 * flips.mean())
    assert measured["kendall"].mean() == pytest.approx(1 - 2 * flip, abs=4 / math.sqrt(600))
    weight = weigh_prompts(measured, "kendall", "set")["weight"]
    assert np.allclose(weight, 1 - flips.mean())


PROMPTS = {
    "same": ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]),
    "reversed": ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]),
    "one swap": ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]),
    "tied now": ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
    "tied before": ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
    "lost now": ([1.0, math.nan, 3.0], [1.0, 2.0, 3.0]),
    "lost before": ([1.0, 2.0, 3.0], [1.0, 2.0, math.nan]),
    "endless": ([1.0, 2.0, math.inf], [1.0, 2.0, 3.0]),
}


def test_prompts_that_say_nothing_are_left_out_with_their_reason() -> None:
    measured = measure_prompts(rewards_table(PROMPTS)).set_index("prompt_id")
    assert measured["left_out"].to_dict() == {
        "same": "",
        "reversed": "",
        "one swap": "",
        "tied now": CONSTANT,
        "tied before": CONSTANT,
        "lost now": MISSING,
        "lost before": MISSING,
        "endless": MISSING,
    }
    left_out = measured["left_out"] != ""
    assert measured.loc[left_out, list(MEASURES)].isna().all(axis=None)
    assert measured.loc[~left_out, list(MEASURES)].notna().all(axis=None)
    assert measured.loc["one swap", "kendall"] == pytest.approx(1 / 3)
    assert measured.loc["one swap", "spearman"] == pytest.approx(0.5)
    assert measured.loc["one swap", "toporder"] == 0


def test_a_table_without_any_previous_reward_leaves_every_prompt_out() -> None:
    # A column of nulls alone reads back as Python None, not as NaN.
    table = pd.DataFrame(
        {"prompt_id": ["p", "p"], "response_index": [0, 1], "reward": [1.0, 2.0], "previous_reward": [None, None]}
    )
    assert measure_prompts(table)["left_out"].tolist() == [MISSING]


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_shuffled_rows_give_the_same_table(data) -> None:
    prompts = {f"p{i}": data.draw(two_lists()) for i in range(data.draw(st.integers(1, 4)))}
    table = rewards_table(prompts)
    order = data.draw(st.permutations(range(len(table))))
    pd.testing.assert_frame_equal(measure_prompts(table), measure_prompts(table.iloc[order]))


@settings(deadline=None, max_examples=25)
@given(lists=two_lists(), data=st.data())
def test_a_response_sampled_twice_is_one_more_tie(lists, data) -> None:
    # The copy gets the same rewards: a tie on both sides, never agreement by itself.
    a, b = lists
    copied = data.draw(st.integers(0, len(a) - 1))
    measured = measure_prompts(rewards_table({"p": (a, b), "copied": ([*a, a[copied]], [*b, b[copied]])}))
    measured = measured.set_index("prompt_id")
    expected = counted_tau_b([*a, a[copied]], [*b, b[copied]])
    assert measured.loc["copied", "kendall"] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    # What is best and worst doesn't change by having it twice.
    assert measured.loc["copied", "toporder"] == pytest.approx(measured.loc["p", "toporder"], nan_ok=True)
    assert measured.loc["copied", "left_out"] == measured.loc["p", "left_out"]


def weighed(measure: str, level: str) -> pd.DataFrame:
    return weigh_prompts(measure_prompts(rewards_table(PROMPTS)), measure, level).set_index("prompt_id")


@pytest.mark.parametrize("measure", MEASURES)
def test_each_prompt_gets_its_own_weight_at_level_prompt(measure: str) -> None:
    table = weighed(measure, "prompt")
    middle = {"kendall": 2 / 3, "spearman": 0.75, "toporder": 0.0}[measure]
    assert table.loc[["same", "reversed", "one swap"], "weight"].tolist() == pytest.approx([1, 0, middle])
    assert table.loc[table["left_out"] != "", "weight"].isna().all()
    pd.testing.assert_series_equal(table["weight"], table["consistency"], check_names=False)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_set_weight_is_the_mean_over_the_prompts_that_count(measure: str) -> None:
    table = weighed(measure, "set")
    middle = {"kendall": 2 / 3, "spearman": 0.75, "toporder": 0.0}[measure]
    # Three prompts count; the five left out must not pull the mean.
    assert table["weight"].tolist() == pytest.approx([(1 + 0 + middle) / 3] * len(PROMPTS))
    assert table["consistency"].isna().sum() == 5


@pytest.mark.parametrize("level", ["set", "prompt"])
def test_measure_none_weighs_every_pair_one_and_still_shows_kendall(level: str) -> None:
    table = weighed("none", level)
    assert (table["weight"] == 1).all()
    pd.testing.assert_series_equal(table["consistency"], weighed("kendall", level)["consistency"])


def test_no_prompt_that_counts_leaves_the_set_weight_unknown() -> None:
    measured = measure_prompts(rewards_table({"p": PROMPTS["tied now"], "q": PROMPTS["lost now"]}))
    assert weigh_prompts(measured, "kendall", "set")["weight"].isna().all()
    assert (weigh_prompts(measured, "none", "set")["weight"] == 1).all()


def test_weighing_leaves_the_measures_as_they_are() -> None:
    measured = measure_prompts(rewards_table(PROMPTS))
    before = measured.copy()
    table = weigh_prompts(measured, "spearman", "set")
    pd.testing.assert_frame_equal(measured, before)
    pd.testing.assert_frame_equal(table[before.columns], before)
