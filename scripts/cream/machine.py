"""Where a job ran: host, processor, GPUs and their driver, SLURM job and node; and from which state of the project."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from cream.digests import file_digest

PROJECT = Path(__file__).resolve().parents[2]


def machine(uses_gpus: bool) -> dict:
    """Facts of this machine for a record. GPUs are asked for only where the job used some."""
    return {
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "cpu": _cpu_model(),
        "gpus": _gpus() if uses_gpus else [],
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "slurm_node": os.environ.get("SLURMD_NODENAME"),
    }


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _gpus() -> list[dict]:
    """Name, UUID, driver and memory (MB) of every GPU that this job sees, from NVIDIA's own command."""
    asked = ("index", "name", "uuid", "driver_version", "memory.total")
    lines = _said("nvidia-smi", f"--query-gpu={','.join(asked)}", "--format=csv,noheader,nounits") or ""
    found = [dict(zip(asked, map(str.strip, line.split(",")), strict=False)) for line in lines.splitlines()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    named = visible.split(",")
    return [
        gpu for gpu in found if gpu["index"] in named or any(gpu["uuid"].startswith(name) for name in named if name)
    ]


def used_gpus(gpus: int | None) -> bool:
    """Whether the job that ends now was promised GPUs or its PyTorch found some."""
    torch = sys.modules.get("torch")
    return bool(gpus) or (torch is not None and torch.cuda.is_available())


def git_state() -> dict:
    """`commit` of the project's folder, and `dirty`: whether tracked files differ from it. None where git can't say."""
    said = _said("git", "-C", str(PROJECT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    if said is None:
        return {"commit": None, "dirty": None}
    return {"commit": said.removesuffix("-dirty"), "dirty": said.endswith("-dirty")}


def lock_state(packages: dict[str, str]) -> dict:
    """The lock of this environment: `file`, `sha256`, and `differs`, the packages used whose installed version isn't
    the one it pins. All None where the environment wasn't made by `make env`."""
    made = sorted(Path(sys.prefix).glob("made-from-*-lock"))
    lock = PROJECT / "envs" / f"{made[0].name.removeprefix('made-from-').removesuffix('-lock')}.lock" if made else None
    if lock is None or not lock.is_file():
        return {"file": None, "sha256": None, "differs": None}
    pins = locked(lock)
    differs = {name: version for name, version in packages.items() if pins.get(name) != version}
    return {"file": f"envs/{lock.name}", "sha256": file_digest(lock), "differs": differs}


def locked(lock: Path) -> dict[str, str]:
    """Package → version, as a lock file pins them."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    pins = [line.split()[0].partition("==") for line in lines if line[:1].isalnum() and "==" in line]
    return {name.lower(): version for name, _, version in pins}


def _said(*command: str) -> str | None:
    """What a command prints, without its last line end; None where it isn't there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
