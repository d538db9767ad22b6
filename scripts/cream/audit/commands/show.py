"""All that the record of one artifact says: what it is, made by what from what, when, where, and what is promised."""

from __future__ import annotations

import argparse

from cream.audit.described import facts
from cream.audit.grammar import what
from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.audit.telling import in_a_line


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("artifact", help="results/…, as recorded or as it lies here today; or its record")


def run(settings: argparse.Namespace) -> Outcome:
    ledger = Ledger(settings.results)
    artifact = ledger.name(settings.artifact)
    record = ledger.maker[artifact]
    found = facts(ledger, artifact)
    lines = [line for heading, values in found for line in _block(heading, values)]
    data = {"artifact": artifact, "what": what(artifact), "sealed": record.sealed, "record": record.data}
    return Outcome(data, lines)


def _block(heading: str, values: list[str]) -> list[str]:
    first, *others = (in_a_line(value, 2000) for value in values)
    return [f"{heading:<10}{first}", *(f"{'':<10}{value}" for value in others)]
