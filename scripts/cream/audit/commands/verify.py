"""Is everything what its record says: an artifact and all it was made from, or the whole study?

Hashes files and holds them, the chain of records, this clone's code and this environment against the records.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from cream.audit.findings import DIFFERS, NOTE, UNCHECKED, Finding, exit_status
from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.plain_text import visible
from cream.stage import input_path

MARKS = {DIFFERS: "✗ differs", UNCHECKED: "? unchecked", NOTE: "· note"}


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("artifact", nargs="?", help="only this and what it was made from (all)")
    flags.add_argument("--files-only", action="store_true", help="leave out this clone's code and environment")
    flags.add_argument(
        "--plan",
        nargs="*",
        type=input_path,
        metavar="STUDY",
        help="hold settings against config.yaml with these files over it, too",
    )
    flags.add_argument("--key", type=input_path, help="check the signed statement with this public key, too")
    flags.add_argument("--statement", type=Path, help="the statement (RESULTS/audit/statement.dsse.json)")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit.verify import verify

    ledger = Ledger(settings.results)
    artifact = ledger.name(settings.artifact) if settings.artifact else None
    findings = _signed(settings, ledger) if settings.key else []
    findings += verify(ledger, artifact, settings.files_only)
    if settings.plan is not None:
        from cream.audit.planned import against_plan

        findings += against_plan(ledger, settings.plan)
    names = {artifact, *ledger.below(artifact)} & ledger.maker.keys() if artifact else set(ledger.maker)
    return Outcome(
        {"artifacts": len(names), "findings": [vars(finding) for finding in findings]},
        [*_lines(findings), _summary(len(names), findings)],
        exit_status(findings),
    )


def _signed(settings: argparse.Namespace, ledger: Ledger) -> list[Finding]:
    """First of all: a wrong key is told of before anything else is hashed."""
    from cream.audit.signing import STATEMENT, check_statement

    return check_statement(ledger, settings.statement or settings.results / STATEMENT, settings.key)


def _lines(findings: list[Finding]) -> list[str]:
    ordered = sorted(findings, key=lambda finding: list(MARKS).index(finding.kind))
    return [f"{MARKS[finding.kind]}  {visible(finding.what)}: {visible(finding.said)}" for finding in ordered]


def _summary(artifacts: int, findings: list[Finding]) -> str:
    counts = Counter(finding.kind for finding in findings)
    if not counts[DIFFERS] and not counts[UNCHECKED]:
        return f"{artifacts} artifacts are what their records say"
    return f"{artifacts} artifacts: {counts[DIFFERS]} findings differ, {counts[UNCHECKED]} could not be checked"
