"""Preference pairs: best and worst by reward, each prompt with its own weight."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.consistency import NEGATIVE, Weighting, measure_prompts, weigh_prompts
from cream.errors import UserError
from cream.method_table import method_table
from cream.pairs import PairPolicy, best_and_worst
from cream.rewards import compute_comparison, compute_reward, raw_tables
from cream.tables import PAIRS, read_table, write_table

RESPONSES = 4
TOO_FEW, TIED = "fewer than two responses to choose from", "all responses tied"
SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas/config.schema.json").read_text(encoding="utf-8"))


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
            reward=[rewards[prompt][index] for prompt, index in keys], comparison=0.0
        )
        self.reference = self.samples[["prompt_id", "response_index"]].assign(
            logprob_sum=[-float(number[prompt] + index) for prompt, index in keys], tokens=2
        )
        self.weights = pd.DataFrame(
            {"prompt_id": list(rewards), "weight": [number[p] / 1000 for p in rewards], "unweighted": ""}
        )

    def pairs(self, **policy) -> tuple[dict[str, dict], Counter]:
        found, left_out = best_and_worst(self.samples, self.rewards, self.weights, self.reference, PairPolicy(**policy))
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


@settings(max_examples=50)
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
    reason = {"samples": {}, "rewards": {TOO_FEW: 1}, "weights": {"no consistency was measured": 1}}[name]
    assert dict(left_out) == reason


@pytest.mark.parametrize("lost", ["whole prompt", "one response"])
def test_no_pair_trains_without_reference_logps(lost: str) -> None:
    # NaN reference log-probs would make the loss NaN, so the prompt must not pass in silence.
    iteration = Iteration({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]})
    at_b = iteration.reference["prompt_id"] == "b"
    gone = at_b if lost == "whole prompt" else at_b & (iteration.reference["response_index"] == 3)
    iteration.reference = iteration.reference[~gone]
    pairs, left_out = iteration.pairs()
    assert pairs == {"a": expected_pair(iteration, "a", 3, 0)}
    assert left_out == {"missing reference log-probability": 1}


def test_prompts_without_a_pair_are_counted_by_reason() -> None:
    iteration = Iteration(
        {
            "good": [1.0, 2.0, 3.0, 4.0],
            "tied": [5.0, 5.0, 5.0, 5.0],
            "tied too": [0.0, math.nan, 0.0, 0.0],
            "lost": [1.0, math.nan, math.nan, math.nan],
            "all lost": [math.nan] * 4,
            "unweighted": [1.0, 2.0, 3.0, 4.0],
        }
    )
    iteration.weights.loc[iteration.weights["prompt_id"] == "unweighted", ["weight", "unweighted"]] = (
        math.nan,
        NEGATIVE,
    )
    pairs, left_out = iteration.pairs()
    assert pairs == {"good": expected_pair(iteration, "good", 3, 0)}
    assert left_out == {TIED: 2, TOO_FEW: 2, NEGATIVE: 1}


@settings(max_examples=40)
@given(
    rewards=st.dictionaries(
        st.sampled_from("abcd"),
        st.lists(st.integers(-3, 3).map(float) | st.just(math.nan), min_size=RESPONSES, max_size=RESPONSES),
        min_size=1,
    )
)
def test_responses_without_a_reward_are_neither_best_nor_worst(rewards: dict[str, list[float]]) -> None:
    iteration = Iteration({**rewards, "sure": [1.0, 2.0, 3.0, 4.0]})
    pairs, left_out = iteration.pairs()
    for prompt, values in rewards.items():
        known = [value for value in values if not math.isnan(value)]
        assert (prompt in pairs) == (len(set(known)) > 1)
        if prompt in pairs:
            assert pairs[prompt] == expected_pair(iteration, prompt, values.index(max(known)), values.index(min(known)))
    assert len(pairs) + sum(left_out.values()) == len(rewards) + 1


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_every_number_from_zero_on_is_a_weight(weight: float) -> None:
    iteration = Iteration({"a": [1.0, 2.0, 3.0, 4.0]})
    iteration.weights["weight"] = weight
    pairs, left_out = iteration.pairs()
    assert pairs["a"]["weight"] == weight
    assert not left_out


# Policies


def same_words(iteration: Iteration, prompt: str, indices: list[int]) -> None:
    """Give these responses the tokens of the first of them."""
    rows = iteration.samples.index[iteration.samples["prompt_id"] == prompt]
    for index in indices:
        iteration.samples.at[rows[index], "response_ids"] = iteration.samples.at[rows[indices[0]], "response_ids"]


def test_ties_drop_leaves_out_prompts_whose_best_or_worst_is_shared() -> None:
    iteration = Iteration(
        {
            "clear": [1.0, 2.0, 2.0, 4.0],
            "two best": [1.0, 4.0, 4.0, 2.0],
            "two worst": [4.0, 1.0, 1.0, 2.0],
            "both": [4.0, 1.0, 1.0, 4.0],
            "best twice": [1.0, 4.0, 4.0, 2.0],
            "worst twice": [4.0, 1.0, 2.0, 1.0],
        }
    )
    # The very same response sampled twice is no rival of itself.
    same_words(iteration, "best twice", [1, 2])
    same_words(iteration, "worst twice", [1, 3])
    first, left_out = iteration.pairs(ties="first")
    assert {prompt: (pair["chosen_index"], pair["rejected_index"]) for prompt, pair in first.items()} == {
        "clear": (3, 0),
        "two best": (1, 0),
        "two worst": (0, 1),
        "both": (0, 1),
        "best twice": (1, 0),
        "worst twice": (0, 1),
    }
    assert not left_out
    dropped, left_out = iteration.pairs(ties="drop")
    assert dropped == {prompt: first[prompt] for prompt in ("clear", "best twice", "worst twice")}
    assert left_out == {"best or worst is tied": 3}


@pytest.mark.parametrize("ties", ["first", "drop"])
def test_all_rewards_equal_give_no_pair_under_either_policy(ties: str) -> None:
    iteration = Iteration({"tied": [1.0] * 4, "good": [1.0, 2.0, 3.0, 4.0]})
    pairs, left_out = iteration.pairs(ties=ties)
    assert list(pairs) == ["good"]
    assert left_out == {TIED: 1}


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
    kept, left_out = iteration.pairs(truncated="keep")
    assert {prompt: (pair["chosen_index"], pair["rejected_index"]) for prompt, pair in kept.items()} == dict.fromkeys(
        "abc", (3, 0)
    )
    assert not left_out
    dropped, left_out = iteration.pairs(truncated="drop")
    assert dropped == {"a": expected_pair(iteration, "a", 2, 0)}
    assert left_out == {TOO_FEW: 1, TIED: 1}


def test_a_tie_with_a_dropped_response_is_none() -> None:
    iteration = Iteration({"a": [1.0, 2.0, 4.0, 4.0]})
    cut(iteration, "a", [2])
    pairs, _ = iteration.pairs(truncated="drop", ties="drop")
    assert pairs == {"a": expected_pair(iteration, "a", 3, 0)}


def test_a_dropped_response_needs_no_reference() -> None:
    iteration = Iteration({"a": [1.0, 2.0, 3.0, 4.0]})
    cut(iteration, "a", [3])
    iteration.reference = iteration.reference[iteration.reference["response_index"] != 3]
    pairs, _ = iteration.pairs(truncated="drop")
    assert pairs["a"]["chosen_index"] == 2


@pytest.mark.parametrize(
    ("min_margin", "expected"), [(0.0, "abc"), (1.0, "abc"), (1.5, "bc"), (2.0, "bc"), (2.5, "c"), (8.0, "c")]
)
def test_min_margin_leaves_out_pairs_that_differ_by_less(min_margin: float, expected: str) -> None:
    iteration = Iteration({"a": [0.0, 1.0], "b": [0.0, 2.0], "c": [0.0, 8.0]})
    pairs, left_out = iteration.pairs(min_margin=min_margin)
    assert "".join(pairs) == expected
    assert left_out["margin too small"] == 3 - len(expected)


def lengthened(iteration: Iteration, lengths: list[int]) -> Iteration:
    """Give the responses (of the only prompt) these lengths."""
    iteration.samples["response_ids"] = [[index] * length for index, length in enumerate(lengths)]
    return iteration


def test_the_length_penalty_counts_for_best_worst_and_margin_but_not_in_the_stored_rewards() -> None:
    # Penalised by 1/2 a token: 0, 2, −1, 1.
    iteration = lengthened(Iteration({"a": [4.0, 3.0, 0.0, 1.5]}), [8, 2, 2, 1])
    plain, _ = iteration.pairs()
    assert plain == {"a": expected_pair(iteration, "a", 0, 2)}
    penalised, _ = iteration.pairs(length_penalty=0.5)
    assert penalised == {"a": expected_pair(iteration, "a", 1, 2)}
    assert (penalised["a"]["chosen_reward"], penalised["a"]["rejected_reward"]) == (3.0, 0.0)
    # The margin is 2 − (−1) with the penalty, 4 without.
    assert iteration.pairs(length_penalty=0.5, min_margin=3.0)[0] == penalised
    with pytest.raises(UserError, match="1 × margin too small"):
        iteration.pairs(length_penalty=0.5, min_margin=3.5)
    assert iteration.pairs(min_margin=3.5)[0] == plain


def test_the_length_penalty_can_make_and_break_ties() -> None:
    # Penalised by 1 a token: 2, 2, 0.
    made = lengthened(Iteration({"a": [3.0, 5.0, 1.0]}), [1, 3, 1])
    assert made.pairs(ties="drop")[0]["a"]["chosen_index"] == 1
    with pytest.raises(UserError, match="1 × best or worst is tied"):
        made.pairs(ties="drop", length_penalty=1.0)
    broken = lengthened(Iteration({"a": [3.0, 3.0, 1.0]}), [2, 1, 1])
    assert broken.pairs(ties="drop", length_penalty=1.0)[0]["a"]["chosen_index"] == 1


# Nothing left


def test_no_pair_at_all_is_one_sentence_with_all_reasons_counted() -> None:
    iteration = Iteration(
        {
            "a": [1.0] * 4,
            "b": [2.0] * 4,
            "c": [math.nan] * 4,
            "d": [1.0, 1.0, 2.0, 3.0],
            "e": [1.0, 1.5, 1.6, 1.75],
            "f": [1.0, 2.0, 3.0, 4.0],
            "g": [1.0, 2.0, 3.0, 4.0],
            "h": [1.0, 2.0, 3.0, 4.0],
            "i": [1.0, 2.0, 3.0, 4.0],
        }
    )
    cut(iteration, "f", [1, 2, 3])
    iteration.weights.loc[iteration.weights["prompt_id"] == "g", ["weight", "unweighted"]] = (math.nan, NEGATIVE)
    iteration.weights = iteration.weights[iteration.weights["prompt_id"] != "h"]
    iteration.reference = iteration.reference[iteration.reference["prompt_id"] != "i"]
    with pytest.raises(UserError) as mistake:
        iteration.pairs(ties="drop", truncated="drop", min_margin=1.0)
    text = str(mistake.value)
    for counted in (
        f"2 × {TIED}",
        f"2 × {TOO_FEW}",
        "1 × best or worst is tied",
        "1 × margin too small",
        f"1 × {NEGATIVE}",
        "1 × no consistency was measured",
        "1 × missing reference log-probability",
    ):
        assert counted in text
    assert "no prompt gives a pair" in text
    assert "\n" not in text


def test_pairs_fit_their_table(tmp_path) -> None:
    iteration = Iteration({"a": [0.1, 0.9, -0.5, 0.3], "b": [3.0, 2.0, 1.0, 0.0]})
    pairs, _ = best_and_worst(
        iteration.samples, iteration.rewards, iteration.weights, iteration.reference, PairPolicy()
    )
    path = tmp_path / "pairs.parquet"
    write_table(pairs, PAIRS, path)
    assert read_table(path, PAIRS).to_dict("records") == list(iteration.pairs()[0].values())


# From raw tables to pairs


def method(**settings) -> dict:
    """A row of the method table: these settings, and the schema's defaults for the rest."""
    return method_table({"methods": {"row": {"reward_model": "rm", **settings}}}, SCHEMA)["row"]


CREAM = {"consistency": {"measure": "kendall"}}
SOURCES = ("implicit", "likelihood", "judge", "reward_model", "verifier", "random")


class Raw:
    """Samples of some prompts with everything that is known of them, drawn from a seed.

    With few distinct responses to a prompt, the same one comes several times; as in the stages,
    equal responses then have equal log-probs, scores and verdicts, but votes of their own.
    """

    def __init__(self, seed: int, prompts: int = 4, responses: int = 5, distinct: int = 100) -> None:
        generator = np.random.default_rng(seed)
        keys = [(f"p{n}", index) for n in range(prompts) for index in range(responses)]
        kinds = [(prompt, int(generator.integers(distinct))) for prompt, _ in keys]
        self.keys = pd.DataFrame(keys, columns=["prompt_id", "response_index"])
        self.samples = self.keys.assign(
            task="t",
            prompt_ids=[[int(prompt[1:])] for prompt, _ in keys],
            response_ids=[[kind, *[1] * (kind % 4)] for _, kind in kinds],
            text="",
            finish_reason=[("stop", "length")[kind % 3 == 0] for _, kind in kinds],
        )

        def drawn() -> list[float]:
            of_kind = {kind: float(generator.normal()) for kind in sorted(set(kinds))}
            return [of_kind[kind] for kind in kinds]

        tokens = self.samples["response_ids"].map(len)
        self.logprobs = {k: self.keys.assign(logprob_sum=drawn(), tokens=tokens) for k in range(3)}
        self.judgements = {
            k: pd.concat([self.keys.assign(vote=n, score=generator.integers(0, 6, len(keys))) for n in range(2)])
            for k in range(3)
        }
        self.external = self.keys.assign(score=drawn())
        self.verdicts = self.keys.assign(verdict=[float(number > 0) for number in drawn()])

    def pairs(self, row: dict, t: int = 2, **policy) -> pd.DataFrame:
        raw = raw_tables(self.samples, self.logprobs, self.judgements, self.external, self.verdicts)
        reward, comparison = compute_reward(raw, row, t, 1), compute_comparison(raw, row, t)
        rewards = pd.DataFrame({"reward": reward, "comparison": comparison}).reset_index()
        settings_ = {key: row["consistency"][key] for key in ("measure", "level", "value", "clip", "drop_negative")}
        weights = weigh_prompts(measure_prompts(rewards), Weighting(**settings_))
        pairs, _ = best_and_worst(
            self.samples,
            rewards[["prompt_id", "response_index", "reward"]],
            weights[["prompt_id", "weight", "unweighted"]],
            self.logprobs[t],
            PairPolicy(**policy),
        )
        return pairs


@pytest.mark.parametrize("measure", ["kendall", "spearman", "toporder"])
@pytest.mark.parametrize(("responses", "distinct"), [(2, 99), (3, 99), (5, 99), (8, 99), (8, 4), (12, 99)])
def test_cream_that_agrees_with_itself_is_srlm_to_the_last_bit(measure: str, responses: int, distinct: int) -> None:
    # An identical model before: perfect agreement, so C = 1 and the soft loss is plain DPO.
    raw = Raw(responses, responses=responses, distinct=distinct)
    raw.logprobs[1] = raw.logprobs[2].copy()
    srlm = raw.pairs(method())
    for level in ("set", "prompt"):
        cream = raw.pairs(method(consistency={"measure": measure, "level": level}))
        assert cream["weight"].tolist() == [1.0] * len(cream)
        pd.testing.assert_frame_equal(cream, srlm, check_exact=True)


@pytest.mark.parametrize("t", [1, 2])
def test_a_constant_of_one_is_srlm_to_the_last_bit(t: int) -> None:
    raw = Raw(t)
    constant = raw.pairs(method(consistency={"measure": "constant", "value": 1.0}), t)
    pd.testing.assert_frame_equal(constant, raw.pairs(method(), t), check_exact=True)


def test_cream_with_other_rankings_differs_from_srlm_in_the_weights_alone() -> None:
    raw = Raw(1)
    cream, srlm = raw.pairs(method(**CREAM)), raw.pairs(method())
    assert (cream["weight"] < 1).all()
    pd.testing.assert_frame_equal(cream.drop(columns="weight"), srlm.drop(columns="weight"))


@pytest.mark.parametrize("source", ["implicit", "likelihood"])
@pytest.mark.parametrize("skipped", ["p0", "p2", "p5"])
def test_a_skipped_prompt_shifts_no_other_prompts_weight(source: str, skipped: str) -> None:
    # Pitfall 1, all the way from the raw tables: one prompt's rewards become equal, so it says
    # nothing about agreement and gives no pair. Every other pair stays as it was.
    row = method(reward=source, consistency={"measure": "kendall", "level": "prompt"})
    raw = Raw(7, prompts=6)
    before = raw.pairs(row)
    assert before["weight"].nunique() > 2
    for k, table in raw.logprobs.items():
        hit = table["prompt_id"] == skipped
        raw.logprobs[k] = table.assign(logprob_sum=table["logprob_sum"].mask(hit, -2.0 * table["tokens"]))
    after = raw.pairs(row)
    assert len(before) == 6
    pd.testing.assert_frame_equal(after, before[before["prompt_id"] != skipped].reset_index(drop=True))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("policy", [{}, {"ties": "drop"}, {"truncated": "drop"}, {"length_penalty": 0.3}])
@settings(max_examples=4)
@given(seed=st.integers(0, 10_000), distinct=st.integers(1, 4), standardise=st.booleans())
def test_a_pair_never_holds_the_same_response_twice(source, policy, seed: int, distinct: int, standardise) -> None:
    row = method(reward=source, aggregate={"how": "uwo", "models": 2, "standardise": standardise})
    try:
        pairs = Raw(seed, distinct=distinct).pairs(row, **policy)
    except UserError as nothing_left:
        assert "no prompt gives a pair" in str(nothing_left)
    else:
        assert (pairs["chosen_ids"] != pairs["rejected_ids"]).all()
        if "length_penalty" not in policy:
            assert (pairs["chosen_reward"] > pairs["rejected_reward"]).all()
