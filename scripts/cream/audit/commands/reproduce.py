"""Do jobs again from their recorded inputs, in a scratch folder, and judge what comes out; results stay untouched.

Verdicts: IDENTICAL, the same bytes; SAME CONTENT; WITHIN TOLERANCE, as the stage declares it across hardware; DIVERGED,
and where; DIFFERS HARMLESSLY, a file that tells of times; UNVERIFIABLE, and why it couldn't be done again.
With --sample, stages that share out their prompts (--shard) do a seeded share of them; all others are done whole.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cream.audit.ledger import Ledger, Record
from cream.audit.outcome import Outcome
from cream.errors import UserError
from cream.plain_text import visible
from cream.stage import whole_file


def add_flags(flags: argparse.ArgumentParser) -> None:
    which = flags.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "artifacts", nargs="*", default=[], metavar="ARTIFACT", help="made again by the jobs that made them"
    )
    which.add_argument(
        "--stage", action="append", help="every job of this stage, named like its script: train_policy; may be repeated"
    )
    which.add_argument("--all", action="store_true", help="every job of the study")
    flags.add_argument("--sample", type=int, metavar="N", help="at least N prompts instead of all, where a stage can")
    flags.add_argument("--seed", type=int, default=1, help="draws the sample (1)")
    flags.add_argument(
        "--scratch", type=Path, help="an empty folder to work in, and leave what is made (a temporary one)"
    )
    flags.add_argument("--save", type=Path, help="JSON file to keep the verdicts in, beside those of other artifacts")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit.reproduce import exit_status, reproduce

    if settings.sample is not None and settings.sample < 1:
        raise UserError(f"--sample {settings.sample} is no number of prompts: name 1 or more")
    # Asked to end, it ends the job that it is doing again, and removes what that has made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    ledger = Ledger(settings.results)
    if settings.scratch and settings.scratch.resolve().is_relative_to(settings.results.resolve()):
        raise UserError(f"{settings.scratch} is inside the results, which an audit leaves as they are: name another")
    records, verdicts = _asked(settings, ledger), []
    with _scratch(settings.scratch) as scratch:
        for at, record in enumerate(records, start=1):
            print(f"{at} of {len(records)}: {record.stage} {visible(record.outputs[0])}", file=sys.stderr, flush=True)
            with _folder(record, scratch, keep=settings.scratch is not None) as folder:
                verdicts += reproduce(record, ledger, folder, settings.sample, settings.seed)
            if settings.save:
                _save(settings.save, [verdict.data for verdict in verdicts])
    counts = Counter(verdict.verdict for verdict in verdicts)
    lines = [line for verdict in verdicts for line in _lines(verdict)]
    problems = [f"{problem.what} {problem.said}" for problem in ledger.problems]
    lines += [*problems, ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())]
    data = {"verdicts": [verdict.data for verdict in verdicts], "problems": [vars(found) for found in ledger.problems]}
    return Outcome(data, list(map(visible, lines)), exit_status(verdicts) or int(bool(ledger.problems)))


def _asked(settings: argparse.Namespace, ledger: Ledger) -> list[Record]:
    if settings.artifacts:
        return ledger.makers({ledger.name(artifact) for artifact in settings.artifacts})
    there = {record.stage for record in ledger.records}
    for stage in settings.stage or ():
        if stage not in there:
            raise UserError(
                f"no record is of a stage {stage!r}: those here are of {', '.join(sorted(there)) or 'none'}"
            )
    return [record for record in ledger.in_order if settings.all or record.stage in settings.stage]


@contextlib.contextmanager
def _scratch(asked: Path | None) -> Iterator[Path]:
    if asked is None:
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            yield Path(folder)
        return
    if asked.exists() and (not asked.is_dir() or any(asked.iterdir())):
        raise UserError(f"{asked} is not empty: name a folder to work in that is, or is not there yet")
    asked.mkdir(parents=True, exist_ok=True)
    yield asked.absolute()


@contextlib.contextmanager
def _folder(record: Record, scratch: Path, keep: bool) -> Iterator[Path]:
    """One for each job, so that what one made is no other's input."""
    name = re.sub(r"[^\w.-]+", "-", record.path.removesuffix(".record.json"))[-120:]
    path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch))
    try:
        yield path
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)


def _lines(verdict) -> Iterator[str]:
    took = f", {verdict.seconds:.0f} s" if verdict.seconds is not None else ""
    sampled = f", {verdict.sampled}" if verdict.sampled else ""
    yield f"{verdict.verdict:<18} {verdict.artifact} ({verdict.stage}, class {verdict.determinism}{took}{sampled})"
    yield from (f"    {sentence}" for sentence in verdict.said)


def _save(path: Path, verdicts: list[dict]) -> None:
    """Keep the verdicts beside those that the file has of other artifacts."""
    try:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        kept = {verdict["artifact"]: verdict for verdict in before}
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} holds no verdicts of this command: name another file with --save") from None
    kept |= {verdict["artifact"]: verdict for verdict in verdicts}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write_text(json.dumps([kept[name] for name in sorted(kept)], indent=2) + "\n", encoding="utf-8")
