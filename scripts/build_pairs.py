"""Preference pairs: best against worst by the method's own reward, with their weight.

    python scripts/build_pairs.py --samples …/M1/samples.parquet --rewards …/iter1/rewards.parquet \
        --consistency …/iter1/consistency.parquet --reference …/M1/logprobs/M1.parquet \
        --truncated keep --ties first --min-margin 0 --length-penalty 0 --pairs …/iter1/pairs.parquet
"""

from __future__ import annotations

from cream import stage
from cream.errors import UserError
from cream.pairs import PairPolicy, best_and_worst
from cream.tables import CONSISTENCY, LOGPROBS, PAIRS, REWARDS, SAMPLES, read_table, write_table


def main(settings) -> dict:
    tables = (
        read_table(settings.samples, SAMPLES),
        read_table(settings.rewards, REWARDS)[["prompt_id", "response_index", "reward"]],
        read_table(settings.consistency, CONSISTENCY)[["prompt_id", "weight", "unweighted"]],
        read_table(settings.reference, LOGPROBS),
    )
    policy = PairPolicy(settings.truncated, settings.ties, settings.min_margin, settings.length_penalty)
    try:
        pairs, left_out = best_and_worst(*tables, policy)
    except UserError as problem:
        raise UserError(
            f"{settings.pairs}: {problem}. This method stops here and keeps what it made; "
            "the others go on with --keep-going"
        ) from problem
    write_table(pairs, PAIRS, settings.pairs)
    flipped = int((pairs["weight"] < 0.5).sum())
    print(
        f"{len(pairs)} pairs, mean weight {pairs['weight'].mean():.3f}, {flipped} of them below 1/2; "
        f"left out: {dict(left_out) or 'none'}"
    )
    return {"pairs": len(pairs), "below_half": flipped, "left_out": left_out}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--rewards", type=stage.input_path, required=True, help="rewards table")
    flags.add_argument("--consistency", type=stage.input_path, required=True, help="weights by prompt")
    flags.add_argument(
        "--reference", type=stage.input_path, required=True, help="log-probs under the training reference M{t}"
    )
    flags.add_argument("--truncated", choices=["keep", "drop"], required=True, help="responses cut at the token limit")
    flags.add_argument("--ties", choices=["first", "drop"], required=True, help="several best or several worst")
    flags.add_argument("--min-margin", type=float, required=True, help="least difference of rewards in a pair")
    flags.add_argument("--length-penalty", type=float, required=True, help="taken from the reward per token")
    flags.add_argument("--pairs", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
