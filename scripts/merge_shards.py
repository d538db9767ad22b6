"""Put the shards of a table together.

    python scripts/merge_shards.py --kind samples --table …/M1/samples.parquet \
        --shards …/M1/samples.shards/1-of-2.parquet …/M1/samples.shards/2-of-2.parquet

The result is the very table that one job would have written. Shards that overlap, belong to
different runs or are not all of them are refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from cream import stage
from cream.errors import UserError
from cream.records import record_path
from cream.tables import JUDGEMENTS, LOGPROBS, SAMPLES, read_table, write_table

KINDS = {"samples": SAMPLES, "logprobs": LOGPROBS, "judgements": JUDGEMENTS}


def main(settings) -> dict:
    _check_complete(settings.shards)
    _check_one_run(settings.shards)
    spec = KINDS[settings.kind]
    parts = [read_table(shard, spec).assign(shard=str(shard)) for shard in settings.shards]
    whole = pd.concat(parts, ignore_index=True)
    twice = whole.duplicated(list(spec.key), keep=False)
    if twice.any():
        first = whole[twice].sort_values(list(spec.key)).iloc[:2]
        raise UserError(
            f"{first['shard'].iloc[0]} and {first['shard'].iloc[1]} both have {first['prompt_id'].iloc[0]!r}: "
            "they are of different runs; delete both and make them again"
        )
    write_table(whole, spec, settings.table)
    return {"rows": len(whole), "shards": len(parts)}


def _check_complete(shards: list[Path]) -> None:
    """Names must be 1-of-N … N-of-N, in any order."""
    named = [re.fullmatch(r"(\d+)-of-(\d+)", shard.stem) for shard in shards]
    wrong = next((shard for shard, name in zip(shards, named, strict=True) if name is None), None)
    if wrong is not None:
        raise UserError(f"{wrong} is not named like a shard (1-of-5.parquet)")
    counts = {int(name[2]) for name in named}
    if len(counts) > 1:
        raise UserError(f"the shards are parts of {' and of '.join(map(str, sorted(counts)))}: name those of one split")
    expected, found = set(range(1, counts.pop() + 1)), {int(name[1]) for name in named}
    if found - expected:
        foreign = f"{min(found - expected)}-of-{max(expected)}"
        raise UserError(f"there can be no shard {foreign}: delete it and name the others")
    if expected - found:
        raise UserError(f"shard {min(expected - found)} is missing: make it first, then merge them all")


def _check_one_run(shards: list[Path]) -> None:
    """By their records, where they have one: the same inputs, code and settings but for the shard's number."""
    first = None
    for shard in shards:
        if not record_path(shard).exists():
            continue
        record = json.loads(record_path(shard).read_text(encoding="utf-8"))
        settings = {
            name: value
            for name, value in record["settings"].items()
            if name != "shard" and not set(value if isinstance(value, list) else [value]) & set(record["outputs"])
        }
        run = {"settings": settings, "inputs": record["inputs"], "code": record["code"]}
        if first is None:
            first = shard, run
        differ = next((name for name in run if run[name] != first[1][name]), None)
        if differ is not None:
            raise UserError(f"{first[0]} and {shard} were made with other {differ}: delete both and make them again")


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--kind", choices=sorted(KINDS), required=True, help="what kind of table it is")
    flags.add_argument("--shards", type=stage.input_path, nargs="+", required=True, help="all parts")
    flags.add_argument("--table", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
