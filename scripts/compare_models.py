"""Paired comparisons: every model against M1, and every method against the baseline, on the same items.

    python scripts/compare_models.py --evaluations results/…/eval/TASK.json … --baseline srlm \
        --level 0.95 --resamples 2000 --seed 1 --comparisons results/tables/comparisons.csv

A difference is called a gain or a loss only if its bootstrap interval leaves out zero and its
p-value, corrected by Holm over the whole table, is below 1 − level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from cream import stage
from cream.comparisons import Resampling, compare, holm, verdict
from cream.errors import UserError
from cream.evaluations import read_evaluation
from cream.paths import SFT, owner

COLUMNS = ["model", "task", "metric", "method", "iteration", "against"]
FACTS = ["seeds", "items", "difference", "low", "high", "p", "p_holm", "verdict"]


def main(settings) -> dict:
    how = Resampling(settings.level, settings.resamples, settings.seed)
    values = _item_values(settings.evaluations)
    rows = []
    for pair, ours, theirs in _pairs(values, settings.baseline):
        rows.append({**pair, **asdict(compare(*_paired(pair, ours, theirs), how))})
    table = pd.DataFrame(rows, columns=[*COLUMNS, *(fact for fact in FACTS if fact not in ("p_holm", "verdict"))])
    table["p_holm"] = holm(table["p"].tolist())
    table["verdict"] = [verdict(row.low, row.high, row.p_holm, settings.level) for row in table.itertuples()]
    table = table[[*COLUMNS, *FACTS]].sort_values(COLUMNS, kind="stable")
    with stage.whole_file(settings.comparisons) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return {"comparisons": len(table), "verdicts": table["verdict"].value_counts().to_dict()}


Policy = tuple[str, str, str, str, int]  # model, task, metric, method, t
Items = dict[str, float]


def _item_values(evaluations: list[Path]) -> dict[Policy, dict[int, Items]]:
    """Item values of every evaluated M1, M2, … by seed."""
    values: dict[Policy, dict[int, Items]] = {}
    for path in evaluations:
        whose = owner(path)
        if whose.seed is None:
            continue  # M0 has no seed to pair; accuracy.csv has it
        result = read_evaluation(path)
        for metric in result["metrics"]:
            key = (whose.model, result["task"], metric, whose.method, whose.iteration)
            values.setdefault(key, {})[whose.seed] = {item["item_id"]: item[metric] for item in result["items"]}
    return values


def _pairs(values: dict, baseline: str) -> Iterator[tuple[dict, dict[int, Items], dict[int, Items]]]:
    """What is compared with what: M{t} with M1, and M{t} of a method with M{t} of the baseline."""
    for (model, task, metric, method, t), ours in values.items():
        if method == SFT:
            continue
        named = dict(zip(COLUMNS, (model, task, metric, method, t), strict=False))
        for other, against in (((SFT, 1), "M1"), ((baseline, t), baseline)):
            theirs = values.get((model, task, metric, *other))
            if theirs is not None and other != (method, t):
                yield {**named, "against": against}, ours, theirs


def _paired(pair: dict, ours: dict[int, Items], theirs: dict[int, Items]) -> tuple[np.ndarray, np.ndarray]:
    """Values of both, (seeds, items), seeds and items in one order."""
    what = f"{pair['method']} M{pair['iteration']} and {pair['against']} on {pair['task']}"
    if ours.keys() != theirs.keys():
        raise UserError(f"{what} were not evaluated for the same seeds: {sorted(ours)} and {sorted(theirs)}")
    seeds = sorted(ours)
    items = sorted(ours[seeds[0]])
    if any(sorted(values[seed]) != items for values in (ours, theirs) for seed in seeds):
        raise UserError(f"{what} were not evaluated on the same items: run the evaluations again")
    return tuple(np.array([[values[seed][item] for item in items] for seed in seeds]) for values in (ours, theirs))


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--evaluations", type=stage.input_path, nargs="+", required=True)
    flags.add_argument("--baseline", required=True, help="method that the others are compared with")
    flags.add_argument("--level", type=float, required=True, help="confidence level; 1 − level is the p-value's limit")
    flags.add_argument("--resamples", type=int, required=True, help="bootstrap resamples")
    flags.add_argument("--seed", type=int, required=True, help="seed of the bootstrap")
    flags.add_argument("--comparisons", type=stage.output_path, required=True, help="CSV to write")
    stage.run(flags, main, determinism="B")
