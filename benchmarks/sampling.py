"""Sampling N responses a prompt, on real prompts of the default study, against `generate` in arrival order.

Run by benchmarks/run.py, one way a process:

    python benchmarks/sampling.py ours --model …/sft/M1/model --base …/base/M0/model \
        --prompts …/data/prompts/iter1.parquet
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

RESPONSES = 5


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("way", choices=["ours", "plain", "vllm", "vllm-deterministic"])
    flags.add_argument("--model", type=Path, required=True)
    flags.add_argument("--base", type=Path, required=True)
    flags.add_argument("--prompts", type=Path, required=True)
    flags.add_argument("--count", type=int, help="take the first so many prompts (default: all)")
    flags.add_argument("--times", type=int, default=1, help="ask every prompt so many times over")
    flags.add_argument("--shards", type=int, default=1, help="sample in so many parts, one after the other")
    flags.add_argument("--max-new-tokens", type=int, default=48)
    flags.add_argument("--batch", type=int, default=16)
    asked = flags.parse_args()

    from cream.cells import shard_members
    from cream.engines.base import Decoding, ModelFiles, Prompt
    from cream.engines.sampler import open_sampler
    from cream.seeds import request_seed
    from cream.serving import Serving
    from cream.tables import SPLIT, read_table

    split = read_table(asked.prompts, SPLIT).iloc[: asked.count]
    prompts = [
        Prompt(
            f"{item['item_id']} {time_}",
            item["prompt_ids"],
            [request_seed(1, time_, item["item_id"], k) for k in range(RESPONSES)],
        )
        for time_ in range(asked.times)
        for _, item in split.iterrows()
    ]
    decoding = Decoding(0.8, 0.95, asked.max_new_tokens, asked.batch)
    files = ModelFiles(asked.model, asked.base)
    if asked.way == "plain":
        work = plain_sampler(files, decoding)
    else:
        serving = Serving(asked.way == "vllm-deterministic", 1, 0.9, 1)
        sampler = open_sampler(
            asked.way.split("-")[0] if "vllm" in asked.way else "transformers", files, "bfloat16", serving
        )
        work = lambda some: sampler.generate(some, decoding)  # noqa: E731
    work(prompts[:1])
    parts = [
        shard_members([prompt.place for prompt in prompts], asked.batch, (number, asked.shards))
        for number in range(1, asked.shards + 1)
    ]
    started = time.perf_counter()
    found = {
        i: responses for part in parts for i, responses in zip(part, work([prompts[i] for i in part]), strict=True)
    }
    seconds = time.perf_counter() - started
    ids = [response.ids for i in sorted(found) for response in found[i]]
    print(json.dumps({"tokens_per_s": sum(map(len, ids)) / seconds, "seconds": seconds, "ids": ids}))


def plain_sampler(files, decoding):
    """transformers' generate as most scripts call it: batches in arrival order, one random stream."""
    import torch

    from cream.engines.base import Response
    from cream.engines.hf_models import load_for_inference
    from cream.engines.tokens import load_tokenizer

    tokenizer = load_tokenizer(files.folder)
    model = load_for_inference(files, "bfloat16")
    end = tokenizer.eos_token_id

    @torch.no_grad()
    def work(prompts):
        found = []
        for start in range(0, len(prompts), decoding.prompts_per_batch):
            batch = prompts[start : start + decoding.prompts_per_batch]
            width = max(len(prompt.ids) for prompt in batch)
            ids = torch.tensor([[end] * (width - len(prompt.ids)) + list(prompt.ids) for prompt in batch])
            mask = torch.tensor([[0] * (width - len(prompt.ids)) + [1] * len(prompt.ids) for prompt in batch])
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=True,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                top_k=0,
                num_return_sequences=RESPONSES,
                max_new_tokens=decoding.max_new_tokens,
                eos_token_id=end,
                pad_token_id=end,
            )[:, width:].tolist()
            cut = [row[: row.index(end) + 1] if end in row else row for row in output]
            responses = [Response(row, "", "") for row in cut]
            found += [responses[at : at + RESPONSES] for at in range(0, len(responses), RESPONSES)]
        return found

    return work


if __name__ == "__main__":
    main()
