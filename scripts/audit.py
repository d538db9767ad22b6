"""Audit a finished study: prove what an artifact is, remake it, or say where and why it differs.

    python scripts/audit.py verify                       is everything what its record says?
    python scripts/audit.py lineage results/…/pairs.parquet
    python scripts/audit.py reproduce --stage build_pairs
    python scripts/audit.py explain OURS THEIRS          why do two artifacts differ?

Works on the files and records of a results folder alone: no network, no GPU, none of Snakemake's state.
docs/audits.md has an example of each. Exit status: 0 same or sound, 1 error, 2 wrong usage, 3 differs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from cream.audit.outcome import Outcome
from cream.errors import UserError
from cream.stage import parser

COMMANDS = ("list", "show", "lineage", "find", "verify", "reproduce", "explain", "diff", "export", "sign")
COMMANDS += ("checklist", "page")
OF_TWO = ("explain", "diff")  # these are told two folders


def parse():
    flags = parser(__doc__)
    commands = flags.add_subparsers(dest="asked", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"cream.audit.commands.{name}")
        command = commands.add_parser(
            name,
            help=module.__doc__.partition("\n")[0],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name not in OF_TWO:
            command.add_argument("--results", type=Path, default=Path("results"), help="the study's folder (results)")
        command.add_argument("--json", action="store_true", help="answer as JSON")
        module.add_flags(command)
        command.set_defaults(run=module.run)
    return flags.parse_args()


def answer(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**outcome.data, "status": outcome.status}, indent=2))
    else:
        print("\n".join(outcome.lines))


if __name__ == "__main__":
    settings = parse()
    try:
        outcome = settings.run(settings)
        answer(outcome, settings.json)
    except UserError as mistake:
        sys.exit(f"error: {mistake}")
    except BrokenPipeError:  # somebody read the first lines only
        sys.stderr.close()
        sys.exit(1)
    except OSError as problem:
        sys.exit(f"error: {problem.filename}: {problem.strerror}")
    sys.exit(outcome.status)
