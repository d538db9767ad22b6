"""Scoring against the plain way: whole sequences, logits of every position, a float32 log-softmax over all.

Run by benchmarks/run.py, one way a process, because peak memory is a process's own:

    python benchmarks/scoring.py ours --model FOLDER --groups 8 --length 128 --spread 0.5
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from gauges import gauge

RESPONSES = 5


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("way", choices=["ours", "plain", "vllm"])
    flags.add_argument("--model", type=Path, required=True)
    flags.add_argument("--groups", type=int, required=True, help="prompts, each with five responses")
    flags.add_argument("--length", type=int, required=True, help="tokens of a prompt, and of a response")
    flags.add_argument("--spread", type=float, default=0.0, help="0.5: lengths from half to one and a half of it")
    flags.add_argument("--batch", type=int, default=4, help="prompts scored together")
    asked = flags.parse_args()

    from cream.engines.base import ModelFiles, ScoringGroup
    from cream.engines.hf_models import load_for_inference

    chance = random.Random(0)
    least, most = round(asked.length * (1 - asked.spread)), round(asked.length * (1 + asked.spread))
    ids = lambda: [chance.randrange(10, 40000) for _ in range(chance.randint(least, most))]  # noqa: E731
    groups = [ScoringGroup(ids(), [ids() for _ in range(RESPONSES)]) for _ in range(asked.groups)]
    files = ModelFiles(asked.model, asked.model)
    warm_up = [ScoringGroup(ids()[:8], [ids()[:8]])]
    if asked.way == "vllm":
        from cream.engines.vllm_scoring import VllmScorer
        from cream.serving import Serving

        scorer = VllmScorer([files], "bfloat16", Serving(False, 1, 0.9, 1))
        scorer.score(files, [*warm_up, ScoringGroup(groups[0].prompt_ids, groups[0].responses[:1])], asked.batch)
        score = lambda some: scorer.score(files, some, asked.batch)  # noqa: E731
    else:
        model = load_for_inference(files, "bfloat16")
        from cream.engines.hf_scoring import score_groups

        ways = {"ours": score_groups, "plain": plain}
        score = lambda some: ways[asked.way](model, some, asked.batch)  # noqa: E731
        score(warm_up)
    with gauge() as reading:
        sums = score(groups)
    tokens = sum(len(response) for group in groups for response in group.responses)
    print(json.dumps({"tokens_per_s": tokens / reading.seconds, "peak_mb": reading.peak_mb, "first": sums[0]}))


def plain(model, groups, groups_per_batch: int) -> list[list[float]]:
    """Every response behind its own copy of the prompt, in the order given and padded to the longest of its batch;
    logits of all positions at once."""
    import torch

    found = []
    with torch.no_grad():
        for start in range(0, len(groups), groups_per_batch):
            batch = groups[start : start + groups_per_batch]
            pairs = [(group.prompt_ids, response) for group in batch for response in group.responses]
            width = max(len(prompt) + len(response) for prompt, response in pairs)
            ids = torch.zeros(len(pairs), width, dtype=torch.long)
            read, answers = torch.zeros_like(ids), torch.zeros(len(pairs), width, dtype=torch.bool)
            for row, (prompt, response) in enumerate(pairs):
                end = len(prompt) + len(response)
                ids[row, :end] = torch.tensor([*prompt, *response])
                read[row, :end] = 1
                answers[row, len(prompt) : end] = True
            ids, read, answers = ids.to(model.device), read.to(model.device), answers.to(model.device)
            logprobs = torch.log_softmax(model(input_ids=ids, attention_mask=read, use_cache=False).logits.float(), -1)
            own = logprobs[:, :-1].gather(-1, ids[:, 1:, None])[..., 0] * answers[:, 1:]
            sums = iter(own.sum(-1).tolist())
            found += [[next(sums) for _ in group.responses] for group in batch]
    return found


if __name__ == "__main__":
    main()
