"""What a row of the method table needs and whom it asks, against tables written down by hand."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cream.method_table import method_table
from cream.methods import MODEL_FREE, compared_model, members, scoring_reference, tables_needed
from cream.rewards import compute_comparison, compute_reward, raw_tables

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((PROJECT / "schemas/config.schema.json").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((PROJECT / "config.yaml").read_text(encoding="utf-8"))
METHODS = {
    name: row | {"reward_model": "judge-7b"}
    for name, row in method_table(CONFIG, SCHEMA).items()
    if not row.get("stop_at_m1")
}

REWARDS = ("implicit", "likelihood", "judge", "reward_model", "verifier", "random")
AGAINST = ("previous", "base", "reward_model", "verifier")
ROUNDS = (1, 2, 3)


def method(**settings) -> dict:
    """A row with these settings and the defaults for the rest."""
    row = {"reward_model": "judge-7b", **settings}
    return method_table({"methods": {"row": row}}, SCHEMA)["row"]


@pytest.mark.parametrize(
    ("models", "t", "expected"),
    [
        (1, 1, [1]),
        (1, 2, [2]),
        (1, 3, [3]),
        (2, 1, [1]),  # M0 has no reward of its own: never a member
        (2, 2, [2, 1]),
        (2, 3, [3, 2]),
        (3, 1, [1]),
        (3, 2, [2, 1]),
        (3, 3, [3, 2, 1]),
        (9, 3, [3, 2, 1]),
        (2, 6, [6, 5]),
    ],
)
@pytest.mark.parametrize("reward", ["implicit", "likelihood", "judge"])
def test_members_go_back_from_the_current_model_to_m1_at_most(reward, models: int, t: int, expected) -> None:
    assert members(method(reward=reward, aggregate={"models": models, "how": "mean"}), t) == expected


@pytest.mark.parametrize("reward", MODEL_FREE)
@pytest.mark.parametrize("t", ROUNDS)
def test_rewards_that_no_policy_gives_have_no_members(reward: str, t: int) -> None:
    assert members(method(reward=reward), t) == []


@pytest.mark.parametrize("reward", REWARDS)
def test_the_compared_model_is_the_one_before_or_m0_or_none(reward: str) -> None:
    found = {
        against: [compared_model(method(reward=reward, consistency={"against": against}), t) for t in ROUNDS]
        for against in AGAINST
    }
    assert found == {
        "previous": [0, 1, 2],
        "base": [0, 0, 0],
        "reward_model": [None] * 3,
        "verifier": [None] * 3,
    }


def test_the_scoring_reference_is_m0_or_the_model_before_and_m0_has_none() -> None:
    assert [scoring_reference(k, "base") for k in range(4)] == [None, 0, 0, 0]
    assert [scoring_reference(k, "previous") for k in range(4)] == [None, 0, 1, 2]


# (reward, against) → the numbers of the models needed at t = 1, 2, 3: log-probs, then judgements.
NEEDED = {
    ("implicit", "previous"): ([[0, 1], [0, 1, 2], [0, 2, 3]], [[], [], []]),
    ("implicit", "base"): ([[0, 1], [0, 2], [0, 3]], [[], [], []]),
    ("implicit", "reward_model"): ([[0, 1], [0, 2], [0, 3]], [[], [], []]),
    ("implicit", "verifier"): ([[0, 1], [0, 2], [0, 3]], [[], [], []]),
    ("likelihood", "previous"): ([[0, 1], [1, 2], [2, 3]], [[], [], []]),
    ("likelihood", "base"): ([[0, 1], [0, 2], [0, 3]], [[], [], []]),
    ("likelihood", "reward_model"): ([[1], [2], [3]], [[], [], []]),
    ("likelihood", "verifier"): ([[1], [2], [3]], [[], [], []]),
    ("judge", "previous"): ([[], [], []], [[0, 1], [1, 2], [2, 3]]),
    ("judge", "base"): ([[], [], []], [[0, 1], [0, 2], [0, 3]]),
    ("judge", "reward_model"): ([[], [], []], [[1], [2], [3]]),
    ("judge", "verifier"): ([[], [], []], [[1], [2], [3]]),
    # What no model gives is compared with the model before by its log-ratio; M0 by its likelihood.
    **{(reward, "previous"): ([[0], [0, 1], [0, 2]], [[], [], []]) for reward in MODEL_FREE},
    **{(reward, "base"): ([[0], [0], [0]], [[], [], []]) for reward in MODEL_FREE},
    **{(reward, "reward_model"): ([[], [], []], [[], [], []]) for reward in MODEL_FREE},
    **{(reward, "verifier"): ([[], [], []], [[], [], []]) for reward in MODEL_FREE},
}


@pytest.mark.parametrize("t", ROUNDS)
@pytest.mark.parametrize(("reward", "against"), list(product(REWARDS, AGAINST)))
def test_tables_needed_for_every_reward_and_whatever_it_is_compared_with(reward: str, against: str, t: int) -> None:
    logprobs, judgements = NEEDED[reward, against]
    assert tables_needed(method(reward=reward, consistency={"against": against}), t) == {
        "logprobs": logprobs[t - 1],
        "judgements": judgements[t - 1],
        "external": ["judge-7b"] if "reward_model" in (reward, against) else [],
        "verdicts": [True] if "verifier" in (reward, against) else [],
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # An ensemble of M3 and M2, each with its own reference.
        ({"aggregate": {"how": "mean", "models": 2}}, [0, 2, 3]),
        ({"aggregate": {"how": "mean", "models": 3}}, [0, 1, 2, 3]),
        ({"score_ref": "previous"}, [1, 2, 3]),
        ({"score_ref": "previous", "consistency": {"against": "base"}}, [0, 2, 3]),
        ({"score_ref": "previous", "aggregate": {"how": "mean", "models": 3}}, [0, 1, 2, 3]),
        ({"reward": "likelihood", "score_ref": "previous", "aggregate": {"how": "mean", "models": 2}}, [2, 3]),
        ({"reward": "random", "score_ref": "previous"}, [1, 2]),
    ],
)
def test_log_probs_needed_by_ensembles_and_other_references_in_round_three(settings: dict, expected) -> None:
    assert tables_needed(method(**settings), 3)["logprobs"] == expected


def test_further_members_need_their_own_tables() -> None:
    row = method(aggregate={"how": "mean", "also": ["judge", "reward_model"], "standardise": True})
    assert tables_needed(row, 2) == {
        "logprobs": [0, 1, 2],
        "judgements": [2],
        "external": ["judge-7b"],
        "verdicts": [],
    }


def test_a_row_without_a_reward_model_needs_none() -> None:
    row = method()
    del row["reward_model"]
    assert tables_needed(row, 1)["external"] == []


# Every row of the project's own table, and every combination of what decides about tables.
COMBINED = {
    f"{reward}/{score_ref}/{against}/{previous_score}/{models}": method(
        reward=reward,
        score_ref=score_ref,
        aggregate={
            "how": "mean",
            "models": models,
            "also": ["judge"] if models > 1 and reward != "judge" else [],
            "standardise": models > 1,
        },
        consistency={"against": against, "previous_score": previous_score},
    )
    for reward, score_ref, against, previous_score, models in product(
        REWARDS[:3], ("base", "previous"), AGAINST, ("log_ratio", "likelihood"), (1, 3)
    )
} | {
    f"{reward}/{score_ref}/{against}/{previous_score}": method(
        reward=reward, score_ref=score_ref, consistency={"against": against, "previous_score": previous_score}
    )
    for reward, score_ref, against, previous_score in product(
        MODEL_FREE, ("base", "previous"), AGAINST, ("log_ratio", "likelihood")
    )
}
KEYS = pd.DataFrame([{"prompt_id": p, "response_index": i} for p in "pq" for i in range(3)])
SAMPLES = KEYS.assign(response_ids=[[n + 1] * (1 + n % 3) for n in range(len(KEYS))])


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(KEYS))


LOGPROBS = {k: KEYS.assign(logprob_sum=drawn(k), tokens=SAMPLES["response_ids"].map(len)) for k in range(4)}
JUDGEMENTS = {k: KEYS.assign(vote=0, score=drawn(10 + k)) for k in range(4)}
EXTERNAL, VERDICTS = KEYS.assign(score=drawn(20)), KEYS.assign(verdict=[0.0, 1, 1, 0, 1, 0])


@pytest.mark.parametrize("t", ROUNDS)
def test_the_tables_needed_are_enough_for_every_recipe(t: int) -> None:
    for name, row in (METHODS | COMBINED).items():
        needed = tables_needed(row, t)
        raw = raw_tables(
            SAMPLES,
            {k: LOGPROBS[k] for k in needed["logprobs"]},
            {k: JUDGEMENTS[k] for k in needed["judgements"]},
            EXTERNAL if needed["external"] else None,
            VERDICTS if needed["verdicts"] else None,
        )
        for found in (compute_reward(raw, row, t, 1), compute_comparison(raw, row, t)):
            assert found is not None, name
            assert found.notna().all(), name
            assert len(found) == len(KEYS), name


@pytest.mark.parametrize("t", ROUNDS)
def test_no_recipe_looks_ahead_or_at_models_that_no_scorer_is(t: int) -> None:
    for row in (METHODS | COMBINED).values():
        needed = tables_needed(row, t)
        for numbers in (needed["logprobs"], needed["judgements"]):
            assert numbers == sorted(set(numbers))
            assert set(numbers) <= set(range(t + 1))


def test_later_rounds_of_a_plain_row_never_need_more_than_three_models() -> None:
    # Whatever T: the paper's recipe asks M{t}, M{t−1} and M0.
    assert [tables_needed(METHODS["cream"], t)["logprobs"] for t in range(1, 7)] == [
        [0, 1],
        [0, 1, 2],
        [0, 2, 3],
        [0, 3, 4],
        [0, 4, 5],
        [0, 5, 6],
    ]
