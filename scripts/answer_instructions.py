"""One model's greedy answers to a set of instructions.

    python scripts/answer_instructions.py --instructions studies/instructions.tsv \
        --model results/MODEL/seed1/cream/M2/model --base results/MODEL/base/M0/model \
        --max-new-tokens 96 --prompts-per-batch 16 --answers results/MODEL/seed1/cream/M2/answers/everyday.parquet
"""

from __future__ import annotations

from collections import Counter

import pandas as pd

from cream import stage
from cream.cells import shard_members
from cream.context import check_room
from cream.promises import SAMPLED
from cream.tables import write_table
from cream.win_rates.instructions import read_instructions
from cream.win_rates.tables import ANSWERS


def main(settings) -> dict:
    from cream.engines.base import Decoding, ModelFiles, Prompt
    from cream.engines.sampler import open_sampler
    from cream.engines.tokens import chat_prompt

    instructions = read_instructions(settings.instructions, settings.limit)
    sampler = open_sampler(
        settings.engine, ModelFiles(settings.model, settings.base), settings.precision, settings.serving
    )
    prompts = [
        Prompt(row["instruction_id"], chat_prompt(sampler.tokenizer, row["instruction"]), [0]) for row in instructions
    ]
    named = (
        (f"instruction {int(prompt.prompt_id)} (from 0) of {settings.instructions}", len(prompt.ids))
        for prompt in prompts
    )
    check_room(
        named, settings.max_new_tokens, settings.base, "lower win_rates.max_new_tokens or remove the instruction"
    )
    mine = shard_members([prompt.place for prompt in prompts], settings.prompts_per_batch, settings.shard)
    instructions, prompts = [instructions[i] for i in mine], [prompts[i] for i in mine]
    decoding = Decoding(0.0, 1.0, settings.max_new_tokens, settings.prompts_per_batch)
    print(f"answering {len(prompts)} instructions", flush=True)
    found = sampler.generate(prompts, decoding, stage.kept(settings))
    rows = [
        {**row, "text": response.text, "tokens": len(response.ids), "finish_reason": response.finish_reason}
        for row, (response,) in zip(instructions, found, strict=True)
    ]
    write_table(pd.DataFrame(rows), ANSWERS, settings.answers)
    reasons = Counter(row["finish_reason"] for row in rows)
    empty = sum(not row["text"].strip() for row in rows)
    print(f"{len(rows)} answers, {empty} of them empty, {reasons['length']} cut at the limit")
    return {"answers": len(rows), "empty": empty, "finish_reasons": reasons, **sampler.facts()}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--instructions", type=stage.input_path, required=True, help="tsv, csv, json(l) or parquet")
    flags.add_argument("--limit", type=int, help="only the first so many instructions")
    flags.add_argument("--model", type=stage.input_path, required=True, help="model that answers")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--max-new-tokens", type=int, required=True, help="token limit of an answer")
    flags.add_argument("--prompts-per-batch", type=int, required=True, help="instructions run together")
    flags.add_argument("--answers", type=stage.output_path, required=True, help="table to write")
    stage.add_shard_flag(flags)
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=SAMPLED)
