"""Disks that are full or read-only, and quotas: one sentence that names the place, no half file under a final
name, and what was finished is used when there is room again. On a real small disk, where root may mount one."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiny

from cream.engines.hf_checkpoints import EVERY
from cream.tables import POOL, read_table, write_table

Fault = Callable[..., object]
PROJECT = Path(__file__).resolve().parents[2]


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory, tiny_assets: Path) -> Path:
    """Encoded questions: prompts to answer and targets to learn."""
    folder = tmp_path_factory.mktemp("split")
    rows = [
        {**row, "item_id": f"colours-{at:03}", "task": "colours", "kind": "choice"}
        for at, row in enumerate(tiny.questions(40))
    ]
    write_table(pd.DataFrame(rows), POOL, folder / "pool.parquet")
    flags = {"pools": folder / "pool.parquet", "model": tiny_assets / "model", "split": folder / "split.parquet"}
    done = subprocess.run([*script("encode_split", **flags), "--slices", "colours=0:40"], capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder / "split.parquet"


def script(name: str, **flags: object) -> list[str]:
    words = [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
    return [sys.executable, str(PROJECT / f"scripts/{name}.py"), *words]


def sampling(split: Path, model: Path, to: Path, responses: int = 8) -> list[str]:
    flags = {"prompts": split, "model": model, "base": model, "samples": to, "responses": responses}
    flags |= {"temperature": 1.3, "top_p": 0.95, "max_new_tokens": 40, "prompts_per_batch": 4, "seed": 1}
    return script("sample_responses", **flags, iteration=1, precision="float32")


def finetuning(split: Path, model: Path, to: Path) -> list[str]:
    flags = {"split": split, "start": model, "base": model, "model": to, "learning_rate": 0.01, "epochs": 1}
    flags |= {"batch_size": 8, "micro_batch_size": 8, "warmup_ratio": 0, "weight_decay": 0, "max_grad_norm": 1}
    return script("train_sft", **flags, seed=1, lora_rank=0, lora_alpha=1, lora_dropout=0, precision="float32")


def refused(command: list[str], **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return line


def in_sight(folder: Path) -> list[str]:
    """Everything but what lies hidden, unfinished, for the next try."""
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def test_a_full_disk_while_sampling(split: Path, tiny_assets: Path, small_disk: Path, fault: Fault) -> None:
    with fault(
        "disk full while sampling",
        "a disk of 64 KB, made larger afterwards",
        "one sentence; no table under its name; finished parts used again",
    ):
        command = sampling(split, tiny_assets / "model", small_disk / "samples.parquet")
        (small_disk / "filling").write_bytes(bytes(40_000))
        assert "No space left on device: make room" in refused(command)
        assert in_sight(small_disk) == ["filling"]
        (small_disk / "filling").unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        again = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "going on where an earlier try stopped" in again.stdout
        assert in_sight(small_disk) == ["samples.parquet", "samples.parquet.record.json"]


@pytest.mark.parametrize("seconds", ["0", "300"], ids=["at a checkpoint", "at the end"])
def test_a_full_disk_while_training(
    split: Path, tiny_assets: Path, small_disk: Path, seconds: str, fault: Fault
) -> None:
    with fault(
        "disk full while training",
        "a disk of 64 KB, at a checkpoint and at the end",
        "one sentence; no model under its name",
    ):
        command = finetuning(split, tiny_assets / "model", small_disk / "model")
        line = refused(command, env={**os.environ, EVERY: seconds})
        assert line.startswith(f"error: {small_disk}") and "No space left on device: make room" in line
        assert in_sight(small_disk) == []


def test_a_file_that_may_not_grow(split: Path, tiny_assets: Path, tmp_path: Path, fault: Fault) -> None:
    """As at the end of a quota."""
    with fault(
        "quota",
        "files of at most 20 KB",
        "one sentence; no table under its name",
    ):
        samples = tmp_path / "samples.parquet"
        line = refused(
            sampling(split, tiny_assets / "model", samples),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        )
        assert line.startswith(f"error: {tmp_path}") and "File too large" in line
        assert in_sight(tmp_path) == []


def test_a_disk_that_became_read_only(split: Path, tiny_assets: Path, small_disk: Path, fault: Fault) -> None:
    with fault(
        "results read-only",
        "the disk mounted again, read-only",
        "one sentence, before any work",
    ):
        mount("-o", "remount,ro", str(small_disk))
        line = refused(sampling(split, tiny_assets / "model", small_disk / "samples.parquet"))
        assert line == f"error: {small_disk} is not writable: change its rights or choose another folder"


def test_scratch_deleted_while_a_job_runs(split: Path, tiny_assets: Path, tmp_path: Path, fault: Fault) -> None:
    """The table is whole in the end: what was finished is in memory, too."""
    with fault(
        "scratch deleted",
        "`results/scratch` removed while a job sampled",
        "the job ended well, its table whole",
    ):
        samples = tmp_path / "results/samples.parquet"
        process = subprocess.Popen(sampling(split, tiny_assets / "model", samples), stderr=subprocess.PIPE, text=True)
        scratch = tmp_path / "results/scratch"
        kept = scratch / "samples.parquet.jsonl"
        while process.poll() is None and not kept.exists():
            time.sleep(0.01)
        assert process.poll() is None
        subprocess.run(["rm", "-rf", str(scratch)], check=True)
        assert process.wait() == 0, process.stderr.read()
        assert len(read_table_of_samples(samples)) == 40 * 8


def read_table_of_samples(path: Path) -> pd.DataFrame:
    from cream.tables import SAMPLES

    return read_table(path, SAMPLES)
