"""How far the current and the previous model rank the responses alike, and each pair's weight.

    python scripts/measure_consistency.py --rewards results/MODEL/seed1/cream/iter1/rewards.parquet \
        --measure kendall --level set --consistency results/MODEL/seed1/cream/iter1/consistency.parquet
"""

from __future__ import annotations

from cream import stage
from cream.consistency import MEASURES, measure_prompts, weigh_prompts
from cream.tables import CONSISTENCY, REWARDS, read_table, write_table


def main(settings) -> dict:
    measured = measure_prompts(read_table(settings.rewards, REWARDS))
    weighed = weigh_prompts(measured, settings.measure, settings.level)
    write_table(weighed.astype(object).where(weighed.notna(), None), CONSISTENCY, settings.consistency)
    left_out = weighed["left_out"][weighed["left_out"] != ""].value_counts().to_dict()
    mean = weighed["consistency"].mean()
    print(f"C = {mean:.3f} over {len(weighed) - sum(left_out.values())} prompts; left out: {left_out or 'none'}")
    return {"prompts": len(weighed), "left_out": left_out, "mean_consistency": mean}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--rewards", type=stage.input_path, required=True, help="rewards table")
    flags.add_argument("--measure", choices=["none", *MEASURES], required=True, help="what C is made of")
    flags.add_argument("--level", choices=["set", "prompt"], required=True, help="one C for all pairs, or one a prompt")
    flags.add_argument("--consistency", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
