"""What an audit has to say of an artifact."""

from __future__ import annotations

from dataclasses import dataclass

# DIFFERS: it isn't what the records say. UNCHECKED: nothing can be said of it. NOTE: good to know, nothing wrong.
DIFFERS, UNCHECKED, NOTE = "differs", "unchecked", "note"


@dataclass(frozen=True)
class Finding:
    """`kind`: differs, unchecked or note; `what`: the artifact or record; `said`: one sentence."""

    kind: str
    what: str
    said: str


def exit_status(findings: list[Finding]) -> int:
    """3 where something differs, else 1 where something couldn't be checked, else 0."""
    kinds = {finding.kind for finding in findings}
    return 3 if DIFFERS in kinds else int(UNCHECKED in kinds)
