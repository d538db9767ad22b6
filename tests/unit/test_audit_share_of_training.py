"""`audit/differences/training.py` against the weights written out in full by numpy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from cream.audit.compare import DIVERGED, WITHIN_TOLERANCE, compare
from cream.audit.differences.training import share_of_training
from cream.promises import Tolerance

LAYERS = ("layers.0.q_proj", "layers.1.up_proj")
Model = dict[str, np.ndarray]


def adapter(seed: int, rank: int = 2, size: float = 1.0) -> Model:
    """Of two layers, 5 × 7 and 7 × 5."""
    random = np.random.default_rng(seed)
    made = {}
    for layer, (rows, columns) in zip(LAYERS, ((5, 7), (7, 5)), strict=True):
        made[f"{layer}.lora_A.weight"] = random.normal(size=(rank, columns)).astype(np.float32)
        made[f"{layer}.lora_B.weight"] = (size * random.normal(size=(rows, rank))).astype(np.float32)
    return made


def whole(seed: int) -> Model:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=(4, 3)).astype(np.float32) for name in ("embed.weight", "head.weight")}


def written_out(model: Model) -> np.ndarray:
    """Every weight, an adapter's layers multiplied, in a row of doubles."""
    wide = {name: tensor.astype(np.float64) for name, tensor in model.items()}
    products = {
        name: tensor @ wide[name.replace("lora_B", "lora_A")] if "lora_B" in name else tensor
        for name, tensor in wide.items()
        if "lora_A" not in name
    }
    return np.concatenate([products[name].ravel() for name in sorted(products)])


def stored(folder: Path, *models: Model) -> list[list[Path]]:
    paths = []
    for at, model in enumerate(models):
        place = folder / str(at)
        place.mkdir(exist_ok=True)
        save_file(model, place / "model.safetensors")
        paths.append([place / "model.safetensors"])
    return paths


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds=st.tuples(*[st.integers(0, 2**32)] * 3), kind=st.sampled_from([adapter, whole]))
def test_the_share_is_that_of_the_weights_written_out(seeds: tuple[int, int, int], kind, tmp_path: Path) -> None:
    models = [kind(seed) for seed in seeds]
    ours, theirs, start = map(written_out, models)
    if seeds[1] == seeds[2] != seeds[0]:
        wanted = math.inf
    else:
        wanted = np.linalg.norm(ours - theirs) / (np.linalg.norm(theirs - start) or 1.0)
    assert share_of_training(*stored(tmp_path, *models)) == pytest.approx(wanted, rel=1e-9, abs=1e-7)


def test_an_adapter_began_at_zero_on_whole_weights(tmp_path: Path) -> None:
    ours, theirs = adapter(1), adapter(2)
    wanted = np.linalg.norm(written_out(ours) - written_out(theirs)) / np.linalg.norm(written_out(theirs))
    assert share_of_training(*stored(tmp_path, ours, theirs, whole(3))) == pytest.approx(wanted, rel=1e-9)


def test_factors_of_other_numbers_with_the_same_product_are_the_same_model(tmp_path: Path) -> None:
    theirs = adapter(1)
    ours = {name: tensor * (4 if "lora_A" in name else 0.25) for name, tensor in theirs.items()}
    assert share_of_training(*stored(tmp_path, ours, theirs, whole(3))) < 1e-12


def test_training_undone_is_seen_though_the_tensors_lie_close(tmp_path: Path) -> None:
    """B of a young adapter is tiny beside its A: all of the training is a thousandth of the tensors."""
    theirs = adapter(1, size=1e-3)
    ours = {name: tensor * ("lora_A" in name) for name, tensor in theirs.items()}
    stored(tmp_path, ours, theirs, whole(3))
    told = [tmp_path / "0", tmp_path / "1", Tolerance(tensors=0.9)]
    assert compare(*told).verdict == WITHIN_TOLERANCE
    found = compare(*told, start=tmp_path / "2")
    assert found.verdict == DIVERGED
    assert found.data["difference"]["share_of_training"] == pytest.approx(1.0)
    assert "beside what training changed that is ‖a − b‖ / ‖b − start‖ = 1" in found.said


@pytest.mark.parametrize("kind", [adapter, whole])
@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 1, 2], ids=["ours", "theirs", "start"])
def test_what_is_no_number_is_infinitely_far(kind, spoilt: float, at: int, tmp_path: Path) -> None:
    models = [kind(1), kind(2), kind(3)]
    next(iter(models[at].values()))[0, 0] = spoilt
    assert share_of_training(*stored(tmp_path, *models)) == math.inf
