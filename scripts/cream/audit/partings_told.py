"""Where two runs part, as lines for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from cream.audit.cause import Cause
from cream.audit.compare import Comparison, compare
from cream.audit.findings import Finding
from cream.audit.harmless import harmless
from cream.audit.pairing import Pair, Pairing
from cream.audit.partings import Parting, Partings, Ranked
from cream.plain_text import visible
from cream.promises import Tolerance

LISTED = 8  # of a kind that are named one by one; all are in the JSON
DIFF_LINES = 16


def difference(pairing: Pairing, pair: Pair) -> Comparison:
    """The two files or folders as they lie today, within the tolerance of the stage that made them."""
    tolerance = pairing.records(pair)[0].data.get("tolerance")
    return compare(
        pairing.ours.place(pair.ours),
        pairing.theirs.place(pair.theirs),
        Tolerance(**tolerance) if tolerance else None,
        artifact=pair.ours,
    )


def answer(parting: Parting) -> str:
    """Where and why, in one line."""
    others = len(parting.causes) - 1
    more = f" (and {numbered(others, 'more recorded difference')})" if others else ""
    return f"{parting.pairs[0]}: {parting.causes[0].cause}{more}"


def parting_lines(pairing: Pairing, parting: Parting) -> list[str]:
    """The jobs, and the causes with what they look like."""
    records = pairing.records(parting.pairs[0])
    lines = [f"  {whose:<8}{_job(record.data)}" for whose, record in zip(("ours", "theirs"), records, strict=True)]
    if len(parting.pairs) > 1:
        lines.append(f"  so do {', '.join(str(pair) for pair in parting.pairs[1:])}, made by the same job")
    lines.append("Causes on record, the likeliest first:")
    for ranked in parting.causes[:LISTED]:
        lines.append(f"  {ranked.cause}{_in_spite(ranked) if len(parting.causes) > 1 else ''}")
        lines += _cut([f"    {line}" for line in ranked.cause.lines], DIFF_LINES, "    ")
    lines += _cut(parting.causes, LISTED, "  ")[LISTED:]
    return [*lines, *(f"  no cause: {what} ({count})" for what, count in parting.uncounted.items() if count)]


def difference_lines(found: Comparison) -> list[str]:
    return [f"The difference itself ({found.verdict}):", *(f"  {said}" for said in _cut(found.said, LISTED))]


def further_lines(partings: Partings) -> list[str]:
    """Causes that join further on."""
    lines = [
        f"Another cause joins further on: {cause}, at {pairs[0]}{_and_others(len(pairs) - 1)}"
        for cause, pairs in partings.further.items()
    ]
    return _cut(lines, LISTED)


def also_lines(partings: list[Parting]) -> list[str]:
    """Further artifacts at which two runs part by themselves, those with the same causes in one line."""
    alike: dict[tuple, list[Parting]] = {}
    for parting in partings:
        alike.setdefault(tuple(ranked.cause for ranked in parting.causes), []).append(parting)
    lines = [f"They also part at {answer(found[0])}{_and_others(len(found) - 1)}" for found in alike.values()]
    return _cut(lines, LISTED)


def listed(word: str, names: Iterable[object]) -> list[str]:
    return _cut([f"  {word:<8}{name}" for name in names], LISTED, "  ")


def without_effect_lines(partings: Partings) -> list[str]:
    lines = [
        f"Without effect: {kind}: {said}, at {numbered(count, 'artifact')}"
        for (kind, said), count in partings.without_effect.items()
    ]
    return _cut(lines, LISTED)


def may_differ_lines(partings: Partings) -> list[str]:
    return [f"{pair} differs, as it may: it {harmless(pair.ours)}" for pair in partings.may_differ]


def note_lines(notes: list[Finding]) -> list[str]:
    return _cut([f"Note: {note.what} {note.said}" for note in notes], LISTED)


def parting_data(parting: Parting) -> dict:
    return {
        "artifacts": [pair._asdict() for pair in parting.pairs],
        "stage": parting.stage,
        "causes": [{**_cause_data(ranked.cause), "same_in_spite": ranked.in_spite} for ranked in parting.causes],
        "uncounted": parting.uncounted,
    }


def further_data(partings: Partings) -> list[dict]:
    return [
        {**_cause_data(cause), "artifacts": [pair._asdict() for pair in pairs]}
        for cause, pairs in partings.further.items()
    ]


def difference_data(found: Comparison) -> dict:
    return {"verdict": found.verdict, "said": found.said, "data": found.data}


def safe(lines: list[str]) -> list[str]:
    """Names, values and texts of records and files are anybody's."""
    return [visible(line).replace("\n", "\\n") for line in lines]


def numbered(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _cause_data(cause: Cause) -> dict:
    return {"kind": cause.kind, "said": cause.said, "lines": list(cause.lines)}


def _cut(lines: list, most: int, indent: str = "") -> list:
    """The first of some lines, and how many are left out."""
    left = len(lines) - most
    return [*lines[:most], f"{indent}… {left} more (--json has all)"] if left > 0 else list(lines)


def _and_others(count: int) -> str:
    return f", and at {numbered(count, 'more artifact')}" if count else ""


def _in_spite(ranked: Ranked) -> str:
    count = ranked.in_spite
    return f" (less likely: in spite of it {numbered(count, 'artifact')} came out the same)" if count else ""


def _job(data: dict) -> str:
    """When and where a job ran, and from which commit: to find it again, no cause."""
    git = data.get("git") or {}
    commit = f", commit {git['commit'][:10]}{' with changes' if git.get('dirty') else ''}" if git.get("commit") else ""
    return f"{data['stage']}, {data.get('started', 'no time')} on {data.get('host', 'no host')}{commit}"
