"""Evaluate one model on one benchmark, by lm-evaluation-harness.

    python scripts/evaluate_model.py --name siqa --definition '{"file": "choice.yaml"}' \
        --test results/MODEL/data/eval/siqa.parquet \
        --model results/MODEL/seed1/cream/M2/model --base results/MODEL/base/M0/model \
        --max-new-tokens 48 --prompts-per-batch 16 --result results/MODEL/seed1/cream/M2/eval/siqa.json

A definition is {"file": …}, one of the task files in scripts/cream/harness/, or {"task": …} with the
name the harness knows it by and a protocol, "harness" or "cot" (greedy chain of thought ending in
"Answer:"). Data: local files by split, or none for the harness's own from its hub. `acc` is the
benchmark's main metric under whatever name the harness has for it.
"""

from __future__ import annotations

import json
import os

from cream import stage
from cream.phases import importing
from cream.promises import EVALUATED


def main(settings) -> dict:
    data = {split: path for split in ("train", "validation", "test") if (path := getattr(settings, split)) is not None}
    if not data:
        # Read when the data's library is imported: only a benchmark without files may ask its hub.
        os.environ.update(HF_HUB_OFFLINE="0", HF_DATASETS_OFFLINE="0")
    with importing():
        from cream.harness.evaluation import evaluate
        from cream.harness.tasks import define
    definition = define(settings.name, json.loads(settings.definition), data, settings.max_new_tokens)
    result, observed = evaluate(settings, definition)
    with stage.whole_file(settings.result) as path:
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return observed


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--name", required=True, help="what the study calls the benchmark")
    flags.add_argument("--definition", required=True, help="JSON: file, or task and protocol, shots, limit, chat")
    for split in ("train", "validation", "test"):
        flags.add_argument(f"--{split}", type=stage.input_path, help=f"local data of the {split} split")
    flags.add_argument("--model", type=stage.input_path, required=True, help="model to evaluate")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--max-new-tokens", type=int, required=True, help="token limit of a response")
    flags.add_argument("--prompts-per-batch", type=int, required=True, help="prompts run together")
    flags.add_argument("--result", type=stage.output_path, required=True, help="JSON file to write")
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=EVALUATED)
