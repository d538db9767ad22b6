"""Paired comparisons of two models on the same items, over one or more seeds.

The difference of an item is its mean over seeds. Its interval resamples items, and seeds as well
when there are several; its p-value is the paired sign-flip test over items (for right-or-wrong
items of one seed, McNemar's exact test in all but name). Holm's correction is over the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

NO_DIFFERENCE = "no difference shown"


@dataclass(frozen=True)
class Resampling:
    """How intervals and p-values are found: confidence level, number of resamples, seed."""

    level: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Comparison:
    """Mean difference (ours − theirs), its interval, the p-value of "no difference", and its size."""

    difference: float
    low: float
    high: float
    p: float
    seeds: int
    items: int


def compare(ours: np.ndarray, theirs: np.ndarray, how: Resampling) -> Comparison:
    """Compare two models' item values, both (seeds, items), the same items in the same columns.

    Raises `ValueError` if the shapes differ or a value is missing.
    """
    if ours.shape != theirs.shape or ours.ndim != 2 or not ours.size:
        raise ValueError(f"paired values of one shape (seeds, items) are needed, not {ours.shape} and {theirs.shape}")
    difference = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    if np.isnan(difference).any():
        raise ValueError("a paired item has no value")
    low, high = _interval(difference, how)
    p = _sign_flip_p(difference.mean(axis=0), how)
    return Comparison(float(difference.mean()), low, high, p, *difference.shape)


def _interval(difference: np.ndarray, how: Resampling) -> tuple[float, float]:
    """Percentile bootstrap of the mean; with several seeds, seeds and items are both resampled."""
    rng = np.random.default_rng(how.seed)
    seeds, items = difference.shape
    means = np.empty(how.resamples)
    for k in range(how.resamples):
        rows = rng.integers(seeds, size=seeds)
        columns = rng.integers(items, size=items)
        means[k] = difference[np.ix_(rows, columns)].mean()
    tail = (1 - how.level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _sign_flip_p(difference: np.ndarray, how: Resampling) -> float:
    """Two-sided: how often random signs give a mean difference as large. Items without a difference don't matter."""
    decided = difference[difference != 0]
    if not len(decided):
        return 1.0
    if len(set(np.abs(decided))) == 1:
        # All differences of one size: the sign-flip test is the binomial test, exactly.
        return float(stats.binomtest(int((decided > 0).sum()), len(decided)).pvalue)
    result = stats.permutation_test(
        (decided,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=how.resamples,
        rng=np.random.default_rng(how.seed),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for the number of comparisons (Holm 1979)."""
    return multipletests(p_values, method="holm")[1].tolist() if p_values else []


def verdict(low: float, high: float, corrected_p: float, level: float) -> str:
    """`gain` or `loss` only if the interval leaves out zero and the corrected p-value agrees."""
    if corrected_p > 1 - level or low <= 0 <= high:
        return NO_DIFFERENCE
    return "gain" if low > 0 else "loss"
