"""The study's tables: accuracy of every model, consistency of every iteration, with intervals.

    python scripts/make_tables.py --evaluations results/…/eval/*.json \
        --consistencies results/…/iter*/consistency.parquet --level 0.95 --resamples 2000 --seed 1 \
        --accuracy results/tables/accuracy.csv --consistency results/tables/consistency.csv

Intervals are percentile bootstraps over items (accuracy) or prompts (consistency); they say
nothing about what another seed would give.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import pandas as pd

from cream import stage
from cream.consistency import MEASURES
from cream.intervals import bootstrap_interval
from cream.paths import owner
from cream.tables import CONSISTENCY, read_table

SHOWN = {"consistency": "C", "kendall": "tau", "spearman": "spearman", "toporder": "toporder"}


def main(settings) -> dict:
    def interval(values) -> dict[str, float]:
        numbers = bootstrap_interval(values, settings.level, settings.resamples, settings.seed)
        return dict(zip(("mean", "low", "high"), numbers, strict=True))

    accuracy = pd.DataFrame([row for path in settings.evaluations for row in _accuracy(path, interval)])
    consistency = pd.DataFrame([row for path in settings.consistencies for row in _consistency(path, interval)])
    for frame, path in ((accuracy, settings.accuracy), (consistency, settings.consistency)):
        frame = frame.sort_values(list(frame.columns[:5]), kind="stable")
        with stage.whole_file(path) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.6f")
    return {"accuracy_rows": len(accuracy), "consistency_rows": len(consistency)}


def _accuracy(path, interval) -> list[dict]:
    result = json.loads(path.read_text(encoding="utf-8"))
    return [
        {
            **_owner(path),
            "task": result["task"],
            "metric": metric,
            "items": result["n"],
            **interval([item[metric] for item in result["items"]]),
        }
        for metric in result["metrics"]
    ]


def _consistency(path, interval) -> list[dict]:
    table = read_table(path, CONSISTENCY)
    used = int((table["left_out"] == "").sum())
    return [
        {
            **_owner(path),
            "measure": SHOWN[column],
            "prompts": len(table),
            "used": used,
            "left_out": len(table) - used,
            **interval(pd.to_numeric(table[column])),
        }
        for column in ("consistency", *MEASURES)
    ]


def _owner(path) -> dict:
    facts = asdict(owner(path))
    facts["seed"] = "" if facts["seed"] is None else facts["seed"]
    return facts


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--evaluations", type=stage.input_path, nargs="+", required=True)
    flags.add_argument("--consistencies", type=stage.input_path, nargs="*", default=[])
    flags.add_argument("--level", type=float, required=True, help="confidence level of the intervals")
    flags.add_argument("--resamples", type=int, required=True, help="bootstrap resamples")
    flags.add_argument("--seed", type=int, required=True, help="seed of the bootstrap")
    flags.add_argument("--accuracy", type=stage.output_path, required=True, help="CSV to write")
    flags.add_argument("--consistency", type=stage.output_path, required=True, help="CSV to write")
    stage.run(flags, main, determinism="B")
