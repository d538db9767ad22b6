"""Check that no prompt is in two splits, and report their sizes.

    python scripts/check_splits.py --splits results/MODEL/data/sft.parquet … \
        --report results/tables/splits.csv

Prompts are compared as text, whatever their ids: seed data, each iteration's prompts and each
evaluation set must be disjoint.
"""

from __future__ import annotations

import pandas as pd

from cream import stage
from cream.errors import UserError
from cream.tables import SPLIT, read_table


def main(settings) -> dict:
    owner: dict[str, str] = {}
    rows = []
    for path in settings.splits:
        split = read_table(path, SPLIT)
        for prompt, item_id in zip(split["prompt"], split["item_id"], strict=True):
            text = " ".join(prompt.split()).lower()
            if text in owner:
                raise UserError(
                    f"item {item_id} is in both {owner[text]} and {path}: give its task fewer sft, prompts "
                    "or eval items, or remove the repeated prompt from its source"
                )
            owner[text] = str(path)
        sizes = split.groupby("task", sort=True).agg(
            items=("item_id", "size"),
            prompt_tokens=("prompt_ids", lambda ids: sum(map(len, ids))),
            target_tokens=("target_ids", lambda ids: sum(map(len, ids))),
        )
        rows.append(sizes.reset_index().assign(split=str(path)))
    report = pd.concat(rows)[["split", "task", "items", "prompt_tokens", "target_tokens"]]
    with stage.whole_file(settings.report) as path:
        report.to_csv(path, index=False)
    print(f"{len(owner)} prompts in {len(settings.splits)} splits, none in two of them")
    return {"prompts": len(owner), "overlap": 0}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--splits", type=stage.input_path, nargs="+", required=True, help="split tables")
    flags.add_argument("--report", type=stage.output_path, required=True, help="CSV to write")
    stage.run(flags, main, determinism="B")
