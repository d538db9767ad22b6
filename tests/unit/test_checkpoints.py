"""Training that is killed or asked to end goes on from its last whole checkpoint and makes the undisturbed model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from training_data import pair_rows, seed_rows

from cream.checkpoints import Checkpoints
from cream.digests import folder_digests
from cream.engines import hf_training
from cream.engines.base import Lora, ModelFiles, Optimisation
from cream.engines.hf_checkpoints import EVERY
from cream.engines.trainer import open_trainer
from cream.tables import PAIRS, SPLIT, write_table

Fault = Callable[..., object]
PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES, STEPS = 13, 120
# Dropout: its random numbers must go on, too. Four steps an epoch: kills come within one.
TRAINING = {
    "learning-rate": 1e-3,
    "epochs": STEPS // 4,
    "batch-size": 4,
    "micro-batch-size": 2,
    "warmup-ratio": 0.1,
    "weight-decay": 0.1,
    "max-grad-norm": 1.0,
    "seed": 3,
    "lora-rank": 4,
    "lora-alpha": 8,
    "lora-dropout": 0.1,
    "precision": "float32",
}


# --- The folder of checkpoints ---


def saved(folder: Path, step: int) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_bytes(bytes(range(step)))
    return checkpoint


def opened(folder: Path, identity: str = "this job") -> Checkpoints:
    found = Checkpoints(folder, identity)
    assert found.open() == folder
    return found


def test_the_last_sealed_checkpoint_counts_and_old_ones_go(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path / "work")
    assert checkpoints.latest() is None
    for step in (2, 9, 10):
        checkpoints.seal(saved(checkpoints.folder, step))
    saved(checkpoints.folder, 11)  # killed before it was whole
    assert opened(tmp_path / "work").latest() == tmp_path / "work/checkpoint-10"
    assert not (tmp_path / "work/checkpoint-2").exists()
    assert (tmp_path / "work/checkpoint-9").exists()
    checkpoints.forget()
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "seal"])
def test_a_damaged_checkpoint_is_left_out_and_said(tmp_path: Path, capsys, damage: str) -> None:
    checkpoints = opened(tmp_path / "work")
    for step in (3, 7):
        checkpoints.seal(saved(checkpoints.folder, step))
    weights, seal = (checkpoints.folder / "checkpoint-7" / name for name in ("weights", "whole.json"))
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "changed":
        weights.write_bytes(b"x" * 7)
    elif damage == "gone":
        weights.unlink()
    else:
        seal.write_text(seal.read_text()[:-5])
    assert checkpoints.latest() == checkpoints.folder / "checkpoint-3"
    assert "checkpoint-7 was cut short or changed: left out" in capsys.readouterr().out


def test_another_jobs_checkpoints_are_not_used(tmp_path: Path, capsys) -> None:
    first = opened(tmp_path / "work", "learning rate 1")
    first.seal(saved(first.folder, 3))
    assert Checkpoints(tmp_path / "work", "learning rate 2").latest() is None
    assert opened(tmp_path / "work", "learning rate 2").latest() is None
    assert "of other settings" in capsys.readouterr().out
    assert not (tmp_path / "work/checkpoint-3").exists()


def test_without_a_folder_there_are_none() -> None:
    assert Checkpoints().open() is None
    assert Checkpoints().latest() is None


# --- All weights, in this process ---


class Cut(Exception):
    """The end of a training, somewhere in the middle."""


def test_training_of_all_weights_goes_on(tiny_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m0 = ModelFiles(tiny_assets / "model", tiny_assets / "model")
    optimisation = Optimisation(1e-3, 5, 4, 2, 0.1, 0.1, 1.0, 3)
    examples = [(row["prompt_ids"], row["target_ids"]) for row in seed_rows(EXAMPLES)]

    def train(out: str, checkpoints: Checkpoints) -> list[dict]:
        trainer = open_trainer("transformers", m0, "float32")
        return trainer.finetune(examples, optimisation, Lora(0, 1, 0.0), tmp_path / out, checkpoints)

    calm = train("calm", Checkpoints())
    monkeypatch.setenv(EVERY, "0")
    work = Checkpoints(tmp_path / "work", "x")

    def cut(self, args, state, control, **kwargs):
        if state.global_step == 10:
            raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(hf_training.ProgressLine, "on_log", cut)
        train("cut", work)
    assert work.latest().name == "checkpoint-9"
    again = train("again", work)
    assert folder_digests(tmp_path / "again") == folder_digests(tmp_path / "calm")
    assert [step["loss"] for step in again] == [step["loss"] for step in calm]


# --- The scripts, killed ---


def command(script: str, *words: object, **flags: object) -> list[str]:
    named = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    settings = [f"--{name}={value}" for name, value in TRAINING.items() if name.replace("-", "_") not in flags]
    return [*map(str, words), f"scripts/{script}.py", *settings, *named]


@pytest.fixture(scope="module")
def sft(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Flags of a fine-tuning of M0."""
    table = tmp_path_factory.mktemp("split") / "sft.parquet"
    write_table(pd.DataFrame(seed_rows(EXAMPLES)), SPLIT, table)
    return {"split": table, "start": tiny_assets / "model", "base": tiny_assets / "model"}


@pytest.fixture(scope="module")
def m1(sft: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter of an undisturbed fine-tuning."""
    out = tmp_path_factory.mktemp("calm") / "model"
    end(run(command("train_sft", sys.executable, **sft, model=out)))
    return out


@pytest.fixture(scope="module")
def preferences(m1: Path, tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Flags of a preference training of M1."""
    base = tiny_assets / "model"
    table = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    write_table(pd.DataFrame(pair_rows(ModelFiles(m1, base), EXAMPLES)), PAIRS, table)
    return {"pairs": table, "start": m1, "base": base, "type": "cream", "beta": 0.1, "max_epsilon": 0.45}


def run(command: list[str], **environment: str) -> subprocess.Popen[str]:
    # The processes of a launcher are a group, as a cluster's job is one.
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], expected: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=600)  # longer than any load makes it: what hangs must end, too
    assert process.returncode == expected, out[-2000:] + err[-2000:]
    return out, err


def line_of(process: subprocess.Popen[str], start: str) -> None:
    """Wait for a line that starts so."""
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"ended before {start!r}: {process.stderr.read()[-2000:]}")


def test_killed_fine_tuning_goes_on_from_the_last_whole_checkpoint(
    sft: dict, m1: Path, tmp_path: Path, fault: Fault
) -> None:
    with fault(
        "SIGKILL of a training, its last checkpoint cut short",
        "killed behind a checkpoint, whose weights were then cut",
        "went on from the checkpoint before; same model and losses",
    ):
        training = command("train_sft", sys.executable, **sft, model=tmp_path / "model")
        work = tmp_path / ".model.checkpoints"
        process = run(training, **{EVERY: "0"})
        line_of(process, "checkpoint after step 6")
        os.kill(process.pid, signal.SIGKILL)
        end(process, -signal.SIGKILL)
        assert not (tmp_path / "model").exists()
        # And the last whole one is cut short afterwards.
        *_, before, last = sorted(
            (int(path.parent.name.split("-")[1]), path.parent) for path in work.glob("*/whole.json")
        )
        weights = last[1] / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])

        out, _ = end(run(training))
        assert f"{last[1]} was cut short or changed: left out" in out
        assert f"going on from {before[1]}" in out
        assert f"step {before[0] + 1}/{STEPS}" in out and f"step {before[0]}/" not in out
        assert folder_digests(tmp_path / "model") == folder_digests(m1)
        mine, calm = (
            json.loads((path / "model.record.json").read_text())["observed"] for path in (tmp_path, m1.parent)
        )
        assert mine.pop("continues_an_earlier_try") is True
        assert losses(mine["steps"]) == losses(calm["steps"]) and len(calm["steps"]) == STEPS
        # Neither checkpoints, nor a lease, nor what the killed one was writing.
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.json", "model.record.json"]


def losses(steps: list[dict]) -> list[float]:
    return [step["loss"] for step in steps]


LAUNCHER = [shutil.which("accelerate", path=Path(sys.executable).parent), "launch", "--multi_gpu"]
LAUNCHER += ["--num_machines=1", "--num_processes=2", "--main_process_port=0"]
LAUNCHER += ["--mixed_precision=no", "--dynamo_backend=no"]


@pytest.mark.parametrize(("processes", "status"), [(1, 128 + signal.SIGTERM), (2, 1)])
def test_preference_training_asked_to_end_saves_and_goes_on(
    preferences: dict, tmp_path: Path, processes: int, status: int, fault: Fault
) -> None:
    with fault(
        "SIGTERM to a training",
        "one process, and two by `accelerate launch`",
        "checkpoint behind the running step; went on from it; same model, byte for byte",
    ):
        launcher = LAUNCHER if processes == 2 else [sys.executable]
        shared = {**preferences, "epochs": 5, "micro_batch_size": 2 // processes}
        calm, stopped = (tmp_path / name / "model" for name in ("calm", "stopped"))
        end(run(command("train_policy", *launcher, **shared, model=calm)))
        training = command("train_policy", *launcher, **shared, model=stopped)
        process = run(training)
        line_of(process, "step 6/20")
        asked = time.monotonic()
        os.killpg(process.pid, signal.SIGTERM)
        _, err = end(process, status)
        assert time.monotonic() - asked < 60
        assert "asked to end (SIGTERM): run it again and it goes on from what it had finished" in err
        (checkpoint,) = stopped.parent.glob(".model.checkpoints/checkpoint-*")
        assert not stopped.with_name(".model.lease").exists()
        out, _ = end(run(training))
        assert f"going on from {checkpoint}" in out
        assert folder_digests(stopped) == folder_digests(calm)
