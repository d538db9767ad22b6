"""Where data, models and code come from, under which licences, and how the data is split."""

from __future__ import annotations

import csv
import json
from collections import Counter

from cream.audit.checklist.section import Section, as_recorded, counted, inline, of_stages
from cream.audit.ledger import Ledger, Record
from cream.audit.telling import in_a_line, part
from cream.cards.markdown import table
from cream.machine import PROJECT

SOURCES = (
    "wheel",
    "member",
    "dataset",
    "count",
    "generator_seed",
    "generator_settings",
    "file",
    "folder",
    "requirement",
)


def material(ledger: Ledger) -> Section:
    """Open access to data and code, licences."""
    rows = [
        (record.stage, record.outputs[0], _source(record), _observed(record))
        for record in of_stages(ledger, "fetch_package", "build_pool", "convert_model", "copy_reward_model")
    ]
    states = Counter((part(record, "git").get("commit"), part(record, "git").get("dirty")) for record in ledger.records)
    commits = [
        (commit or "not recorded", {True: "yes", False: "no"}.get(dirty, "not recorded"), jobs)
        for (commit, dirty), jobs in states.items()
    ]
    kept = {digest for record in ledger.records for digest in record.data["code_files"].values()}
    there = sum((ledger.results / "audit/code" / f"{digest}.txt").is_file() for digest in kept)
    return Section(
        "3. Data, code and licences (NeurIPS: open access to data and code, licences for existing assets)",
        "Where do data, models and code come from, and under which terms?",
        [
            table(("stage", "artifact", "from", "observed"), rows) if rows else "No record tells where data came from.",
            _licences(ledger),
            table(("commit", "uncommitted changes", "jobs"), commits),
            f"{there} of {counted(len(kept), 'code file')} that the jobs used are kept in `audit/code`."
            + (" The project's own licence is in its file LICENSE." if (PROJECT / "LICENSE").is_file() else ""),
        ],
        "`settings`, `observed`, `git` and `code_files` of the records; licences from the exports' records",
    )


def _source(record: Record) -> str:
    given = {name: record.data["settings"].get(name) for name in SOURCES}
    return in_a_line(", ".join(f"{name} {value}" for name, value in given.items() if value not in (None, "{}")), 200)


def _observed(record: Record) -> str:
    return in_a_line(", ".join(f"{name} {value}" for name, value in part(record, "observed").items()))


def licences(ledger: Ledger) -> dict[str, tuple[str, str]]:
    """Model or task → licence and origin, as the configuration in an export's record has them."""
    found: dict[str, tuple[str, str]] = {}
    for record in of_stages(ledger, "export_model", "export_pairs"):
        study = record.data["settings"].get("study")
        study = json.loads(study) if isinstance(study, str) else study
        for kind in ("models", "tasks"):
            for name, source in (study.get(kind) or {}).items() if isinstance(study, dict) else ():
                if isinstance(source, dict) and source.get("license"):
                    found[f"{kind.removesuffix('s')} {name}"] = (source["license"], source.get("origin", "not said"))
    return found


def _licences(ledger: Ledger) -> str:
    rows = [(name, *told) for name, told in licences(ledger).items()]
    if not rows:
        return "Licences: no record names any (those of an export do: `snakemake export`)."
    return table(("what", "licence", "origin"), rows)


def splits(ledger: Ledger) -> list[str]:
    """The tables of split sizes, those that are still what their records say."""
    parts = []
    for record in of_stages(ledger, "check_splits"):
        for artifact in record.outputs:
            if not as_recorded(ledger, artifact):
                parts.append(f"{artifact} is gone or changed since it was recorded, so its sizes are not shown.")
                continue
            first, *rows = csv.reader(ledger.place(artifact).read_text(encoding="utf-8").splitlines())
            parts.append(table(first, rows))
            shared = part(record, "observed").get("overlap")
            parts.append(f"Prompts in more than one split: {'not recorded' if shared is None else shared}.")
    return parts or ["No record of `check_splits`: the splits were not checked, or the record is gone."]


def exported(ledger: Ledger) -> str:
    """What was laid out for publishing."""
    names = [name for record in of_stages(ledger, "export_model", "export_pairs") for name in record.outputs]
    return f"Exports: {inline(names)}." if names else "Exports: no policy or data set was laid out for publishing."
