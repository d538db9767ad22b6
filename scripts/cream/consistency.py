"""How far two rankings of the same responses agree (paper, section "Consistency")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

MEASURES = ("kendall", "spearman", "toporder")
# Why a prompt carries no information about agreement. Empty: it does.
MISSING, CONSTANT = "fewer than two responses with both scores", "all responses tied"
# Why a prompt that does has no weight nevertheless.
NEGATIVE = "negative tau"


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's τ-b in [−1, 1]; NaN when either list is constant. Without ties it is the
    paper's τ: concordant minus discordant pairs over all pairs."""
    return _quiet(stats.kendalltau, a, b)


def spearman_rho(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's ρ in [−1, 1], average ranks on ties; NaN when either list is constant."""
    return _quiet(stats.spearmanr, a, b)


def _quiet(measure, a: Sequence[float], b: Sequence[float]) -> float:
    if len(set(a)) < 2 or len(set(b)) < 2:
        return math.nan
    # Rounded: scipy's perfect agreement may be 0.9999999999999998, and must be 1.
    return round(float(measure(a, b).statistic), 12)


def top_order(a: Sequence[float], b: Sequence[float]) -> float:
    """1 if both rankings have the same best and the same worst responses, else 0; NaN when
    either list is constant. Tied responses at an end must be tied there on both sides."""
    a, b = np.asarray(a), np.asarray(b)
    if len(set(a.tolist())) < 2 or len(set(b.tolist())) < 2:
        return math.nan
    same_best = np.array_equal(a == a.max(), b == b.max())
    same_worst = np.array_equal(a == a.min(), b == b.min())
    return float(same_best and same_worst)


def scaled(measure: str, value: float) -> float:
    """A measure as a consistency C in [0, 1]: correlations by `(value + 1) / 2`, TopOrder as is."""
    return value if measure == "toporder" else (value + 1) / 2


def measure_prompts(rewards: pd.DataFrame) -> pd.DataFrame:
    """All measures for every prompt.

    rewards: prompt_id, response_index, reward, comparison. Responses that lack either score are
    left out. Returns one row a prompt with prompt_id, compared (how many responses have both),
    kendall, spearman, toporder and left_out: the reason why the prompt says nothing about
    agreement, in which case the measures are NaN, or an empty text.
    """
    rows = []
    for prompt_id, responses in rewards.groupby("prompt_id", sort=True):
        both = responses[np.isfinite(responses[["reward", "comparison"]].astype(float)).all(axis=1)]
        mine, other = both["reward"].tolist(), both["comparison"].tolist()
        left_out = _reason_to_leave_out(mine, other)
        values = dict.fromkeys(MEASURES, math.nan)
        if not left_out:
            values = {
                "kendall": kendall_tau(mine, other),
                "spearman": spearman_rho(mine, other),
                "toporder": top_order(mine, other),
            }
        rows.append({"prompt_id": prompt_id, "compared": len(both), **values, "left_out": left_out})
    return pd.DataFrame(rows, columns=["prompt_id", "compared", *MEASURES, "left_out"])


def _reason_to_leave_out(mine: list[float], other: list[float]) -> str:
    if len(mine) < 2:
        return MISSING
    if len(set(mine)) < 2 or len(set(other)) < 2:
        return CONSTANT
    return ""


@dataclass(frozen=True)
class Weighting:
    """How a weight is made of the measures: the row's `consistency` settings."""

    measure: str
    level: str
    value: float | None = None
    clip: float | None = None
    drop_negative: bool = False


def weigh_prompts(measured: pd.DataFrame, weighting: Weighting) -> pd.DataFrame:
    """Add each prompt's consistency C, the weight its pair trains with, and why it has none.

    measure `none` weighs every pair 1 and `constant` by its value; C is Kendall's then, so that
    it can be read off. At level `set` the weight is the mean C of the prompts that count, one
    number for the iteration, also for a prompt that says nothing about agreement itself; at
    level `prompt` each has its own. `clip` is the least weight. `drop_negative` takes the weight
    from prompts with τ < 0, which then don't count in the set's mean either.

    The column `unweighted` has the reason for a missing weight: NaN never comes without one.
    """
    shown = "kendall" if weighting.measure in ("none", "constant") else weighting.measure
    consistency = measured[shown].map(lambda value: scaled(shown, value)).astype(float)
    dropped = (measured["kendall"] < 0) & weighting.drop_negative
    if weighting.measure in ("none", "constant"):
        weight = pd.Series(1.0 if weighting.measure == "none" else weighting.value, index=measured.index, dtype=float)
    elif weighting.level == "set":
        weight = pd.Series(consistency[~dropped].mean(), index=measured.index, dtype=float)
    else:
        weight = consistency
    if weighting.clip is not None:
        weight = weight.clip(lower=weighting.clip)
    weight = weight.mask(dropped)
    unweighted = measured["left_out"].where(weight.isna(), "")
    unweighted = unweighted.mask(dropped, NEGATIVE)
    return measured.assign(consistency=consistency, weight=weight, unweighted=unweighted)
