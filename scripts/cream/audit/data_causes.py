"""Data as a cause: files from outside the workflow, and inputs that aren't what the job had read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from cream.audit.cause import DATA, Cause, Job
from cream.audit.pairing import Inputs
from cream.digests import file_digest

BEFORE, SHOWN = 20, 120  # letters that are shown of a line: before the first that differs, and in all


def data_causes(ours: Job, theirs: Job, inputs: list[Inputs]) -> Iterator[Cause]:
    """Inputs that no job made, and those that were made anew behind a job's back."""
    for our, their in inputs:
        if our is None or their is None:
            yield Cause(DATA, f"only {'theirs' if our is None else 'ours'} reads {our or their}")
            continue
        digests = ours.data["inputs"][our], theirs.data["inputs"][their]
        name = our if our == their else f"{our} ↔ {their}"
        made = [job.ledger.artifact(path) in job.ledger.maker for job, path in ((ours, our), (theirs, their))]
        if digests[0] == digests[1]:
            continue
        if all(made):
            yield from _stale(ours, theirs, (our, their))
        elif any(made):
            yield Cause(DATA, f"{name}: only {'ours' if made[0] else 'theirs'} has a record")
        elif isinstance(digests[0], dict) and isinstance(digests[1], dict):
            files = [key for key in sorted({*digests[0], *digests[1]}) if digests[0].get(key) != digests[1].get(key)]
            yield Cause(DATA, f"{name}: {', '.join(files)} {'is' if len(files) == 1 else 'are'} other files")
        else:
            lines = _first_line(_as_read(ours, our, digests[0]), _as_read(theirs, their, digests[1]))
            yield Cause(DATA, f"{name} is another file", lines)


def _stale(ours: Job, theirs: Job, paths: tuple[str, str]) -> Iterator[Cause]:
    """An input that was made anew after the job had read it: its record says nothing of what was read."""
    for whose, job, path in (("ours", ours, paths[0]), ("theirs", theirs, paths[1])):
        artifact = job.ledger.artifact(path)
        parent = job.data["parents"].get(path)
        if parent and parent["essence"] != job.ledger.maker[artifact].essence:
            yield Cause(DATA, f"{path} was made anew after {whose} had read it")


def _as_read(job: Job, path: str, digest: object) -> Path | None:
    """A user's file, if it is still what the job read."""
    for place in (job.ledger.place(path), job.ledger.results.parent / path):
        if place.is_file() and file_digest(place) == digest:
            return place
    return None


def _first_line(ours: Path | None, theirs: Path | None) -> tuple[str, ...]:
    """The first line in which two text files differ."""
    if ours is None or theirs is None:
        return ("(a file isn't what it was any more, so where they differ can't be shown)",)
    with (
        ours.open(encoding="utf-8", errors="replace") as left,
        theirs.open(encoding="utf-8", errors="replace") as right,
    ):
        for number, (our, their) in enumerate(zip_longest(left, right), start=1):
            if our != their:
                return (f"line {number}:", *_around(our, their))
    return ()


def _around(our: str | None, their: str | None) -> tuple[str, str]:
    """The two lines from a little before the first letter that differs."""
    at = next((at for at, (a, b) in enumerate(zip(our or "", their or "", strict=False)) if a != b), 0)
    start = max(0, at - BEFORE)
    return f"-{_cut(our, start)}", f"+{_cut(their, start)}"


def _cut(line: str | None, start: int) -> str:
    return "(no such line)" if line is None else line.rstrip("\n")[start : start + SHOWN]
