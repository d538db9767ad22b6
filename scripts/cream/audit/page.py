"""The audit as one page without a network: lineage to click, verdicts, and what was promised against what was seen."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from cream.audit.described import facts, promise
from cream.audit.findings import DIFFERS, NOTE, UNCHECKED
from cream.audit.grammar import what
from cream.audit.ledger import Ledger
from cream.audit.lineage import Box, boxes
from cream.audit.picture import svg
from cream.audit.telling import in_a_line
from cream.audit.verdicts import SOUND, Reproduction, Verdicts, reproductions, verdicts
from cream.errors import UserError
from cream.report.page import for_script, render

# Told apart by sign and word, not by colour.
SIGNS = {DIFFERS: "≠", UNCHECKED: "?", SOUND: "✓"}
NOT_YET = "not made again yet"
LONGEST = 2000  # letters of a command or a setting


def page(ledger: Ledger, looks: Path) -> tuple[str, str]:
    """The page's HTML and a line that sums it up. `looks`: the folder with the page's template, style and script."""
    found = verdicts(ledger)
    try:
        again, trouble = reproductions(ledger), ""
    except UserError as problem:
        again, trouble = [], str(problem)
    graph = boxes(ledger, ledger.graph)
    made = {row.artifact: row for row in again}
    html = render(
        looks / "audit.html",
        title="Audit of the study",
        summary=_summary(ledger, found, again),
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        trouble=trouble,
        style=(looks / "style.css").read_text(encoding="utf-8"),
        script=(looks / "audit.js").read_text(encoding="utf-8"),
        picture=svg(graph, _address, lambda box: _mark(found, box), alone=False),
        findings=_findings(found),
        artifacts=_artifacts(ledger, found, made),
        stages=_stages(ledger, made),
        boxes=for_script({box.name: _details(ledger, found, made, box) for box in graph}),
    )
    return html, _summary(ledger, found, again)


def _address(box: Box) -> str:
    return address(box.artifacts[0])


def address(artifact: str) -> str:
    """The part of the page's address that names an artifact."""
    return f"#of/{quote(artifact)}"


def _mark(found: Verdicts, box: Box) -> tuple[str, str]:
    """The worst verdict of a box's artifacts; files without a record have one only where something is wrong."""
    kinds = {found.worst(artifact) for artifact in box.artifacts}
    worst = next(kind for kind in SIGNS if kind in kinds)
    return ("", "no record of its making") if not box.stage and worst == SOUND else (SIGNS[worst], worst)


def _summary(ledger: Ledger, found: Verdicts, again: list[Reproduction]) -> str:
    """One line: held against records, made again."""
    kinds = Counter(found.worst(artifact) for artifact in ledger.maker)
    held = ", ".join(f"{kinds[kind]} {'differ' if kind == DIFFERS else kind}" for kind in (SOUND, DIFFERS, UNCHECKED))
    broken = sum(row.kept is False for row in again)
    made = f"{len(again)} made again, {broken} of them not as promised" if again else "none made again yet"
    return f"{len(ledger.maker)} artifacts held against their records: {held}; {made}."


def _findings(found: Verdicts) -> list[dict]:
    """What is to be said beside the artifacts, and of each artifact that isn't sound."""
    every = [finding for of in found.of.values() for finding in of] + found.others + found.clone
    order = (DIFFERS, UNCHECKED, NOTE)
    rows = {(order.index(finding.kind), finding.kind, finding.what, finding.said): None for finding in every}
    return [
        {"kind": kind, "what": in_a_line(what, 300), "said": in_a_line(said, 600)}
        for _, kind, what, said in sorted(rows)
    ]


def _artifacts(ledger: Ledger, found: Verdicts, made: dict[str, Reproduction]) -> list[dict]:
    return [
        {
            "artifact": artifact,
            "address": address(artifact),
            "stage": record.stage,
            "verdict": found.worst(artifact),
            "sign": SIGNS[found.worst(artifact)],
            "promised": record.data.get("determinism"),
            "again": _again(made.get(artifact)),
        }
        for record in ledger.in_order
        for artifact in record.outputs
    ]


def _again(row: Reproduction | None) -> str:
    if row is None:
        return NOT_YET
    kept = {True: "as promised", False: "promise broken", None: "promise not tested"}[row.kept]
    return in_a_line(f"{row.verdict}, {kept} ({row.said}; {row.host}, {row.when})", 300)


def _stages(ledger: Ledger, made: dict[str, Reproduction]) -> list[dict]:
    """Stage by stage: what is promised and what was seen."""
    groups: dict[tuple[str, str], list[str]] = {}
    for record in ledger.in_order:
        groups.setdefault((record.stage, promise(record)), []).extend(record.outputs)
    rows = []
    for (stage, promised), artifacts in groups.items():
        seen = [made[artifact] for artifact in artifacts if artifact in made]
        counts = Counter(row.verdict for row in seen)
        rows.append(
            {
                "stage": stage,
                "promised": promised,
                "artifacts": len(artifacts),
                "seen": ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or NOT_YET,
                "broken": sum(row.kept is False for row in seen) if seen else "",
            }
        )
    return rows


def _details(ledger: Ledger, found: Verdicts, made: dict[str, Reproduction], box: Box) -> dict:
    """What a click on a box shows: of each of its jobs the facts, of each of its artifacts the verdicts."""
    jobs = [
        {
            "artifacts": [name for name in record.outputs if name in box.artifacts],
            "facts": [
                [heading, [in_a_line(value, LONGEST) for value in values]]
                for heading, values in facts(ledger, record.outputs[0])[1:]
            ],
        }
        for record in ledger.records
        if record.path in box.records
    ]
    return {
        "stage": box.stage,
        "jobs": jobs or [{"artifacts": list(box.artifacts), "facts": []}],
        "verdicts": {
            name: {
                "what": what(name),
                "verdict": found.worst(name) if box.stage else _mark(found, box)[1],
                "said": [f"{finding.what} {finding.said}" for finding in found.of.get(name, [])],
                "again": _again(made.get(name)) if box.stage else "",
            }
            for name in box.artifacts
        },
    }
