"""How often a reward agrees with the verifier: measured, never trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ranking_accuracy(rewards: Sequence[float], verdicts: Sequence[float]) -> tuple[float, int]:
    """How often a reward puts a right response above a wrong one: over all pairs of responses
    with different verdicts the share ordered as the verifier orders them, ties counting half.

    Returns it with the number of those pairs; NaN and 0 where the verifier tells none apart.
    Responses without a reward or verdict don't count.
    """
    known = [(r, v) for r, v in zip(rewards, verdicts, strict=True) if math.isfinite(r) and math.isfinite(v)]
    pairs = [(better, worse) for better, v in known for worse, w in known if v > w]
    if not pairs:
        return math.nan, 0
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs), len(pairs)
