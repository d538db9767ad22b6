"""The preference loss against its closed form, gradient and optimum (derived from the paper)."""

from __future__ import annotations

import math

import pytest
import torch

from cream.loss import preference_loss


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random_batch(size: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    u = 6 * torch.randn(size, generator=generator, dtype=torch.float64)
    return u, torch.rand(size, generator=generator, dtype=torch.float64)


def test_the_loss_equals_its_closed_form_element_by_element() -> None:
    u, weight = random_batch()
    expected = [
        c * math.log1p(math.exp(-x)) + (1 - c) * math.log1p(math.exp(x))
        for x, c in zip(u.tolist(), weight.tolist(), strict=True)
    ]
    assert preference_loss(u, weight).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_is_sigmoid_minus_weight() -> None:
    u, weight = random_batch()
    u.requires_grad_(True)
    preference_loss(u, weight).sum().backward()
    expected = [1 / (1 + math.exp(-x)) - c for x, c in zip(u.tolist(), weight.tolist(), strict=True)]
    assert u.grad.tolist() == pytest.approx(expected, abs=1e-12)


def test_it_starts_at_log_two_for_every_weight() -> None:
    weight = torch.linspace(0, 1, 21, dtype=torch.float64)
    assert preference_loss(torch.zeros_like(weight), weight).tolist() == pytest.approx([math.log(2)] * 21, abs=1e-15)


def test_weight_one_is_dpo_and_weight_zero_is_dpo_on_the_flipped_pair() -> None:
    u, _ = random_batch()
    dpo = [math.log1p(math.exp(-x)) for x in u.tolist()]
    flipped = [math.log1p(math.exp(x)) for x in u.tolist()]
    assert preference_loss(u, torch.ones_like(u)).tolist() == pytest.approx(dpo, rel=1e-12)
    assert preference_loss(u, torch.zeros_like(u)).tolist() == pytest.approx(flipped, rel=1e-12)


def test_swapping_the_pair_is_turning_the_weight_round() -> None:
    u, weight = random_batch()
    torch.testing.assert_close(preference_loss(-u, 1 - weight), preference_loss(u, weight), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("c", [0.1, 0.5, 0.6, 0.92])
def test_a_free_margin_settles_at_the_logit_of_the_weight(c: float) -> None:
    u = numbers(0.0).requires_grad_(True)
    optimiser = torch.optim.LBFGS([u], lr=1, max_iter=100, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = preference_loss(u, numbers(c)).sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimiser.step(closure)
    assert u.item() == pytest.approx(math.log(c / (1 - c)), abs=1e-6)


def test_the_regularised_loss_is_this_one_with_the_weight_of_lambda() -> None:
    # DPO + lambda * (-log s(u) - log s(-u)) = (1 + 2 lambda) * L with C = (1 + lambda) / (1 + 2 lambda).
    u, _ = random_batch(50)
    dpo = torch.log1p(torch.exp(-u))
    regulariser = dpo + torch.log1p(torch.exp(u))
    for strength in (0.0, 0.3, 2.0):
        weight = torch.full_like(u, (1 + strength) / (1 + 2 * strength))
        torch.testing.assert_close(
            (1 + 2 * strength) * preference_loss(u, weight), dpo + strength * regulariser, rtol=1e-10, atol=1e-12
        )


def test_far_margins_stay_finite() -> None:
    u = numbers(-2000.0, 2000.0)
    assert preference_loss(u, numbers(1.0, 1.0)).tolist() == pytest.approx([2000.0, 0.0])
    assert preference_loss(u, numbers(0.25, 0.25)).tolist() == pytest.approx([500.0, 1500.0])
