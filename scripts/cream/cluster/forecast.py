"""What a plan will cost: GPU and processor hours by stage, and wall time at a width."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from cream.cluster.jobs import Job
from cream.cluster.schedule import Task, longest_chain, wall_seconds
from cream.errors import UserError
from cream.report.cost import OTHER, STAGES, stage_of

# Seconds that pass from the end of a SLURM job until Snakemake looks again and sees it: the median of 18 jobs of
# the tests' study under slurm/profile.yaml. What SLURM adds before is in `cluster.start_seconds`.
SLURM_SECONDS = 7


def by_stage(jobs: Sequence[Job]) -> pd.DataFrame:
    """One row a stage that has jobs, all of them in the last.

    Columns: stage, jobs, submitted (those that go to SLURM), gpus (most of one job), gpu_hours, core_hours,
    longest (seconds), memory_mb (largest request, NaN where none is made).
    """
    frame = pd.DataFrame(
        {
            "stage": [stage_of(job.rule) for job in jobs],
            "submitted": [not job.local for job in jobs],
            "gpus": [job.gpus for job in jobs],
            "gpu_hours": [job.gpus * job.seconds / 3600 for job in jobs],
            "core_hours": [job.threads * job.seconds / 3600 for job in jobs],
            "seconds": [job.seconds for job in jobs],
            "memory_mb": pd.array([job.memory_mb for job in jobs], dtype="Float64"),
        }
    )
    rows = [
        {"stage": stage, **_sums(frame[frame["stage"] == stage])}
        for stage in [*STAGES, OTHER]
        if (frame["stage"] == stage).any()
    ]
    return pd.DataFrame([*rows, {"stage": "all", **_sums(frame)}])


def _sums(jobs: pd.DataFrame) -> dict:
    sums = jobs[["submitted", "gpu_hours", "core_hours"]].sum()
    most = jobs[["gpus", "memory_mb"]].max()
    return {"jobs": len(jobs), **sums, **most, "longest": jobs["seconds"].max()}


def uses_gpus(jobs: Sequence[Job]) -> bool:
    return any(job.gpus for job in jobs)


def on_cluster(jobs: Sequence[Job], width: int | None) -> tuple[float, float]:
    """Seconds until the last job ends and the share of the width's time that is used, with `width` GPUs at a
    time where the study uses GPUs, else `width` jobs; None: as many as can be used, for which the share is NaN.

    Jobs without a GPU in a study on GPUs aren't limited. Tables share the cores of this machine.
    Raises `UserError` for a width that a job doesn't fit into.
    """
    gpus = uses_gpus(jobs)
    widest = max((job for job in jobs if not job.local), key=lambda job: job.gpus, default=None)
    if gpus and width is not None and width < widest.gpus:
        raise UserError(f"--width {width}: a job of {widest.rule} takes {widest.gpus} GPUs; give at least as many")
    here = os.cpu_count() or 1
    tasks = [_cluster_task(job, gpus, width is None, here) for job in jobs]
    if not tasks:
        return 0.0, float("nan")
    wall = wall_seconds(tasks, {"here": here, "cluster": width or 0})
    used = sum(job.seconds * task.weight for job, task in zip(jobs, tasks, strict=True) if task.pool == "cluster")
    return wall, used / (width * wall) if width else float("nan")


def on_this_machine(jobs: Sequence[Job], cores: int) -> tuple[float, float]:
    """The same for `snakemake --cores N`: all jobs share the cores, and none waits for SLURM."""
    tasks = [Task(job.seconds, job.after, "here", min(job.threads, cores), job.priority) for job in jobs]
    wall = wall_seconds(tasks, {"here": cores})
    return wall, sum(task.seconds * task.weight for task in tasks) / (cores * wall) if wall else float("nan")


def shortest(jobs: Sequence[Job], cluster: bool) -> float:
    """Seconds of the longest chain of jobs that wait for each other: no width is faster."""
    return longest_chain([Task(_seconds(job, cluster), job.after) for job in jobs])


def _cluster_task(job: Job, gpus: bool, unlimited: bool, here: int) -> Task:
    seconds = _seconds(job, True)
    if job.local:
        return Task(seconds, job.after, "here", min(job.threads, here), job.priority)
    limited = not unlimited and (job.gpus > 0 or not gpus)
    return Task(seconds, job.after, "cluster" if limited else None, max(job.gpus, 1), job.priority)


def _seconds(job: Job, cluster: bool) -> int:
    return job.seconds + SLURM_SECONDS if cluster and not job.local else job.seconds
