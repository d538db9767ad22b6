"""Is the code, and is the environment, what it was when the artifacts were made?"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cream.audit.findings import DIFFERS, NOTE, UNCHECKED, Finding
from cream.audit.ledger import Ledger, Record
from cream.code_kept import kept_code
from cream.digests import file_digest
from cream.fingerprint import code_digest, code_files, stage_packages, tree_digest
from cream.machine import PROJECT


def code_and_environment(ledger: Ledger, records: list[Record]) -> Iterator[Finding]:
    """Once for each stage and state of the code or the packages that its artifacts were made in."""
    yield from _codes(ledger, records)
    yield from _packages(records)
    yield from _locks(records)
    dirty = [record for record in records if record.data.get("git", {}).get("dirty")]
    if dirty:
        yield Finding(NOTE, some_artifacts(dirty), "made with uncommitted changes; the code is kept")


def script_of(record: Record) -> Path:
    return PROJECT / record.data["command"][0]


def engine_of(record: Record) -> str:
    return record.data["settings"].get("engine", "transformers")


def _codes(ledger: Ledger, records: list[Record]) -> Iterator[Finding]:
    for (stage, code), group in _grouped(records, lambda record: record.data["code"]).items():
        script = script_of(group[0])
        if not script.is_file():
            yield Finding(UNCHECKED, some_artifacts(group), f"{stage}: its script is not in this clone ({script.name})")
        elif code_digest(script, engine_of(group[0])) != code:
            changed = ", ".join(changed_files(ledger, group[0])) or "what can't be told: the code of then is not kept"
            yield Finding(DIFFERS, some_artifacts(group), f"{stage} was other code when it made them: {changed}")


def changed_files(ledger: Ledger, record: Record) -> list[str]:
    """Code files that do something else than when the record was written, are new or are gone."""
    today = {str(path.relative_to(PROJECT)): path for path in code_files(script_of(record), engine_of(record))}
    recorded = record.data["code_files"]
    both = [
        name for name in recorded if name in today and _differs(today[name], kept_code(ledger.results, recorded[name]))
    ]
    return sorted([*both, *(today.keys() ^ recorded.keys())])


def _differs(now: Path, then: Path) -> bool:
    if not then.is_file():
        return file_digest(now) != then.stem
    if now.suffix != ".py":
        return now.read_bytes() != then.read_bytes()
    try:
        return tree_digest(now) != tree_digest(then)
    except SyntaxError:
        return True


def _packages(records: list[Record]) -> Iterator[Finding]:
    for (stage, _), group in _grouped(records, lambda record: tuple(sorted(record.data["packages"].items()))).items():
        script = script_of(group[0])
        if not script.is_file():
            continue
        then, now = group[0].data["packages"], stage_packages(script, engine_of(group[0]))
        changed = [
            f"{name} {then.get(name, 'absent')}, now {now.get(name, 'absent')}"
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        ]
        if changed:
            yield Finding(DIFFERS, some_artifacts(group), f"{stage} had other packages: {'; '.join(changed)}")
    minor = {version: version.rpartition(".")[0] for version in {record.data["python"] for record in records}}
    here = platform.python_version().rpartition(".")[0]
    for version, short in sorted(minor.items()):
        if short != here:
            made = [record for record in records if record.data["python"] == version]
            yield Finding(
                DIFFERS, some_artifacts(made), f"made with Python {version}, this is {platform.python_version()}"
            )


def _locks(records: list[Record]) -> Iterator[Finding]:
    groups = defaultdict(list)
    for record in records:
        lock = record.data.get("lock") or {}
        groups[lock.get("file"), lock.get("sha256")].append(record)
    for (file, digest), group in groups.items():
        if file is None:
            yield Finding(NOTE, some_artifacts(group), "made in an environment that is of no lock of this project")
        elif not (PROJECT / file).is_file():
            yield Finding(UNCHECKED, some_artifacts(group), f"made with {file}, which is not in this clone")
        elif file_digest(PROJECT / file) != digest:
            yield Finding(DIFFERS, some_artifacts(group), f"made with another {file} than this clone's")
        off = sorted({name for record in group for name in (record.data.get("lock") or {}).get("differs") or {}})
        if off:
            yield Finding(NOTE, some_artifacts(group), f"made with other versions than {file} pins: {', '.join(off)}")


def _grouped(records: list[Record], of) -> dict[tuple, list[Record]]:
    groups = defaultdict(list)
    for record in records:
        groups[record.stage, of(record)].append(record)
    return groups


def some_artifacts(records: list[Record]) -> str:
    """The first of the artifacts, and how many more."""
    names = [name for record in records for name in record.outputs]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
