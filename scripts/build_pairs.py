"""Preference pairs: best against worst by the current model's own reward, with their weight.

    python scripts/build_pairs.py --samples …/M1/samples.parquet --rewards …/iter1/rewards.parquet \
        --consistency …/iter1/consistency.parquet --reference …/M1/logprobs/M1.parquet \
        --truncated keep --pairs …/iter1/pairs.parquet
"""

from __future__ import annotations

from cream import stage
from cream.pairs import best_and_worst
from cream.tables import CONSISTENCY, LOGPROBS, PAIRS, REWARDS, SAMPLES, read_table, write_table


def main(settings) -> dict:
    pairs, left_out = best_and_worst(
        read_table(settings.samples, SAMPLES),
        read_table(settings.rewards, REWARDS),
        read_table(settings.consistency, CONSISTENCY)[["prompt_id", "weight"]],
        read_table(settings.reference, LOGPROBS),
        settings.truncated,
    )
    write_table(pairs, PAIRS, settings.pairs)
    print(f"{len(pairs)} pairs, mean weight {pairs['weight'].mean():.3f}; left out: {dict(left_out) or 'none'}")
    return {"pairs": len(pairs), "left_out": left_out}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--rewards", type=stage.input_path, required=True, help="rewards table")
    flags.add_argument("--consistency", type=stage.input_path, required=True, help="weights by prompt")
    flags.add_argument(
        "--reference", type=stage.input_path, required=True, help="log-probs under the training reference M{t}"
    )
    flags.add_argument("--truncated", choices=["keep", "drop"], required=True, help="responses cut at the token limit")
    flags.add_argument("--pairs", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
