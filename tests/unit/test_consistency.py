"""Agreement of two rankings, against scipy and against counts worked out here from the definitions."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cream.consistency import (
    CONSTANT,
    MEASURES,
    MISSING,
    NEGATIVE,
    Weighting,
    kendall_tau,
    measure_prompts,
    ranking_accuracy,
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
        {"prompt_id": prompt, "response_index": index, "reward": now, "comparison": before}
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


@settings(deadline=None, max_examples=150)
@given(lists=two_lists())
def test_correlations_equal_scipys(lists) -> None:
    a, b = lists
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b, variant="b").statistic, abs=1e-12)
        assert spearman_rho(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(lists=two_lists())
def test_top_order_compares_the_ends_of_scipys_ranks(lists) -> None:
    a, b = lists
    if len(set(a)) > 1 and len(set(b)) > 1:
        low, high = ([stats.rankdata(x, method=end) for x in (a, b)] for end in ("min", "max"))
        worst, best = ([rank == edge for rank in ranks] for ranks, edge in ((low, 1), (high, len(a))))
        assert top_order(a, b) == (np.array_equal(*worst) and np.array_equal(*best))


@settings(deadline=None, max_examples=100)
@given(lists=st.integers(2, 8).flatmap(lambda n: st.tuples(*[st.lists(TIED, min_size=n, max_size=n)] * 2)))
def test_only_the_order_of_the_scores_counts(lists) -> None:
    # Strictly increasing and exact on these small whole numbers, so ties stay ties.
    a, b = lists
    for measure in (kendall_tau, spearman_rho, top_order):
        value = measure(a, b)
        for increasing in (lambda x: x**3 + 5 * x, math.exp, lambda x: x / 4 - 100):
            assert measure(a, [increasing(x) for x in b]) == pytest.approx(value, abs=1e-12, nan_ok=True)
            assert measure([increasing(x) for x in a], b) == pytest.approx(value, abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=100)
@given(lists=two_lists())
def test_turning_one_ranking_round_negates_and_turning_both_changes_nothing(lists) -> None:
    a, b = lists
    back_a, back_b = [-x for x in a], [-x for x in b]
    for measure in (kendall_tau, spearman_rho):
        assert measure(a, back_b) == pytest.approx(-measure(a, b), abs=1e-12, nan_ok=True)
    for measure in (kendall_tau, spearman_rho, top_order):
        assert measure(back_a, back_b) == pytest.approx(measure(a, b), abs=1e-12, nan_ok=True)


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
    reversed_ = [-v for v in values]
    for name, measure in zip(MEASURES, (kendall_tau, spearman_rho, top_order), strict=True):
        assert scaled(name, measure(values, values)) == pytest.approx(1, abs=1e-12)
        assert scaled(name, measure(values, reversed_)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("distinct", [2, 4, 1000])
def test_a_ranking_agrees_with_itself_exactly(measure: str, distinct: int) -> None:
    # To the last bit, with ties and without: CREAM with perfect agreement is plain DPO.
    correlation = dict(zip(MEASURES, (kendall_tau, spearman_rho, top_order), strict=True))[measure]
    generator = np.random.default_rng(8)
    for size in range(2, 31):
        values = generator.permutation(np.arange(size) % distinct).astype(float).tolist()
        assert scaled(measure, correlation(values, [2 * v + 1 for v in values])) == 1.0, values


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


SETS, PROMPTS_A_SET, RESPONSES = 30, 10, 5


def all_or_nothing(generator: np.random.Generator, ranking: np.ndarray, flip: float) -> np.ndarray:
    """The same ranking, or, with chance λ, the reversed one: E τ = (1 − λ) − λ."""
    return -ranking if generator.random() < flip else ranking


def sometimes_noise(generator: np.random.Generator, ranking: np.ndarray, flip: float) -> np.ndarray:
    """The same ranking, or, with chance 2λ, one drawn at random: E τ = (1 − 2λ) + 2λ · 0."""
    return generator.permutation(len(ranking)) if generator.random() < 2 * flip else ranking


@pytest.mark.parametrize("disturbed", [all_or_nothing, sometimes_noise])
@pytest.mark.parametrize("flip", [0.1, 0.3, 0.5])
def test_the_estimated_consistency_is_unbiased(disturbed, flip: float) -> None:
    # The paper's model, E τ = 1 − 2λ, so C = (τ + 1) / 2 estimates 1 − λ.
    generator = np.random.default_rng(5)
    prompts = {}
    for number in range(SETS * PROMPTS_A_SET):
        ranking = generator.permutation(RESPONSES)
        prompts[f"{number:04d}"] = (ranking.tolist(), disturbed(generator, ranking, flip).tolist())
    measured = measure_prompts(rewards_table(prompts))
    estimates = []
    for first in range(0, len(measured), PROMPTS_A_SET):
        one_set = measured.iloc[first : first + PROMPTS_A_SET]
        weights = weigh_prompts(one_set, Weighting("kendall", "set"))["weight"].unique()
        assert len(weights) == 1
        estimates.append(weights[0])
    standard_error = np.std(estimates, ddof=1) / math.sqrt(SETS)
    assert np.mean(estimates) == pytest.approx(1 - flip, abs=3.5 * standard_error)
    # Precise enough to tell the three values of λ apart.
    assert standard_error < 0.05


@pytest.mark.parametrize("flip", [0.1, 0.3, 0.5])
def test_with_two_responses_consistency_is_the_share_not_flipped(flip: float) -> None:
    generator = np.random.default_rng(6)
    flips = generator.random(200) < flip
    table = rewards_table(
        {f"p{i}": ([1.0, 2.0], [2.0, 1.0] if turned else [1.0, 2.0]) for i, turned in enumerate(flips)}
    )
    weight = weigh_prompts(measure_prompts(table), Weighting("kendall", "set"))["weight"]
    assert np.allclose(weight, 1 - flips.mean())


PROMPTS = {
    "same": ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]),
    "reversed": ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]),
    "one swap": ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]),
    "tied now": ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
    "tied before": ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
    "two left": ([1.0, math.nan, 3.0, 4.0], [1.0, 2.0, math.nan, 0.0]),
    "one left": ([1.0, math.nan, 3.0], [1.0, 2.0, math.nan]),
    "none left": ([math.nan, math.nan], [1.0, 2.0]),
    "tied what is left": ([1.0, math.nan, 1.0], [1.0, 2.0, 3.0]),
    "endless": ([1.0, math.inf], [1.0, 2.0]),
    "single": ([1.0], [1.0]),
}
COUNTED = ["same", "reversed", "one swap", "two left"]


def test_prompts_that_say_nothing_are_left_out_with_their_reason() -> None:
    measured = measure_prompts(rewards_table(PROMPTS)).set_index("prompt_id")
    assert measured["left_out"].to_dict() == dict.fromkeys(COUNTED, "") | {
        "tied now": CONSTANT,
        "tied before": CONSTANT,
        "tied what is left": CONSTANT,
        "one left": MISSING,
        "none left": MISSING,
        "endless": MISSING,
        "single": MISSING,
    }
    left_out = measured["left_out"] != ""
    assert measured.loc[left_out, list(MEASURES)].isna().all(axis=None)
    assert measured.loc[~left_out, list(MEASURES)].notna().all(axis=None)
    assert measured.loc["one swap", list(MEASURES)].tolist() == pytest.approx([1 / 3, 0.5, 0])
    # Responses 0 and 3 have both scores; they are turned round.
    assert measured.loc["two left", list(MEASURES)].tolist() == pytest.approx([-1, -1, 0])


def test_compared_counts_the_responses_with_both_scores() -> None:
    compared = measure_prompts(rewards_table(PROMPTS)).set_index("prompt_id")["compared"].to_dict()
    assert compared == {
        "same": 3,
        "reversed": 3,
        "one swap": 3,
        "tied now": 3,
        "tied before": 3,
        "two left": 2,
        "one left": 1,
        "none left": 0,
        "tied what is left": 2,
        "endless": 1,
        "single": 1,
    }


@settings(deadline=None, max_examples=25)
@given(lists=two_lists(), data=st.data())
def test_responses_without_either_score_are_as_if_they_were_not_there(lists, data) -> None:
    whole = [[*side] for side in lists]
    for _ in range(data.draw(st.integers(1, 3))):
        at, lost = data.draw(st.integers(0, len(whole[0]))), data.draw(st.sampled_from([(0,), (1,), (0, 1)]))
        for side in (0, 1):
            whole[side].insert(at, math.nan if side in lost else data.draw(TIED))
    measured = measure_prompts(rewards_table({"p": (whole[0], whole[1])}))
    pd.testing.assert_frame_equal(measured, measure_prompts(rewards_table({"p": lists})))


def test_a_table_with_nothing_to_compare_leaves_every_prompt_out() -> None:
    # A column of nulls alone can come as Python None, not as NaN.
    table = pd.DataFrame(
        {"prompt_id": ["p", "p"], "response_index": [0, 1], "reward": [1.0, 2.0], "comparison": [None, None]}
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


def weighed(measure: str, level: str, **settings) -> pd.DataFrame:
    weighting = Weighting(measure, level, **settings)
    return weigh_prompts(measure_prompts(rewards_table(PROMPTS)), weighting).set_index("prompt_id")


# What the four prompts that count have, in their order: same, reversed, one swap, two left.
CONSISTENCIES = {"kendall": [1, 0, 2 / 3, 0], "spearman": [1, 0, 0.75, 0], "toporder": [1, 0, 0, 0]}


@pytest.mark.parametrize("measure", MEASURES)
def test_each_prompt_gets_its_own_weight_at_level_prompt(measure: str) -> None:
    table = weighed(measure, "prompt")
    assert table.loc[COUNTED, "weight"].tolist() == pytest.approx(CONSISTENCIES[measure])
    assert table.loc[table["left_out"] != "", "weight"].isna().all()
    pd.testing.assert_series_equal(table["weight"], table["consistency"], check_names=False)
    pd.testing.assert_series_equal(table["unweighted"], table["left_out"], check_names=False)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_set_weight_is_the_mean_over_the_prompts_that_count(measure: str) -> None:
    table = weighed(measure, "set")
    # Four prompts count; those left out must not pull the mean, but their pairs train with it.
    assert table["weight"].tolist() == pytest.approx([np.mean(CONSISTENCIES[measure])] * len(PROMPTS))
    assert table["consistency"].notna().sum() == len(COUNTED)
    assert (table["unweighted"] == "").all()


@pytest.mark.parametrize(("measure", "value"), [("none", None), ("constant", 0.75), ("constant", 0.0)])
def test_none_and_constant_weigh_every_pair_alike_and_still_show_kendall(measure: str, value: float | None) -> None:
    table = weighed(measure, "set", value=value)
    assert (table["weight"] == (1.0 if value is None else value)).all()
    assert (table["unweighted"] == "").all()
    pd.testing.assert_series_equal(table["consistency"], weighed("kendall", "set")["consistency"])


@pytest.mark.parametrize("drop_negative", [False, True])
def test_a_constant_of_one_is_the_same_table_as_none(drop_negative: bool) -> None:
    one = weighed("constant", "set", value=1.0, drop_negative=drop_negative)
    pd.testing.assert_frame_equal(one, weighed("none", "set", drop_negative=drop_negative))


def test_clip_raises_what_is_below_it_and_nothing_else() -> None:
    table = weighed("kendall", "prompt", clip=0.5)
    assert table.loc[COUNTED, "weight"].tolist() == pytest.approx([1, 0.5, 2 / 3, 0.5])
    # The consistency is shown as it was measured, and no weight comes out of nothing.
    assert table.loc[COUNTED, "consistency"].tolist() == pytest.approx(CONSISTENCIES["kendall"])
    assert table.loc[table["left_out"] != "", "weight"].isna().all()
    # At level set it is the mean that is clipped: mean of 1, 0, 2/3, 0 is below 1/2.
    assert weighed("kendall", "set", clip=0.5)["weight"].tolist() == [0.5] * len(PROMPTS)
    assert weighed("kendall", "set", clip=0.1)["weight"].tolist() == pytest.approx([5 / 12] * len(PROMPTS))


@pytest.mark.parametrize("measure", ["none", "constant", *MEASURES])
def test_dropped_prompts_have_no_weight_and_a_reason(measure: str) -> None:
    value = 0.75 if measure == "constant" else None
    table = weighed(measure, "set", value=value, drop_negative=True)
    dropped = table["unweighted"] == NEGATIVE
    assert set(table.index[dropped]) == {"reversed", "two left"}
    assert table.loc[dropped, "weight"].isna().all()
    mean = np.mean([CONSISTENCIES[measure][at] for at in (0, 2)]) if measure in MEASURES else value or 1.0
    assert table.loc[~dropped, "weight"].tolist() == pytest.approx([mean] * (len(PROMPTS) - 2))
    assert table.loc["reversed", "consistency"] == pytest.approx(0)


def test_a_tau_of_zero_is_not_negative() -> None:
    # Of the six pairs of four responses three agree and three don't.
    measured = measure_prompts(rewards_table({"p": ([1, 2, 3, 4], [2, 4, 1, 3]), "q": ([1, 2, 3, 4], [3, 1, 4, 2])}))
    assert measured["kendall"].tolist() == [0, 0]
    table = weigh_prompts(measured, Weighting("kendall", "prompt", drop_negative=True))
    assert table["weight"].tolist() == [0.5, 0.5]


def test_no_prompt_that_counts_leaves_the_set_weight_unknown_with_the_reason() -> None:
    measured = measure_prompts(rewards_table({"p": PROMPTS["tied now"], "q": PROMPTS["one left"]}))
    table = weigh_prompts(measured, Weighting("kendall", "set", clip=0.5))
    assert table["weight"].isna().all()
    assert table["unweighted"].tolist() == [CONSTANT, MISSING]
    assert (weigh_prompts(measured, Weighting("none", "set"))["weight"] == 1).all()


def test_a_set_of_dropped_prompts_leaves_the_others_without_a_weight_too() -> None:
    measured = measure_prompts(rewards_table({"p": PROMPTS["reversed"], "q": PROMPTS["tied now"]}))
    table = weigh_prompts(measured, Weighting("kendall", "set", drop_negative=True))
    assert table["weight"].isna().all()
    assert table["unweighted"].tolist() == [NEGATIVE, CONSTANT]


@st.composite
def measured_tables(draw) -> pd.DataFrame:
    """Measures of some prompts, some of them left out, as `measure_prompts` returns them."""
    shares, rows = st.floats(-1, 1, allow_nan=False), []
    for number in range(draw(st.integers(1, 6))):
        left_out = draw(st.sampled_from(["", "", MISSING, CONSTANT]))
        values = (draw(shares), draw(shares), draw(st.sampled_from([0.0, 1.0])))
        measures = dict.fromkeys(MEASURES, math.nan) if left_out else dict(zip(MEASURES, values, strict=True))
        rows.append({"prompt_id": f"p{number}", "compared": 5, **measures, "left_out": left_out})
    return pd.DataFrame(rows)


@st.composite
def weightings(draw) -> Weighting:
    measure = draw(st.sampled_from(["none", "constant", *MEASURES]))
    unit = st.floats(0, 1, allow_nan=False)
    return Weighting(
        measure,
        draw(st.sampled_from(["set", "prompt"])),
        draw(unit) if measure == "constant" else None,
        draw(st.none() | unit) if measure in MEASURES else None,
        draw(st.booleans()),
    )


def plain_weights(rows: list[dict], how: Weighting) -> list[float]:
    """The weights by the words of the settings, one prompt after the other."""
    taken = [how.drop_negative and row["kendall"] < 0 for row in rows]
    weights = []
    for row, gone in zip(rows, taken, strict=True):
        if how.measure == "none":
            weight = 1.0
        elif how.measure == "constant":
            weight = how.value
        else:
            asked = rows if how.level == "set" else [row]
            kept = [other for other in asked if not (how.drop_negative and other["kendall"] < 0)]
            known = [scaled(how.measure, other[how.measure]) for other in kept if not other["left_out"]]
            weight = sum(known) / len(known) if known else math.nan
            weight = max(weight, how.clip) if how.clip is not None and known else weight
        weights.append(math.nan if gone else weight)
    return weights


@settings(deadline=None, max_examples=120)
@given(measured=measured_tables(), how=weightings())
def test_weights_follow_their_settings_and_never_go_missing_in_silence(measured: pd.DataFrame, how: Weighting) -> None:
    table = weigh_prompts(measured, how)
    assert table["weight"].tolist() == pytest.approx(plain_weights(measured.to_dict("records"), how), nan_ok=True)
    assert (table["weight"].between(0, 1) | table["weight"].isna()).all()
    assert (table["weight"].isna() == (table["unweighted"] != "")).all()
    assert set(table["unweighted"]) <= {"", MISSING, CONSTANT, NEGATIVE}


def test_weighing_leaves_the_measures_as_they_are() -> None:
    measured = measure_prompts(rewards_table(PROMPTS))
    before = measured.copy()
    table = weigh_prompts(measured, Weighting("spearman", "set", clip=0.5, drop_negative=True))
    pd.testing.assert_frame_equal(measured, before)
    pd.testing.assert_frame_equal(table[before.columns], before)


# Ranking accuracy


@st.composite
def judged(draw) -> tuple[list[float], list[float]]:
    """Rewards and verdicts of some responses, either of them missing here and there."""
    size, lost = draw(st.integers(0, 8)), st.just(math.nan)
    rewards = draw(st.lists(st.one_of(TIED, FREE, lost), min_size=size, max_size=size))
    verdicts = draw(st.lists(st.one_of(st.sampled_from([0.0, 1.0]), lost), min_size=size, max_size=size))
    return rewards, verdicts


def known(rewards: list[float], verdicts: list[float]) -> list[tuple[float, float]]:
    return [(r, v) for r, v in zip(rewards, verdicts, strict=True) if not math.isnan(r) and not math.isnan(v)]


@settings(deadline=None, max_examples=200)
@given(case=judged())
def test_ranking_accuracy_is_the_share_of_pairs_in_order(case) -> None:
    points = total = 0.0
    for (reward, verdict), (other_reward, other_verdict) in combinations(known(*case), 2):
        if verdict != other_verdict:
            total += 1
            if reward == other_reward:
                points += 0.5
            elif (reward > other_reward) == (verdict > other_verdict):
                points += 1
    accuracy, told_apart = ranking_accuracy(*case)
    assert told_apart == total
    assert accuracy == pytest.approx(points / total if total else math.nan, nan_ok=True)


@settings(deadline=None, max_examples=100)
@given(case=judged())
def test_ranking_accuracy_is_the_area_under_the_curve(case) -> None:
    # Mann-Whitney's U of the right responses over all (right, wrong) pairs.
    right, wrong = ([reward for reward, verdict in known(*case) if verdict == which] for which in (1.0, 0.0))
    accuracy, told_apart = ranking_accuracy(*case)
    assert told_apart == len(right) * len(wrong)
    if told_apart:
        u = stats.mannwhitneyu(right, wrong, method="asymptotic").statistic
        assert accuracy == pytest.approx(u / told_apart)


def test_ranking_accuracy_worked_examples() -> None:
    assert ranking_accuracy([3, 2, 1], [1, 0, 0]) == (1.0, 2)
    assert ranking_accuracy([1, 2, 3], [1, 0, 0]) == (0.0, 2)
    assert ranking_accuracy([5, 5, 5], [1, 0, 0]) == (0.5, 2)
    assert ranking_accuracy([3, 2, 1, 2], [1, 1, 0, 0]) == (3.5 / 4, 4)
    # More than two grades: every pair of different grades counts, also 2 above 1.
    assert ranking_accuracy([1, 2, 3], [0, 1, 2]) == (1.0, 3)


@pytest.mark.parametrize(("rewards", "verdicts"), [([], []), ([1, 2], [1, 1]), ([1, math.nan], [1, 0])])
def test_nothing_told_apart_is_no_accuracy(rewards: list[float], verdicts: list[float]) -> None:
    accuracy, told_apart = ranking_accuracy(rewards, verdicts)
    assert math.isnan(accuracy)
    assert told_apart == 0
