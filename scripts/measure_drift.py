"""Drift monitors of every iteration, and which of them count as degradation.

    python scripts/measure_drift.py --pairs results/…/iter*/pairs.parquet --samples results/…/M*/samples.parquet \
        --verdicts results/…/M*/verdicts.parquet --logprobs results/…/M*/logprobs/M*.parquet \
        --length 2 --distinct 0.5 --cut 0.25 --level 0.95 --resamples 2000 --seed 1 --drift results/tables/drift.csv

Pairs of iteration t belong to the samples of M{t}, found by their paths. `log_ratio_base` and
`log_ratio_previous` are the mean of log π_t − log π over M{t}'s own responses (nats a response):
estimates of the KL divergence to M0 and to M{t-1} if sampling is at temperature 1 and top-p 1, and
the same mean on sharper samples if not.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from cream import stage
from cream.drift import Limits, flags, of_log_ratio, of_pairs, of_responses
from cream.errors import UserError
from cream.intervals import bootstrap_interval
from cream.paths import RESULTS, owner, policy
from cream.tables import LOGPROBS, PAIRS, SAMPLES, VERDICTS, read_table

OWNER = ["model", "seed", "method", "iteration"]


def main(settings) -> dict:
    limits = Limits(settings.length, settings.distinct, settings.cut, settings.level)
    tables = [*settings.samples, *settings.verdicts, *settings.logprobs]
    given = {_in_the_grammar(path): path for path in tables}
    table = pd.DataFrame([_monitors(path, given, settings) for path in settings.pairs])
    table = table.sort_values(OWNER, kind="stable")
    first = {tuple(row[name] for name in OWNER[:3]): row for row in table.to_dict("records") if row["iteration"] == 1}
    for row in table[~table.set_index(OWNER[:3]).index.isin(first)].itertuples():
        raise UserError(
            f"no pairs of {row.method}'s iteration 1 (seed {row.seed}) are given: drift is measured against it"
        )
    table["flags"] = [
        "; ".join(flags(first[tuple(row[name] for name in OWNER[:3])], row, limits)) for row in table.to_dict("records")
    ]
    for row in table[table["flags"] != ""].itertuples():
        print(f"{row.model} seed {row.seed} {row.method} iteration {row.iteration}: {row.flags}")
    with stage.whole_file(settings.drift) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
    return {"iterations": len(table), "flagged": int((table["flags"] != "").sum())}


def _monitors(pairs_path: Path, given: dict, settings) -> dict:
    whose = owner(pairs_path)
    t = whose.iteration
    responses = policy(whose.model, whose.seed, whose.method, t)

    def table(name: str, spec):
        if f"{responses}/{name}" not in given:
            raise UserError(
                f"{pairs_path} is given without {responses}/{name}, which it was made from: name it as well"
            )
        return read_table(given[f"{responses}/{name}"], spec)

    scores = {k: table(f"logprobs/M{k}.parquet", LOGPROBS) for k in {0, t - 1, t}}
    measured = asdict(whose) | of_responses(table("samples.parquet", SAMPLES))
    for name, k in (("base", 0), ("previous", t - 1)):
        ratios = of_log_ratio(scores[t], scores[k])
        numbers = bootstrap_interval(ratios.tolist(), settings.level, settings.resamples, settings.seed)
        for ending, number in zip(("", "_low", "_high"), numbers, strict=True):
            measured[f"log_ratio_{name}{ending}"] = number
    return measured | of_pairs(read_table(pairs_path, PAIRS), table("verdicts.parquet", VERDICTS))


def _in_the_grammar(path: Path) -> str:
    """A path from its "results" on."""
    parts = path.parts
    return "/".join(parts[len(parts) - 1 - parts[::-1].index(RESULTS) :]) if RESULTS in parts else str(path)


if __name__ == "__main__":
    parser = stage.parser(__doc__)
    parser.add_argument("--pairs", type=stage.input_path, nargs="+", required=True)
    parser.add_argument("--samples", type=stage.input_path, nargs="+", required=True)
    parser.add_argument("--verdicts", type=stage.input_path, nargs="+", required=True)
    parser.add_argument("--logprobs", type=stage.input_path, nargs="+", required=True)
    parser.add_argument("--length", type=float, required=True, help="length factor that is flagged")
    parser.add_argument("--distinct", type=float, required=True, help="share of distinct bigrams that is flagged")
    parser.add_argument("--cut", type=float, required=True, help="rise of cut-off responses that is flagged")
    parser.add_argument("--level", type=float, required=True, help="confidence level")
    parser.add_argument("--resamples", type=int, required=True, help="bootstrap resamples")
    parser.add_argument("--seed", type=int, required=True, help="seed of the bootstrap")
    parser.add_argument("--drift", type=stage.output_path, required=True, help="CSV to write")
    stage.run(parser, main, determinism="B")
