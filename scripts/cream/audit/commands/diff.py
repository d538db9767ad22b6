"""What is the same in two runs and what differs: where they part, each with its causes, and the tables at the end.

A run is a results folder, or the folder of the clone that holds one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cream.audit.findings import exit_status
from cream.audit.outcome import Outcome
from cream.errors import UserError

TABLES = "results/tables/"


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("ours", type=Path, help="a run")
    flags.add_argument("theirs", type=Path, help="the one to hold against it")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit import partings_told as told
    from cream.audit.pairing import Pairing, same_names
    from cream.audit.partings import Partings
    from cream.audit.two_runs import ledger_of_run, reservations

    ours, theirs = ledger_of_run(settings.ours), ledger_of_run(settings.theirs)
    common = same_names(ours, theirs)
    if not common:
        raise UserError(f"{settings.ours} and {settings.theirs} have no artifact in common: name two runs of one study")
    pairing = Pairing(ours, theirs, common)
    partings = Partings(pairing)
    notes = reservations(partings, [pair for parting in partings.roots for pair in parting.pairs[:1]])
    alone = [
        sorted(ledger.maker.keys() - {pair[at] for pair in pairing.pairs}) for at, ledger in enumerate((ours, theirs))
    ]
    renamed = [pair for pair in pairing.pairs if pair.ours != pair.theirs]
    metrics = {pair: told.difference(pairing, pair) for pair in partings.differing if pair.ours.startswith(TABLES)}
    roots = [
        {
            **told.parting_data(parting),
            "difference": told.difference_data(told.difference(pairing, parting.pairs[0])),
        }
        for parting in partings.roots
    ]
    data = {
        "same": not partings.differing and not any(alone),
        "partings": roots,
        "further": told.further_data(partings),
        "without_effect": [
            {"kind": kind, "said": said, "artifacts": count} for (kind, said), count in partings.without_effect.items()
        ],
        "differ": [pair._asdict() for pair in partings.differing],
        "are_the_same": [pair._asdict() for pair in partings.same],
        "may_differ": [pair._asdict() for pair in partings.may_differ],
        "only_ours": alone[0],
        "only_theirs": alone[1],
        "tables": {pair.ours: told.difference_data(found) for pair, found in metrics.items()},
        "notes": [vars(note) for note in notes],
    }
    lines = [
        f"{len(partings.differing)} artifacts differ, {len(partings.same)} are the same, "
        f"{len(alone[0])} only ours, {len(alone[1])} only theirs",
        *([f"{len(renamed)} have another name there, as {renamed[0]}"] if renamed else []),
        *told.listed("ours", alone[0]),
        *told.listed("theirs", alone[1]),
    ]
    if partings.roots:
        first, *others = partings.roots
        lines += [f"They part at {told.answer(first)}", *told.parting_lines(pairing, first)]
        lines += [f"  the difference: {sentence}" for sentence in roots[0]["difference"]["said"][:1]]
        lines += [*told.also_lines(others), *told.further_lines(partings)]
    if metrics:
        lines.append("Tables that differ:")
        lines += [f"  {pair.ours}: {found.said[0]}" for pair, found in metrics.items()]
    lines += told.without_effect_lines(partings)
    lines += [*told.may_differ_lines(partings), *told.note_lines(notes)]
    return Outcome(data, told.safe(lines), exit_status(notes) if data["same"] else 3)
