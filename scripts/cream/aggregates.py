"""Ensembles of rewards: several opinions on the same responses made one.

Mean, worst case (WCO) and uncertainty-weighted (UWO) aggregation as in Coste et al., "Reward
Model Ensembles Help Mitigate Overoptimization" (ICLR 2024).
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def aggregate(how: str, members: np.ndarray, penalty: float = 1.0) -> np.ndarray:
    """(M, R) rewards of M members for R responses → (R,).

    `single` is the first member; `mean`; `worst` the lowest; `uwo` mean − penalty × variance
    (over the members, divided by M). One member is itself under all of them. Where any member
    has no reward (NaN), neither has the ensemble.
    """
    if how == "single":
        return members[0]
    if how == "worst":
        return members.min(axis=0)
    if how == "mean":
        return members.mean(axis=0)
    if how == "uwo":
        return members.mean(axis=0) - penalty * members.var(axis=0)
    raise ValueError(f"no aggregate called {how!r}")


def standardised(rewards: pd.Series) -> pd.Series:
    """Mean 0 and variance 1 over each prompt's responses; all 0 where they are equal.

    rewards: indexed by prompt_id and response_index. Missing ones stay missing.
    """

    def one(values: pd.Series) -> pd.Series:
        # Equal to the last bit, not "deviation 0": rounding leaves a deviation of equal numbers.
        return (values - values.mean()) / (values.std(ddof=0) if values.nunique() > 1 else 1.0)

    by_prompt = rewards.groupby(level="prompt_id", group_keys=False, sort=False).apply(one)
    equal = rewards.groupby(level="prompt_id").transform("nunique") == 1
    return by_prompt.reindex(rewards.index).mask(equal & rewards.notna(), 0.0)
