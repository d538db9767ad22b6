"""Log-probabilities that one policy gives to the chosen and the rejected answers of a RewardBench file.

    python scripts/score_reward_bench.py --file rewardbench.jsonl --model …/seed1/cream/M2/model \
        --base …/base/M0/model --prompts-per-batch 8 --reward-bench …/seed1/cream/M2/reward_bench.parquet

The file: one item a line (.jsonl, .jsonl.gz) or row (.parquet) with prompt (text or chat turns), chosen
and rejected, and perhaps subset and id. An answer counts with the token that ends it, as the study's
own answers do. An item longer than the model's context is never shortened: it has no
log-probabilities, and is counted.
"""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd

from cream import stage
from cream.context import context_length
from cream.errors import UserError
from cream.promises import SCORED
from cream.reward_bench import NOT_FINITE, REWARD_BENCH, TOO_LONG, Preference, read_reward_bench
from cream.tables import write_table


def main(settings) -> dict:
    from cream.engines.base import ModelFiles
    from cream.engines.scorer import open_scorer
    from cream.engines.tokens import load_tokenizer

    items = read_reward_bench(settings.file)
    tokenizer = load_tokenizer(settings.model)
    groups = [_group(number, item, tokenizer) for number, item in enumerate(items, start=1)]
    context = context_length(settings.base)
    # One place stays free: vLLM reads a text's log-probabilities while it adds a token to it.
    fitting = [at for at, group in enumerate(groups) if _tokens(group) < context]
    files = ModelFiles(settings.model, settings.base)
    print(f"scoring {len(fitting)} of {len(items)} items under {files.folder}", flush=True)
    scorer = open_scorer(settings.engine, [files], settings.precision, settings.serving)
    sums = scorer.score(files, [groups[at] for at in fitting], settings.prompts_per_batch) if fitting else []
    scored = dict(zip(fitting, sums, strict=True))
    rows = [_row(at, item, groups[at], scored.get(at)) for at, item in enumerate(items)]
    write_table(pd.DataFrame(rows), REWARD_BENCH, settings.reward_bench)
    failed = Counter(row["failure"] for row in rows if row["failure"])
    print(
        f"{len(rows) - failed.total()} of {len(rows)} items have log-probabilities; without: {dict(failed) or 'none'}"
    )
    return {"items": len(rows), "failures": failed, **scorer.facts()}


def _group(number: int, item: Preference, tokenizer):
    from jinja2 import TemplateError

    from cream.engines.base import ScoringGroup
    from cream.engines.tokens import chat_ids

    try:
        prompt_ids = chat_ids(tokenizer, item.turns, add_generation_prompt=True)
    except TemplateError as problem:
        raise UserError(
            f"item {number} of the RewardBench file has turns that the model's chat template refuses ({problem}): "
            "remove it"
        ) from problem
    # As the seed data's answers (encode_split.py): what is said never becomes a special token.
    answers = [
        [*tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True), tokenizer.eos_token_id]
        for text in (item.chosen, item.rejected)
    ]
    return ScoringGroup(prompt_ids, answers)


def _tokens(group) -> int:
    """Tokens of the prompt with the longer answer."""
    return len(group.prompt_ids) + max(map(len, group.responses))


def _row(at: int, item: Preference, group, sums: list[float] | None) -> dict:
    failure = TOO_LONG if sums is None else "" if all(map(math.isfinite, sums)) else NOT_FINITE
    chosen, rejected = (None, None) if failure else sums
    return {
        "item": at + 1,
        "id": item.id,
        "subset": item.subset,
        "prompt_tokens": len(group.prompt_ids),
        "chosen_tokens": len(group.responses[0]),
        "rejected_tokens": len(group.responses[1]),
        "chosen_logprob_sum": chosen,
        "rejected_logprob_sum": rejected,
        "failure": failure,
    }


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--file", type=stage.input_path, required=True, help="preferences in RewardBench's format")
    flags.add_argument("--model", type=stage.input_path, required=True, help="policy that scores")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--prompts-per-batch", type=int, required=True, help="items scored together")
    flags.add_argument("--reward-bench", type=stage.output_path, required=True, help="table to write")
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=SCORED)
