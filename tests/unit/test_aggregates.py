"""Ensembles of rewards, against plain numpy and against arithmetic by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.aggregates import aggregate, standardised

HOWS = ("single", "mean", "worst", "uwo")
NUMBERS = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def ensembles(draw, most_members: int = 4) -> np.ndarray:
    """(members, responses), some rewards missing."""
    members, responses = draw(st.integers(1, most_members)), draw(st.integers(1, 6))
    row = st.lists(NUMBERS | st.just(math.nan), min_size=responses, max_size=responses)
    return np.array([draw(row) for _ in range(members)])


def one_by_one(how: str, column: list[float], penalty: float) -> float:
    """The ensemble's reward for one response, by its definition."""
    if how == "single":
        return column[0]
    if any(math.isnan(reward) for reward in column):
        return math.nan
    mean = sum(column) / len(column)
    variance = sum((reward - mean) ** 2 for reward in column) / len(column)
    return {"mean": mean, "worst": min(column), "uwo": mean - penalty * variance}[how]


@pytest.mark.parametrize("how", HOWS)
@settings(max_examples=60)
@given(members=ensembles(), penalty=st.floats(0, 3))
def test_each_aggregate_follows_its_definition(how: str, members: np.ndarray, penalty: float) -> None:
    expected = [one_by_one(how, column, penalty) for column in members.T.tolist()]
    assert aggregate(how, members, penalty).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-6, nan_ok=True)


@settings(max_examples=60)
@given(members=ensembles(), penalty=st.floats(0, 3))
def test_each_aggregate_equals_numpys(members: np.ndarray, penalty: float) -> None:
    np.testing.assert_array_equal(aggregate("single", members), members[0])
    np.testing.assert_allclose(aggregate("mean", members), np.mean(members, axis=0))
    np.testing.assert_array_equal(aggregate("worst", members), np.min(members, axis=0))
    np.testing.assert_allclose(
        aggregate("uwo", members, penalty), np.mean(members, axis=0) - penalty * np.var(members, axis=0)
    )


@pytest.mark.parametrize("how", HOWS)
@settings(max_examples=40)
@given(members=ensembles(most_members=1), penalty=st.floats(0, 100))
def test_one_member_is_itself(how: str, members: np.ndarray, penalty: float) -> None:
    np.testing.assert_array_equal(aggregate(how, members, penalty), members[0])


@settings(max_examples=40)
@given(members=ensembles(), penalty=st.floats(0, 3), data=st.data())
def test_the_order_of_the_members_does_not_count(members: np.ndarray, penalty: float, data) -> None:
    order = list(data.draw(st.permutations(range(len(members)))))
    for how in ("mean", "worst", "uwo"):
        np.testing.assert_allclose(
            aggregate(how, members[order], penalty), aggregate(how, members, penalty), rtol=1e-9, atol=1e-6
        )


def test_worked_example() -> None:
    # Three members, three responses: all agree; they disagree about the same mean; one is missing.
    members = np.array([[2.0, 1.0, 5.0], [2.0, 2.0, math.nan], [2.0, 3.0, 5.0]])
    assert aggregate("mean", members)[:2].tolist() == [2, 2]
    assert aggregate("worst", members)[:2].tolist() == [2, 1]
    assert aggregate("uwo", members, 1.0)[:2].tolist() == pytest.approx([2, 2 - 2 / 3])
    assert aggregate("uwo", members, 3.0)[:2].tolist() == pytest.approx([2, 0])
    assert all(math.isnan(aggregate(how, members)[2]) for how in ("mean", "worst", "uwo"))


@settings(max_examples=40)
@given(centre=NUMBERS, spread=st.floats(0.1, 100), wider=st.floats(1.1, 5), penalty=st.floats(0.1, 3))
def test_uwo_puts_the_response_they_disagree_on_below_the_one_they_agree_on(centre, spread, wider, penalty) -> None:
    # Three responses with the same mean; the members differ not at all, a bit, and more.
    members = np.array([[centre, centre + spread, centre + wider * spread], [centre, centre - spread, 0]])
    members[1, 2] = centre - wider * spread
    agreed, a_bit, more = aggregate("uwo", members, penalty)
    assert agreed > a_bit > more
    # Without a penalty it is the mean.
    np.testing.assert_array_equal(aggregate("uwo", members, 0.0), aggregate("mean", members))


def test_an_aggregate_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="median"):
        aggregate("median", np.zeros((2, 3)))


def rewards(prompts: dict[str, list[float]]) -> pd.Series:
    keys = [(prompt, index) for prompt, values in prompts.items() for index in range(len(values))]
    index = pd.MultiIndex.from_tuples(keys, names=["prompt_id", "response_index"])
    return pd.Series([value for values in prompts.values() for value in values], index=index, dtype=float)


prompts_of_rewards = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.integers(-5, 5).map(float) | NUMBERS | st.just(math.nan), min_size=1, max_size=6),
    min_size=1,
)


def by_numpy(values: list[float]) -> list[float]:
    numbers = np.array(values)
    known = numbers[~np.isnan(numbers)]
    if len(set(known.tolist())) < 2:
        return [math.nan if math.isnan(value) else 0.0 for value in values]
    return ((numbers - known.mean()) / known.std()).tolist()


@settings(max_examples=80)
@given(prompts=prompts_of_rewards)
def test_standardised_equals_plain_numpy_prompt_by_prompt(prompts: dict[str, list[float]]) -> None:
    given_ = rewards(prompts)
    found = standardised(given_)
    pd.testing.assert_index_equal(found.index, given_.index)
    for prompt, values in prompts.items():
        assert found[prompt].tolist() == pytest.approx(by_numpy(values), rel=1e-6, abs=1e-9, nan_ok=True)


@settings(max_examples=40)
@given(prompts=prompts_of_rewards)
def test_standardising_keeps_each_prompts_order_and_ties(prompts: dict[str, list[float]]) -> None:
    found = standardised(rewards(prompts))
    for prompt, values in prompts.items():
        assert pd.Series(values).rank().tolist() == pytest.approx(found[prompt].rank().tolist(), nan_ok=True)


@settings(max_examples=30)
@given(prompts=prompts_of_rewards, data=st.data())
def test_standardising_goes_by_key_not_by_position(prompts: dict[str, list[float]], data) -> None:
    straight = rewards(prompts)
    order = list(data.draw(st.permutations(range(len(straight)))))
    pd.testing.assert_series_equal(standardised(straight.iloc[order]).reindex(straight.index), standardised(straight))


def test_standardised_has_mean_zero_and_variance_one_and_no_common_scale_is_needed() -> None:
    found = standardised(rewards({"p": [1.0, 2.0, 4.0, 9.0], "q": [-1e6, 0.0, 3e6, 4e6]}))
    for prompt in "pq":
        assert found[prompt].mean() == pytest.approx(0, abs=1e-12)
        assert found[prompt].var(ddof=0) == pytest.approx(1)
    again = standardised(rewards({"p": [10.0, 12.0, 16.0, 26.0]}))  # 8 + 2 × the first
    assert again["p"].tolist() == pytest.approx(found["p"].tolist())


@pytest.mark.parametrize("equal", [0.0, 0.1, -123.456, 1e300])
def test_a_prompt_whose_rewards_are_equal_becomes_zero(equal: float) -> None:
    # 0.1 + 0.1 + 0.1 is not 3 × 0.1: rounding must not become a ranking.
    found = standardised(rewards({"p": [equal] * 3, "q": [equal, math.nan], "r": [1.0, 2.0]}))
    assert found["p"].tolist() == [0, 0, 0]
    assert found["q"].tolist()[0] == 0
    assert math.isnan(found["q"].tolist()[1])
    assert found["r"].tolist() == [-1, 1]
