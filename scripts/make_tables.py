"""The study's tables: accuracy of every model, consistency of every iteration, with intervals.

    python scripts/make_tables.py --evaluations results/…/eval/TASK.json … \
        --consistencies results/…/iter*/consistency.parquet --agreements results/…/iter*/agreement.parquet \
        --pairs results/…/iter*/pairs.parquet --level 0.95 --resamples 2000 --seed 1 \
        --accuracy results/tables/accuracy.csv --consistency results/tables/consistency.csv \
        --iterations results/tables/iterations.csv

Intervals are percentile bootstraps over items (accuracy) or prompts (consistency); they say
nothing about what another seed would give. `iterations` has one row an iteration, so that C,
ranking accuracy and the accuracy before and after can be read side by side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import pandas as pd

from cream import stage
from cream.evaluations import read_evaluation
from cream.intervals import bootstrap_interval
from cream.paths import owner
from cream.tables import AGREEMENT, CONSISTENCY, PAIRS, read_table

OWNER = ["model", "seed", "method", "iteration"]
# Measure → its column in the consistency table; then in the agreement table.
CONSISTENCY_MEASURES = {
    "C": "consistency",
    "tau": "kendall",
    "spearman": "spearman",
    "toporder": "toporder",
    "weight": "weight",
}
AGREEMENT_MEASURES = {
    "self_C": "self_consistency",
    "self_tau": "self_kendall",
    "self_spearman": "self_spearman",
    "self_toporder": "self_toporder",
    "reward_accuracy": "reward_accuracy",
    "self_accuracy": "self_accuracy",
}


def main(settings) -> dict:
    def interval(values) -> dict[str, float]:
        numbers = bootstrap_interval(values, settings.level, settings.resamples, settings.seed)
        return dict(zip(("mean", "low", "high"), numbers, strict=True))

    accuracy = pd.DataFrame([row for path in settings.evaluations for row in _accuracy(path, interval)])
    measured = [row for path in settings.consistencies for row in _consistency(path, interval)]
    measured += [row for path in settings.agreements for row in _agreement(path, interval)]
    consistency = pd.DataFrame(measured)
    iterations = _iterations(consistency, accuracy, settings.pairs)
    for frame, path in (
        (accuracy, settings.accuracy),
        (consistency, settings.consistency),
        (iterations, settings.iterations),
    ):
        frame = frame.sort_values(list(frame.columns[:5]), kind="stable")
        with stage.whole_file(path) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.6f")
    return {"accuracy_rows": len(accuracy), "consistency_rows": len(consistency), "iterations": len(iterations)}


def _accuracy(path, interval) -> list[dict]:
    result = read_evaluation(path)
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
    reasons = dict.fromkeys(CONSISTENCY_MEASURES, table["left_out"]) | {"weight": table["unweighted"]}
    return _measured(path, table, CONSISTENCY_MEASURES, reasons, interval)


def _agreement(path, interval) -> list[dict]:
    table = read_table(path, AGREEMENT)
    not_told = table["told_apart"].map(lambda pairs: "missing reward" if pairs else "responses not told apart")
    reasons = dict.fromkeys(AGREEMENT_MEASURES, table["self_left_out"])
    reasons |= {"reward_accuracy": not_told, "self_accuracy": not_told}
    return _measured(path, table, AGREEMENT_MEASURES, reasons, interval)


def _measured(path, table: pd.DataFrame, measures: dict[str, str], reasons: dict, interval) -> list[dict]:
    """One row a measure: how many prompts it is a mean over, how many not, and why not."""
    rows = []
    for measure, column in measures.items():
        missing = table[column].isna()
        why = Counter(reasons[measure][missing])
        rows.append(
            {
                **_owner(path),
                "measure": measure,
                "prompts": len(table),
                "used": int((~missing).sum()),
                "left_out": int(missing.sum()),
                "why": "; ".join(f"{count} {reason}" for reason, count in sorted(why.items())),
                **interval(table[column]),
            }
        )
    return rows


def _iterations(consistency: pd.DataFrame, accuracy: pd.DataFrame, pairs_files) -> pd.DataFrame:
    """One row an iteration: what was measured on M{t}'s responses, and how M{t} and M{t+1} do."""
    if consistency.empty:
        return pd.DataFrame(columns=[*OWNER, "prompts"])
    means = consistency.pivot_table(index=OWNER, columns="measure", values="mean", dropna=False)
    means = means[[*CONSISTENCY_MEASURES, *AGREEMENT_MEASURES]].dropna(how="all")
    of_c = consistency[consistency["measure"] == "C"].set_index(OWNER)[["prompts", "used", "why"]]
    pairs = pd.DataFrame([_pairs(path) for path in pairs_files]).set_index(OWNER)
    table = of_c.join(means).join(pairs)
    mean_accuracy = accuracy[accuracy["metric"] == "acc"].set_index([*OWNER, "task"])["mean"]
    for task in sorted(set(accuracy["task"])):
        for column, later in ((f"{task}_before", 0), (f"{task}_after", 1)):
            table[column] = [_accuracy_of(mean_accuracy, *key, later, task) for key in table.index]
    return table.reset_index()


def _pairs(path) -> dict:
    pairs = read_table(path, PAIRS)
    margin = (pairs["chosen_reward"] - pairs["rejected_reward"]).mean()
    return {**_owner(path), "pairs": len(pairs), "below_half": int((pairs["weight"] < 0.5).sum()), "margin": margin}


def _accuracy_of(mean_accuracy: pd.Series, model, seed, method, t, later: int, task: str) -> float:
    """Accuracy of M{t + later}: M1 belongs to no preference method."""
    whose = "sft" if t + later == 1 else method
    return mean_accuracy.get((model, seed, whose, t + later, task), float("nan"))


def _owner(path) -> dict:
    facts = asdict(owner(path))
    facts["seed"] = "" if facts["seed"] is None else facts["seed"]
    return facts


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--evaluations", type=stage.input_path, nargs="+", required=True)
    flags.add_argument("--consistencies", type=stage.input_path, nargs="*", default=[])
    flags.add_argument("--agreements", type=stage.input_path, nargs="*", default=[])
    flags.add_argument("--pairs", type=stage.input_path, nargs="*", default=[])
    flags.add_argument("--level", type=float, required=True, help="confidence level of the intervals")
    flags.add_argument("--resamples", type=int, required=True, help="bootstrap resamples")
    flags.add_argument("--seed", type=int, required=True, help="seed of the bootstrap")
    flags.add_argument("--accuracy", type=stage.output_path, required=True, help="CSV to write")
    flags.add_argument("--consistency", type=stage.output_path, required=True, help="CSV to write")
    flags.add_argument("--iterations", type=stage.output_path, required=True, help="CSV to write")
    stage.run(flags, main, determinism="B")
