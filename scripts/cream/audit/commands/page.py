"""The audit as one HTML page: lineage to click, a verdict for every artifact, promises against what was seen."""

from __future__ import annotations

import argparse
from pathlib import Path

from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.errors import UserError
from cream.machine import PROJECT


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--out", type=Path, metavar="FILE.html", help="where to write it (RESULTS/report/audit.html)")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit.page import page
    from cream.stage import whole_file

    ledger = Ledger(settings.results)
    if not ledger.records:
        raise UserError(f"{settings.results} holds no record that can be read: `audit.py verify` says why")
    html, summary = page(ledger, PROJECT / "report")
    out = settings.out or settings.results / "report/audit.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as path:
        path.write_text(html, encoding="utf-8")
    # What differs stands on the page: writing it has not failed.
    return Outcome({"file": str(out), "summary": summary}, [summary, str(out)])
