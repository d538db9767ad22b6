"""Bootstrap intervals against a plain bootstrap written here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cream.intervals import bootstrap_interval


def own_bootstrap(values: np.ndarray, level: float, resamples: int = 20_000) -> tuple[float, float]:
    generator = np.random.default_rng(12345)
    means = values[generator.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("shape", ["right or wrong", "skewed", "few"])
def test_the_interval_is_that_of_a_plain_bootstrap(level: float, shape: str) -> None:
    generator = np.random.default_rng(8)
    values = {
        "right or wrong": (generator.random(150) < 0.7).astype(float),
        "skewed": generator.exponential(2.0, 80),
        "few": np.array([0.0, 1.0, 1.0, 3.0, 10.0]),
    }[shape]
    mean, low, high = bootstrap_interval(values.tolist(), level, 4000, seed=3)
    expected = own_bootstrap(values, level)
    assert mean == pytest.approx(values.mean())
    # Two runs of a few thousand resamples differ by a small share of the mean's own spread, and
    # means of zeros and ones by a whole step.
    step = 1 / len(values) if shape == "right or wrong" else 0
    tolerance = max(0.15 * values.std() / math.sqrt(len(values)), 1.01 * step)
    assert (low, high) == pytest.approx(expected, abs=tolerance)
    assert low < mean < high


def test_a_higher_level_gives_a_wider_interval() -> None:
    values = np.random.default_rng(1).normal(size=60).tolist()
    _, low, high = bootstrap_interval(values, 0.8, 2000, seed=1)
    _, lower, higher = bootstrap_interval(values, 0.99, 2000, seed=1)
    assert lower < low < high < higher


def test_the_seed_decides_the_interval() -> None:
    values = np.random.default_rng(1).normal(size=60).tolist()
    assert bootstrap_interval(values, 0.95, 500, seed=1) == bootstrap_interval(values, 0.95, 500, seed=1)
    assert bootstrap_interval(values, 0.95, 500, seed=1) != bootstrap_interval(values, 0.95, 500, seed=2)


@pytest.mark.parametrize("values", [[0.25], [1.0] * 7, [0.1] * 10, [0.5, math.nan]])
def test_a_constant_sample_has_its_mean_as_both_ends(values: list[float]) -> None:
    mean, low, high = bootstrap_interval(values, 0.95, 500, seed=1)
    assert mean == low == high == pytest.approx(values[0])


@pytest.mark.parametrize("values", [[], [math.nan], [math.nan, math.nan]])
def test_an_empty_sample_has_no_interval(values: list[float]) -> None:
    found = bootstrap_interval(values, 0.95, 500, seed=1)
    assert len(found) == 3
    assert all(math.isnan(number) for number in found)


def test_missing_values_are_left_out() -> None:
    values = [1.0, 2.0, 3.0, 7.0]
    holes = [math.nan, 1.0, 2.0, math.nan, 3.0, 7.0]
    assert bootstrap_interval(holes, 0.9, 500, seed=4) == bootstrap_interval(values, 0.9, 500, seed=4)
