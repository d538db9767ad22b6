"""What plan.py --rates prints: a file of settings to lay over a study."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import yaml

from cream.cluster.accounting import ask_if_there
from cream.cluster.afterwards import match
from cream.cluster.jobs import Plan
from cream.cluster.rates import counts, rates
from cream.errors import UserError
from cream.paths import RESULTS
from cream.report.cost import read_records


def show_rates(plan: Plan, memory_mb: int) -> None:
    """Print section `cluster` as YAML with what it was measured on; `plan` is one at UNIT's rates,
    `memory_mb` what the study has.

    Raises `UserError` if no job that runs a model has left a record.
    """
    matched = match(plan.jobs, read_records(Path(RESULTS)))
    accounted, _ = ask_if_there(record["slurm_job_id"] for _, record in matched.pairs if record["slurm_job_id"])
    found = rates(matched.pairs, memory_mb, accounted)
    if not found:
        raise UserError(f"no job of this study that runs a model has left a record under {RESULTS}/: run it first")
    machines = Counter(record["machine"] for _, record in matched.pairs)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts(matched.pairs).items()))
    missing = sorted({*plan.config["cluster"]["bytes"]} - {*found["bytes"]})
    print(f"# Measured on {', '.join(machines)}; jobs: {kinds}.")
    print("# The median of each kind's jobs; bytes are the largest's, good for models of about this size.")
    if missing:
        print(f"# Not measured, so as the study has them: {', '.join(missing)}.")
    yaml.safe_dump({"cluster": found}, sys.stdout, sort_keys=False)
