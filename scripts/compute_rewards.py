"""Rewards of every response under a method, and the scores its consistency compares them with.

    python scripts/compute_rewards.py --samples …/M2/samples.parquet \
        --logprobs …/M2/logprobs/M0.parquet …/M2/logprobs/M1.parquet …/M2/logprobs/M2.parquet --scorers 0 1 2 \
        --method '{"reward": "implicit", "score_ref": "base", "aggregate": {…}, "consistency": {…}}' \
        --iteration 2 --seed 1 --rewards results/MODEL/seed1/cream/iter2/rewards.parquet

`--logprobs` and `--scorers` go in step, and so do `--judgements` and `--judges`: the k-th number
says which model M made the k-th table. Which tables a method needs, it says itself.
"""

from __future__ import annotations

import json

from cream import stage
from cream.errors import UserError
from cream.methods import tables_needed
from cream.rewards import compute_comparison, compute_reward, raw_tables
from cream.tables import EXTERNAL, JUDGEMENTS, LOGPROBS, REWARDS, SAMPLES, VERDICTS, read_table, write_table


def main(settings) -> dict:
    method, t = json.loads(settings.method), settings.iteration
    _check_given(settings, tables_needed(method, t))
    raw = raw_tables(
        read_table(settings.samples, SAMPLES),
        {k: read_table(path, LOGPROBS) for k, path in zip(settings.scorers, settings.logprobs, strict=True)},
        {k: read_table(path, JUDGEMENTS) for k, path in zip(settings.judges, settings.judgements, strict=True)},
        read_table(settings.external, EXTERNAL) if settings.external else None,
        read_table(settings.verdicts, VERDICTS) if settings.verdicts else None,
    )
    reward, comparison = compute_reward(raw, method, t, settings.seed), compute_comparison(raw, method, t)
    table = reward.rename("reward").to_frame().assign(comparison=comparison)
    write_table(table.reset_index(), REWARDS, settings.rewards)
    missing = {name: int(table[name].isna().sum()) for name in table}
    print(f"{len(table)} responses; without a reward: {missing['reward']}, to compare with: {missing['comparison']}")
    return {"responses": len(table), "missing": missing}


def _check_given(settings, needed: dict[str, list]) -> None:
    if len(settings.logprobs) != len(settings.scorers) or len(settings.judgements) != len(settings.judges):
        raise UserError("--logprobs and --scorers, --judgements and --judges must name as many tables as models")
    given = {
        "logprobs": settings.scorers,
        "judgements": settings.judges,
        "external": [settings.external] if settings.external else [],
        "verdicts": [settings.verdicts] if settings.verdicts else [],
    }
    for name, wanted in needed.items():
        numbered = name in ("logprobs", "judgements")
        if (sorted(given[name]) != wanted) if numbered else (len(given[name]) != len(wanted)):
            which = f" under {', '.join(f'M{k}' for k in wanted) or 'no model'}" if numbered else ""
            raise UserError(f"this method needs {len(wanted)} table(s) for --{name}{which}, {len(given[name])} given")


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--logprobs", type=stage.input_path, nargs="*", default=[], help="log-probs under models")
    flags.add_argument("--scorers", type=int, nargs="*", default=[], help="numbers of those models")
    flags.add_argument("--judgements", type=stage.input_path, nargs="*", default=[], help="votes of judges")
    flags.add_argument("--judges", type=int, nargs="*", default=[], help="numbers of those judges")
    flags.add_argument("--external", type=stage.input_path, help="scores of an external reward model")
    flags.add_argument("--verdicts", type=stage.input_path, help="the verifier's verdicts")
    flags.add_argument("--method", required=True, help="the row's reward, score_ref, aggregate, consistency, as JSON")
    flags.add_argument("--iteration", type=int, required=True, help="t")
    flags.add_argument("--seed", type=int, required=True, help="run seed, for random rewards")
    flags.add_argument("--rewards", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
