"""Is a study what its records say? Files, inputs, chain, code and environment held against them.

Findings name the artifact, not the place of the file; what a whole stage shares (its code, its packages) is said
once for the stage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cream.audit.findings import DIFFERS, NOTE, UNCHECKED, Finding
from cream.audit.harmless import harmless, unrecorded
from cream.audit.hashing import hash_files
from cream.audit.ledger import SUFFIX, Ledger, Record
from cream.audit.made_by import code_and_environment, some_artifacts
from cream.code_kept import FOLDER as CODE
from cream.code_kept import kept_code
from cream.contents import file_digests, files_below
from cream.paths import RESULTS
from cream.records import manifest_path


def verify(ledger: Ledger, artifact: str | None = None, files_only: bool = False) -> list[Finding]:
    """All that is to be said of an artifact and everything it was made from; of the whole study without one.

    `files_only`: leave the code and environment of this clone out.
    """
    records = ledger.in_order if artifact is None else ledger.makers({artifact, *ledger.below(artifact)})
    expected = {place: told for record in records for place, told in _files_of(ledger, record)}
    expected |= {place: told for record in records for place, told in _unrecorded_inputs(ledger, record)}
    expected |= {place: told for record in records for place, told in _kept_code_of(ledger, record)}
    findings = list(ledger.problems)
    findings += _records(ledger, records)
    findings += _chain(ledger, records)
    findings += _folders(ledger, records)
    findings += _bytes(expected)
    if not files_only:
        findings += code_and_environment(ledger, records)
    if artifact is None:
        findings += _unnamed(ledger, set(expected))
    return findings


@dataclass(frozen=True)
class _Told:
    """What a record tells of a file: how it is called, its digests, and whether it is a file of somebody's own."""

    name: str
    digest: str
    content: str | None = None
    outside: bool = False


def _files_of(ledger: Ledger, record: Record) -> Iterator[tuple[Path, _Told]]:
    """Every file of a job's outputs, the manifests of its model folders among them."""
    for output, digests in record.data["outputs"].items():
        place = ledger.place(output)
        if "files" not in digests:
            yield place, _Told(output, digests["file"], digests["content"])
            continue
        for name, inside in digests["files"].items():
            yield place / name, _Told(f"{output}/{name}", inside["file"], inside["content"])
        if "manifest" in digests:
            yield manifest_path(place), _Told(f"{output}.json", digests["manifest"])


def _unrecorded_inputs(ledger: Ledger, record: Record) -> Iterator[tuple[Path, _Told]]:
    """Inputs that no job made: files of the project or of the user."""
    for name, digest in record.data["inputs"].items():
        if ledger.artifact(name) in ledger.maker:
            continue
        place = ledger.place(name)
        if isinstance(digest, str):
            yield place, _Told(name, digest, outside=True)
        elif "manifest" in digest:
            yield manifest_path(place), _Told(f"{name}.json", digest["manifest"], outside=True)
        else:
            for file, content in digest.items():
                yield place / file, _Told(f"{name}/{file}", content, content, outside=True)


def _kept_code_of(ledger: Ledger, record: Record) -> Iterator[tuple[Path, _Told]]:
    for name, digest in record.data["code_files"].items():
        yield kept_code(ledger.results, digest), _Told(f"{RESULTS}/{CODE}/{digest}.txt (as {name} was)", digest)


def _records(ledger: Ledger, records: list[Record]) -> Iterator[Finding]:
    """Seals, and whether each job's inputs are what stands in the records of the jobs that made them."""
    for record in records:
        if not record.sealed:
            yield Finding(DIFFERS, record.path, "was edited after the job wrote it: its seal doesn't fit what it says")
        if record.path != record.outputs[0] + SUFFIX:
            yield Finding(
                DIFFERS, record.path, f"lies beside another artifact than {record.outputs[0]}, which it is of"
            )
        for name, digest in record.data["inputs"].items():
            source = ledger.artifact(name)
            if source in ledger.maker and not _same_input(digest, ledger.maker[source].data["outputs"][source], name):
                yield Finding(
                    DIFFERS,
                    record.outputs[0],
                    f"was made from another {name} than the one that is recorded now: make it again",
                )


def _same_input(digest: str | dict, made: dict, name: str) -> bool:
    """Whether an input's digest is that of the output as its own record has it."""
    if isinstance(digest, str):
        return digest in (made.get("file"), made.get("manifest"))
    if "manifest" in digest:
        return digest["manifest"] == made.get("manifest")
    return digest == {file: inside["content"] for file, inside in made.get("files", {}).items() if file in digest}


def _chain(ledger: Ledger, records: list[Record]) -> Iterator[Finding]:
    """Whether the records that jobs were done over are still those, each told of once."""
    by_path = {record.path: record for record in ledger.records}
    over = defaultdict(list)
    for record in records:
        for told in record.data["parents"].values():
            over[told["record"], _link(told, by_path.get(told["record"]))].append(record)
    for (path, (kind, said)), children in over.items():
        if kind:
            yield Finding(kind, path, said.format(some_artifacts(children)))


def _link(told: dict, parent: Record | None) -> tuple[str | None, str]:
    """What is to be said of one link of the chain."""
    if parent is None:
        return DIFFERS, "is not there or no whole record; made over it: {}"
    if parent.digest == told["digest"]:
        return None, ""
    if parent.essence == told["essence"]:
        return NOTE, "was written again by a job that did the same, after these were made over it: {}"
    return (
        DIFFERS,
        "is not the record that these were made over, it was edited or what it tells of was made otherwise since: {}",
    )


def _folders(ledger: Ledger, records: list[Record]) -> Iterator[Finding]:
    """Files in model folders that their records don't tell of."""
    for record in records:
        for output, digests in record.data["outputs"].items():
            folder = ledger.place(output)
            if "files" not in digests or not folder.is_dir():
                continue
            for file in files_below(folder):
                name = str(file.relative_to(folder))
                if name not in digests["files"] and not harmless(f"{output}/{name}"):
                    yield Finding(
                        DIFFERS, f"{output}/{name}", "was added to a folder that was made without it: remove it"
                    )


def _bytes(expected: dict[Path, _Told]) -> Iterator[Finding]:
    """What every file holds now against what is told of it."""
    found = hash_files(list(expected))
    for place, told in expected.items():
        digest = found[place]
        if isinstance(digest, Finding):
            yield _unread(told, digest)
        elif digest != told.digest and not (told.outside and _same_content(place, told)):
            yield Finding(DIFFERS, told.name, _changed(place, told))


def _unread(told: _Told, finding: Finding) -> Finding:
    if finding.kind == DIFFERS and told.outside:  # gone, and nobody promised to keep it
        return Finding(UNCHECKED, told.name, "was read by a job and is not there any more: restore it to check it")
    return Finding(finding.kind, told.name, finding.said)


def _changed(place: Path, told: _Told) -> str:
    if told.outside:
        return "is another than the one that was read: put it back, or run again"
    if _same_content(place, told):
        return "has other bytes than its record says, with the same content"
    return "is not what its record says: it was changed after it was made"


def _same_content(place: Path, told: _Told) -> bool:
    return told.content is not None and file_digests(place)["content"] == told.content


def _unnamed(ledger: Ledger, named: set[Path]) -> Iterator[Finding]:
    """Files in the results that no record tells of."""
    folders = {ledger.place(name) for record in ledger.records for name in [*record.inputs, *record.outputs]}
    left_out: dict[str, int] = defaultdict(int)
    for path in files_below(ledger.results):
        name = str(Path(RESULTS, path.relative_to(ledger.results)))
        if path in named or name.endswith(SUFFIX):
            continue
        reason = unrecorded(name)
        if reason:
            left_out[reason] += 1
        elif not any(parent in folders for parent in path.parents):  # those were looked through
            yield Finding(UNCHECKED, name, "is in the results and no record tells of it")
    for reason, count in sorted(left_out.items()):
        yield Finding(NOTE, f"{count} files", f"not checked: {reason}")
