"""A study as a Provenance Run RO-Crate: its files, what made them from what, and the code that did.

The recorded files keep their names below `results/`, so an extracted crate is a project folder with results, and the
audit's commands work in it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from cream.audit import crate_files
from cream.audit.crate_run import AUTHOR, ENGINE, RUN, Run, references
from cream.audit.identifiers import job_id, shown
from cream.audit.ledger import Ledger
from cream.audit.manifest import RecordedFile, recorded_files
from cream.audit.prov import provenance
from cream.audit.signing import STATEMENT
from cream.digests import file_digest
from cream.machine import PROJECT, locked
from cream.paths import RESULTS, owner

TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
LICENCE, MIXED_LICENCE = "https://spdx.org/licenses/Apache-2.0", "#licence"
MIXED = (
    "The code comes under Apache-2.0. Data, models and what was made from them come under the licences of their "
    "origins, which config.yaml names where they are known."
)
PROVENANCE = "provenance.jsonld"
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"


def build(ledger: Ledger, with_data: bool = False, author: str | None = None, licence: str | None = None) -> ROCrate:
    """The crate, ready to be written. Nothing is read but what the metadata needs."""
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    files = recorded_files(ledger)
    named = dict(_artifact_ids(ledger, files, with_data))
    today = {name: file_digest(PROJECT / name) for name in crate_files.workflow_files()}
    kept = crate_files.kept_code_files(ledger)
    # Where a file is another today, the version that was kept is what ran.
    code = {(path, Path(name).stem): name for name, path in kept.items()} | {entry: entry[0] for entry in today.items()}
    run = Run(ledger, named, code, author)
    _add_code(crate, ledger, run, today, kept)
    _add_artifacts(crate, ledger, run, files, with_data)
    _add_records(crate, ledger, author)
    for identifier, entity in run.entities.items():
        crate.add(ContextEntity(crate, identifier, properties=_ordered(entity)))
    _add_root(crate, ledger, run, licence)
    return crate


def write(crate: ROCrate, target: Path) -> None:
    """Into a folder, or a zip archive where the name says so."""
    if target.suffix != ".zip":
        crate.write(target)
        return
    crate.write_zip(target)
    with zipfile.ZipFile(target, "a") as archive:  # rocrate writes files only, and a validator looks for the folders
        for entity in crate.data_entities:
            if entity.type == "Dataset":
                archive.mkdir(unquote(entity.id))


def copied_files(crate: ROCrate) -> int:
    return sum(getattr(entity, "source", None) is not None for entity in crate.data_entities)


def _artifact_ids(ledger: Ledger, files: list[RecordedFile], with_data: bool) -> Iterator[tuple[str, str]]:
    for name, record in ledger.maker.items():
        if "files" in record.data["outputs"][name]:
            yield name, crate_files.folder_id(name, with_data)
    for file in files:
        if file.name == file.artifact:
            yield file.name, crate_files.file_id(file.name, crate_files.comes_along(file, with_data))


def _add_code(crate: ROCrate, ledger: Ledger, run: Run, today: dict[str, str], kept: dict[str, str]) -> None:
    commits = sorted({str(record.data["git"].get("commit") or "unknown") for record in ledger.records})
    workflow = crate.add_workflow(
        PROJECT / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        properties={
            **crate_files.described("Snakefile", today["Snakefile"], None),
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "description": "The workflow as it is today; rules/, scripts/ and config.yaml belong to it.",
            "version": ", ".join(commits),
            "license": {"@id": LICENCE},
            "conformsTo": {"@id": BIOSCHEMAS},
            "hasPart": references(run.tools),
            "step": references(run.steps),
        },
    )
    workflow["name"] = "CREAM: consistency regularized self-rewarding language models"
    for name, digest in today.items():
        if name != "Snakefile":
            properties = crate_files.described(name, digest, (PROJECT / name).stat().st_size)
            crate.add_file(PROJECT / name, name, properties=_ordered({**properties, **_as_code(name, run)}))
    for name, path in kept.items():
        source = ledger.place(name)
        said = {"description": f"{shown(path)} as it was when jobs of this study ran it"}
        properties = crate_files.described(name, Path(name).stem, source.stat().st_size)
        crate.add_file(source, name, properties=_ordered({**properties, **said, **_as_code(name, run)}))


def _as_code(name: str, run: Run) -> dict:
    """What a file of the project is besides: read by a job, or the script that it ran."""
    if name not in run.tools:
        return {"exampleOfWork": run.example_of(name)}
    tool = run.tools[name]
    return {
        "@type": ["File", "SoftwareSourceCode"],
        "name": tool["name"],
        "version": tool["version"],
        "programmingLanguage": "Python",
        "license": {"@id": LICENCE},
        "input": references(tool["input"]),
        "output": references(tool["output"]),
    }


def _add_artifacts(crate: ROCrate, ledger: Ledger, run: Run, files: list[RecordedFile], with_data: bool) -> None:
    parts: dict[str, list[str]] = {}
    for file in files:
        copied = crate_files.comes_along(file, with_data)
        identifier = crate_files.file_id(file.name, copied)
        properties = crate_files.described(file.name, file.sha256, file.size)
        properties = _ordered({**properties, "exampleOfWork": run.example_of(identifier)})
        if file.name != file.artifact:
            parts.setdefault(file.artifact, []).append(identifier)
        if copied:
            crate.add_file(ledger.place(file.name), file.name, properties=properties)
        else:
            said = {"@type": "File", "description": "not in this crate: its digest stands for it"}
            crate.add(ContextEntity(crate, identifier, properties={**said, **properties}))
    for artifact, inside in parts.items():
        identifier = crate_files.folder_id(artifact, with_data)
        properties = {
            "name": artifact,
            "hasPart": references(inside),
            "exampleOfWork": run.example_of(identifier),
        }
        if with_data:
            crate.add_dataset(dest_path=artifact, properties=_ordered(properties))
        else:
            crate.add(ContextEntity(crate, identifier, properties={"@type": "Dataset", **_ordered(properties)}))


def _add_records(crate: ROCrate, ledger: Ledger, author: str | None) -> None:
    for record in ledger.in_order:
        properties = crate_files.described(record.path, record.digest, None)
        about = {"description": "the record that the job left", "about": {"@id": job_id(record)}}
        crate.add_file(ledger.place(record.path), record.path, properties={**properties, **about})
    prov = io.StringIO(json.dumps(provenance(ledger, author), indent=1, ensure_ascii=False))
    said = {"name": "lineage in PROV-O", "encodingFormat": "application/ld+json"}
    crate.add_file(prov, PROVENANCE, properties=said)
    statement = ledger.results / STATEMENT
    if statement.is_file():
        name = f"{RESULTS}/{STATEMENT}"
        crate.add_file(statement, name, properties={"name": "signed statement", "encodingFormat": "application/json"})


def _add_root(crate: ROCrate, ledger: Ledger, run: Run, licence: str | None) -> None:
    for identifier, name in PROFILES.items():
        properties = {"@type": "CreativeWork", "name": name, "version": identifier.rpartition("/")[2]}
        crate.add(ContextEntity(crate, identifier, properties=properties))
    crate.add(ContextEntity(crate, LICENCE, properties={"@type": "CreativeWork", "name": "Apache License 2.0"}))
    if not licence:
        mixed = {"@type": "CreativeWork", "name": "Licences of the origins", "description": MIXED}
        crate.add(ContextEntity(crate, MIXED_LICENCE, properties=mixed))
    version = _engine_version(ledger)
    engine = {"@type": "SoftwareApplication", "name": "Snakemake", "url": {"@id": ENGINE}}
    crate.add(ContextEntity(crate, ENGINE, properties={**engine, **version}))
    root = crate.root_dataset
    root["conformsTo"] = references(PROFILES)
    root["mentions"] = references(run.actions)
    root["license"] = licence if licence and "://" not in licence else {"@id": licence or MIXED_LICENCE}
    root["name"] = _title(ledger)
    if AUTHOR in run.entities:
        root["author"] = {"@id": AUTHOR}
    if (readme := crate.get("README.md")) is not None:
        readme["about"] = {"@id": root.id}
    root["datePublished"] = run.entities[RUN]["endTime"]
    root["description"] = (
        f"{len(ledger.records)} jobs and their {len(ledger.maker)} artifacts, each with its digest, its settings and "
        "what it was made from. Records are sealed and so are here as the jobs wrote them."
    )


def _title(ledger: Ledger) -> str:
    owners = []
    for name in ledger.maker:
        try:
            owners.append(owner(name))
        except ValueError:  # a table, a figure: of the whole study
            continue
    models = sorted({whose.model for whose in owners})
    methods = sorted({whose.method for whose in owners if whose.iteration > 1})
    return f"CREAM study of {', '.join(models)}: {', '.join(methods)}"


def _engine_version(ledger: Ledger) -> dict:
    """Of the lock that the jobs' environments were made from, where the project still has it."""
    locks = [record.data.get("lock") or {} for record in ledger.records]
    for name, digest in {(lock.get("file"), lock.get("sha256")) for lock in locks if lock.get("file")}:
        path = PROJECT / name
        if path.is_file() and file_digest(path) == digest:
            return {"softwareVersion": locked(path)["snakemake"]}
    return {}


def _ordered(entity: dict) -> dict:
    """Without lists of one or none: the compact form that readers of a crate expect."""
    short = {}
    for name, value in entity.items():
        if isinstance(value, list) and not value:
            continue
        short[name] = value[0] if isinstance(value, list) and len(value) == 1 and name != "@type" else value
    return short
