"""What things of a study are called as linked data: relative to the folder that holds `results/`.

Jobs and what came from outside have no file there and are called after a `#`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from urllib.parse import quote

from cream.audit.ledger import Ledger, Record
from cream.cards.study import is_machine_path
from cream.contents import canonical_digest


def job_id(record: Record) -> str:
    return f"#job/{quote(record.outputs[0])}"


def shown(path: str) -> str:
    """A path without what it tells of somebody's machine."""
    return PurePosixPath(path).name if is_machine_path(path) else path


def source_id(name: str, digest: str | dict) -> str:
    """Of an input that no job made. With its digest: a file may be read, changed, and read again."""
    short = digest if isinstance(digest, str) else canonical_digest(digest)
    return f"#input/{short[:12]}/{quote(shown(name))}"


def inputs_of(ledger: Ledger, record: Record) -> Iterator[tuple[str, str | None]]:
    """(input as recorded, artifact that it is); None for what no job made."""
    for name in record.inputs:
        artifact = ledger.artifact(name)
        yield name, artifact if artifact in ledger.maker else None


def script_of(record: Record) -> tuple[str, str]:
    """The script that a job ran, and the SHA-256 that it had."""
    found = next((name for name in record.data["code_files"] if PurePosixPath(name).stem == record.stage), None)
    return (shown(found), record.data["code_files"][found]) if found else (f"scripts/{record.stage}.py", "")


def times(record: Record) -> tuple[str, str]:
    """When a job began and when it was done, as the record's start and seconds have it."""
    begun = datetime.fromisoformat(record.data["started"])
    return begun.isoformat(), (begun + timedelta(seconds=record.data["seconds"])).isoformat(timespec="seconds")
