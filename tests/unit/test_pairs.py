"""Preference pairs: best and worst by reward, each prompt with its own weight."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.errors import UserError
from cream.pairs import best_and_worst
from cream.tables import PAIRS, read_table, write_table

RESPONSES = 4


class Iteration:
    """The four tables that pairs are made of. Every number says which prompt and response it is of."""

    def __init__(self, rewards: dict[str, list[float]]) -> None:
        keys = [(prompt, index) for prompt, values in rewards.items() for index in range(len(values))]
        number = {prompt: 100 * (n + 1) for n, prompt in enumerate(rewards)}
        self.samples = pd.DataFrame(
            {
                "prompt_id": [prompt for prompt, _ in keys],
                "response_index": [index for _, index in keys],
                "task": "t",
                "prompt_ids": [[number[prompt]] for prompt, _ in keys],
                "response_ids": [[number[prompt] + index, 1] for prompt, index in keys],
                "text": [f"{prompt}/{index}" for prompt, index in keys],
                "finish_reason": "stop",
            }
        )
        self.rewards = self.samples[["prompt_id", "response_index"]].assign(
            reward=[rewards[prompt][index] for prompt, index in keys], previous_reward=0.0
        )
        self.reference = self.samples[["prompt_id", "response_index"]].assign(
            logprob_sum=[-float(number[prompt] + index) for prompt, index in keys], tokens=2
        )
        self.weights = pd.DataFrame({"prompt_id": list(rewards), "weight": [number[p] / 1000 for p in rewards]})

    def pairs(self, truncated: str = "keep") -> tuple[dict[str, dict], Counter]:
        found, left_out = best_and_worst(self.samples, self.rewards, self.weights, self.reference, truncated)
        return {row["prompt_id"]: row for row in found.to_dict("records")}, left_out


def expected_pair(iteration: Iteration, prompt: str, chosen: int, rejected: int) -> dict:
    def at(table: pd.DataFrame, index: int) -> pd.Series:
        return table[(table["prompt_id"] == prompt) & (table["response_index"] == index)].iloc[0]

    return {
        "prompt_id": prompt,
        "chosen_index": chosen,
        "rejected_index": rejected,
        "prompt_ids": at(iteration.samples, chosen)["prompt_ids"],
        "chosen_ids": at(iteration.samples, chosen)["response_ids"],
        "rejected_ids": at(iteration.samples, rejected)["response_ids"],
        "chosen_reward": at(iteration.rewards, chosen)["reward"],
        "rejected_reward": at(iteration.rewards, rejected)["reward"],
        "ref_chosen_logps": at(iteration.reference, chosen)["logprob_sum"],
        "ref_rejected_logps": at(iteration.reference, rejected)["logprob_sum"],
        "weight": iteration.weights.set_index("prompt_id").loc[prompt, "weight"],
    }


def test_chosen_has_the_highest_reward_and_rejected_the_lowest() -> None:
    iteration = Iteration({"a": [0.1, 0.9, -0.5, 0.3], "b": [3.0, 2.0, 1.0, 0.0]})
    pairs, left_out = iteration.pairs()
    assert pairs == {"a": expected_pair(iteration, "a", 1, 2), "b": expected_pair(iteration, "b", 0, 3)}
    assert not left_out


def test_reference_logps_are_those_of_the_chosen_and_the_rejected_response() -> None:
    # Response i of prompt a has reference log-prob -(100 + i), of prompt b -(200 + i).
    pairs, _ = Iteration({"a": [0.1, 0.9, -0.5, 0.3], "b": [3.0, 2.0, 1.0, 0.0]}).pairs()
    assert [pairs["a"][f"ref_{side}_logps"] for side in ("chosen", "rejected")] == [-101.0, -102.0]
    assert [pairs["b"][f"ref_{side}_logps"] for side in ("chosen", "rejected")] == [-200.0, -203.0]


rewards_of_prompts = st.dictionaries(
    st.sampled_from("abcdef"),
    st.lists(st.integers(-3, 3).map(float), min_size=RESPONSES, max_size=RESPONSES),
    min_size=1,
)


@settings(deadline=None, max_examples=50)
@given(rewards=rewards_of_prompts, data=st.data())
def test_shuffled_tables_give_the_same_pairs_and_each_prompt_its_own_weight(rewards, data) -> None:
    iteration = Iteration(rewards)
    useful = {prompt: values for prompt, values in rewards.items() if len(set(values)) > 1}
    expected = {
        # The first of equal rewards stands for all of them.
        prompt: expected_pair(iteration, prompt, values.index(max(values)), values.index(min(values)))
        for prompt, values in useful.items()
    }
    for name in ("samples", "rewards", "weights", "reference"):
        table = getattr(iteration, name)
        setattr(iteration, name, table.iloc[data.draw(st.permutations(range(len(table))))])
    if not expected:
        with pytest.raises(UserError):
            iteration.pairs()
        return
    pairs, left_out = iteration.pairs()
    assert pairs == expected
    assert sum(left_out.values()) == len(rewards) - len(expected)


@pytest.mark.parametrize("dropped", ["a", "b", "c"])
@pytest.mark.parametrize("name", ["samples", "rewards", "weights"])
def test_a_prompt_dropped_from_one_table_moves_no_other_prompts_weight(dropped: str, name: str) -> None:
    # Pitfall 1: after a skipped prompt, pairing by position gives every later one a wrong weight.
    iteration = Iteration({prompt: [1.0, 2.0, 3.0, 4.0] for prompt in "abc"})
    expected = {prompt: expected_pair(iteration, prompt, 3, 0) for prompt in "abc" if prompt != dropped}
    table = getattr(iteration, name)
    setattr(iteration, name, table[table["prompt_id"] != dropped])
    pairs, left_out = iteration.pairs()
    assert pairs == expected
    reason = {"samples": {}, "rewards": {"missing reward": 1}, "weights": {"no consistency": 1}}[name]
    assert dict(left_out) == reason


@pytest.mark.parametrize("lost", ["whole prompt", "one response"])
def test_no_pair_trains_without_reference_logps(lost: str) -> None:
    # NaN reference log-probs would make the loss NaN, so the prompt must not pass in silence.
    iteration = Iteration({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]})
    at_b = iteration.reference["prompt_id"] == "b"
    gone = at_b if lost == "whole prompt" else at_b & (iteration.reference["response_index"] == 3)
    iteration.reference = iteration.reference[~gone]
    try:
        pairs, left_out = iteration.pairs()
    except UserError as mistake:
        assert "'b'" in str(mistake)
    else:
        assert list(pairs) == ["a"]
        assert sum(left_out.values()) == 1


def test_prompts_without_a_pair_are_counted_by_reason() -> None:
    iteration = Iteration(
        {
            "good": [1.0, 2.0, 3.0, 4.0],
            "tied": [5.0, 5.0, 5.0, 5.0],
            "tied too": [0.0, 0.0, 0.0, 0.0],
            "lost": [1.0, math.nan, 3.0, 4.0],
            "unweighted": [1.0, 2.0, 3.0, 4.0],
        }
    )
    iteration.weights.loc[iteration.weights["prompt_id"] == "unweighted", "weight"] = math.nan
    pairs, left_out = iteration.pairs()
    assert pairs == {"good": expected_pair(iteration, "good", 3, 0)}
    assert left_out == {"all responses tied": 2, "missing reward": 1, "no consistency": 1}


def test_a_weight_of_zero_is_a_weight() -> None:
    iteration = Iteration({"a": [1.0, 2.0, 3.0, 4.0]})
    iteration.weights["weight"] = 0.0
    pairs, left_out = iteration.pairs()
    assert pairs["a"]["weight"] == 0.0
    assert not left_out


def cut(iteration: Iteration, prompt: str, indices: list[int]) -> None:
    samples = iteration.samples
    hit = (samples["prompt_id"] == prompt) & samples["response_index"].isin(indices)
    samples.loc[hit, "finish_reason"] = "length"


def test_truncated_responses_are_dropped_only_when_asked() -> None:
    # The best response of a was cut, of b all but one, of c all but two equal ones.
    iteration = Iteration({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0], "c": [1.0, 2.0, 2.0, 4.0]})
    cut(iteration, "a", [3])
    cut(iteration, "b", [0, 1, 2])
    cut(iteration, "c", [0, 3])
    kept, left_out = iteration.pairs("keep")
    assert {prompt: (pair["chosen_index"], pair["rejected_index"]) for prompt, pair in kept.items()} == dict.fromkeys(
        "abc", (3, 0)
    )
    assert not left_out
    dropped, left_out = iteration.pairs("drop")
    assert dropped == {"a": expected_pair(iteration, "a", 2, 0)}
    assert left_out == {"too few whole responses": 1, "all responses tied": 1}


def test_a_missing_reward_of_a_dropped_response_does_not_matter() -> None:
    iteration = Iteration({"a": [1.0, 2.0, math.nan, 4.0]})
    cut(iteration, "a", [2])
    pairs, _ = iteration.pairs("drop")
    assert pairs == {"a": expected_pair(iteration, "a", 3, 0)}


def test_no_pair_at_all_is_one_sentence_with_the_counts() -> None:
    iteration = Iteration({"a": [1.0] * 4, "b": [2.0] * 4, "c": [math.nan] * 4})
    with pytest.raises(UserError) as mistake:
        iteration.pairs()
    text = str(mistake.value)
    assert "no prompt of this iteration gives a pair" in text
    assert "2 all responses tied" in text
    assert "1 missing reward" in text
    assert "\n" not in text


def test_pairs_fit_their_table(tmp_path) -> None:
    iteration = Iteration({"a": [0.1, 0.9, -0.5, 0.3], "b": [3.0, 2.0, 1.0, 0.0]})
    pairs, _ = best_and_worst(iteration.samples, iteration.rewards, iteration.weights, iteration.reference, "keep")
    path = tmp_path / "pairs.parquet"
    write_table(pairs, PAIRS, path)
    assert read_table(path, PAIRS).to_dict("records") == list(iteration.pairs()[0].values())
