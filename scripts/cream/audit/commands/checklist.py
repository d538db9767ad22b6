"""The reproducibility answers that reviewers ask for (NeurIPS, ACM), from the records, with what is missing."""

from __future__ import annotations

import argparse
from pathlib import Path

from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.errors import UserError


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--out", type=Path, metavar="FILE.md", help="write it there instead of printing it")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit.checklist.document import document

    ledger = Ledger(settings.results)
    if not ledger.records:
        raise UserError(f"{settings.results} holds no record that can be read: `audit.py verify` says why")
    text = document(ledger)
    if settings.out is None:
        return Outcome({"markdown": text}, text.splitlines())
    settings.out.write_text(text, encoding="utf-8")
    return Outcome({"file": str(settings.out)}, [f"{settings.out}: {len(text.splitlines())} lines"])
