"""How a site's SLURM is to be used: from slurm/profile.yaml, or from Snakemake, which has read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cream.errors import UserError

PROFILE = Path("slurm/profile.yaml")


@dataclass(frozen=True)
class Site:
    """Values of a profile; None where it leaves the choice to SLURM or the plugin."""

    slurm_partition: str | None = None
    gpu_partition: str | None = None
    gpu_request: str = "gpus"
    slurm_account: str | None = None
    retries: int = 0
    latency_wait: float = 5
    status_command: str | None = None

    @property
    def attempts(self) -> int:
        return 1 + self.retries

    @property
    def gpu_kind(self) -> str | None:
        return self.gpu_request.partition(":")[2] or None

    def partition_of(self, gpus: int) -> str | None:
        return self.gpu_partition or self.slurm_partition if gpus else self.slurm_partition

    def gpu_flags(self, gpus: int) -> list[str]:
        """How jobs of this site ask for GPUs (rules/resources.smk), as sbatch and srun have it."""
        way, _, kind = self.gpu_request.partition(":")
        asked = f"{kind}:{gpus}" if kind else str(gpus)
        return [] if not gpus else [f"--gres=gpu:{asked}"] if way == "gres" else [f"--gpus={asked}"]


def site_of_profile(file: Path) -> Site:
    """Raises `UserError` for a profile that isn't there or isn't YAML with keys."""
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UserError(f"{file} can't be read ({problem.strerror}): name the folder of a profile") from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise UserError(f"{file} is not YAML: {' '.join(str(problem).split())}") from problem
    if not isinstance(found, dict):
        raise UserError(f"{file} has no keys: it is not a profile of Snakemake")
    resources = found.get("default-resources") or {}
    if isinstance(resources, list):
        resources = dict(str(item).partition("=")[::2] for item in resources)
    others = {
        "retries": found.get("retries"),
        "latency_wait": found.get("latency-wait"),
        "status_command": found.get("slurm-status-command"),
    }
    return site_of({**resources, **others}, str(file))


def site_of_json(text: str) -> Site:
    try:
        found = json.loads(text)
    except ValueError as problem:
        raise UserError(f"--site is not JSON: {problem}") from problem
    return site_of(found, "--site")


def site_of(values: Mapping, where: str) -> Site:
    """What there is of the values that matter here, the others left out."""
    kinds = {"retries": int, "latency_wait": float}
    chosen = {key: values[key] for key in Site.__dataclass_fields__ if values.get(key) is not None}
    try:
        return Site(**{key: kinds.get(key, str)(value) for key, value in chosen.items()})
    except ValueError as problem:
        raise UserError(f"{where}: retries and latency-wait are numbers ({problem})") from problem
