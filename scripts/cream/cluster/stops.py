"""Which of SLURM's limits stopped a run's jobs, and what to do about it, one sentence a job.

SLURM says why it kills a job in the job's own log; Snakemake's log says which jobs a run submitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SUBMITTED = re.compile(r"^Job (\S+) has been submitted with SLURM jobid (\S+) \(log: (.+)\)\.$")
DESCRIBED = re.compile(r"^    (jobid|resources): (.+)$")
# Stands in Snakemake's account of an error: SLURM also notes a limit that a job went over and lived.
FAILED = re.compile(r"^    external_jobid: (\S+)$")
# What SLURM's own lines in a job's log say; the job's text never starts like them.
SLURM_SAYS = ("slurmstepd", "srun: ")
REASONS = {
    "time": re.compile(r"DUE TO TIME LIMIT"),
    "memory": re.compile(r"exceeded job memory limit|exceeded memory limit|oom.kill event|out of memory", re.I),
    "preempted": re.compile(r"DUE TO PREEMPTION"),
    "node": re.compile(r"DUE TO NODE FAILURE"),
}
LIMITS = {"time": ("runtime", "min"), "memory": ("mem_mb", "MB")}


@dataclass(frozen=True)
class Attempt:
    """One SLURM job: what it did, what it asked for, and why SLURM stopped it, if it did."""

    name: str
    slurm_job: str
    asked: dict[str, str]
    reason: str | None


def attempts(log: Iterable[str]) -> Iterator[Attempt]:
    """The SLURM jobs of a run, from the lines of Snakemake's log."""
    lines = [line.rstrip("\n") for line in log]
    failed = {found[1] for line in lines if (found := FAILED.match(line))}
    resources: dict[str, dict[str, str]] = {}
    current = ""
    for line in lines:
        if described := DESCRIBED.match(line):
            if described[1] == "jobid":
                current = described[2]
            else:
                resources[current] = dict(item.split("=", 1) for item in described[2].split(", ") if "=" in item)
        elif submitted := SUBMITTED.match(line):
            number, slurm_job, path = submitted.groups()
            reason = _reason(Path(path)) if slurm_job in failed else None
            yield Attempt(_name(Path(path)), slurm_job, resources.get(number, {}), reason)


def _name(slurm_log: Path) -> str:
    """Rule and wildcards, from …/slurm_logs/rule_NAME/WILDCARDS/ID.log."""
    parts = slurm_log.parts
    folders = parts[parts.index("slurm_logs") + 1 : -1] if "slurm_logs" in parts else parts[-2:-1]
    return " ".join([folders[0].removeprefix("rule_"), *folders[1:]])


def _reason(slurm_log: Path) -> str | None:
    try:
        with slurm_log.open(encoding="utf-8", errors="replace") as lines:
            said = [line for line in lines if line.startswith(SLURM_SAYS)]
    except OSError:
        return None
    return next((reason for reason, words in REASONS.items() if any(words.search(line) for line in said)), None)


def sentences(log: Iterable[str]) -> list[str]:
    """One sentence for each job of a run that SLURM stopped, in the order they were first submitted."""
    tries: dict[str, list[Attempt]] = {}
    for attempt in attempts(log):
        tries.setdefault(attempt.name, []).append(attempt)
    found = []
    for name, made in tries.items():
        stopped = [attempt for attempt in made if attempt.reason]
        if stopped:
            told = ", then ".join(_stop(attempt) for attempt in stopped)
            found.append(f"{name} was stopped {told}{_what_now(stopped[-1], stopped[-1] is made[-1])}")
    return found


def _stop(attempt: Attempt) -> str:
    what = {
        "time": "at its time limit",
        "memory": "at its memory limit",
        "preempted": "by jobs that go first",
        "node": "by the failure of its node",
    }[attempt.reason]
    resource, unit = LIMITS.get(attempt.reason, ("", ""))
    limit = f" of {attempt.asked[resource]} {unit}" if resource in attempt.asked else ""
    return f"{what}{limit} (SLURM job {attempt.slurm_job})"


def _what_now(last: Attempt, ended: bool) -> str:
    if not ended:
        return " and submitted again."
    if last.reason in LIMITS:
        return f", its last attempt: raise cluster.margin.{last.reason} in the study's configuration and run again."
    return ", its last attempt: run again, with more `retries` in the profile if this is common."
