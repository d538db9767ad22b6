"""Preference pairs: the best and the worst response by the current model's own reward."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from cream.errors import UserError

KEY = ["prompt_id", "response_index"]


def best_and_worst(
    samples: pd.DataFrame,
    rewards: pd.DataFrame,
    weights: pd.DataFrame,
    reference: pd.DataFrame,
    truncated: str,
) -> tuple[pd.DataFrame, Counter]:
    """One pair per prompt: chosen has the highest reward, rejected the lowest.

    samples: SAMPLES table; rewards: REWARDS; weights: prompt_id and weight; reference: the
    LOGPROBS of the model that sampled, which is the training reference π_t. truncated: `keep`
    or `drop` responses cut at the token limit. Among equal rewards the first sampled response
    stands for all: equal rewards come from equal texts. Everything is joined by key.

    Returns the PAIRS table and how many prompts were left out, by reason. Raises `UserError`
    when none is left.
    """
    responses = samples.merge(rewards, on=KEY, how="left", validate="1:1").merge(
        reference[[*KEY, "logprob_sum"]], on=KEY, how="left", validate="1:1"
    )
    weight_of = dict(zip(weights["prompt_id"], weights["weight"], strict=True))
    rows, left_out = [], Counter()
    for prompt_id, group in responses.groupby("prompt_id", sort=True):
        if truncated == "drop":
            group = group[group["finish_reason"] != "length"]
        reason = _reason_to_leave_out(group, weight_of.get(prompt_id))
        if reason:
            left_out[reason] += 1
            continue
        rows.append(_pair(prompt_id, group.sort_values("response_index"), weight_of[prompt_id]))
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        raise UserError(f"no prompt of this iteration gives a pair ({reasons}): nothing to train on")
    return pd.DataFrame(rows), left_out


def _reason_to_leave_out(group: pd.DataFrame, weight: float | None) -> str:
    if len(group) < 2:
        return "too few whole responses"
    if group["reward"].isna().any():
        return "missing reward"
    if group["logprob_sum"].isna().any():
        return "missing reference log-probability"
    if group["reward"].nunique() < 2:
        return "all responses tied"
    if weight is None or pd.isna(weight):
        return "no consistency"
    return ""


def _pair(prompt_id: str, group: pd.DataFrame, weight: float) -> dict:
    chosen = group.loc[group["reward"].idxmax()]
    rejected = group.loc[group["reward"].idxmin()]
    return {
        "prompt_id": prompt_id,
        "chosen_index": chosen["response_index"],
        "rejected_index": rejected["response_index"],
        "prompt_ids": chosen["prompt_ids"],
        "chosen_ids": chosen["response_ids"],
        "rejected_ids": rejected["response_ids"],
        "chosen_reward": chosen["reward"],
        "rejected_reward": rejected["reward"],
        "ref_chosen_logps": chosen["logprob_sum"],
        "ref_rejected_logps": rejected["logprob_sum"],
        "weight": weight,
    }
