"""Sample N responses to every prompt of an iteration from its current model.

    python scripts/sample_responses.py --prompts results/MODEL/data/prompts/iter1.parquet \
        --model results/MODEL/seed1/sft/M1/model --base results/MODEL/base/M0/model \
        --responses 5 --temperature 0.8 --top-p 0.95 --max-new-tokens 48 --prompts-per-batch 8 \
        --seed 1 --iteration 1 --samples results/MODEL/seed1/sft/M1/samples.parquet

Every response has its own seed, made from run seed, iteration, prompt and response index.
"""

from __future__ import annotations

from collections import Counter

import pandas as pd

from cream import stage
from cream.cells import shard_members
from cream.context import check_room
from cream.promises import SAMPLED
from cream.seeds import request_seed
from cream.tables import SAMPLES, SPLIT, read_table, write_table


def main(settings) -> dict:
    from cream.engines.base import Decoding, ModelFiles, Prompt
    from cream.engines.sampler import open_sampler

    split = read_table(settings.prompts, SPLIT)
    named = ((f"prompt {item['item_id']}", len(item["prompt_ids"])) for _, item in split.iterrows())
    check_room(named, settings.max_new_tokens, settings.base, "lower sample.max_new_tokens or remove the prompt")
    prompts = [Prompt(item["item_id"], item["prompt_ids"], _seeds(item, settings)) for _, item in split.iterrows()]
    mine = shard_members([prompt.place for prompt in prompts], settings.prompts_per_batch, settings.shard)
    split, prompts = split.iloc[mine], [prompts[i] for i in mine]
    decoding = Decoding(settings.temperature, settings.top_p, settings.max_new_tokens, settings.prompts_per_batch)
    sampler = open_sampler(
        settings.engine, ModelFiles(settings.model, settings.base), settings.precision, settings.serving
    )
    print(f"sampling {settings.responses} responses to {len(prompts)} prompts", flush=True)
    responses = sampler.generate(prompts, decoding, stage.kept(settings))
    rows = [
        {
            "prompt_id": item["item_id"],
            "response_index": index,
            "task": item["task"],
            "prompt_ids": item["prompt_ids"],
            "response_ids": response.ids,
            "text": response.text,
            "finish_reason": response.finish_reason,
        }
        for (_, item), found in zip(split.iterrows(), responses, strict=True)
        for index, response in enumerate(found)
    ]
    write_table(pd.DataFrame(rows), SAMPLES, settings.samples)
    reasons = Counter(row["finish_reason"] for row in rows)
    tokens = sum(len(row["response_ids"]) for row in rows)
    return {"responses": len(rows), "finish_reasons": reasons, "tokens": tokens, **sampler.facts()}


def _seeds(item: pd.Series, settings) -> list[int]:
    return [
        request_seed(settings.seed, settings.iteration, item["item_id"], index) for index in range(settings.responses)
    ]


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--prompts", type=stage.input_path, required=True, help="encoded prompts")
    flags.add_argument("--model", type=stage.input_path, required=True, help="current model M{t}")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--samples", type=stage.output_path, required=True, help="table to write")
    flags.add_argument("--responses", type=int, required=True, help="N, responses per prompt")
    stage.add_decoding_flags(flags)
    stage.add_shard_flag(flags)
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=SAMPLED)
