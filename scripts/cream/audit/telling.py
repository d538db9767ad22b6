"""What a record says, brought into words: the settings that matter, and values short enough for a line."""

from __future__ import annotations

import json

from cream.audit.ledger import Record
from cream.plain_text import visible

# How a job was run, not what it made. All of it stands in `show` and in the record.
PLUMBING = {
    "engine",
    "gpus",
    "micro_batch_size",
    "prompts_per_batch",
    "results",
    "serving",
    "shard",
    "threads",
    "tokens_per_batch",
}
LONGEST, FEW = 100, 3


def part(record: Record, name: str) -> dict:
    """A mapping of a record, empty where the record has something else there."""
    found = record.data.get(name)
    return found if isinstance(found, dict) else {}


def settings_that_matter(record: Record) -> dict[str, object]:
    """The settings that the outcome follows from: no files, nothing that is not set, no plumbing.

    What is given as JSON text is read: `method`, a task's definition.
    """
    files = {*record.inputs, *record.outputs}
    given = {name: _read(value) for name, value in record.data["settings"].items() if name not in PLUMBING}
    return {
        name: value
        for name, value in given.items()
        if value not in (None, "", [], {}) and not _files(value, files) and not _files(value, {"results"})
    }


def _files(value: object, files: set[str]) -> bool:
    found = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) and item in files for item in found)


def _read(value: object) -> object:
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def in_a_line(value: object, longest: int = LONGEST) -> str:
    """A value as one line that a terminal can't be harmed by, cut where it gets long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = visible(text.replace("\n", "\\n"))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def settings_line(record: Record, longest: int = LONGEST) -> str:
    """`beta=0.1 epochs=1.0 …`"""
    return in_a_line(
        " ".join(f"{name}={in_a_line(value, 60)}" for name, value in settings_that_matter(record).items()), longest
    )


def abbreviated(value: object) -> object:
    """What was observed, with the middle of long lists left out and counted."""
    if isinstance(value, dict):
        return {name: abbreviated(item) for name, item in value.items()}
    if isinstance(value, list) and len(value) > FEW:
        return [abbreviated(value[0]), f"… {len(value) - 2} more …", abbreviated(value[-1])]
    return [abbreviated(item) for item in value] if isinstance(value, list) else value
