"""What every method is measured by, whether or not it uses it: does the model agree with its
predecessor, and with the verifier?

    python scripts/measure_agreement.py --samples …/cream/M2/samples.parquet --rewards …/cream/iter2/rewards.parquet \
        --current …/cream/M2/logprobs/M2.parquet --previous …/cream/M2/logprobs/M1.parquet \
        --base …/cream/M2/logprobs/M0.parquet --verdicts …/cream/M2/verdicts.parquet \
        --iteration 2 --agreement …/cream/iter2/agreement.parquet

The model's own reward is its log-ratio to M0, its predecessor's the same (likelihood per token
where that is M0 itself). Ranking accuracy: of the pairs of responses that the verifier tells
apart, the share that a reward orders as it does; for the model's own reward and for the reward
that the method trains on.
"""

from __future__ import annotations

import pandas as pd

from cream import stage
from cream.consistency import MEASURES, measure_prompts, scaled
from cream.ranking_accuracy import ranking_accuracy
from cream.rewards import aligned, likelihood, log_ratio, raw_tables
from cream.tables import AGREEMENT, LOGPROBS, REWARDS, SAMPLES, VERDICTS, read_table, write_table


def main(settings) -> dict:
    t = settings.iteration
    raw = raw_tables(
        read_table(settings.samples, SAMPLES),
        {
            t: read_table(settings.current, LOGPROBS),
            t - 1: read_table(settings.previous, LOGPROBS),
            0: read_table(settings.base, LOGPROBS),
        },
        verdicts=read_table(settings.verdicts, VERDICTS),
    )
    rewards = aligned(read_table(settings.rewards, REWARDS), raw.responses, str(settings.rewards))
    responses = pd.DataFrame(
        {
            "reward": rewards["reward"],
            "verdict": raw.verdicts,
            "own": log_ratio(raw, t, 0),
            "before": likelihood(raw, 0) if t == 1 else log_ratio(raw, t - 1, 0),
        },
        index=raw.responses,
    ).reset_index()
    table = _self_consistency(responses).merge(_accuracies(responses), on="prompt_id", validate="1:1")
    write_table(table, AGREEMENT, settings.agreement)
    found = table[["self_consistency", "reward_accuracy", "self_accuracy"]].mean().to_dict()
    print(
        f"the model against its predecessor: C = {found['self_consistency']:.3f}; ranking accuracy of its own reward "
        f"{found['self_accuracy']:.3f}, of the method's {found['reward_accuracy']:.3f} "
        f"({(table['told_apart'] > 0).sum()} of {len(table)} prompts tell)"
    )
    return found


def _self_consistency(responses: pd.DataFrame) -> pd.DataFrame:
    compared = responses.drop(columns="reward").rename(columns={"own": "reward", "before": "comparison"})
    measured = measure_prompts(compared).drop(columns="compared")
    measured["consistency"] = measured["kendall"].map(lambda tau: scaled("kendall", tau))
    return measured.rename(columns={name: f"self_{name}" for name in (*MEASURES, "consistency", "left_out")})


def _accuracies(responses: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for prompt_id, group in responses.groupby("prompt_id", sort=True):
        by_reward, _ = ranking_accuracy(group["reward"], group["verdict"])
        by_itself, told_apart = ranking_accuracy(group["own"], group["verdict"])
        rows.append(
            {
                "prompt_id": prompt_id,
                "told_apart": told_apart,
                "reward_accuracy": by_reward,
                "self_accuracy": by_itself,
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--rewards", type=stage.input_path, required=True, help="the method's rewards")
    flags.add_argument("--current", type=stage.input_path, required=True, help="log-probs under M{t}")
    flags.add_argument("--previous", type=stage.input_path, required=True, help="log-probs under M{t-1}")
    flags.add_argument("--base", type=stage.input_path, required=True, help="log-probs under M0")
    flags.add_argument("--verdicts", type=stage.input_path, required=True, help="the verifier's verdicts")
    flags.add_argument("--iteration", type=int, required=True, help="t")
    flags.add_argument("--agreement", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
