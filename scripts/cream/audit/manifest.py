"""Every file of a study that the records tell of, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cream.audit.ledger import Ledger


@dataclass(frozen=True)
class RecordedFile:
    """`name`: as artifacts are named, `results/…`; `artifact`: the output that it is, is a file of, or is the manifest
    of; `sha256`: of its bytes, as the record has it; `size` in bytes, None where the record doesn't tell."""

    name: str
    artifact: str
    sha256: str
    size: int | None


def recorded_files(ledger: Ledger) -> list[RecordedFile]:
    """All files of all artifacts, inputs before what was made from them; of a folder every one, and its manifest."""
    return [file for record in ledger.in_order for output in record.outputs for file in files_of(ledger, output)]


def files_of(ledger: Ledger, artifact: str) -> Iterator[RecordedFile]:
    told = ledger.maker[artifact].data["outputs"][artifact]
    if "files" not in told:
        yield RecordedFile(artifact, artifact, told["file"], told.get("bytes"))
        return
    for name, inside in told["files"].items():
        yield RecordedFile(f"{artifact}/{name}", artifact, inside["file"], inside.get("bytes"))
    if "manifest" in told:
        yield RecordedFile(f"{artifact}.json", artifact, told["manifest"], None)
