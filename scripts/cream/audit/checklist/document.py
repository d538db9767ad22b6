"""The whole checklist as Markdown."""

from __future__ import annotations

from cream.audit.checklist.claims import claims, reproduction
from cream.audit.checklist.compute import compute, software
from cream.audit.checklist.material import exported, material
from cream.audit.checklist.missing import missing
from cream.audit.checklist.section import counted
from cream.audit.checklist.setting import setting, significance
from cream.audit.ledger import Ledger
from cream.audit.verdicts import reproductions, verdicts
from cream.cards.markdown import cell

HEAD = """# Reproducibility checklist

Filled in from {jobs} that made {artifacts}, {first} to {last} (UTC). The questions are those of the NeurIPS paper
checklist and of ACM's artifact review, in short. Nothing here is typed by hand or guessed: what no record says stands
under "What is missing"."""


def document(ledger: Ledger) -> str:
    """Markdown. Hashes every file of the study, to say whether the records still describe it."""
    found, again = verdicts(ledger), reproductions(ledger)
    started = sorted(str(record.data.get("started")) for record in ledger.records)
    head = HEAD.format(
        jobs=counted(len(ledger.records), "record"),
        artifacts=counted(len(ledger.maker), "artifact"),
        first=cell(started[0]),
        last=cell(started[-1]),
    )
    sections = [
        claims(ledger, found),
        reproduction(ledger, found, again),
        material(ledger),
        setting(ledger),
        significance(ledger),
        compute(ledger),
        software(ledger),
    ]
    holes = "\n".join(f"- {sentence}" for sentence in missing(ledger, found, again))
    parts = [head, *(section.markdown() for section in sections), exported(ledger), f"## What is missing\n\n{holes}"]
    return "\n\n".join(parts) + "\n"
