"""Which artifacts of two runs play the same part.

Inputs are paired by the flag that took them, so another seed, method or iteration in a path doesn't hide what
it is; where a flag took several, those of the same name first, then the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

from cream.audit.harmless import harmless
from cream.audit.ledger import Ledger, Record
from cream.errors import UserError


class Pair(NamedTuple):
    """An artifact of each run, by its recorded path."""

    ours: str
    theirs: str

    def __str__(self) -> str:
        return self.ours if self.ours == self.theirs else f"{self.ours} ↔ {self.theirs}"


# Two inputs of the same part as recorded, a model by its manifest perhaps; None where only one run reads one.
Inputs = tuple[str | None, str | None]


class Pairing:
    """All pairs that `starts` were made from, `starts` included. `pairs`: in order of making, by our run.
    `inputs`: pair → what its two jobs read."""

    def __init__(self, ours: Ledger, theirs: Ledger, starts: Iterable[Pair]):
        self.ours, self.theirs = ours, theirs
        self.inputs: dict[Pair, list[Inputs]] = {}
        waiting = list(starts)
        while waiting:
            pair = waiting.pop()
            if pair not in self.inputs:
                self.inputs[pair] = _paired_inputs(*self.records(pair))
                waiting.extend(self.below(pair))
        order = {output: at for at, record in enumerate(ours.in_order) for output in record.outputs}
        self.pairs = sorted(self.inputs, key=lambda pair: (order[pair.ours], pair))

    def records(self, pair: Pair) -> tuple[Record, Record]:
        """The records of the jobs that made the two."""
        return self.ours.maker[pair.ours], self.theirs.maker[pair.theirs]

    def below(self, pair: Pair) -> list[Pair]:
        """The pairs that a pair was made from; inputs without a record in both runs are none."""
        named = [
            Pair(self.ours.artifact(our), self.theirs.artifact(their))
            for our, their in self.inputs[pair]
            if our is not None and their is not None
        ]
        return [pair for pair in named if pair.ours in self.ours.maker and pair.theirs in self.theirs.maker]

    def under(self, pair: Pair) -> set[Pair]:
        """A pair and all that it was made from."""
        found, waiting = set(), [pair]
        while waiting:
            pair = waiting.pop()
            if pair not in found:
                found.add(pair)
                waiting.extend(self.below(pair))
        return found

    def same(self, pair: Pair) -> bool:
        """Whether the records say that the two have the same content, files that may differ left out."""
        ours, theirs = self.records(pair)
        return _content(ours, pair.ours) == _content(theirs, pair.theirs)


def same_names(ours: Ledger, theirs: Ledger) -> list[Pair]:
    """The artifacts that both runs have under one name."""
    return [Pair(name, name) for name in ours.maker if name in theirs.maker]


def _content(record: Record, artifact: str) -> object:
    """What a record says of an artifact's content: a digest, or one for each file of a folder."""
    entry = record.data["outputs"][artifact]
    if "files" not in entry:
        return entry["content"]
    files = entry["files"].items()
    return {name: digests["content"] for name, digests in files if not harmless(f"{artifact}/{name}")}


def check_kinds(ours: Ledger, theirs: Ledger, pair: Pair) -> None:
    """Raise `UserError` if two artifacts can't be asked why they differ."""
    our, their = ours.maker[pair.ours], theirs.maker[pair.theirs]
    if our.stage != their.stage:
        raise UserError(
            f"{pair.ours} was made by {our.stage}, {pair.theirs} by {their.stage}: name two artifacts of one kind"
        )
    if _flag(our, pair.ours) != _flag(their, pair.theirs):
        raise UserError(
            f"{pair.ours} and {pair.theirs} are different outputs of {our.stage}: name two artifacts of one kind"
        )
    if pair.ours != pair.theirs and ours is theirs and our is their:
        raise UserError(f"{pair.ours} and {pair.theirs} were made by one job: there is nothing to tell them apart by")


def _flag(record: Record, output: str) -> str | None:
    """The flag that named an output."""
    return next((name for name, value in record.data["settings"].items() if output in as_list(value)), None)


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [value]


def _paired_inputs(ours: Record, theirs: Record) -> list[Inputs]:
    if ours.stage != theirs.stage:
        return []
    flags = dict.fromkeys([*ours.data["settings"], *theirs.data["settings"]])
    return [pair for flag in flags for pair in _paired(_inputs(ours, flag), _inputs(theirs, flag))]


def _inputs(record: Record, flag: str) -> list[str]:
    values = as_list(record.data["settings"].get(flag))
    return [value for value in values if isinstance(value, str) and value in record.data["inputs"]]


def _paired(ours: list[str], theirs: list[str]) -> list[Inputs]:
    both = [name for name in ours if name in theirs]
    only_ours = [name for name in ours if name not in both]
    only_theirs = [name for name in theirs if name not in both]
    return [*((name, name) for name in both), *_renamed(only_ours, only_theirs)]


def _renamed(ours: list[str], theirs: list[str]) -> list[Inputs]:
    """In order where there are as many of both; else by the last part of the path, where that tells them apart."""
    if len(ours) == len(theirs):
        return list(zip(ours, theirs, strict=True))
    our, their = ({PurePath(name).name: name for name in names} for names in (ours, theirs))
    if len(our) < len(ours) or len(their) < len(theirs):
        our, their = ({name: name for name in names} for names in (ours, theirs))
    return [(our.get(last), their.get(last)) for last in dict.fromkeys([*our, *their])]
