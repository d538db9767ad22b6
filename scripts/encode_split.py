"""Cut a split out of the tasks' pools and template it to token ids, once and for all.

    python scripts/encode_split.py --pools results/data/pool/sums.parquet --slices sums=0:200 \
        --model results/smollm2-135m-instruct/base/M0/model --split results/smollm2-135m-instruct/data/sft.parquet

A slice is Python's: `sums=0:200` are the first 200 items, `sums=-100:` the last 100. Training
splits are taken from the front of a pool and evaluation from its end, so that neither more
iterations nor more evaluation items move what is already there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cream import stage
from cream.context import context_length
from cream.errors import UserError
from cream.tables import POOL, SPLIT, read_table, write_table

_SLICE = re.compile(r"(?P<task>[^=]+)=(?P<start>-?\d+):(?P<stop>\d*)")


def main(settings) -> dict:
    from cream.engines.tokens import chat_prompt, load_tokenizer

    pools = {pool["task"].iloc[0]: pool for pool in (read_table(path, POOL) for path in settings.pools)}
    chosen = pd.concat([_slice(pools, text) for text in settings.slices], ignore_index=True)
    tokenizer = load_tokenizer(settings.model)
    prompt_ids = [chat_prompt(tokenizer, prompt) for prompt in chosen["prompt"]]

    def response_ids(text: str) -> list[int]:
        return [*tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True), tokenizer.eos_token_id]

    chosen = chosen.assign(
        prompt_ids=prompt_ids,
        target_ids=chosen["target"].map(response_ids),
    )
    _check_lengths(chosen, settings.model)
    write_table(chosen, SPLIT, settings.split)
    return {"items": len(chosen), "prompt_tokens": int(chosen["prompt_ids"].map(len).sum())}


def _slice(pools: dict[str, pd.DataFrame], text: str) -> pd.DataFrame:
    parts = _SLICE.fullmatch(text)
    if parts is None or parts["task"] not in pools:
        raise UserError(f"slice {text!r} names no pool that was given: write TASK=START:STOP")
    pool, start = pools[parts["task"]], int(parts["start"])
    stop = int(parts["stop"]) if parts["stop"] else len(pool)
    if max(stop, abs(start)) > len(pool):
        raise UserError(
            f"task {parts['task']} has {len(pool)} items, fewer than the {max(stop, abs(start))} asked "
            "for: lower its sft, prompts or eval, or give its source more"
        )
    return pool.iloc[start:stop]


def _check_lengths(chosen: pd.DataFrame, model: Path) -> None:
    context = context_length(model)
    for _, item in chosen.iterrows():
        length = len(item["prompt_ids"]) + len(item["target_ids"])
        if length > context:
            raise UserError(
                f"item {item['item_id']} takes {length} tokens with its target, the model's context is "
                f"{context}: shorten or remove it"
            )


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--pools", type=stage.input_path, nargs="+", required=True, help="pool tables")
    flags.add_argument("--slices", nargs="+", required=True, help="TASK=START:STOP, one or more")
    flags.add_argument("--model", type=stage.input_path, required=True, help="folder with the tokenizer")
    flags.add_argument("--split", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
