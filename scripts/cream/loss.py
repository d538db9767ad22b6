"""The preference losses (paper, "Consistency regularised training", and its baselines)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class PreferenceLoss:
    """A row's `loss` settings: `dpo`, `cream`, `signed`, `robust` or `ipo`; β; robust's largest ε."""

    type: str
    beta: float
    max_epsilon: float = 0.45

    def __call__(
        self,
        chosen: torch.Tensor,
        rejected: torch.Tensor,
        chosen_tokens: torch.Tensor,
        rejected_tokens: torch.Tensor,
        weight: torch.Tensor,
    ) -> torch.Tensor:
        """Loss of each pair, (B,).

        chosen, rejected: (B,) log-ratios log π_θ(y|x) − log π_t(y|x) (nats, summed). Tokens:
        (B,) response lengths, which only `ipo` reads. weight: (B,) C in [0, 1].
        """
        if self.type == "ipo":
            return ipo_loss(chosen / chosen_tokens - rejected / rejected_tokens, self.beta)
        u = self.beta * (chosen - rejected)
        if self.type == "dpo":
            return cream_loss(u, torch.ones_like(weight))
        if self.type == "cream":
            return cream_loss(u, weight)
        if self.type == "signed":
            return signed_loss(u, weight)
        if self.type == "robust":
            return robust_loss(u, (1 - weight).clamp(max=self.max_epsilon))
        raise ValueError(f"no loss called {self.type!r}")

    @property
    def steepness(self) -> float:
        """How much steeper than DPO the loss can be at u = 0: rounding counts as much more."""
        return 1 / (1 - 2 * self.max_epsilon) if self.type == "robust" else 1.0

    def at_start(self, weight: float) -> float:
        """The loss before the first step, where the policy is its own reference: u = 0."""
        zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        return float(self(zero, zero, one, one, torch.full((1,), weight, dtype=torch.float64)))


def cream_loss(u: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`C·(−log σ(u)) + (1 − C)·(−log σ(−u))`: DPO on the pair and on the flipped pair.

    Gradient dL/du = σ(u) − C, so the optimum is the finite margin u* = logit C. DPO is C = 1.
    """
    return -(weight * F.logsigmoid(u) + (1 - weight) * F.logsigmoid(-u))


def signed_loss(u: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`(2C − 1)·(−log σ(u))`: plain DPO, turned round where C < ½.

    Gradient (2C − 1)(σ(u) − 1): at u = 0 the same as `cream_loss`, elsewhere not, and without a
    finite optimum.
    """
    return -(2 * weight - 1) * F.logsigmoid(u)


def robust_loss(u: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """`((1 − ε)·(−log σ(u)) − ε·(−log σ(−u))) / (1 − 2ε)`, ε < ½: rDPO (Chowdhury et al., 2024),
    unbiased for DPO when a share ε of the pairs is flipped."""
    return (-(1 - epsilon) * F.logsigmoid(u) + epsilon * F.logsigmoid(-u)) / (1 - 2 * epsilon)


def ipo_loss(margin: torch.Tensor, beta: float) -> torch.Tensor:
    """`(margin − 1/(2β))²`, margin the difference of the log-ratios per token (Azar et al., 2024,
    length-normalised as in TRL)."""
    return (margin - 1 / (2 * beta)) ** 2
