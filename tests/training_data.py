"""Made-up examples and preference pairs for training the tiny model: of all lengths and weights."""

from __future__ import annotations

import random

from cream.engines.base import ModelFiles, ScoringGroup
from cream.engines.scorer import open_scorer


def random_ids(chance: random.Random, shortest: int, longest: int) -> list[int]:
    return [chance.randrange(4, 300) for _ in range(chance.randint(shortest, longest))]


def seed_rows(count: int) -> list[dict]:
    """Rows of an encoded split, with targets of very different lengths."""
    chance = random.Random(4)
    return [
        {
            **dict.fromkeys(("task", "kind", "prompt", "target", "answer"), "x"),
            "item_id": f"item{number:02}",
            "choices": ["x"],
            "prompt_ids": random_ids(chance, 3, 12),
            "target_ids": random_ids(chance, 1, 20),
        }
        for number in range(count)
    ]


def pair_rows(files: ModelFiles, count: int, seed: int = 3, shortest: int = 1) -> list[dict]:
    """Rows of a table of pairs, scored under a model; `shortest` is the least length of a response."""
    chance = random.Random(seed)
    groups = [
        ScoringGroup(random_ids(chance, 3, 12), [random_ids(chance, shortest, 9) for _ in range(2)])
        for _ in range(count)
    ]
    scores = open_scorer("transformers", [files], "float32").score(files, groups, 2)
    return [
        {
            "prompt_id": f"prompt{number:02}",
            "chosen_index": 0,
            "rejected_index": 1,
            "prompt_ids": group.prompt_ids,
            "chosen_ids": group.responses[0],
            "rejected_ids": group.responses[1],
            "chosen_reward": 1.0,
            "rejected_reward": 0.0,
            "ref_chosen_logps": chosen,
            "ref_rejected_logps": rejected,
            "weight": chance.random(),
        }
        for number, (group, (chosen, rejected)) in enumerate(zip(groups, scores, strict=True))
    ]
