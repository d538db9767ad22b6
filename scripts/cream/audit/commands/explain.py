"""Why two artifacts differ: the first artifact at which their makings part, the recorded causes, the difference itself.

Name two artifacts of one kind: the same one of two results folders, or two of one folder that differ in seed,
method, model or iteration.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cream.audit.findings import DIFFERS, exit_status
from cream.audit.outcome import Outcome


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("ours", type=Path, help="an artifact, as it lies in its results folder")
    flags.add_argument("theirs", type=Path, help="the one to hold against it")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit import partings_told as told
    from cream.audit.pairing import Pair, Pairing, check_kinds, same_names
    from cream.audit.partings import Partings
    from cream.audit.two_runs import ledgers_of, reservations

    ours, theirs = ledgers_of(settings.ours, settings.theirs)
    asked = Pair(ours.name(settings.ours.absolute()), theirs.name(settings.theirs.absolute()))
    check_kinds(ours, theirs, asked)
    # The rest of two runs tells which of several causes made no difference elsewhere.
    rest = [] if ours is theirs else same_names(ours, theirs)
    pairing = Pairing(ours, theirs, [asked, *rest])
    partings = Partings(pairing, asked)
    # What may differ by itself is asked about for the sake of what it was made from.
    parted = asked in partings.differing or (asked in partings.may_differ and bool(partings.differing))
    first = partings.roots[0] if parted else None
    notes = reservations(partings, [asked, *(first.pairs[:1] if first else [])])
    data = {
        "same": not parted,
        "asked": asked._asdict(),
        "partings": [told.parting_data(parting) for parting in partings.roots],
        "further": told.further_data(partings),
        "differ": [pair._asdict() for pair in partings.differing],
        "are_the_same": [pair._asdict() for pair in partings.same],
        "may_differ": [pair._asdict() for pair in partings.may_differ],
        "notes": [vars(note) for note in notes],
    }
    if first is None:
        same = "They are the same" if asked in partings.same else "They differ in nothing that counts"
        lines = [f"{same}: {asked}", *told.may_differ_lines(partings)]
        if partings.differing:
            lines.append(f"though {len(partings.differing)} artifacts below them differ:")
            lines += told.listed("differ", partings.differing)
        # An unread record elsewhere takes nothing from that.
        against = [note for note in notes if note.kind == DIFFERS]
        return Outcome(data, told.safe([*lines, *told.note_lines(notes)]), exit_status(against))
    difference = told.difference(pairing, first.pairs[0])
    after = partings.made_from(first.pairs[0])
    differ = [pair for pair in after if pair in partings.differing]
    same = [pair for pair in after if pair in partings.same]
    lines = [
        f"They part at {told.answer(first)}",
        *told.parting_lines(pairing, first),
        *told.difference_lines(difference),
        *told.also_lines(partings.roots[1:]),
        *told.further_lines(partings),
        f"How far it went: of {told.numbered(len(after), 'artifact')} made from it, {len(differ)} differ",
        *told.listed("differ", differ),
        *told.listed("same", same),
        *told.may_differ_lines(partings),
        *told.note_lines(notes),
    ]
    return Outcome({**data, "difference": told.difference_data(difference)}, told.safe(lines), 3)
