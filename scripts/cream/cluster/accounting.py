"""What SLURM's accounting knows of jobs: their state, time, processors, memory and GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cream.cluster import slurm

FIELDS = ("JobID", "State", "ElapsedRaw", "AllocCPUS", "TotalCPU", "MaxRSS", "ReqMem", "AllocTRES")
JOBS_A_CALL = 500  # a command line has an end
# Megabytes of SLURM's units.
UNITS = {"K": 2**-10, "M": 1, "G": 2**10, "T": 2**20}


@dataclass(frozen=True)
class Accounted:
    """One job as SLURM saw it: seconds from its start to its end, processors it held, seconds they computed,
    its largest step's memory and what it asked for (megabytes; None where SLURM didn't say), GPUs it held."""

    job_id: str
    state: str
    seconds: int
    cpus: int
    cpu_seconds: float
    memory_mb: float | None
    asked_mb: float | None
    gpus: int


def ask(job_ids: Iterable[str]) -> dict[str, Accounted]:
    """What `sacct` knows of these jobs, by id. Raises `NoAnswer`."""
    found: dict[str, Accounted] = {}
    asked = sorted(set(job_ids))
    for first in range(0, len(asked), JOBS_A_CALL):
        jobs = f"--jobs={','.join(asked[first : first + JOBS_A_CALL])}"
        found |= parse(slurm.ask("sacct", "--parsable2", "--noheader", jobs, f"--format={','.join(FIELDS)}"))
    return found


def ask_if_there(job_ids: Iterable[str]) -> tuple[dict[str, Accounted], str | None]:
    """What `ask` finds, and where that is nothing, a sentence on why."""
    asked = list(job_ids)
    try:
        found = ask(asked)
    except slurm.NoAnswer as reason:
        return {}, f"SLURM's accounting doesn't answer ({reason})."
    return found, "sacct knows none of these jobs." if asked and not found else None


def parse(table: str) -> dict[str, Accounted]:
    """Jobs from the output of `sacct --parsable2 --noheader` with FIELDS; a job's steps count towards it."""
    rows = [dict(zip(FIELDS, line.split("|"), strict=True)) for line in table.splitlines() if line]
    memory: dict[str, float] = {}
    for row in rows:
        used, job = megabytes(row["MaxRSS"]), row["JobID"].split(".")[0]
        if used is not None:
            memory[job] = max(used, memory.get(job, 0.0))
    return {row["JobID"]: _accounted(row, memory.get(row["JobID"])) for row in rows if "." not in row["JobID"]}


def _accounted(row: dict[str, str], memory: float | None) -> Accounted:
    gpus = re.search(r"\bgres/gpu=(\d+)", row["AllocTRES"])
    return Accounted(
        job_id=row["JobID"],
        state=row["State"].split()[0],  # "CANCELLED by 1000"
        seconds=int(row["ElapsedRaw"] or 0),
        cpus=int(row["AllocCPUS"] or 0),
        cpu_seconds=seconds(row["TotalCPU"]),
        memory_mb=memory,
        asked_mb=megabytes(row["ReqMem"]),
        gpus=int(gpus[1]) if gpus else 0,
    )


def megabytes(text: str) -> float | None:
    """Of SLURM's 1044K, 1.50G or, before SLURM 21, 1000Mn; None for what is empty."""
    number = re.match(r"([\d.]+)([KMGT]?)", text)
    return float(number[1]) * UNITS[number[2] or "M"] if number else None


def seconds(text: str) -> float:
    """Of SLURM's 01:02.345, 01:02:03 or 1-02:03:04."""
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + float(part or 0)
    return int(days or 0) * 86400 + total


def submitted(logs: Path) -> dict[str, str]:
    """The rule of every job whose log the SLURM executor left (`slurm-keep-successful-logs`), by job id.

    Jobs that failed and were submitted again are among them; they leave no other trace.
    """
    found = {}
    for log in logs.glob("rule_*/**/*.log"):
        if log.stem.isdecimal():
            found[log.stem] = log.relative_to(logs).parts[0].removeprefix("rule_")
    return found
