"""The score an external reward model gives to every response.

    python scripts/reward_responses.py --samples …/sft/M1/samples.parquet \
        --prompts …/data/prompts/iter1.parquet --model results/reward_models/NAME/model \
        --prompts-per-batch 16 --external …/sft/M1/external/NAME.parquet

Prompt and response go through the reward model's own chat template. An exchange longer than its
context is never shortened: its score is missing, and counted. So is one that is no finite number.
"""

from __future__ import annotations

import math
from collections import Counter

from cream import stage
from cream.exchanges import read_exchanges
from cream.promises import SCORED
from cream.tables import EXTERNAL, write_table


def main(settings) -> dict:
    from cream.engines.rewarder import open_rewarder

    samples, items = read_exchanges(settings.samples, settings.prompts)
    rewarder = open_rewarder(settings.engine, settings.model, settings.precision)
    exchanges = [
        (items[prompt_id]["prompt"], text)
        for prompt_id, text in zip(samples["prompt_id"], samples["text"], strict=True)
    ]
    scores = rewarder.reward(exchanges, settings.prompts_per_batch)
    failures = [_failure(score) for score in scores]
    known = [None if failure else score for score, failure in zip(scores, failures, strict=True)]
    table = samples[["prompt_id", "response_index"]].assign(score=known, failure=failures)
    write_table(table, EXTERNAL, settings.external)
    failed = Counter(failure for failure in failures if failure)
    print(f"{len(scores) - failed.total()} of {len(scores)} responses have a score; failed: {dict(failed) or 'none'}")
    return {"responses": len(scores), "failures": failed}


def _failure(score: float | None) -> str:
    if score is None:
        return "exchange too long"
    return "" if math.isfinite(score) else "score is not a finite number"


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--prompts", type=stage.input_path, required=True, help="the prompts they answer")
    flags.add_argument("--model", type=stage.input_path, required=True, help="folder of the reward model")
    flags.add_argument("--prompts-per-batch", type=int, required=True, help="responses scored together")
    flags.add_argument("--external", type=stage.output_path, required=True, help="table to write")
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=SCORED)
