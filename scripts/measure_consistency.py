"""How far the reward's ranking and the one it is compared with agree, and each pair's weight.

    python scripts/measure_consistency.py --rewards results/MODEL/seed1/cream/iter1/rewards.parquet \
        --measure kendall --level set --drop-negative false \
        --consistency results/MODEL/seed1/cream/iter1/consistency.parquet
"""

from __future__ import annotations

from collections import Counter

from cream import stage
from cream.consistency import MEASURES, Weighting, measure_prompts, weigh_prompts
from cream.errors import UserError
from cream.tables import CONSISTENCY, REWARDS, read_table, write_table


def main(settings) -> dict:
    weighting = Weighting(
        settings.measure, settings.level, settings.value, settings.clip, settings.drop_negative == "true"
    )
    if settings.measure == "constant" and settings.value is None:
        raise UserError("--measure constant needs --value, the constant C between 0 and 1")
    weighed = weigh_prompts(measure_prompts(read_table(settings.rewards, REWARDS)), weighting)
    write_table(weighed, CONSISTENCY, settings.consistency)
    reasons = {name: Counter(reason for reason in weighed[name] if reason) for name in ("left_out", "unweighted")}
    mean, weight = weighed["consistency"].mean(), weighed["weight"].mean()
    print(
        f"C = {mean:.3f} over {len(weighed) - reasons['left_out'].total()} prompts, mean weight {weight:.3f}; "
        f"without C: {dict(reasons['left_out']) or 'none'}; without a weight: {dict(reasons['unweighted']) or 'none'}"
    )
    return {"prompts": len(weighed), **reasons, "mean_consistency": mean, "mean_weight": weight}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--rewards", type=stage.input_path, required=True, help="rewards table")
    flags.add_argument("--measure", choices=["none", "constant", *MEASURES], required=True, help="what C is made of")
    flags.add_argument("--value", type=float, help="measure constant: C")
    flags.add_argument("--level", choices=["set", "prompt"], required=True, help="one C for all pairs, or one a prompt")
    flags.add_argument("--clip", type=float, help="the least weight")
    flags.add_argument("--drop-negative", choices=["true", "false"], required=True, help="leave out prompts with τ < 0")
    flags.add_argument("--consistency", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
