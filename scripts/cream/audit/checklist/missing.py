"""What a reviewer may ask for and the records don't hold."""

from __future__ import annotations

from cream.audit.checklist.material import licences
from cream.audit.checklist.section import counted, inline, of_stages
from cream.audit.checklist.setting import training_seeds
from cream.audit.findings import DIFFERS, UNCHECKED
from cream.audit.ledger import Ledger
from cream.audit.signing import STATEMENT
from cream.audit.telling import part
from cream.audit.verdicts import Reproduction, Verdicts


def missing(ledger: Ledger, verdicts: Verdicts, again: list[Reproduction]) -> list[str]:
    """One sentence each, with the fix where there is one."""
    return [
        sentence
        for found in (_code(ledger), _environment(ledger), _evidence(ledger, verdicts), _again(ledger, again))
        for sentence in found
    ] + _study(ledger)


def _code(ledger: Ledger) -> list[str]:
    states = [part(record, "git") for record in ledger.records]
    none, dirty = sum(not git.get("commit") for git in states), sum(git.get("dirty") is True for git in states)
    commits = {git.get("commit") for git in states} - {None}
    return _said(
        (none, f"{counted(none, 'job')} of {len(states)} recorded no commit: they ran outside of a git clone."),
        (dirty, f"{counted(dirty, 'job')} ran with uncommitted changes: a commit alone doesn't say what they ran."),
        (len(commits) > 1, f"The jobs ran from {len(commits)} commits: {inline(sorted(commits))}."),
    )


def _environment(ledger: Ledger) -> list[str]:
    locks = [part(record, "lock") for record in ledger.records]
    none, off = sum(not lock.get("file") for lock in locks), sum(bool(lock.get("differs")) for lock in locks)
    files = {(lock.get("file"), lock.get("sha256")) for lock in locks if lock.get("file")}
    return _said(
        (none, f"{counted(none, 'job')} ran in an environment that no lock of this project made (`make env`)."),
        (off, f"{counted(off, 'job')} used other versions than their lock pins."),
        (len(files) > 1, f"The jobs ran with {len(files)} locks: {inline(sorted({name for name, _ in files}))}."),
    )


def _evidence(ledger: Ledger, verdicts: Verdicts) -> list[str]:
    differ = [name for name in ledger.maker if verdicts.worst(name) == DIFFERS]
    unchecked = [name for name in ledger.maker if verdicts.worst(name) == UNCHECKED]
    others = [finding for finding in verdicts.others if finding.kind in (DIFFERS, UNCHECKED)]
    sources = [name for name in ledger.graph if name not in ledger.maker]
    return _said(
        (differ, f"Not what their records say: {inline(differ)} (`audit.py verify`)."),
        (unchecked, f"Could not be checked: {inline(unchecked)} (`audit.py verify`)."),
        (others, f"Beside the artifacts: {inline(f'{finding.what} {finding.said}' for finding in others)}."),
        (sources, f"No record tells how these came about, only their digests: {inline(sources)}."),
        (not (ledger.results / STATEMENT).exists(), f"No signed statement ({STATEMENT}): run `audit.py sign`."),
    )


def _again(ledger: Ledger, again: list[Reproduction]) -> list[str]:
    stages = {record.stage for record in ledger.records} - {row.stage for row in again}
    broken = [row.artifact for row in again if row.kept is False]
    fix = "`audit.py reproduce --stage STAGE --save`"
    return _said(
        (stages, f"Nothing of these stages was made again: {inline(sorted(stages))} ({fix})."),
        (broken, f"Made again, and not as promised: {inline(broken)}."),
    )


def _study(ledger: Ledger) -> list[str]:
    one = [stage for stage, seeds in training_seeds(ledger).items() if len(seeds) == 1]
    return _said(
        (one, f"One seed only in {inline(one)}: no interval here says anything of another seed's training."),
        (not of_stages(ledger, "check_splits"), "No record that the splits share no prompt (`check_splits`)."),
        (not licences(ledger), "No record names a licence (`snakemake export` writes some that do)."),
        (
            True,
            "In no record, ever: how settings were chosen, runs that were thrown away, who ran what, broader impact.",
        ),
    )


def _said(*sentences: tuple[object, str]) -> list[str]:
    return [sentence for wanted, sentence in sentences if wanted]
