"""What the study claims and on which tables, and how far it was shown that these come out again."""

from __future__ import annotations

from collections import Counter

from cream.audit.checklist.section import Section, counted, inline
from cream.audit.described import promise
from cream.audit.findings import DIFFERS
from cream.audit.grammar import what
from cream.audit.ledger import Ledger
from cream.audit.telling import abbreviated, in_a_line, part
from cream.audit.verdicts import Reproduction, Verdicts
from cream.cards.markdown import table

EVIDENCE = ("results/tables/", "results/report/")


def claims(ledger: Ledger, verdicts: Verdicts) -> Section:
    rows = [
        (
            artifact,
            what(artifact),
            in_a_line(abbreviated(part(record, "observed"))),
            str(record.data["outputs"][artifact].get("file", ""))[:12],
            len(ledger.makers(ledger.below(artifact))),
            verdicts.worst(artifact),
        )
        for artifact, record in ledger.maker.items()
        if artifact.startswith(EVIDENCE)
    ]
    columns = ("file", "what it is", "what its job observed", "SHA-256", "jobs below", "file and record now")
    comparisons = [record for record in ledger.in_order if record.stage == "compare_models"]
    counts = Counter()
    for record in comparisons:
        counts.update({name: int(count) for name, count in _mapping(record, "verdicts").items()})
    said = f"Paired comparisons, corrected for their number: {inline(f'{n} × {name}' for name, n in counts.items())}."
    return Section(
        "1. Claims (NeurIPS: claims)",
        "Do the claims match the results, and which files carry them?",
        [
            "Whether the paper's sentences match these files is for their authors to say; the files are:",
            table(columns, rows) if rows else "No table has a record.",
            said if counts else "",
        ],
        "the records beside these files; `audit.py lineage FILE` lists everything below one",
    )


def _mapping(record, name: str) -> dict:
    found = part(record, "observed").get(name)
    return found if isinstance(found, dict) else {}


def reproduction(ledger: Ledger, verdicts: Verdicts, again: list[Reproduction]) -> Section:
    stages: dict[tuple[str, str], list[str]] = {}
    for record in ledger.in_order:
        stages.setdefault((record.stage, promise(record)), []).extend(record.outputs)
    made = {row.artifact: row for row in again}
    rows = [
        (stage, promised, len(artifacts), _again([made[name] for name in artifacts if name in made]))
        for (stage, promised), artifacts in stages.items()
    ]
    worst = Counter(verdicts.worst(artifact) for artifact in ledger.maker)
    hosts = {record.data.get("host") for record in ledger.records}
    elsewhere = sorted({row.host for row in again} - hosts)
    return Section(
        "2. Reproducibility of the results (NeurIPS: experimental result reproducibility; ACM: artifacts evaluated, "
        "results validated)",
        "Can the results be made again, and has it been done?",
        [
            "Every record holds the command of its job with all settings, the digests of what it read, and its code; "
            "`audit.py reproduce` runs one again from them.",
            f"{counted(len(ledger.maker), 'artifact')} held against the records just now: "
            + inline(f"{count} {kind}" for kind, count in sorted(worst.items()))
            + f". This clone's code and environment: {_clone(verdicts)}.",
            table(("stage", "promised", "artifacts", "made again"), rows),
            _badges(again, elsewhere),
        ],
        "`determinism` and `tolerance` of every record; `audit/reproduced.json` for what was made again",
    )


def _clone(verdicts: Verdicts) -> str:
    differ = [finding for finding in verdicts.clone if finding.kind == DIFFERS]
    if not differ:
        return "as recorded"
    return f"{counted(len(differ), 'difference')} from the recorded ones (`audit.py verify` lists them)"


def _again(rows: list[Reproduction]) -> str:
    if not rows:
        return "not yet"
    counts = Counter(f"{row.verdict}{' (promise broken)' if row.kept is False else ''}" for row in rows)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))


def _badges(again: list[Reproduction], elsewhere: list[str]) -> str:
    if not again:
        return "ACM terms: no verdict of having made anything again is saved, so none of them can be claimed from here."
    broken = [row.artifact for row in again if row.kept is False]
    where = f"also on {inline(elsewhere)}, where no job of the study ran" if elsewhere else "only on hosts of the study"
    return (
        f"ACM terms: {counted(len(again), 'artifact')} made again, {where}; {len(broken)} promises broken"
        + (f" ({inline(broken)})" if broken else "")
        + ". *Repeatability* is the same team with the same setup, *reproducibility* another team with it; records "
        "tell hosts, not teams. *Artifacts available* asks for a public archive, which no record tells of."
    )
