"""What the audits found of each artifact: held against its record, and made again."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, fields

from cream.audit.findings import DIFFERS, NOTE, UNCHECKED, Finding
from cream.audit.ledger import SUFFIX, Ledger
from cream.audit.made_by import code_and_environment
from cream.audit.verify import verify
from cream.errors import UserError

REPRODUCED = "audit/reproduced.json"
SOUND = "sound"
WORST_FIRST = (DIFFERS, UNCHECKED, NOTE, SOUND)


@dataclass(frozen=True)
class Reproduction:
    """One line of what `audit.py reproduce --save` has written."""

    artifact: str
    stage: str
    verdict: str
    determinism: str
    kept: bool | None
    said: str
    seconds: float | None
    host: str
    when: str


@dataclass
class Verdicts:
    """`of`: artifact → findings of its files and record; `others`: what belongs to no one artifact;
    `clone`: this clone's code and environment held against the records."""

    of: dict[str, list[Finding]] = field(default_factory=lambda: defaultdict(list))
    others: list[Finding] = field(default_factory=list)
    clone: list[Finding] = field(default_factory=list)

    def worst(self, artifact: str) -> str:
        """The kind of an artifact's worst finding, or `SOUND`."""
        kinds = {finding.kind for finding in self.of.get(artifact, [])} - {NOTE}
        return min(kinds, key=WORST_FIRST.index, default=SOUND)


def verdicts(ledger: Ledger) -> Verdicts:
    """Everything that `verify` finds, by artifact. Hashes every file of the study."""
    found = Verdicts(clone=list(code_and_environment(ledger, ledger.records)))
    outputs = {record.path: record.outputs for record in ledger.records}
    for finding in verify(ledger, files_only=True):
        artifacts = outputs.get(finding.what) or _artifacts(ledger, finding.what)
        for artifact in artifacts:
            found.of[artifact].append(finding)
        if not artifacts:
            found.others.append(finding)
    return found


def _artifacts(ledger: Ledger, what: str) -> list[str]:
    if what in ledger.graph:
        return [what]
    # The record of a job that isn't read, but lies where that of an artifact would.
    name = what.removesuffix(SUFFIX)
    try:
        return [ledger.name(name)]
    except UserError:
        return []


def reproductions(ledger: Ledger) -> list[Reproduction]:
    """What has been made again so far, the latest of each artifact; nothing where nobody has saved any.

    Raises `UserError` for a file that doesn't hold that.
    """
    path = ledger.results / REPRODUCED
    if not path.exists():
        return []
    try:
        rows = [_reproduction(row, ledger) for row in json.loads(path.read_text(encoding="utf-8"))]
        return list({row.artifact: row for row in sorted(rows, key=lambda row: row.when)}.values())
    except (ValueError, TypeError, KeyError):
        raise UserError(
            f"{path} is not what `audit.py reproduce --save` writes: remove it and save the verdicts again"
        ) from None


def _reproduction(row: dict, ledger: Ledger) -> Reproduction:
    """One saved verdict. It says nothing of an artifact whose record has been written anew since."""
    told = {each.name: row[each.name] for each in fields(Reproduction)} | {"said": "; ".join(row["said"])}
    maker = ledger.maker.get(row["artifact"])
    if maker is None or maker.digest != row["record"]:
        told |= {"verdict": f"{row['verdict']} before it was made anew", "kept": None}
    return Reproduction(**told)
