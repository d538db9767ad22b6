"""What plan.py --after prints: how far off the estimate was, and what the jobs made of what they held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console

from cream.cluster import accounting
from cream.cluster.afterwards import Accounts, Matched, efficiency_by_records, efficiency_by_slurm, estimates, match
from cream.cluster.jobs import Plan
from cream.cluster.show import Column, count, duration, hours, megabytes, ratio, share, show_notes, show_table, text
from cream.errors import UserError
from cream.paths import RESULTS
from cream.report.cost import read_records

LOGS = Path(".snakemake/slurm_logs")
COMPARED: list[Column] = [
    ("stage", "stage", text),
    ("jobs", "jobs", count),
    ("estimated", "estimated_median", duration),
    ("took", "actual_median", duration),
    ("all est.", "estimated", duration),
    ("all took", "actual", duration),
    ("ratio", "ratio", ratio),
]
USED: list[Column] = [
    ("stage", "stage", text),
    ("jobs", "jobs", count),
    ("GPU h", "gpu_hours", hours),
    ("core h", "core_hours", hours),
    ("busy", "busy", share),
    ("memory", "memory_mb", megabytes),
    ("of", "asked_mb", megabytes),
]


def show_afterwards(plan: Plan) -> None:
    """Print both tables for all jobs of a plan that left records. Raises `UserError` if none did."""
    matched = match(plan.jobs, read_records(Path(RESULTS)))
    if not matched.pairs:
        raise UserError(f"no job of this study has left a record under {RESULTS}/: run it first, or name its files")
    own = {record["slurm_job_id"]: job.rule for job, record in matched.pairs if record["slurm_job_id"]}
    rules = accounting.submitted(LOGS) | own
    accounted, silent = accounting.ask_if_there(rules)
    console = Console(highlight=False)
    show_table(console, estimates(matched.pairs, accounted), COMPARED, "Estimated, and what it took")
    show_notes(console, _comparison(matched))
    if accounted:
        show_table(
            console, efficiency_by_slurm(accounted.values(), rules), USED, "Held and used, by SLURM's accounting"
        )
        show_notes(console, _by_slurm(matched, accounted, rules, len(own)))
    else:
        show_table(console, efficiency_by_records(matched.pairs), USED, "Held and used, by the jobs' records")
        show_notes(console, _by_records(matched, silent))


def _comparison(matched: Matched) -> list[str]:
    notes = [
        "estimated and took: the median job, by SLURM's clock or from the start of its Python; all: their sums; ratio: "
        "seconds it took for one estimated. Estimates are those of the settings as they are now; of a job that was "
        "tried more than once, the last try is compared."
    ]
    if matched.jobs_without_record:
        rules = _most(job.rule for job in matched.jobs_without_record)
        notes.append(f"{len(matched.jobs_without_record)} jobs of the plan left no record and aren't in it: {rules}.")
    if matched.records_without_job:
        stages = _most(record["stage"] for record in matched.records_without_job)
        notes.append(
            f"{len(matched.records_without_job)} records belong to no job of the plan and aren't in it: {stages}."
        )
    return notes


def _by_slurm(matched: Matched, accounted: Accounts, rules: Mapping[str, str], own: int) -> list[str]:
    states = Counter(job.state for job in accounted.values())
    here = sum(not record["slurm_job_id"] for _, record in matched.pairs)
    notes = [
        _meaning("largest step"),
        f"How they ended: {', '.join(f'{number} {state}' for state, number in states.most_common())}. {here} jobs ran "
        "without SLURM and aren't in this table.",
    ]
    if len(rules) > own:
        notes.append(
            f"{len(rules) - own} of them are known by their log in {LOGS} alone: they failed and were submitted again, "
            "run now, or belong to earlier runs of this folder."
        )
    if len(accounted) < len(rules):
        notes.append(f"sacct doesn't know {len(rules) - len(accounted)} jobs: another cluster's, or from too long ago.")
    return notes


def _by_records(matched: Matched, silent: str | None) -> list[str]:
    notes = [_meaning("record")]
    without = sum("cpu_seconds" not in record for _, record in matched.pairs)
    if without:
        notes.append(f"{without} records are from before processor seconds were recorded.")
    if silent:
        notes.append(f"{silent} Failed attempts aren't counted.")
    return notes


def _meaning(memory: str) -> str:
    return (
        "busy: processor time for each second of a core that was held; memory: of the job that came nearest to what "
        f"it asked for, its {memory}'s peak."
    )


def _most(names: Iterable[str]) -> str:
    """Names with how often they come, the most frequent first."""
    return ", ".join(f"{number} {name}" for name, number in Counter(names).most_common())
