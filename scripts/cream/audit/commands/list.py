"""Every artifact that a record tells of, in the order of making: what made it, when, what is promised of it."""

from __future__ import annotations

import argparse

from cream.audit.findings import exit_status
from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.plain_text import visible


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--stage", help="only what this stage made, named like its script: train_policy")


def run(settings: argparse.Namespace) -> Outcome:
    ledger = Ledger(settings.results)
    rows = [
        {
            "artifact": output,
            "stage": record.stage,
            "determinism": record.data["determinism"],
            "started": record.data["started"],
            "seconds": record.data["seconds"],
        }
        for record in ledger.in_order
        if settings.stage in (None, record.stage)
        for output in record.outputs
    ]
    lines = [f"{row['started']}  {row['determinism']}  {row['stage']:<24}{row['artifact']}" for row in rows]
    lines += [f"{problem.what} {problem.said}" for problem in ledger.problems]
    return Outcome(
        {"artifacts": rows, "problems": [vars(problem) for problem in ledger.problems]},
        [*map(visible, lines), f"{len(rows)} artifacts of {len({row['stage'] for row in rows})} stages"],
        exit_status(ledger.problems),
    )
