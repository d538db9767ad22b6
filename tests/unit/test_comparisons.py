"""Paired comparisons against McNemar's test, brute force and Holm's definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cream.comparisons import NO_DIFFERENCE, Resampling, compare, holm, verdict

HOW = Resampling(level=0.95, resamples=2000, seed=1)


def test_right_or_wrong_items_get_mcnemars_exact_p() -> None:
    ours = np.array([[1] * 14 + [0] * 4 + [1] * 30 + [0] * 20])
    theirs = np.array([[0] * 14 + [1] * 4 + [1] * 30 + [0] * 20])
    found = compare(ours, theirs, HOW)
    # Exact McNemar: of 18 discordant items 14 are ours; two-sided binomial tail by hand.
    tail = sum(math.comb(18, k) for k in range(14, 19)) / 2**18
    assert found.p == pytest.approx(2 * tail)
    assert found.difference == pytest.approx(10 / 68)
    assert (found.seeds, found.items) == (1, 68)
    assert found.low < found.difference < found.high


def test_values_of_several_sizes_get_every_sign_pattern() -> None:
    difference = np.array([0.5, 1.0, 0.25, -0.125, 2.0, 0.75])
    sums = [abs(np.dot(signs, difference)) for signs in itertools.product((-1, 1), repeat=6)]
    expected = np.mean([total >= abs(difference.sum()) - 1e-12 for total in sums])
    assert compare(difference[None], np.zeros((1, 6)), HOW).p == pytest.approx(expected)


def test_interval_over_items_is_scipys() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = rng.integers(0, 2, (2, 1, 120))
    found = compare(ours, theirs, Resampling(0.95, 20000, 1))
    own = stats.bootstrap(((ours - theirs)[0],), np.mean, n_resamples=20000, method="percentile", rng=2)
    assert (found.low, found.high) == pytest.approx(own.confidence_interval, abs=0.012)


def test_seeds_that_disagree_widen_the_interval() -> None:
    one = np.ones((1, 100))
    same, apart = np.repeat(one, 4, axis=0), np.array([[3.0], [-1.0], [3.0], [-1.0]]) * one
    zero = np.zeros((4, 100))
    assert compare(same, zero, HOW).low == compare(same, zero, HOW).high == 1
    found = compare(apart, zero, HOW)
    assert found.low < 0 < found.high


def test_equal_models_are_not_told_apart() -> None:
    values = np.array([[0, 1, 1, 0]])
    found = compare(values, values, HOW)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert verdict(found.low, found.high, found.p, 0.95) == NO_DIFFERENCE


@pytest.mark.parametrize(("ours", "theirs"), [((1, 3), (1, 4)), ((2, 3), (1, 3)), ((1, 0), (1, 0))])
def test_unpaired_values_are_refused(ours: tuple, theirs: tuple) -> None:
    with pytest.raises(ValueError, match="paired values of one shape"):
        compare(np.zeros(ours), np.zeros(theirs), HOW)


def test_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no value"):
        compare(np.array([[1.0, math.nan]]), np.zeros((1, 2)), HOW)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p_values: list[float]) -> None:
    found = holm(p_values)
    assert len(found) == len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(sorted((p, index) for index, p in enumerate(p_values))):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p))
        assert found[index] == pytest.approx(highest)


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.1, 0.3, 0.01, "gain"),
        (-0.3, -0.1, 0.01, "loss"),
        (0.1, 0.3, 0.06, NO_DIFFERENCE),
        (-0.1, 0.3, 0.01, NO_DIFFERENCE),
        (0.0, 0.3, 0.01, NO_DIFFERENCE),
    ],
)
def test_a_difference_inside_its_interval_is_no_gain(low: float, high: float, p: float, said: str) -> None:
    assert verdict(low, high, p, 0.95) == said
