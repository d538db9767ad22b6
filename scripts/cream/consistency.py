"""How far two models rank the same responses alike (paper, section "Consistency")."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

MEASURES = ("kendall", "spearman", "toporder")
# Why a prompt carries no information about agreement. Empty: it does.
MISSING, CONSTANT = "missing reward", "all responses tied"


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
    # Clamped: rounding can carry a perfect agreement a bit past 1, and C past its range.
    return float(np.clip(measure(a, b).statistic, -1.0, 1.0))


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

    rewards: prompt_id, response_index, reward, previous_reward. Returns one row a prompt with
    prompt_id, kendall, spearman, toporder and left_out: the reason why the prompt says nothing
    about agreement (a reward is missing; one of the models ties all responses), in which case
    the measures are NaN, or an empty text.
    """
    rows = []
    for prompt_id, responses in rewards.groupby("prompt_id", sort=True):
        current = responses["reward"].tolist()
        previous = responses["previous_reward"].tolist()
        left_out = _reason_to_leave_out(current, previous)
        values = dict.fromkeys(MEASURES, math.nan)
        if not left_out:
            values = {
                "kendall": kendall_tau(current, previous),
                "spearman": spearman_rho(current, previous),
                "toporder": top_order(current, previous),
            }
        rows.append({"prompt_id": prompt_id, **values, "left_out": left_out})
    return pd.DataFrame(rows, columns=["prompt_id", *MEASURES, "left_out"])


def _reason_to_leave_out(current: list[float], previous: list[float]) -> str:
    if not np.isfinite(np.asarray([*current, *previous], dtype=float)).all():
        return MISSING
    if len(set(current)) < 2 or len(set(previous)) < 2:
        return CONSTANT
    return ""


def weigh_prompts(measured: pd.DataFrame, measure: str, level: str) -> pd.DataFrame:
    """Add each prompt's consistency C and the weight its pair will train with.

    measure: a name in MEASURES, or `none` for plain self-rewarding (every weight is 1; C is
    still Kendall's, so that it can be read off). level: `set`, one weight for the whole
    iteration, the mean C of the prompts that count; or `prompt`, each its own C. The weight is
    NaN where it can't be known: a left-out prompt at level `prompt`, or no prompt that counts.
    """
    shown = "kendall" if measure == "none" else measure
    consistency = measured[shown].map(lambda value: scaled(shown, value))
    if measure == "none":
        weight = pd.Series(1.0, index=measured.index)
    elif level == "set":
        weight = pd.Series(consistency.mean(), index=measured.index)
    else:
        weight = consistency
    return measured.assign(consistency=consistency, weight=weight)
