"""Agreement of two rankings, against scipy and against counts worked out here from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rankings import FREE, TIED, counted_tau_b, rewards_table, two_lists
from scipy import stats

from cream.consistency import (
    MEASURES,
    Weighting,
    kendall_tau,
    measure_prompts,
    scaled,
    spearman_rho,
    top_order,
    weigh_prompts,
)


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


@pytest.mark.parametrize(
    ("measure", "oracle"),
    [(kendall_tau, counted_tau_b), (spearman_rho, ranked_pearson), (top_order, same_ends)],
)
@settings(max_examples=150)
@given(lists=two_lists())
def test_each_measure_equals_its_definition(measure, oracle, lists) -> None:
    a, b = lists
    assert measure(a, b) == pytest.approx(oracle(a, b), abs=1e-12, nan_ok=True)


@settings(max_examples=150)
@given(lists=two_lists())
def test_correlations_equal_scipys(lists) -> None:
    a, b = lists
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b, variant="b").statistic, abs=1e-12)
        assert spearman_rho(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


@settings(max_examples=100)
@given(lists=two_lists())
def test_top_order_compares_the_ends_of_scipys_ranks(lists) -> None:
    a, b = lists
    if len(set(a)) > 1 and len(set(b)) > 1:
        low, high = ([stats.rankdata(x, method=end) for x in (a, b)] for end in ("min", "max"))
        worst, best = ([rank == edge for rank in ranks] for ranks, edge in ((low, 1), (high, len(a))))
        assert top_order(a, b) == (np.array_equal(*worst) and np.array_equal(*best))


@settings(max_examples=100)
@given(lists=st.integers(2, 8).flatmap(lambda n: st.tuples(*[st.lists(TIED, min_size=n, max_size=n)] * 2)))
def test_only_the_order_of_the_scores_counts(lists) -> None:
    # Strictly increasing and exact on these small whole numbers, so ties stay ties.
    a, b = lists
    for measure in (kendall_tau, spearman_rho, top_order):
        value = measure(a, b)
        for increasing in (lambda x: x**3 + 5 * x, math.exp, lambda x: x / 4 - 100):
            assert measure(a, [increasing(x) for x in b]) == pytest.approx(value, abs=1e-12, nan_ok=True)
            assert measure([increasing(x) for x in a], b) == pytest.approx(value, abs=1e-12, nan_ok=True)


@settings(max_examples=100)
@given(lists=two_lists())
def test_turning_one_ranking_round_negates_and_turning_both_changes_nothing(lists) -> None:
    a, b = lists
    back_a, back_b = [-x for x in a], [-x for x in b]
    for measure in (kendall_tau, spearman_rho):
        assert measure(a, back_b) == pytest.approx(-measure(a, b), abs=1e-12, nan_ok=True)
    for measure in (kendall_tau, spearman_rho, top_order):
        assert measure(back_a, back_b) == pytest.approx(measure(a, b), abs=1e-12, nan_ok=True)


@settings(max_examples=50)
@given(lists=two_lists(), data=st.data())
def test_measures_do_not_depend_on_order_or_on_which_list_comes_first(lists, data) -> None:
    a, b = lists
    order = data.draw(st.permutations(range(len(a))))
    for measure in (kendall_tau, spearman_rho, top_order):
        value = measure(a, b)
        assert measure([a[i] for i in order], [b[i] for i in order]) == pytest.approx(value, abs=1e-12, nan_ok=True)
        assert measure(b, a) == pytest.approx(value, abs=1e-12, nan_ok=True)


@settings(max_examples=50)
@given(lists=two_lists())
def test_consistency_never_leaves_zero_to_one(lists) -> None:
    for name, measure in zip(MEASURES, (kendall_tau, spearman_rho, top_order), strict=True):
        value = scaled(name, measure(*lists))
        assert math.isnan(value) or 0 <= value <= 1


@settings(max_examples=50)
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
