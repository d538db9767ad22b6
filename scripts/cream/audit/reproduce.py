"""A verdict on every output of a job that was done again: is it what the record tells of, and was the promise kept?"""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cream.audit.again import Again, done_again
from cream.audit.compare import DIVERGED, IDENTICAL, SAME_CONTENT, VERDICTS, WITHIN_TOLERANCE, Comparison, compare
from cream.audit.differences import values
from cream.audit.harmless import harmless
from cream.audit.ledger import Ledger, Record
from cream.audit.obstacles import obstacles
from cream.audit.sampling import Sample, compare_sample, draw
from cream.audit.since import changed_since, promise_changed
from cream.contents import artifact_digests
from cream.promises import Tolerance

UNVERIFIABLE = "UNVERIFIABLE"  # it couldn't be done again
HARMLESS = "DIFFERS HARMLESSLY"  # an output that tells of times (harmless.py)
NAMES = ("made again", "recorded")


@dataclass(frozen=True)
class Verdict:
    """`kept`: whether the stage's promise was; None where nothing can be said. `said`: why, and what is to be known.

    `record`: digest of the record that was done again. `sampled`: the share of the job that was, in words.
    """

    artifact: str
    stage: str
    verdict: str
    determinism: str
    kept: bool | None
    said: list[str]
    record: str
    seconds: float | None = None
    sampled: str | None = None
    host: str = field(default_factory=platform.node)
    when: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    @property
    def data(self) -> dict:
        return asdict(self)


def exit_status(verdicts: list[Verdict]) -> int:
    """3 where a promise was broken, else 1 where something couldn't be done again, else 0."""
    if any(verdict.kept is False for verdict in verdicts):
        return 3
    return int(any(verdict.kept is None for verdict in verdicts))


def reproduce(record: Record, ledger: Ledger, folder: Path, prompts: int | None = None, seed: int = 1) -> list[Verdict]:
    """Do the job again in `folder`, an empty one, and judge each of its outputs. Of the results nothing is touched.

    `prompts`, `seed`: a sample of so many (sampling.py), where the stage can be sampled.
    """
    try:
        return _reproduce(record, ledger, folder, prompts, seed)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        said = [
            f"its record can't be followed ({type(problem).__name__}: {problem}): it was edited, or is no whole one"
        ]
        return [_verdict(record, output, UNVERIFIABLE, None, said) for output in record.outputs]


def _reproduce(record: Record, ledger: Ledger, folder: Path, prompts: int | None, seed: int) -> list[Verdict]:
    against = list(obstacles(record, ledger))
    sample = draw(record, ledger, prompts, seed) if prompts and not against else None
    if sample:
        gone = [output for output in record.outputs if not ledger.place(output).is_file()]
        against = [f"{output} is gone from the results, and a sample is held against its rows" for output in gone]
    if against:
        return [_verdict(record, output, UNVERIFIABLE, None, against) for output in record.outputs]
    again = done_again(record, ledger, folder, sample.flags if sample else ())
    if again.record is None:
        said = [f"done again it fails: {again.failure}"]
        return [_verdict(record, output, UNVERIFIABLE, None, said, again.seconds) for output in record.outputs]
    return [_judged(record, ledger, again, output, sample) for output in record.outputs]


def _judged(record: Record, ledger: Ledger, again: Again, output: str, sample: Sample | None) -> Verdict:
    tolerance = Tolerance(**again.record["tolerance"]) if again.record["tolerance"] else None
    found = _compared(record, ledger, again, output, tolerance, sample)
    lies = _other_settings(record, again)
    since = changed_since(record, again.record)
    verdict, said = (DIVERGED, [*lies, *found.said]) if lies else (found.verdict, found.said)
    kept = verdict in (IDENTICAL, SAME_CONTENT)
    if not kept and not sample:
        said = [*said, *_other_observations(record, again)]
    why = harmless(output)
    if verdict == WITHIN_TOLERANCE and since:
        kept = True
    elif verdict == WITHIN_TOLERANCE:
        said = ["promise C not kept: the hardware, the code and the packages are those of the record", *said]
    elif verdict == DIVERGED and why and not lies:
        verdict, kept, said = HARMLESS, True, [f"it {why}", *said]
    seal = [] if record.sealed else ["the record was edited after it was written: its seal is broken"]
    said = [*said, *seal, *since, *promise_changed(record, again.record)]
    return _verdict(record, output, verdict, kept, said, again.seconds, sample)


def _verdict(
    record: Record,
    output: str,
    verdict: str,
    kept: bool | None,
    said: list[str],
    seconds: float | None = None,
    sample: Sample | None = None,
) -> Verdict:
    sampled = sample.said if sample else None
    determinism = record.data.get("determinism", "?")
    return Verdict(output, record.stage, verdict, determinism, kept, said, record.digest, seconds, sampled)


def _compared(
    record: Record, ledger: Ledger, again: Again, output: str, tolerance: Tolerance | None, sample: Sample | None
) -> Comparison:
    """With the digests of the record; where those are others, or of a sample, with the artifact in the results."""
    place, recorded, made = ledger.place(output), record.data["outputs"][output], again.outputs[output]
    verdict = None if sample else _by_digests(artifact_digests(made), recorded, output)
    if not place.exists():
        if verdict is None:
            return Comparison(DIVERGED, ["its digests are others, and the recorded artifact isn't there to say where"])
        return Comparison(verdict, ["the artifact itself is gone from the results"])
    untouched = _by_digests(artifact_digests(place), recorded, output) == IDENTICAL
    if verdict is not None and untouched:
        return Comparison(verdict)
    if sample:
        found = compare_sample(record, made, place, tolerance, NAMES)
    else:
        start = record.data["settings"].get("start")  # of a training
        found = compare(made, place, tolerance, NAMES, output, ledger.place(start) if start else None)
    if untouched:
        return found
    return Comparison(DIVERGED, ["what lies in the results is no longer what its record tells of", *found.said])


def _by_digests(found: dict, recorded: dict, output: str) -> str | None:
    """IDENTICAL or SAME CONTENT, as the digests say; else None. Harmless files of a folder don't count."""
    if "files" not in recorded or "files" not in found:
        pairs = [(found, recorded)]
    else:
        names = sorted({*found["files"], *recorded["files"]})
        counted = [name for name in names if not harmless(f"{output}/{name}")]
        pairs = [(found["files"].get(name), recorded["files"].get(name)) for name in counted]
    return max((_one_file(*pair) for pair in pairs), key=(*VERDICTS, None).index, default=IDENTICAL)


def _one_file(found: dict | None, recorded: dict | None) -> str | None:
    if found is None or recorded is None:
        return None
    if found.get("file") == recorded.get("file"):
        return IDENTICAL
    return SAME_CONTENT if found.get("content") == recorded.get("content") else None


def _other_settings(record: Record, again: Again) -> list[str]:
    """Where the recorded command makes other settings than the record says it had: one of them was edited."""
    then, now = record.data["settings"], again.record["settings"]
    return [
        f"the recorded command makes {name} {now.get(name)!r}, the record says {then.get(name)!r}: it was edited"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name) and name != "shard"
    ]


def _other_observations(record: Record, again: Again) -> list[str]:
    """Where the job itself counted or measured something else, as a training its losses."""
    found = list(values.apart(again.record["observed"], record.data["observed"]))
    if not found:
        return []
    return [f"the job observed something else in {len(found)} values; {values.sentence(found[0], NAMES)}"]
