"""A seeded sample of a job's prompts, done again, and held against the rows of the whole table.

What runs in one batch rounds together, so a prompt gives the same numbers to the last bit only in the company that it
had: a sample is of whole cells (cells.py). Every n-th cell is what `--shard I/N` does, so that flag is all there is to
it: N as large as leaves every shard the prompts asked for, I drawn by the seed. Stages without the flag can't be
sampled and are done again whole.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cream.audit.compare import Comparison, compare
from cream.audit.ledger import Ledger, Record
from cream.promises import Tolerance

# The stages with the flag, and the columns of their tables that name what cells are made of.
KEYS = {
    "sample_responses": ("prompt_id",),
    "score_responses": ("prompt_id",),
    "judge_responses": ("prompt_id", "response_index"),
    "answer_instructions": ("instruction_id",),
}


@dataclass(frozen=True)
class Sample:
    """`flags`: what makes the stage do no more than the sample; `said`: how much that is."""

    flags: tuple[str, ...]
    said: str


def draw(record: Record, ledger: Ledger, prompts: int, seed: int) -> Sample | None:
    """A sample of at least so many prompts. None for a stage that can't be sampled, or has no more than that."""
    if record.stage not in KEYS:
        return None
    size = record.data["settings"]["prompts_per_batch"]
    total = _prompts(record, ledger)
    cells = -(-total // size)
    shards = cells // -(-prompts // size)
    if shards < 2:
        return None
    mine = random.Random(f"{seed} {record.path}").randint(1, shards)
    # A job that did shard i of n had cells i, i + n, …; every shards-th of those is again a shard.
    number, count = record.data["settings"]["shard"]
    flags = ("--shard", f"{number + count * (mine - 1)}/{count * shards}")
    return Sample(flags, f"shard {mine} of {shards}, about {total / shards:.0f} of {total} prompts")


def _prompts(record: Record, ledger: Ledger) -> int:
    """How many the job had; of a job that did one shard of n, that shard's."""
    observed, settings = record.data["observed"], record.data["settings"]
    if record.stage == "sample_responses":
        return observed["responses"] // settings["responses"]
    if record.stage == "answer_instructions":
        return observed["answers"]
    if record.stage == "judge_responses":  # each response is asked about by itself
        from cream.judging import TOO_LONG

        return observed["votes"] // settings["votes"] - observed["failures"].get(TOO_LONG, 0) // settings["votes"]
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    number, count = settings["shard"]
    prompts = pc.count_distinct(pq.read_table(ledger.place(settings["samples"]), columns=["prompt_id"])[0]).as_py()
    return len(range(number - 1, prompts, count))


def compare_sample(
    record: Record, ours: Path, theirs: Path, tolerance: Tolerance | None, names: tuple[str, str]
) -> Comparison:
    """Hold the sample's table against those rows of the whole one that are about the same prompts."""
    import pyarrow.parquet as pq

    key = list(KEYS[record.stage])
    wanted = pq.read_table(ours, columns=key).group_by(key).aggregate([])
    there = (
        pq.read_table(theirs, columns=key)
        .to_pandas()
        .apply(tuple, axis=1)
        .isin(wanted.to_pandas().apply(tuple, axis=1))
    )
    with tempfile.TemporaryDirectory() as scratch:
        same_prompts = Path(scratch) / theirs.name
        pq.write_table(pq.read_table(theirs).filter(there.to_numpy()), same_prompts)
        return compare(ours, same_prompts, tolerance, names)
