"""What sharing saves in the default study: its jobs' measured seconds, against every method by itself.

A study of one method at a time runs everything that leads to M1 once a method, and scripts that keep no
log-probabilities compute the reference of every pair in training again (here: a third of a training
step, as measured by dpo_step.py, is not even counted). The seconds are those of a finished run
(results/benchmarks), not of a second run.
"""

from __future__ import annotations

import csv
from pathlib import Path

# What a method has of its own lies in folders that carry its name.
STARTS_MODELS = ("train_sft", "train_policy", "sample_responses", "score_", "evaluate_model", "judge_responses")


def seconds_of_jobs(benchmarks: Path) -> dict[str, float]:
    found = {}
    for file in sorted(benchmarks.rglob("*.tsv")):
        with file.open() as stream:
            row = next(csv.DictReader(stream, delimiter="\t"))
        found[str(file.relative_to(benchmarks))] = float(row["s"])
    return found


def shared_and_own(jobs: dict[str, float], methods: list[str]) -> tuple[float, float]:
    """Seconds of jobs that all methods share, and of those that belong to one."""
    own = sum(seconds for job, seconds in jobs.items() if any(f"/{method}/" in job for method in methods))
    return sum(jobs.values()) - own, own
