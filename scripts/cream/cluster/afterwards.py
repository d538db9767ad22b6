"""What a study took, beside what was estimated of it: from the records its jobs left and SLURM's accounting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cream.audit.harmless import AUDIT_PAGE
from cream.cluster.accounting import Accounted
from cream.cluster.jobs import Job
from cream.report.cost import OTHER, STAGES, gpus, stage_of

# By SLURM's job id.
Accounts = Mapping[str, Accounted]
USE = ["stage", "gpu_hours", "core_seconds", "cpu_seconds", "memory_mb", "asked_mb"]


@dataclass(frozen=True)
class Matched:
    """Jobs of the plan with the record each left, and what has no counterpart."""

    pairs: list[tuple[Job, dict]]
    jobs_without_record: list[Job]
    records_without_job: list[dict]


def match(jobs: Sequence[Job], records: Iterable[dict]) -> Matched:
    """A record belongs to the job that makes one of its outputs. The audit page's leaves none, and counts nowhere."""
    jobs = [job for job in jobs if AUDIT_PAGE not in job.outputs]
    makers = {output: place for place, job in enumerate(jobs) for output in job.outputs}
    found: dict[int, dict] = {}
    strays = []
    for record in records:
        place = next((makers[output] for output in record["outputs"] if output in makers), None)
        if place is None or place in found:
            strays.append(record)
        else:
            found[place] = record
    pairs = [(jobs[place], record) for place, record in sorted(found.items())]
    return Matched(pairs, [job for place, job in enumerate(jobs) if place not in found], strays)


def seconds_of(record: dict, accounted: Accounts) -> float:
    """From a job's start to its end as SLURM counted it, or from the start of its Python where it did not."""
    known = accounted.get(record["slurm_job_id"])
    return known.seconds if known else sum(record["phases"].values())


def estimates(pairs: Sequence[tuple[Job, dict]], accounted: Accounts) -> pd.DataFrame:
    """Estimated and actual seconds, a row a stage and all in the last.

    Columns: stage, jobs, estimated_median and actual_median (of one job), estimated and actual (sums), ratio
    (actual seconds for one that was estimated).
    """
    frame = pd.DataFrame(
        [
            {"stage": stage_of(job.rule), "estimated": job.seconds, "actual": seconds_of(record, accounted)}
            for job, record in pairs
        ],
        columns=["stage", "estimated", "actual"],
    )
    return _stages(frame, _compared)


def _compared(jobs: pd.DataFrame) -> dict:
    estimated, actual = jobs["estimated"].sum(), jobs["actual"].sum()
    return {
        "jobs": len(jobs),
        "estimated_median": jobs["estimated"].median(),
        "actual_median": jobs["actual"].median(),
        "estimated": estimated,
        "actual": actual,
        "ratio": actual / estimated if estimated else float("nan"),
    }


def efficiency_by_records(pairs: Sequence[tuple[Job, dict]]) -> pd.DataFrame:
    """What the jobs held and used as their records have it.

    Columns: stage, jobs, gpu_hours, core_hours, busy (processor time for each second of a core held, NaN where no
    record has it), memory_mb and asked_mb (of the job that came nearest to its request).
    """
    frame = pd.DataFrame(
        [
            {
                "stage": stage_of(job.rule),
                "gpu_hours": gpus(record) * seconds_of(record, {}) / 3600,
                "core_seconds": job.threads * seconds_of(record, {}),
                # A record is the first process's; the others of a training do the same.
                "cpu_seconds": record.get("cpu_seconds", float("nan")) * record["processes"],
                "memory_mb": record["peak_memory_mb"],
                "asked_mb": job.memory_mb,
            }
            for job, record in pairs
        ],
        columns=USE,
    )
    return _stages(frame, _used)


def efficiency_by_slurm(accounted: Iterable[Accounted], rules: Mapping[str, str]) -> pd.DataFrame:
    """The same as SLURM counted it, every attempt of a job for itself; `rules`: the rule of each job id."""
    frame = pd.DataFrame(
        [
            {
                "stage": stage_of(rules[job.job_id]),
                "gpu_hours": job.gpus * job.seconds / 3600,
                "core_seconds": job.cpus * job.seconds,
                "cpu_seconds": job.cpu_seconds,
                "memory_mb": job.memory_mb,
                "asked_mb": job.asked_mb,
            }
            for job in accounted
        ],
        columns=USE,
    )
    return _stages(frame, _used)


def _used(jobs: pd.DataFrame) -> dict:
    measured = jobs[jobs["cpu_seconds"].notna()]
    held = measured["core_seconds"].sum()
    share = (jobs["memory_mb"] / jobs["asked_mb"]).dropna()
    nearest = jobs.loc[share.idxmax()] if len(share) else {"memory_mb": float("nan"), "asked_mb": float("nan")}
    return {
        "jobs": len(jobs),
        "gpu_hours": jobs["gpu_hours"].sum(),
        "core_hours": jobs["core_seconds"].sum() / 3600,
        "busy": measured["cpu_seconds"].sum() / held if held else float("nan"),
        "memory_mb": nearest["memory_mb"],
        "asked_mb": nearest["asked_mb"],
    }


def _stages(frame: pd.DataFrame, summed: Callable[[pd.DataFrame], dict]) -> pd.DataFrame:
    """A row for each stage there is, in the report's order, and one for all."""
    frame = frame.astype(dict.fromkeys(frame.columns.drop("stage"), "float64"))
    rows = [
        {"stage": stage, **summed(frame[frame["stage"] == stage])}
        for stage in [*STAGES, OTHER]
        if (frame["stage"] == stage).any()
    ]
    return pd.DataFrame([*rows, {"stage": "all", **summed(frame)}])
