"""Evaluate one model on one held-out task.

    python scripts/evaluate_model.py --split results/MODEL/data/eval/siqa.parquet \
        --model results/MODEL/seed1/cream/M2/model --base results/MODEL/base/M0/model \
        --max-new-tokens 48 --prompts-per-batch 16 --result results/MODEL/seed1/cream/M2/eval/siqa.json

Choices: the one with the highest log-likelihood is the answer (`acc`), also per token
(`acc_norm`). Numbers: greedy generation, the extracted answer must match (`acc`).
"""

from __future__ import annotations

import json

from cream import stage
from cream.answers import is_correct
from cream.tables import SPLIT, read_table


def main(settings) -> dict:
    split = read_table(settings.split, SPLIT)
    kind = split["kind"].iloc[0]
    print(f"evaluating {len(split)} items of {split['task'].iloc[0]}", flush=True)
    items, engine = _rank_choices(split, settings) if kind == "choice" else _solve(split, settings)
    metrics = {name: sum(item[name] for item in items) / len(items) for name in ("acc", "acc_norm") if name in items[0]}
    result = {"task": split["task"].iloc[0], "kind": kind, "n": len(items), "metrics": metrics, "items": items}
    with stage.whole_file(settings.result) as path:
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return {"n": len(items), "metrics": metrics, **engine}


def _rank_choices(split, settings) -> tuple[list[dict], dict]:
    """The items with their answers, and what the record says of the engine."""
    from cream.engines.base import ModelFiles, ScoringGroup
    from cream.engines.scorer import open_scorer

    files = ModelFiles(settings.model, settings.base)
    scorer = open_scorer(settings.engine, [files], settings.precision, settings.serving)
    groups = [ScoringGroup(item["prompt_ids"], item["choices_ids"]) for _, item in split.iterrows()]
    items = []
    scored = scorer.score(files, groups, settings.prompts_per_batch)
    for (_, item), sums in zip(split.iterrows(), scored, strict=True):
        right = item["choices"].index(item["answer"])
        per_token = [total / len(ids) for total, ids in zip(sums, item["choices_ids"], strict=True)]
        items.append(
            {
                "item_id": item["item_id"],
                "logprobs": sums,
                "right": right,
                "acc": int(sums.index(max(sums)) == right),
                "acc_norm": int(per_token.index(max(per_token)) == right),
            }
        )
    return items, scorer.facts()


def _solve(split, settings) -> tuple[list[dict], dict]:
    """The items with their answers, and what the record says of the engine."""
    from cream.engines.base import Decoding, ModelFiles, Prompt
    from cream.engines.sampler import open_sampler

    files = ModelFiles(settings.model, settings.base)
    sampler = open_sampler(settings.engine, files, settings.precision, settings.serving)
    prompts = [Prompt(item["item_id"], item["prompt_ids"], [0]) for _, item in split.iterrows()]
    greedy = Decoding(0.0, 1.0, settings.max_new_tokens, settings.prompts_per_batch)
    items = [
        {
            "item_id": item["item_id"],
            "response": response.text,
            "finish_reason": response.finish_reason,
            "answer": item["answer"],
            "acc": int(is_correct(item["kind"], response.text, item["answer"], item["choices"])),
        }
        for (_, item), (response,) in zip(split.iterrows(), sampler.generate(prompts, greedy), strict=True)
    ]
    return items, sampler.facts()


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--split", type=stage.input_path, required=True, help="encoded held-out items")
    flags.add_argument("--model", type=stage.input_path, required=True, help="model to evaluate")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--max-new-tokens", type=int, required=True, help="token limit of a response")
    flags.add_argument("--prompts-per-batch", type=int, required=True, help="prompts run together")
    flags.add_argument("--result", type=stage.output_path, required=True, help="JSON file to write")
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C")
