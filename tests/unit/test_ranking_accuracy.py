"""How often a reward agrees with the verifier, against a plain count and the area under the curve."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rankings import FREE, TIED
from scipy import stats

from cream.ranking_accuracy import ranking_accuracy


@st.composite
def judged(draw) -> tuple[list[float], list[float]]:
    """Rewards and verdicts of some responses, either of them missing here and there."""
    size, lost = draw(st.integers(0, 8)), st.just(math.nan)
    rewards = draw(st.lists(st.one_of(TIED, FREE, lost), min_size=size, max_size=size))
    verdicts = draw(st.lists(st.one_of(st.sampled_from([0.0, 1.0]), lost), min_size=size, max_size=size))
    return rewards, verdicts


def known(rewards: list[float], verdicts: list[float]) -> list[tuple[float, float]]:
    return [(r, v) for r, v in zip(rewards, verdicts, strict=True) if not math.isnan(r) and not math.isnan(v)]


@settings(max_examples=200)
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


@settings(max_examples=100)
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
