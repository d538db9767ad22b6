"""Two results folders to hold against each other, and what in them isn't as their records say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cream.audit.findings import DIFFERS, NOTE, Finding
from cream.audit.harmless import harmless
from cream.audit.hashing import hash_files
from cream.audit.ledger import Ledger, Record
from cream.audit.pairing import Pair
from cream.audit.partings import Partings
from cream.contents import files_below
from cream.errors import UserError
from cream.kept import results_of
from cream.paths import RESULTS


def ledger_of_run(run: Path) -> Ledger:
    """Of a results folder, or of the clone that holds one."""
    return Ledger(run / RESULTS if (run / RESULTS).is_dir() else run)


def ledgers_of(ours: Path, theirs: Path) -> tuple[Ledger, Ledger]:
    """The ledgers of the results folders that two artifacts lie in: one and the same where that is one folder."""
    folders = [_results(path) for path in (ours, theirs)]
    first = Ledger(folders[0])
    return first, first if folders[0].samefile(folders[1]) else Ledger(folders[1])


def _results(path: Path) -> Path:
    found = results_of(path.absolute())
    if found is None:
        raise UserError(f"{path} lies in no folder named {RESULTS}: name an artifact as it lies there, …/{RESULTS}/…")
    if not found.is_dir():
        raise UserError(f"{found} is no folder: name an artifact as it lies in a study's results folder")
    return found


def reservations(partings: Partings, looked_at: Iterable[Pair]) -> list[Finding]:
    """Whatever makes the records a weaker witness: unread or edited ones, and artifacts that were changed since."""
    pairing = partings.pairing
    one_folder = pairing.ours is pairing.theirs
    looked_at = list(dict.fromkeys(looked_at))
    found: list[Finding] = []
    for at, ledger in enumerate((pairing.ours, pairing.theirs)):
        whose = "" if one_folder else ("ours: ", "theirs: ")[at]
        found += [Finding(problem.kind, f"{whose}{problem.what}", problem.said) for problem in ledger.problems]
        records = dict.fromkeys(pairing.records(pair)[at].path for pair in partings.pairs)
        found += [
            Finding(DIFFERS, f"{whose}{record.path}", "was edited since it was written")
            for record in ledger.records
            if record.path in records and not record.sealed
        ]
        for pair in looked_at:
            found += _as_it_lies(whose, ledger, pairing.records(pair)[at], pair[at])
    return list(dict.fromkeys(found))


def _as_it_lies(whose: str, ledger: Ledger, record: Record, artifact: str) -> list[Finding]:
    place = ledger.place(artifact)
    if not place.exists():
        return [Finding(NOTE, f"{whose}{artifact}", "is gone, its record is still there")]
    entry = record.data["outputs"][artifact]
    told = {name: digests["file"] for name, digests in entry.get("files", {".": entry}).items()}
    files = files_below(place) if place.is_dir() else [place]
    names = {path: str(path.relative_to(place)) for path in files}
    found = {names[path]: digest for path, digest in hash_files(files).items()}
    unread = [answer for answer in found.values() if isinstance(answer, Finding)]
    if unread:
        return [Finding(answer.kind, f"{whose}{answer.what}", answer.said) for answer in unread]
    # Snakemake's mark in a folder, for example.
    added = [name for name in found if name not in told and harmless(f"{artifact}/{name}")]
    if told != {name: digest for name, digest in found.items() if name not in added}:
        return [Finding(DIFFERS, f"{whose}{artifact}", "isn't what its record says any more: verify it first")]
    return []
