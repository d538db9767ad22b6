"""What a record tells of the machine, the project's commit and the lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cream import machine

# NVIDIA's command as it answers on a machine with two GPUs; no GPU is needed to read its words.
ANSWER = """#!/bin/sh
[ "$1" = "--query-gpu=index,name,uuid,driver_version,memory.total" ] || exit 2
echo "0, NVIDIA A100-SXM4-80GB, GPU-aaaa1111, 550.54.15, 81920"
echo "1, NVIDIA A100-SXM4-80GB, GPU-bbbb2222, 550.54.15, 81920"
"""


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(ANSWER)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("visible", "seen"),
    [(None, ["0", "1"]), ("1", ["1"]), ("GPU-aaaa", ["0"]), ("GPU-bbbb2222,GPU-aaaa1111", ["0", "1"]), ("", [])],
)
def test_the_gpus_that_a_job_sees(gpus: None, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: list) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = machine.machine(uses_gpus=True)["gpus"]
    assert [gpu["index"] for gpu in found] == seen
    assert all(gpu["driver_version"] == "550.54.15" and gpu["memory.total"] == "81920" for gpu in found)


def test_no_gpu_is_asked_for_where_none_is_used(gpus: None) -> None:
    assert machine.machine(uses_gpus=False)["gpus"] == []


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROJECT", tmp_path)
    assert machine.git_state() == {"commit": None, "dirty": None}
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "a")
    git(tmp_path, "tag", "-m", "v", "v1.0")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert machine.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "b").write_text("untracked")
    assert machine.git_state()["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert machine.git_state() == {"commit": commit, "dirty": True}


def test_packages_that_are_not_the_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROJECT", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert machine.lock_state({"a": "1"}) == {"file": None, "sha256": None, "differs": None}
    (tmp_path / "made-from-cpu-lock").touch()
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/cpu.lock").write_text("a==1.0 \\\n    --hash=sha256:00\n    # via b\nb-c==2.0+cpu ; x \\\n")
    state = machine.lock_state({"a": "1.1", "b-c": "2.0+cpu", "d": "3"})
    assert state["file"] == "envs/cpu.lock" and state["differs"] == {"a": "1.1", "d": "3"}
