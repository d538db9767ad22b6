"""What plan.py prints before a study runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml
from rich.console import Console

from cream.cluster.forecast import (
    SLURM_SECONDS,
    by_stage,
    on_cluster,
    on_this_machine,
    shortest,
    uses_gpus,
)
from cream.cluster.jobs import TABLE_SECONDS, Plan
from cream.cluster.show import Column, count, duration, hours, megabytes, share, show_notes, show_table, size, text
from cream.cluster.space import study_bytes

WIDTHS = (1, 4, 16, 64)


def show_forecast(plan: Plan, settings: argparse.Namespace) -> None:
    """Print tables of stages and of wall time, and how they were estimated."""
    console = Console(highlight=False)
    name = ", ".join(["config.yaml", *map(str, settings.studies)])
    if not plan.jobs:
        console.print(f"Nothing is left to do of {name}: --all counts all jobs, --after what they took.", markup=False)
        return
    title = f"{'All jobs' if settings.all else 'What is left to do'} of {name}"
    show_table(console, by_stage(plan.jobs), _columns(plan), title)
    unit = "cores" if settings.cores else "GPUs" if uses_gpus(plan.jobs) else "jobs"
    walls = _walls(plan, settings)
    show_table(
        console,
        walls,
        [(f"{unit} at a time", "places", text), ("wall time", "wall", duration), ("used", "used", share)],
        "Wall time",
    )
    show_notes(console, [_disk(plan), *_notes(plan, settings)])


def _columns(plan: Plan) -> list[Column]:
    gpus: list[Column] = [("GPUs", "gpus", count), ("GPU h", "gpu_hours", hours)] if uses_gpus(plan.jobs) else []
    return [
        ("stage", "stage", text),
        ("jobs", "jobs", count),
        *gpus,
        ("core h", "core_hours", hours),
        ("longest", "longest", duration),
        ("memory", "memory_mb", megabytes),
    ]


def _walls(plan: Plan, settings: argparse.Namespace) -> pd.DataFrame:
    if settings.cores:
        rows = [(str(settings.cores), *on_this_machine(plan.jobs, settings.cores))]
    else:
        most = max(job.gpus for job in plan.jobs)
        widths = [settings.width] if settings.width else [width for width in WIDTHS if width >= most]
        rows = [(str(width), *on_cluster(plan.jobs, width)) for width in widths]
    rows.append(("at least", shortest(plan.jobs, not settings.cores), float("nan")))
    return pd.DataFrame(rows, columns=["places", "wall", "used"])


def _disk(plan: Plan) -> str:
    space = study_bytes(plan.config)
    return (
        f"Disk: results/ takes up to {size(space.at_end)} in the end and {size(space.at_most)} on the way, exports "
        "not counted."
    )


def _notes(plan: Plan, settings: argparse.Namespace) -> list[str]:
    cluster, tables = plan.config["cluster"], sum(not job.rated for job in plan.jobs)
    margin = cluster["margin"]
    notes = [
        f"Seconds are the study's tokens, all texts as long as they may be, times the models' parameters, at the "
        f"rates of section cluster of {_source(settings.studies)} (docs/slurm.md says where they come from; --rates "
        "makes them from a run of yours). Prompts aren't counted. Each job's start is: "
        f"{cluster['start_seconds']} s.",
        f"{tables} jobs that make tables count {TABLE_SECONDS} s each, whatever the study's size.",
    ]
    if settings.cores:
        notes.append("Wall time: ready jobs in Snakemake's order of priority; tables take cores as well.")
    else:
        submitted = sum(not job.local for job in plan.jobs)
        notes.append(
            f"Wall time: ready jobs in Snakemake's order of priority, {submitted} of them by SLURM, each seen "
            f"{SLURM_SECONDS} s after its end; tables on this machine's {os.cpu_count()} cores. Waiting in the queue "
            "and failed jobs aren't in it."
        )
    notes.append(
        f"{'GPUs and memory are' if uses_gpus(plan.jobs) else 'Memory is'} what the largest job asks SLURM for, memory "
        f"being {margin['memory']:g} times its estimate; time limits are {margin['time']:g} times theirs."
    )
    if not settings.all:
        notes.append("Jobs whose results are there aren't counted: --all counts them.")
    return notes


def _source(studies: Sequence[Path]) -> str:
    """The last file that has rates of its own, and what it is laid over."""
    own = [str(file) for file in studies if (yaml.safe_load(file.read_text()) or {}).get("cluster", {}).get("seconds")]
    return ", ".join(["config.yaml", *own])
