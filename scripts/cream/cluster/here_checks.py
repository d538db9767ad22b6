"""What can be looked at where Snakemake runs: the environment, the study's files, room on the disk."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from cream.cluster.findings import Finding, bytes_of, ok, skipped, wrong
from cream.cluster.needs import TRAINING
from cream.cluster.space import study_bytes
from cream.cluster.study import PROJECT

NAMED = ("snakemake", "snakemake-executor-plugin-slurm")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")


def check_environment(config: Mapping) -> Finding:
    """Every package of the lock at its version: what was measured and tested was that."""
    lock = PROJECT / "envs" / f"{config['compute']['platform']}.lock"
    pinned = dict(
        found.groups() for line in lock.read_text(encoding="utf-8").splitlines() if (found := _PIN.match(line))
    )
    other = [
        f"{name} is {found or 'not installed'} (pinned: {version})"
        for name, version in pinned.items()
        if _public(found := _installed(name)) != _public(version)
    ]
    again = f"make the environment again (make env PLATFORM={config['compute']['platform']})"
    if other:
        # Those that Snakemake and SLURM meet in first.
        other.sort(key=lambda said: not said.startswith(tuple(f"{name} " for name in NAMED)))
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        return wrong("environment", f"not as envs/{lock.name} has it: {', '.join(other[:3])}{more}: {again}")
    versions = ", ".join(f"{name} {pinned[name]}" for name in NAMED)
    return ok("environment", f"{versions} and {len(pinned) - len(NAMED)} more packages as in envs/{lock.name}")


def check_launcher(config: Mapping) -> Finding:
    """What starts a training of several processes (rules/common.smk)."""
    most = max(config["compute"]["processes"][kind] for kind in TRAINING)
    if most == 1:
        return ok("launcher", "python: every training has one process")
    if not (Path(sys.executable).parent / "accelerate").is_file():
        return wrong(
            "launcher",
            f"accelerate isn't beside {sys.executable}, and a training has {most} processes: make the "
            "environment again (make env)",
        )
    return ok("launcher", f"accelerate {_installed('accelerate')}, for trainings of {most} processes")


def check_space(config: Mapping, results: Path) -> Finding:
    needed = study_bytes(config)
    try:
        free = shutil.disk_usage(results if results.exists() else results.absolute().parent).free
    except OSError as problem:
        return skipped("space", f"{results} can't be asked for its room ({problem.strerror})")
    estimate = f"the study takes about {bytes_of(needed.at_end)}, {bytes_of(needed.at_most)} at most on the way"
    if free < needed.at_most:
        largest = max(needed.stays | needed.passes, key=(needed.stays | needed.passes).get)
        return wrong(
            "space",
            f"results/ has {bytes_of(free)} free, {estimate} (most of it {largest}): make room, or let results/ be a "
            "link to a larger file system that the nodes share",
        )
    return ok("space", f"results/ has {bytes_of(free)} free, {estimate}")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _public(version: str | None) -> str | None:
    """Without what names the build, as 2.13.0+cpu does."""
    return version.partition("+")[0] if version else None
