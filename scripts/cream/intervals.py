"""Bootstrap intervals over items."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def bootstrap_interval(values: Sequence[float], level: float, resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean of `values` (missing ones left out) and its percentile bootstrap interval.

    Returns (mean, low, high). A constant or single-valued sample has its mean as both ends; an
    empty one gives three NaN.
    """
    known = np.asarray([value for value in values if not math.isnan(value)], dtype=float)
    if not len(known):
        return math.nan, math.nan, math.nan
    mean = float(known.mean())
    if len(set(known.tolist())) == 1:
        return mean, mean, mean
    result = stats.bootstrap(
        (known,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
        batch=1000,
    )
    return mean, float(result.confidence_interval.low), float(result.confidence_interval.high)
