"""Was each artifact made as the study's configuration asks for it today?

Snakemake compares a job's parameters as a set without names and forgets all with its state; here each record's
command is held against the command that the plan would run now, flag by flag.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from cream.audit.findings import DIFFERS, NOTE, Finding
from cream.audit.harmless import AUDIT_PAGE
from cream.audit.ledger import Ledger
from cream.cluster.jobs import commands


def against_plan(ledger: Ledger, studies: Sequence[Path]) -> Iterator[Finding]:
    """Every recorded job against the plan of config.yaml with `studies` laid over it."""
    planned = {output: _arguments(command) for output, command in commands(studies).items()}
    for record in ledger.in_order:
        output = record.outputs[0]
        if output not in planned:
            yield Finding(NOTE, output, "is not part of this study's plan")
            continue
        then, now = _flags(record.data["command"]), _flags(planned[output])
        changed = [
            f"{name} was {_shown(then.get(name))}, the plan says {_shown(now.get(name))}"
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        ]
        if changed:
            yield Finding(DIFFERS, output, f"was made with other settings than the study has now: {'; '.join(changed)}")
    missing = [output for output in planned if output not in ledger.maker and output != AUDIT_PAGE]
    if missing:
        yield Finding(NOTE, f"{len(missing)} artifacts", f"of the plan have no record, the first is {missing[0]}")


def _arguments(command: str) -> list[str]:
    """The script and its arguments, out of a rule's shell command."""
    words = shlex.split(command)
    start = next(at for at, word in enumerate(words) if word.startswith("scripts/"))
    end = next((at for at, word in enumerate(words) if word in ("2>&1", "|", ">")), len(words))
    return words[start:end]


def _flags(arguments: list[str]) -> dict[str, tuple[str, ...]]:
    """Flag → values, of `--name=value` and `--name value value`; the script under its own name."""
    found: dict[str, tuple[str, ...]] = {"script": (arguments[0],)}
    name = ""
    for word in arguments[1:]:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            found[name] = (value,) if value else ()
        else:
            found[name] = (*found.get(name, ()), word)
    return found


def _shown(values: tuple[str, ...] | None) -> str:
    if values is None:
        return "not given"
    text = " ".join(values)
    return text if len(text) <= 80 else f"{text[:77]}…"
