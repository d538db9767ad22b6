"""Hand the study on: as a Workflow Run RO-Crate (Provenance Run Crate 0.5), with its lineage as W3C PROV-O.

The crate holds the code, the records, tables, figures, report, samples, scores and pairs. Models and fetched packages
are named with their digests but left out, unless you say --with-data. Everything is held against the records first.

Records go as they are: they are sealed, and name the hosts that the jobs ran on and paths that they were given.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cream.audit.findings import DIFFERS, NOTE, exit_status
from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.errors import UserError
from cream.stage import whole_file, whole_folder


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("target", nargs="?", type=Path, help="a folder to make, or FILE.zip")
    flags.add_argument("--with-data", action="store_true", help="copy models and fetched packages, too")
    flags.add_argument("--author", help="who ran it (nobody is named)")
    flags.add_argument("--license", dest="licence", help="licence of the whole, URL or text (each origin's)")
    flags.add_argument("--prov", type=Path, metavar="FILE", help="write the lineage alone, as JSON-LD")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit.verify import verify

    if settings.target is None and settings.prov is None:
        raise UserError("say where to: a folder, FILE.zip, or --prov FILE")
    ledger = Ledger(settings.results)
    for path in filter(None, (settings.target, settings.prov)):
        if path.exists():
            raise UserError(f"{path} is there already: remove it or choose another name")
        if path.absolute().resolve().is_relative_to(settings.results.absolute().resolve()):
            raise UserError(f"{path} lies in the results themselves: choose a place outside {settings.results}")
    findings = [finding for finding in verify(ledger, files_only=True) if finding.kind != NOTE]
    lines = [f"{finding.what}: {finding.said}" for finding in findings]
    data = {"findings": [vars(finding) for finding in findings]}
    if any(finding.kind == DIFFERS or finding in ledger.problems for finding in findings):
        return Outcome(data, [*lines, "nothing exported: the study isn't what its records say"], exit_status(findings))
    if settings.prov:
        lines.append(_write_prov(ledger, settings))
    if settings.target:
        told, said = _write_crate(ledger, settings)
        lines += said
        data |= told
    return Outcome(data, lines)


def _write_prov(ledger: Ledger, settings: argparse.Namespace) -> str:
    from cream.audit.prov import provenance

    settings.prov.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(settings.prov) as path:
        text = json.dumps(provenance(ledger, settings.author), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    return f"{settings.prov}: the lineage of {len(ledger.maker)} artifacts in PROV-O"


def _write_crate(ledger: Ledger, settings: argparse.Namespace) -> tuple[dict, list[str]]:
    from cream.audit.crate import build, copied_files, write

    crate = build(ledger, settings.with_data, settings.author, settings.licence)
    target = settings.target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (whole_file if target.suffix == ".zip" else whole_folder)(target) as path:
        write(crate, path)
    private = _naming_machines(ledger)
    lines = [f"{name} names paths of a machine: {', '.join(paths[:3])}" for name, paths in private.items()]
    copied = copied_files(crate)
    left_out = sum(entity.type == "File" and entity.id.startswith("#results/") for entity in crate.get_entities())
    said = f"{target}: {copied} files of {len(ledger.records)} jobs; {left_out} named by their digests only"
    return {"crate": str(target), "files": copied, "left_out": left_out, "machine_paths": private}, [*lines, said]


def _naming_machines(ledger: Ledger) -> dict[str, list[str]]:
    """Records and settings of the study that tell of somebody's machine: they are copied as they are."""
    from cream.audit.crate_files import machine_paths, workflow_files
    from cream.machine import PROJECT

    told = {record.path: json.dumps([record.data["command"], record.data["settings"]]) for record in ledger.in_order}
    settings = [name for name in workflow_files() if name == "config.yaml" or name.startswith("studies/")]
    told |= {name: (PROJECT / name).read_text(encoding="utf-8", errors="replace") for name in settings}
    found = {name: machine_paths(text) for name, text in told.items()}
    return {name: paths for name, paths in found.items() if paths}
