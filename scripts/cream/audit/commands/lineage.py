"""What an artifact was made from, in order, with the settings that matter; or with --down what was made from it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from urllib.parse import quote

from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.audit.telling import in_a_line, settings_line, settings_that_matter
from cream.errors import UserError

STDOUT = Path("-")


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("artifact", help="results/…, as recorded or as it lies here today; or its record")
    flags.add_argument("--down", action="store_true", help="what was made from it, instead of what it was made from")
    for form, what in (("dot", "as Graphviz text"), ("svg", "as a picture")):
        flags.add_argument(
            f"--{form}", nargs="?", type=Path, const=STDOUT, metavar="FILE", help=f"{what}, printed or into a file"
        )


def run(settings: argparse.Namespace) -> Outcome:
    ledger = Ledger(settings.results)
    artifact = ledger.name(settings.artifact)
    kin = (ledger.above if settings.down else ledger.below)(artifact) | {artifact}
    if settings.dot or settings.svg:
        return _drawn(ledger, artifact, kin, settings)
    return _listed(ledger, artifact, kin)


def _listed(ledger: Ledger, artifact: str, kin: set[str]) -> Outcome:
    sources = sorted(name for name in kin if name not in ledger.maker)
    records = ledger.makers(kin)
    lines = [f"{'(no record)':<24}{in_a_line(name, 1000)}" for name in sources]
    jobs = []
    for record in records:
        outputs = [name for name in record.outputs if name in kin]
        lines += [f"{record.stage if at == 0 else '':<24}{in_a_line(name, 1000)}" for at, name in enumerate(outputs)]
        told = settings_line(record, 300)
        lines += [f"{'':<24}  {told}"] if told else []
        jobs.append({"stage": record.stage, "outputs": outputs, "settings": settings_that_matter(record)})
    lines.append(f"{len(records)} jobs, {len(sources)} files without a record")
    return Outcome({"artifact": artifact, "jobs": jobs, "without_record": sources}, lines)


def _drawn(ledger: Ledger, artifact: str, kin: set[str], settings: argparse.Namespace) -> Outcome:
    from cream.audit.lineage import boxes, dot
    from cream.audit.picture import svg

    if settings.dot and settings.svg:
        raise UserError("--dot and --svg are two forms of one answer: ask for one at a time")
    form, file = ("dot", settings.dot) if settings.dot else ("svg", settings.svg)
    if form == "dot":
        text = dot(boxes(ledger, kin, widest=None))
    else:
        folder = Path() if file == STDOUT else file.parent

        def link(box):
            return quote(os.path.relpath(ledger.place((box.records or box.artifacts)[0]), folder))

        text = svg(boxes(ledger, kin), link, asked=artifact)
    if file == STDOUT:
        return Outcome({form: text}, text.splitlines())
    file.write_text(text, encoding="utf-8")
    return Outcome({"file": str(file)}, [f"{file}: {len(ledger.makers(kin))} jobs"])
