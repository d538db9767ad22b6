"""Do two ways of scoring the same samples agree? Log-probabilities, and the order of the rewards.

Run by benchmarks/run.py:

    python benchmarks/agreement.py --samples …/sft/M1/samples.parquet --models …/sft/M1/model …/base/M0/model \
        --base …/base/M0/model --a transformers:float32 --b transformers:bfloat16
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--samples", type=Path, required=True)
    flags.add_argument("--models", type=Path, nargs=2, required=True, help="policy and reference")
    flags.add_argument("--base", type=Path, required=True)
    flags.add_argument("--count", type=int, default=8, help="prompts")
    flags.add_argument("--a", required=True, help="ENGINE:PRECISION")
    flags.add_argument("--b", required=True)
    asked = flags.parse_args()

    from cream.engines.base import ScoringGroup
    from cream.tables import SAMPLES, read_table

    samples = read_table(asked.samples, SAMPLES)
    groups = [
        ScoringGroup(rows["prompt_ids"].iloc[0], rows["response_ids"].tolist())
        for _, rows in list(samples.groupby("prompt_id"))[: asked.count]
    ]
    lengths = [[len(ids) for ids in group.responses] for group in groups]
    a, b = (score(way, asked, groups) for way in (asked.a, asked.b))
    gaps = [
        abs(x - y) / n
        for one, other in zip(a, b, strict=True)
        for xs, ys, ns in zip(one, other, lengths, strict=True)
        for x, y, n in zip(xs, ys, ns, strict=True)
    ]
    flips = orders = 0
    for policy_a, base_a, policy_b, base_b in zip(*a, *b, strict=True):
        rewards_a = [x - y for x, y in zip(policy_a, base_a, strict=True)]
        rewards_b = [x - y for x, y in zip(policy_b, base_b, strict=True)]
        for i, j in combinations(range(len(rewards_a)), 2):
            before, after = rewards_a[i] - rewards_a[j], rewards_b[i] - rewards_b[j]
            if before:
                orders += 1
                flips += before * after <= 0
    print(json.dumps({"largest": max(gaps), "mean": sum(gaps) / len(gaps), "flips": flips, "orders": orders}))


def score(way: str, asked, groups) -> list[list[list[float]]]:
    """Sums under the policy and under the reference."""
    from cream.engines.base import ModelFiles
    from cream.engines.scorer import open_scorer
    from cream.serving import Serving

    engine, precision = way.split(":")
    policies = [ModelFiles(folder, asked.base) for folder in asked.models]
    scorer = open_scorer(engine, policies, precision, Serving(False, 1, 0.9, 1))
    return [scorer.score(files, groups, 8) for files in policies]


if __name__ == "__main__":
    main()
