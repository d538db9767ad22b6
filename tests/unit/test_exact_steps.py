"""Optimiser steps: their learning rates, their examples, and that two processes take the same as one."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from training_data import pair_rows, seed_rows

from cream.engines.base import ModelFiles
from cream.engines.exact_steps import ShuffledThenFill, filled, warm_up_then_cosine
from cream.tables import PAIRS, SPLIT, read_table, write_table

PROJECT = Path(__file__).resolve().parents[2]

# --- The learning rate ---


@given(steps=st.integers(1, 400), warmup_ratio=st.floats(0, 0.99))
def test_the_learning_rate_goes_up_to_the_peak_then_down_and_is_never_zero(steps: int, warmup_ratio: float) -> None:
    shares = [warm_up_then_cosine(step, steps, warmup_ratio) for step in range(steps)]
    assert min(shares) > 0
    assert max(shares) == 1
    peak = shares.index(1)
    assert peak == math.floor(warmup_ratio * steps)
    assert shares[: peak + 1] == sorted(set(shares[: peak + 1]))
    assert shares[peak:] == sorted(set(shares[peak:]), reverse=True)


@given(warmup_ratio=st.floats(0, 0.99))
def test_a_single_step_has_the_peak(warmup_ratio: float) -> None:
    assert warm_up_then_cosine(0, 1, warmup_ratio) == 1


def test_the_learning_rate_worked_out_by_hand() -> None:
    found = [warm_up_then_cosine(step, 8, 0.25) for step in range(8)]
    # Thirds up to the peak at the third step, then cos² of 0°, 15°, … 75°.
    assert found == pytest.approx([1 / 3, 2 / 3, *(math.cos(math.radians(15 * k)) ** 2 for k in range(6))])


def test_after_the_last_step_nothing_is_left() -> None:
    """The scheduler asks once more after the last step."""
    assert warm_up_then_cosine(8, 8, 0.25) == pytest.approx(0, abs=1e-15)


# --- The examples ---


@given(count=st.integers(1, 40), width=st.integers(1, 12))
def test_filling_comes_last_and_makes_whole_micro_batches(count: int, width: int) -> None:
    rows = [{"name": number} for number in range(count)]
    found = filled(rows, width)
    assert len(found) % width == 0 and len(found) - count < width
    assert found[:count] == [{**row, "real": 1.0} for row in rows]
    assert all(row["real"] == 0.0 and row["name"] in range(count) for row in found[count:])
    assert rows == [{"name": number} for number in range(count)]


@given(real=st.integers(1, 40), filling=st.integers(0, 12), seed=st.integers(0, 2**31), epoch=st.integers(0, 9))
def test_every_epoch_has_every_real_example_once_and_the_filling_last(
    real: int, filling: int, seed: int, epoch: int
) -> None:
    sampler = ShuffledThenFill(real, real + filling, seed)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert len(sampler) == len(order) == real + filling
    assert sorted(order[:real]) == list(range(real))
    assert order[real:] == list(range(real, real + filling))
    assert list(sampler) == order


def orders(seed: int, epochs: int) -> list[list[int]]:
    sampler = ShuffledThenFill(30, 32, seed)
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found.append(list(sampler))
    return found


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    torch.manual_seed(1)
    first = orders(3, 4)
    torch.manual_seed(2)
    assert orders(3, 4) == first
    assert len({tuple(order) for order in first}) == 4


def test_neighbouring_seeds_share_no_order() -> None:
    """Seeds 1, 2, 3 of a study are repeats of an experiment: each has orders of its own."""
    found = [tuple(order) for seed in (1, 2, 3) for order in orders(seed, 4)]
    assert len(set(found)) == len(found)


# --- Two processes, one process: the real scripts ---

# One process takes one example at a time, so it needs no filling. Two take 2 each at a time: of the last
# step's 5 examples they get 2 and 2, then 1 and none.
MICRO_BATCH = {1: 1, 2: 2}
EXAMPLES, STEPS = 13, 4
TRAINING = {
    "learning-rate": 1e-3,
    "epochs": 2,
    "batch-size": 8,
    "warmup-ratio": 0.1,
    "weight-decay": 0.01,
    "max-grad-norm": 0.1,
    "lora-rank": 4,
    "lora-alpha": 8,
    "lora-dropout": 0,
    "precision": "float32",
    "threads": 1,
}
# Processes add the same float32 numbers up in another order: an error of 1e-7 of a gradient, of which Adam
# makes more where the gradient is small. Both bounds are far below what one pair's weight does
# (`test_one_weight_more_or_less_would_show`); 1e-5 is a hundredth of one step.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
LOG_TOLERANCE = 1e-5  # relative


@dataclass(frozen=True)
class Trained:
    """What a run of a training script left; which processes of it wrote a log."""

    folder: Path
    ranks: list[str]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "model" / "adapter_model.safetensors")

    @property
    def steps(self) -> list[dict]:
        record = json.loads((self.folder / "model.record.json").read_text())
        return record["observed"]["steps"]


def train(folder: Path, assets: Path, stage: list[str], processes: int, seed: int = 3) -> Trained:
    """Run a training script with its own folder for temporary files."""
    logs, scratch, out = folder / "logs", folder / "scratch", folder / "out"
    for made in (logs, scratch, out):
        made.mkdir(parents=True)
    command = [sys.executable, "-u"]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command += [*launcher, "--log-dir", str(logs), "--tee", "3", "--"]
    m0 = str(assets / "model")
    flags = {**TRAINING, "seed": seed, "micro-batch-size": MICRO_BATCH[processes], "start": m0, "base": m0}
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [*command, *stage, *words, "--model", str(out / "model")],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(scratch), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert sorted(path.name for path in out.iterdir()) == ["model", "model.json", "model.record.json"]
    assert not list(scratch.iterdir())
    return Trained(out, sorted(path.parent.name for path in logs.rglob("stdout.log")))


def logged(run: Trained, name: str) -> list[float]:
    return [step[name] for step in run.steps]


@pytest.fixture(scope="module")
def train_policy(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The script and its pairs: of all lengths and weights, scored under M0."""
    rows = pair_rows(ModelFiles(tiny_assets / "model", tiny_assets / "model"), EXAMPLES)
    table = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    write_table(pd.DataFrame(rows), PAIRS, table)
    return [
        "scripts/train_policy.py",
        "--pairs",
        str(table),
        "--type",
        "cream",
        "--beta",
        "0.1",
        "--max-epsilon",
        "0.45",
    ]


@pytest.fixture(scope="module")
def train_sft(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The script and its seed data, with targets of very different lengths."""
    table = tmp_path_factory.mktemp("split") / "sft.parquet"
    write_table(pd.DataFrame(seed_rows(EXAMPLES)), SPLIT, table)
    return ["scripts/train_sft.py", "--split", str(table)]


@pytest.fixture(scope="module", params=["train_policy", "train_sft"])
def one_and_two(
    request: pytest.FixtureRequest, tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trained, Trained]:
    """The same training by one process and by two."""
    stage = request.getfixturevalue(request.param)
    one, two = (train(tmp_path_factory.mktemp(f"of{n}"), tiny_assets, stage, n) for n in (1, 2))
    assert two.ranks == ["0", "1"]
    return one, two


def test_two_processes_train_the_same_model_as_one(one_and_two: tuple[Trained, Trained]) -> None:
    one, two = one_and_two
    torch.testing.assert_close(two.weights, one.weights, **TOLERANCE)


def test_two_processes_log_the_same_steps_as_one(one_and_two: tuple[Trained, Trained]) -> None:
    one, two = one_and_two
    assert len(one.steps) == len(two.steps) == STEPS
    for name in ("loss", "grad_norm", "learning_rate"):
        assert logged(two, name) == pytest.approx(logged(one, name), rel=LOG_TOLERANCE)


@pytest.mark.parametrize("one_and_two", ["train_policy"], indirect=True)
def test_two_processes_log_the_same_weights_and_rewards_as_one(one_and_two: tuple[Trained, Trained]) -> None:
    one, two = one_and_two
    for name in ("weight", "rewards/chosen", "rewards/rejected", "rewards/margins"):
        assert logged(two, name) == pytest.approx(logged(one, name), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("one_and_two", ["train_policy"], indirect=True)
def test_one_weight_more_or_less_would_show(
    one_and_two: tuple[Trained, Trained], train_policy: list[str], tiny_assets: Path, tmp_path: Path
) -> None:
    """The comparison can fail: one pair of the thirteen a little less believed, everything else the same."""
    one, _ = one_and_two
    script, flag, table, *rest = train_policy
    pairs = read_table(Path(table), PAIRS)
    pairs.loc[6, "weight"] -= 0.05
    write_table(pairs, PAIRS, tmp_path / "pairs.parquet")
    other = train(tmp_path / "run", tiny_assets, [script, flag, str(tmp_path / "pairs.parquet"), *rest], processes=1)
    wide = {name: 10 * bound for name, bound in TOLERANCE.items()}
    assert not all(torch.allclose(other.weights[name], weights, **wide) for name, weights in one.weights.items())
    assert logged(other, "loss") != pytest.approx(logged(one, "loss"), rel=10 * LOG_TOLERANCE)
