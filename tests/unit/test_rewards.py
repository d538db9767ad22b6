"""The model's own reward: log-ratios joined by key."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.errors import UserError
from cream.rewards import KEY, implicit_rewards

Scores = dict[tuple[str, int], tuple[float, int]]  # (prompt, response) -> (sum of log-probs, tokens)

KEYS = [(prompt, index) for prompt in ("p", "q") for index in range(3)]
BASE: Scores = {key: (-10.0 - n, 2 + n) for n, key in enumerate(KEYS)}
PREVIOUS: Scores = {key: (-9.0 - 3 * n, 2 + n) for n, key in enumerate(KEYS)}
CURRENT: Scores = {key: (-8.0 + 0.5 * n * n, 2 + n) for n, key in enumerate(KEYS)}


def table(scores: Scores, order: list[int] | None = None) -> pd.DataFrame:
    rows = [
        {"prompt_id": prompt, "response_index": index, "logprob_sum": total, "tokens": tokens}
        for (prompt, index), (total, tokens) in scores.items()
    ]
    return pd.DataFrame(rows).iloc[order if order is not None else range(len(rows))]


def by_key(rewards: pd.DataFrame) -> dict[tuple[str, int], tuple[float, float]]:
    assert list(rewards.columns) == [*KEY, "reward", "previous_reward"]
    keys = zip(rewards["prompt_id"], rewards["response_index"], strict=True)
    return dict(zip(keys, zip(rewards["reward"], rewards["previous_reward"], strict=True), strict=True))


@pytest.mark.parametrize("previous_score", ["log_ratio", "likelihood"])
@pytest.mark.parametrize("previous_is_base", [False, True])
def test_rewards_follow_their_formulas(previous_score: str, previous_is_base: bool) -> None:
    previous = BASE if previous_is_base else PREVIOUS
    found = by_key(implicit_rewards(table(CURRENT), table(previous), table(BASE), previous_score, previous_is_base))
    assert set(found) == set(KEYS)
    for key in KEYS:
        reward, previous_reward = found[key]
        assert reward == pytest.approx(CURRENT[key][0] - BASE[key][0])
        if previous_is_base or previous_score == "likelihood":
            expected = previous[key][0] / previous[key][1]
        else:
            expected = previous[key][0] - BASE[key][0]
        assert previous_reward == pytest.approx(expected)


def test_the_first_round_compares_with_m0_by_likelihood_per_token() -> None:
    # M0's log-ratio to itself is zero everywhere and would rank nothing.
    scores: Scores = {("p", 0): (-6.0, 2), ("p", 1): (-8.0, 4)}
    found = by_key(implicit_rewards(table(scores), table(scores), table(scores), "log_ratio", True))
    assert found == {("p", 0): (0.0, -3.0), ("p", 1): (0.0, -2.0)}


@settings(deadline=None, max_examples=30)
@given(orders=st.tuples(*[st.permutations(range(len(KEYS)))] * 3), likelihood=st.booleans())
def test_rows_in_any_order_give_each_response_its_own_reward(orders, likelihood: bool) -> None:
    score = "likelihood" if likelihood else "log_ratio"
    tables = [table(scores, order) for scores, order in zip((CURRENT, PREVIOUS, BASE), orders, strict=True)]
    straight = [table(scores) for scores in (CURRENT, PREVIOUS, BASE)]
    assert by_key(implicit_rewards(*tables, score, False)) == by_key(implicit_rewards(*straight, score, False))


@settings(deadline=None, max_examples=50)
@given(
    sums=st.lists(st.tuples(*[st.floats(-1e4, 0, allow_nan=False)] * 3, st.integers(1, 500)), min_size=1, max_size=8)
)
def test_formulas_hold_for_any_scores(sums: list[tuple[float, float, float, int]]) -> None:
    current, previous, base = (
        table({("p", n): (row[side], row[3]) for n, row in enumerate(sums)}) for side in range(3)
    )
    found = by_key(implicit_rewards(current, previous, base, "log_ratio", False))
    assert found == {("p", n): (now - zero, before - zero) for n, (now, before, zero, _) in enumerate(sums)}


@pytest.mark.parametrize("side", ["current", "previous", "base"])
@pytest.mark.parametrize("change", ["dropped", "added"])
def test_a_response_scored_on_one_side_only_is_named(side: str, change: str) -> None:
    tables = {"current": table(CURRENT), "previous": table(PREVIOUS), "base": table(BASE)}
    if change == "dropped":
        tables[side] = table({key: value for key, value in BASE.items() if key != ("q", 1)})
        named = ["response 1 ", "'q'"]
    else:
        tables[side] = table({**BASE, ("extra prompt", 7): (-1.0, 1)})
        named = ["response 7 ", "'extra prompt'"]
    with pytest.raises(UserError) as mistake:
        implicit_rewards(tables["current"], tables["previous"], tables["base"], "log_ratio", False)
    assert all(word in str(mistake.value) for word in named)
    assert "\n" not in str(mistake.value)


def test_inputs_are_left_as_they_are() -> None:
    tables = [table(scores) for scores in (CURRENT, PREVIOUS, BASE)]
    before = [frame.copy() for frame in tables]
    implicit_rewards(*tables, "log_ratio", False)
    for frame, copy in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)
