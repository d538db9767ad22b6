"""The preference losses against their closed forms, gradients and optima (derived from the papers)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cream.loss import PreferenceLoss

TYPES = ["dpo", "cream", "signed", "robust", "ipo"]
ON_THE_MARGIN = ["dpo", "cream", "signed", "robust"]  # functions of u alone, unlike ipo
BETA, MAX_EPSILON = 0.3, 0.4

margins = st.floats(-40, 40)
weights = st.floats(0, 1)


def softplus(x: np.ndarray) -> np.ndarray:
    """−log σ(−x)."""
    return np.logaddexp(0, x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-softplus(-x))


# Value and dL/du of the losses that are functions of u, as the papers write them.
CLOSED_FORMS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "dpo": lambda u, c: (softplus(-u), sigmoid(u) - 1),
    "cream": lambda u, c: (c * softplus(-u) + (1 - c) * softplus(u), sigmoid(u) - c),
    "signed": lambda u, c: ((2 * c - 1) * softplus(-u), (2 * c - 1) * (sigmoid(u) - 1)),
    "robust": lambda u, c: robust(u, np.minimum(1 - c, MAX_EPSILON)),
}


def robust(u: np.ndarray, epsilon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    value = (1 - epsilon) * softplus(-u) - epsilon * softplus(u)
    slope = (1 - epsilon) * (sigmoid(u) - 1) - epsilon * sigmoid(u)
    return value / (1 - 2 * epsilon), slope / (1 - 2 * epsilon)


@dataclass(frozen=True)
class Pairs:
    """Log-ratios, response lengths and weights of B pairs, each (B,)."""

    chosen: np.ndarray
    rejected: np.ndarray
    chosen_tokens: np.ndarray
    rejected_tokens: np.ndarray
    weight: np.ndarray


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Random pairs, with weights 0, ½ and 1 among them."""
    chance = np.random.default_rng(4)
    weight = chance.uniform(size=300)
    weight[:3] = 0, 0.5, 1
    return Pairs(
        *chance.normal(scale=20, size=(2, 300)), *chance.integers(1, 50, size=(2, 300)).astype(np.int64), weight
    )


def value_and_slopes(loss: PreferenceLoss, pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each pair's loss, and its derivatives by the chosen and the rejected log-ratio, by autograd."""
    chosen, rejected = (torch.tensor(side, requires_grad=True) for side in (pairs.chosen, pairs.rejected))
    rest = (torch.tensor(values) for values in (pairs.chosen_tokens, pairs.rejected_tokens, pairs.weight))
    value = loss(chosen, rejected, *rest)
    value.sum().backward()
    return value.detach().numpy(), chosen.grad.numpy(), rejected.grad.numpy()


def at_margin(kind: str, u: float, weight: float, max_epsilon: float = 0.45) -> tuple[float, float]:
    """Loss and dL/du of one pair whose u is given (β = 1, so u is the difference of the log-ratios)."""
    margin = torch.tensor([u], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, dtype=torch.float64)
    value = PreferenceLoss(kind, 1.0, max_epsilon)(margin, 0 * one, one, one, weight * one)
    value.sum().backward()
    return value.item(), margin.grad.item()


@pytest.mark.parametrize("kind", ON_THE_MARGIN)
def test_value_and_gradient_equal_the_closed_form(kind: str, pairs: Pairs) -> None:
    u = BETA * (pairs.chosen - pairs.rejected)
    expected, slope = CLOSED_FORMS[kind](u, pairs.weight)
    value, by_chosen, by_rejected = value_and_slopes(PreferenceLoss(kind, BETA, MAX_EPSILON), pairs)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_chosen, BETA * slope, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(by_rejected, -BETA * slope, rtol=1e-10, atol=1e-12)


def test_ipo_value_and_gradient_equal_the_closed_form_per_token(pairs: Pairs) -> None:
    gap = pairs.chosen / pairs.chosen_tokens - pairs.rejected / pairs.rejected_tokens - 1 / (2 * BETA)
    value, by_chosen, by_rejected = value_and_slopes(PreferenceLoss("ipo", BETA), pairs)
    np.testing.assert_allclose(value, gap**2, rtol=1e-12)
    np.testing.assert_allclose(by_chosen, 2 * gap / pairs.chosen_tokens, rtol=1e-12)
    np.testing.assert_allclose(by_rejected, -2 * gap / pairs.rejected_tokens, rtol=1e-12)


@pytest.mark.parametrize("kind", ON_THE_MARGIN)
def test_only_ipo_reads_the_lengths(kind: str, pairs: Pairs) -> None:
    doubled = Pairs(pairs.chosen, pairs.rejected, 2 * pairs.chosen_tokens, 2 * pairs.rejected_tokens, pairs.weight)
    loss = PreferenceLoss(kind, BETA)
    np.testing.assert_array_equal(value_and_slopes(loss, doubled), value_and_slopes(loss, pairs))


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_dpo_and_ipo_believe_every_pair_the_same(kind: str, pairs: Pairs) -> None:
    others = Pairs(pairs.chosen, pairs.rejected, pairs.chosen_tokens, pairs.rejected_tokens, 1 - pairs.weight)
    loss = PreferenceLoss(kind, BETA)
    np.testing.assert_array_equal(value_and_slopes(loss, others), value_and_slopes(loss, pairs))


def test_dpo_is_cream_with_weight_one_to_the_last_bit(pairs: Pairs) -> None:
    certain = Pairs(
        pairs.chosen, pairs.rejected, pairs.chosen_tokens, pairs.rejected_tokens, np.ones_like(pairs.weight)
    )
    np.testing.assert_array_equal(
        value_and_slopes(PreferenceLoss("dpo", BETA), pairs), value_and_slopes(PreferenceLoss("cream", BETA), certain)
    )


@given(u=margins, weight=weights)
def test_the_gradient_of_cream_is_sigmoid_minus_weight(u: float, weight: float) -> None:
    assert at_margin("cream", u, weight)[1] == pytest.approx(1 / (1 + math.exp(-u)) - weight, abs=1e-14)


@given(weight=weights)
def test_cream_starts_at_log_two_for_every_weight(weight: float) -> None:
    assert at_margin("cream", 0.0, weight)[0] == pytest.approx(math.log(2), abs=1e-15)


@given(u=margins, weight=weights)
def test_swapping_the_pair_is_turning_the_weight_round(u: float, weight: float) -> None:
    (value, slope), (swapped, swapped_slope) = at_margin("cream", u, weight), at_margin("cream", -u, 1 - weight)
    assert swapped == pytest.approx(value, rel=1e-12, abs=1e-14)
    assert swapped_slope == pytest.approx(-slope, abs=1e-14)


@pytest.mark.parametrize("weight", [0.1, 0.3, 0.5, 0.6, 0.92])
def test_a_free_margin_settles_at_the_logit_of_the_weight(weight: float) -> None:
    chosen = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, dtype=torch.float64)
    optimiser = torch.optim.LBFGS(
        [chosen], max_iter=200, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = PreferenceLoss("cream", BETA)(chosen, 0 * one, one, one, weight * one).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert BETA * chosen.item() == pytest.approx(math.log(weight / (1 - weight)), abs=1e-6)


@given(u=margins, strength=st.floats(0, 20))
def test_the_regularised_loss_is_cream_with_the_weight_of_lambda(u: float, strength: float) -> None:
    """DPO + λ(−log σ(u) − log σ(−u)) = (1 + 2λ)·L with C = (1 + λ)/(1 + 2λ)."""
    dpo, flipped = math.log1p(math.exp(-u)), math.log1p(math.exp(u))
    found = (1 + 2 * strength) * at_margin("cream", u, (1 + strength) / (1 + 2 * strength))[0]
    assert found == pytest.approx(dpo + strength * (dpo + flipped), rel=1e-10)


@given(weight=weights)
def test_signed_starts_with_the_very_gradient_of_cream(weight: float) -> None:
    """(2C − 1)(σ(0) − 1) = ½ − C = σ(0) − C: the same, with no factor between them."""
    assert at_margin("signed", 0.0, weight)[1] == pytest.approx(at_margin("cream", 0.0, weight)[1], abs=1e-15)


@given(u=margins, weight=weights)
def test_signed_leaves_cream_as_soon_as_the_policy_moves(u: float, weight: float) -> None:
    """(2C − 1)(σ − 1) − (σ − C) = −(1 − C)(2σ − 1) = −(1 − C)·tanh(u/2): 0 only at u = 0 or C = 1."""
    gap = at_margin("signed", u, weight)[1] - at_margin("cream", u, weight)[1]
    assert gap == pytest.approx(-(1 - weight) * math.tanh(u / 2), abs=1e-13)


@given(u=margins, weight=weights)
def test_signed_has_no_finite_optimum(u: float, weight: float) -> None:
    slope = at_margin("signed", u, weight)[1]
    assert slope * (1 - 2 * weight) >= 0  # one direction for every u
    assert (slope != 0) == (weight != 0.5)


@given(u=margins, epsilon=st.floats(0, 0.45))
def test_robust_is_unbiased_under_flips(u: float, epsilon: float) -> None:
    """A share ε of the pairs is flipped: the expected loss is DPO's on the clean pair."""
    kept, flipped = (at_margin("robust", side, 1 - epsilon, max_epsilon=0.45) for side in (u, -u))
    assert (1 - epsilon) * kept[0] + epsilon * flipped[0] == pytest.approx(
        math.log1p(math.exp(-u)), rel=1e-9, abs=1e-12
    )
    slope = (1 - epsilon) * kept[1] - epsilon * flipped[1]
    assert slope == pytest.approx(-1 / (1 + math.exp(u)), abs=1e-12)


@given(u=margins, weight=weights, max_epsilon=st.floats(0, 0.49))
def test_robust_takes_no_epsilon_above_its_largest(u: float, weight: float, max_epsilon: float) -> None:
    expected = robust(np.float64(u), min(1 - weight, max_epsilon))
    found = at_margin("robust", u, weight, max_epsilon)
    assert found == pytest.approx(tuple(map(float, expected)), rel=1e-10, abs=1e-12)


def test_robust_says_the_same_for_every_weight_below_its_bound() -> None:
    """At C ≤ ½ the formula has no meaning; the default bound is ε = 0.45."""
    at_bound = at_margin("robust", 2.0, 0.55)
    for weight in (0.5, 0.3, 0.0):
        assert at_margin("robust", 2.0, weight) == pytest.approx(at_bound, rel=1e-12)
    assert at_margin("robust", 2.0, 0.6) != pytest.approx(at_bound, rel=1e-3)


@given(weight=weights, beta=st.floats(0.01, 2))
def test_the_loss_before_the_first_step(weight: float, beta: float) -> None:
    expected = {
        "dpo": math.log(2),
        "cream": math.log(2),
        "signed": (2 * weight - 1) * math.log(2),
        "robust": math.log(2),  # for every ε
        "ipo": 1 / (4 * beta**2),
    }
    found = {kind: PreferenceLoss(kind, beta).at_start(weight) for kind in TYPES}
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", TYPES)
def test_far_margins_stay_finite(kind: str, dtype: torch.dtype) -> None:
    u = torch.tensor([-1e4, -1e4, -1e4, 1e4, 1e4, 1e4], dtype=dtype, requires_grad=True)
    weight = torch.tensor([0, 0.25, 1, 0, 0.25, 1], dtype=dtype)
    value = PreferenceLoss(kind, 1.0, MAX_EPSILON)(u, torch.zeros_like(u), u.new_ones(6), u.new_ones(6), weight)
    value.sum().backward()
    assert value.isfinite().all() and u.grad.isfinite().all()
    # So far out log σ(u) is u or 0. Weights 0 and ¼ are both beyond robust's bound of ε = 0.4.
    far = {
        "dpo": [1e4, 1e4, 1e4, 0, 0, 0],
        "cream": [0, 2500, 1e4, 1e4, 7500, 0],
        "signed": [-1e4, -5000, 1e4, 0, 0, 0],
        "robust": [3e4, 3e4, 1e4, -2e4, -2e4, 0],
        "ipo": [1.0001e8, 1.0001e8, 1.0001e8, 0.9999e8, 0.9999e8, 0.9999e8],
    }
    assert value.tolist() == pytest.approx(far[kind], rel=1e-6)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="no loss called 'hinge'"):
        PreferenceLoss("hinge", 0.1).at_start(1.0)


def test_steepness_bounds_what_rounding_can_do_to_the_first_loss() -> None:
    """In bfloat16 u starts within some hundredths of 0: the loss may differ by half of that, times
    the steepness. `robust` at its cap is ten times as steep as DPO."""
    u, one = torch.tensor([0.06], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for kind in ("dpo", "cream", "signed", "robust"):
        loss = PreferenceLoss(kind, beta=1.0)
        for weight in (0.0, 0.3, 0.5, 1.0):
            found = float(loss(u, torch.zeros_like(u), one, one, weight * one))
            gap = abs(found - loss.at_start(weight))
            assert gap <= 0.51 * float(u) * loss.steepness, (kind, weight)
    assert PreferenceLoss("robust", 0.1, max_epsilon=0.45).steepness == pytest.approx(10)
    assert PreferenceLoss("dpo", 0.1).steepness == 1
