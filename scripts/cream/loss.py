"""The preference loss (paper, section "Consistency regularised training")."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def preference_loss(u: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`C·(−log σ(u)) + (1 − C)·(−log σ(−u))`, element by element.

    u: (B,) β times the difference of the two log-ratios, chosen minus rejected.
    weight: (B,) C in [0, 1]. DPO is C = 1. Gradient: dL/du = σ(u) − C.
    """
    return -(weight * F.logsigmoid(u) + (1 - weight) * F.logsigmoid(-u))
