"""Drift monitors: how a policy's responses change from iteration to iteration, and when that is degradation.

All of it is read off tables that exist anyway: the responses of M{t} to the prompts of iteration
t, which M{t} was not trained on, their log-probabilities, and the pairs built from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

NGRAMS = (1, 2, 3)


@dataclass(frozen=True)
class Limits:
    """When a monitor counts as degradation; each against the same method's first iteration.

    `length`: mean response length grew or shrank by more than this factor. `distinct`: distinct
    bigrams fell below this share of what they were. `cut`: the share of responses that hit the
    token limit rose by more than this. `level`: confidence of "more than half of the pairs prefer
    the response that the verifier rejects".
    """

    length: float
    distinct: float
    cut: float
    level: float


def distinct_ngrams(responses: Iterable[Sequence[int]], n: int) -> float:
    """Different n-grams of tokens over all n-grams (distinct-n, Li et al. 2016); NaN without any.

    It falls as more responses are counted: compare equal numbers of responses only.
    """
    grams = [tuple(ids[i : i + n]) for ids in responses for i in range(len(ids) - n + 1)]
    return len(set(grams)) / len(grams) if grams else math.nan


def of_responses(samples: pd.DataFrame) -> dict[str, float]:
    """Lengths in tokens, how responses ended, how varied they are; of a samples table."""
    lengths = samples["response_ids"].map(len)
    return {
        "responses": len(samples),
        "tokens": float(lengths.mean()),
        "empty": int((lengths == 0).sum()),
        "cut": float((samples["finish_reason"] == "length").mean()),
        **{f"distinct_{n}": distinct_ngrams(samples["response_ids"], n) for n in NGRAMS},
    }


def of_log_ratio(current: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Mean over each prompt's responses of log π_t(y|x) − log π(y|x), in nats, by prompt.

    Its mean over prompts estimates KL(π_t ‖ π) if the responses were sampled from π_t at
    temperature 1 and top-p 1; sampled more sharply, it is the same mean on those responses.
    """
    key = ["prompt_id", "response_index"]
    both = current.merge(other, on=key, suffixes=("", "_other"), validate="1:1")
    if len(both) != len(current) or len(both) != len(other):
        raise ValueError("the two models scored different responses")
    return (both["logprob_sum"] - both["logprob_sum_other"]).groupby(both["prompt_id"]).mean()


def of_pairs(pairs: pd.DataFrame, verdicts: pd.DataFrame) -> dict[str, float]:
    """Reward margin of the pairs, and how often the verifier orders a pair the other way round.

    Pairs whose two responses get the same verdict, or none, tell nothing and are not counted.
    """
    verdict = verdicts.set_index(["prompt_id", "response_index"])["verdict"].to_dict()
    chosen = np.array([verdict[key] for key in zip(pairs["prompt_id"], pairs["chosen_index"], strict=True)])
    rejected = np.array([verdict[key] for key in zip(pairs["prompt_id"], pairs["rejected_index"], strict=True)])
    told = (chosen != rejected) & ~np.isnan(chosen) & ~np.isnan(rejected)
    wrong = told & (chosen < rejected)
    return {
        "pairs": len(pairs),
        "margin": float((pairs["chosen_reward"] - pairs["rejected_reward"]).mean()),
        "told_apart": int(told.sum()),
        "wrong_chosen": int(wrong.sum()),
    }


def flags(first: Mapping[str, float], now: Mapping[str, float], limits: Limits) -> list[str]:
    """What counts as degradation at an iteration, against the method's first, in words."""
    found = []
    longer = now["tokens"] / first["tokens"] if first["tokens"] else math.nan
    if longer > limits.length or longer < 1 / limits.length:
        found.append(f"responses {longer:.1f} times as long as in iteration 1")
    if now["distinct_2"] < limits.distinct * first["distinct_2"]:
        found.append(f"distinct bigrams {now['distinct_2']:.2f}, {first['distinct_2']:.2f} in iteration 1")
    if now["cut"] - first["cut"] > limits.cut:
        found.append(f"{now['cut']:.0%} of the responses cut off, {first['cut']:.0%} in iteration 1")
    if now["told_apart"]:
        share = stats.binomtest(int(now["wrong_chosen"]), int(now["told_apart"])).proportion_ci(limits.level)
        if share.low > 0.5:
            found.append(f"the wrong response is chosen in {now['wrong_chosen']} of {now['told_apart']} pairs")
    return found
