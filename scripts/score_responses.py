"""Log-probabilities of exactly the sampled ids under one or more models.

    python scripts/score_responses.py --samples results/MODEL/seed1/sft/M1/samples.parquet \
        --base results/MODEL/base/M0/model --prompts-per-batch 8 \
        --models results/MODEL/base/M0/model results/MODEL/seed1/sft/M1/model \
        --logprobs results/MODEL/seed1/sft/M1/logprobs/M0.parquet results/MODEL/seed1/sft/M1/logprobs/M1.parquet

`--models` and `--logprobs` go in step: the k-th table holds the k-th model's numbers.
"""

from __future__ import annotations

import pandas as pd

from cream import stage
from cream.cells import shard_members
from cream.errors import UserError
from cream.promises import SCORED
from cream.tables import LOGPROBS, SAMPLES, read_table, write_table


def main(settings) -> dict:
    from cream.engines.base import ModelFiles, ScoringGroup
    from cream.engines.scorer import open_scorer

    if len(settings.models) != len(settings.logprobs):
        raise UserError("--models and --logprobs must name as many models as tables")
    samples = read_table(settings.samples, SAMPLES)
    by_prompt = [responses for _, responses in samples.groupby("prompt_id", sort=False)]
    groups = [ScoringGroup(rows["prompt_ids"].iloc[0], rows["response_ids"].tolist()) for rows in by_prompt]
    mine = shard_members([group.place for group in groups], settings.prompts_per_batch, settings.shard)
    groups, samples = [groups[i] for i in mine], pd.concat([by_prompt[i] for i in mine])
    policies = [ModelFiles(model, settings.base) for model in settings.models]
    scorer = open_scorer(settings.engine, policies, settings.precision, settings.serving)
    keys = samples[["prompt_id", "response_index"]]
    kept = stage.kept(settings)
    for files, table in zip(policies, settings.logprobs, strict=True):
        print(f"scoring {len(samples)} responses under {files.folder}", flush=True)
        found = scorer.score(files, groups, settings.prompts_per_batch, kept=kept)
        sums = [value for group in found for value in group]
        write_table(keys.assign(logprob_sum=sums, tokens=samples["response_ids"].map(len)), LOGPROBS, table)
    return {"responses": len(samples), **scorer.facts()}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--models", type=stage.input_path, nargs="+", required=True, help="scorers")
    flags.add_argument("--logprobs", type=stage.output_path, nargs="+", required=True, help="tables to write")
    flags.add_argument("--prompts-per-batch", type=int, required=True, help="prompts scored together")
    stage.add_shard_flag(flags)
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=SCORED)
