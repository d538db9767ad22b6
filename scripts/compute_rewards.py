"""Rewards of every response under the current model and the one before it.

    python scripts/compute_rewards.py --current …/logprobs/M2.parquet --previous …/logprobs/M1.parquet \
        --base …/logprobs/M0.parquet --reward implicit --previous-score log_ratio --iteration 2 \
        --rewards results/MODEL/seed1/cream/iter2/rewards.parquet
"""

from __future__ import annotations

from cream import stage
from cream.rewards import implicit_rewards
from cream.tables import LOGPROBS, REWARDS, read_table, write_table


def main(settings) -> dict:
    current, previous, base = (
        read_table(path, LOGPROBS) for path in (settings.current, settings.previous, settings.base)
    )
    rewards = implicit_rewards(
        current, previous, base, settings.previous_score, previous_is_base=settings.iteration == 1
    )
    write_table(rewards, REWARDS, settings.rewards)
    return {"responses": len(rewards)}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--current", type=stage.input_path, required=True, help="log-probs under M{t}")
    flags.add_argument("--previous", type=stage.input_path, required=True, help="log-probs under M{t-1}")
    flags.add_argument("--base", type=stage.input_path, required=True, help="log-probs under M0")
    flags.add_argument("--reward", choices=["implicit"], required=True, help="where rewards come from")
    flags.add_argument(
        "--previous-score",
        choices=["log_ratio", "likelihood"],
        required=True,
        help="what ranks the responses under the previous model (t = 1: always likelihood)",
    )
    flags.add_argument("--iteration", type=int, required=True, help="t")
    flags.add_argument("--rewards", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
