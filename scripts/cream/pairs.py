"""Preference pairs: the best and the worst response to a prompt by the method's own reward."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from cream.errors import UserError

KEY = ["prompt_id", "response_index"]


@dataclass(frozen=True)
class PairPolicy:
    """Which responses may pair up: the row's `pairs` settings (schemas/config.schema.json)."""

    truncated: str = "keep"
    ties: str = "first"
    min_margin: float = 0.0
    length_penalty: float = 0.0


def best_and_worst(
    samples: pd.DataFrame,
    rewards: pd.DataFrame,
    weights: pd.DataFrame,
    reference: pd.DataFrame,
    policy: PairPolicy,
) -> tuple[pd.DataFrame, Counter]:
    """One pair per prompt: chosen has the highest reward, rejected the lowest.

    samples: SAMPLES table; rewards: REWARDS; weights: prompt_id, weight and unweighted (why it
    is missing); reference: the LOGPROBS of the model that sampled, which is the training
    reference π_t. Responses without a reward (a judge whose votes all failed) can be neither.
    The length penalty counts for best, worst and margin; the stored rewards are without it.
    Everything is joined by key; equal responses have equal rewards (`cream.rewards`), so a pair
    never holds the same response twice.

    Returns the PAIRS table and how many prompts were left out, by reason. Raises `UserError`
    when none is left.
    """
    responses = samples.merge(rewards, on=KEY, how="left", validate="1:1").merge(
        reference[[*KEY, "logprob_sum"]], on=KEY, how="left", validate="1:1"
    )
    responses["rank_by"] = responses["reward"] - policy.length_penalty * responses["response_ids"].map(len)
    weight_of = weights.set_index("prompt_id")
    rows, left_out = [], Counter()
    for prompt_id, group in responses.groupby("prompt_id", sort=True):
        candidates = _candidates(group, policy)
        reason = _reason_to_leave_out(candidates, policy) or _reason_without_weight(prompt_id, weight_of)
        if reason:
            left_out[reason] += 1
            continue
        rows.append(_pair(prompt_id, *_ends(candidates), weight_of.loc[prompt_id, "weight"]))
    if not rows:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in sorted(left_out.items()))
        raise UserError(f"no prompt gives a pair ({reasons}), so there is nothing to train on")
    return pd.DataFrame(rows), left_out


def _candidates(group: pd.DataFrame, policy: PairPolicy) -> pd.DataFrame:
    if policy.truncated == "drop":
        group = group[group["finish_reason"] != "length"]
    return group[group["reward"].notna()].sort_values("response_index")


def _ends(candidates: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The best and the worst; the first sampled of several that tie."""
    return candidates.loc[candidates["rank_by"].idxmax()], candidates.loc[candidates["rank_by"].idxmin()]


def _reason_to_leave_out(candidates: pd.DataFrame, policy: PairPolicy) -> str:
    if len(candidates) < 2:
        return "fewer than two responses to choose from"
    if candidates["logprob_sum"].isna().any():
        return "missing reference log-probability"
    if candidates["reward"].nunique() < 2 or candidates["rank_by"].nunique() < 2:
        return "all responses tied"
    chosen, rejected = _ends(candidates)
    if policy.ties == "drop" and any(_several(candidates, end) for end in (chosen, rejected)):
        return "best or worst is tied"
    if chosen["rank_by"] - rejected["rank_by"] < policy.min_margin:
        return "margin too small"
    return ""


def _several(candidates: pd.DataFrame, end: pd.Series) -> bool:
    """Whether different responses share this end of the ranking."""
    sharing = candidates[candidates["rank_by"] == end["rank_by"]]
    return len({tuple(ids) for ids in sharing["response_ids"]}) > 1


def _reason_without_weight(prompt_id: str, weight_of: pd.DataFrame) -> str:
    if prompt_id not in weight_of.index:
        return "no consistency was measured"
    weight = weight_of.loc[prompt_id]
    return weight["unweighted"] if pd.isna(weight["weight"]) else ""


def _pair(prompt_id: str, chosen: pd.Series, rejected: pd.Series, weight: float) -> dict:
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
