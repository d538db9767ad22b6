"""Artifacts by digest (of a file, content, record, code or input), by settings, or by an installed package."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict

from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.audit.search import find
from cream.audit.telling import in_a_line
from cream.errors import UserError


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("digest", nargs="?", type=_digest, help="SHA-256 or its beginning, 6 characters at least")
    flags.add_argument(
        "--setting",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="made with this setting; several: with all of them; loss.beta is beta inside of loss",
    )
    flags.add_argument(
        "--package",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VERSION",
        help="made with this version of a package",
    )


def run(settings: argparse.Namespace) -> Outcome:
    if not (settings.digest or settings.setting or settings.package):
        raise UserError("find what? Name a digest, --setting NAME=VALUE or --package NAME=VERSION")
    ledger = Ledger(settings.results)
    hits = find(ledger, settings.digest, settings.setting, settings.package)
    lines = [in_a_line(f"{hit.artifact}  ({hit.stage}: {', '.join(hit.because)})", 1000) for hit in hits]
    problems = [f"not searched: {problem.what} {problem.said}" for problem in ledger.problems]
    total = f"{len(hits)} of {len(ledger.maker)} artifacts"
    data = {"found": [asdict(hit) for hit in hits], "problems": [vars(problem) for problem in ledger.problems]}
    return Outcome(data, [*lines, *problems, total], status=int(bool(problems)))


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{6,64}", text.lower()):
        raise argparse.ArgumentTypeError(f"{text} is no SHA-256: 6 to 64 characters of 0-9 and a-f")
    return text.lower()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"write {text} as NAME=VALUE")
    return name, value.removeprefix("=")
