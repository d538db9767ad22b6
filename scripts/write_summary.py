"""A few lines that say what the study found and where it lies.

    python scripts/write_summary.py --accuracy results/tables/accuracy.csv \
        --consistency results/tables/consistency.csv --comparisons results/tables/comparisons.csv \
        --drift results/tables/drift.csv --level 0.95 --summary results/tables/summary.txt
"""

from __future__ import annotations

import pandas as pd

from cream import stage
from cream.errors import UserError

MEASURES = {
    "self_C": "ranking consistency C of M{t} with M{t-1} in iteration t (by Kendall's tau; ½ = unrelated rankings)",
    "reward_accuracy": "how often the reward puts a right response above a wrong one",
}


def main(settings) -> dict:
    try:
        accuracy = pd.read_csv(settings.accuracy)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as problem:
        raise UserError(f"{settings.accuracy} can't be read as CSV ({problem}): make the tables again") from problem
    lines = ["What was found (mean and 95 % bootstrap interval over items; one seed says nothing about another):"]
    lines[0] = lines[0] if settings.level == 0.95 else lines[0].replace("95 %", f"{settings.level:.0%}")
    for (model, task), rows in accuracy[accuracy["metric"] == "acc"].groupby(["model", "task"]):
        lines += ["", f"{model}, accuracy on {task} ({int(rows['items'].iloc[0])} items):"]
        lines += [
            _line(f"M{row.iteration} {row.method}", row)
            for row in rows.sort_values(["iteration", "method"]).itertuples()
        ]
    if settings.consistency.stat().st_size > 1:
        table = pd.read_csv(settings.consistency)
        for measure, title in MEASURES.items():
            for model, rows in table[table["measure"] == measure].groupby("model"):
                lines += ["", f"{model}, {title}:"]
                lines += [
                    _line(f"{row.method} iteration {row.iteration}", row) + f"   {row.used} of {row.prompts} prompts"
                    for row in rows.sort_values(["iteration", "method"]).itertuples()
                ]
    lines += [line for path in settings.comparisons for line in _differences(pd.read_csv(path))]
    lines += [line for path in settings.win_rates for line in _win_rates(pd.read_csv(path))]
    lines += [line for path in settings.drift for line in _degradation(pd.read_csv(path))]
    lines += ["", "Where it lies: results/report/index.html, results/tables/*.csv, results/figures/*.svg (and .png)"]
    with stage.whole_file(settings.summary) as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {}


def _differences(comparisons: pd.DataFrame) -> list[str]:
    """The comparisons that show something, and how many don't."""
    shown = comparisons[comparisons["verdict"].isin(["gain", "loss"]) & (comparisons["metric"] == "acc")]
    lines = ["", "Compared on the same items (p-values corrected for all comparisons; docs/statistics.md):"]
    for row in shown.itertuples():
        name = f"{row.model}, {row.task}: {row.method} M{row.iteration} against {row.against}"
        lines.append(f"  {name:<60} {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]   {row.verdict}")
    silent = (comparisons["metric"] == "acc").sum() - len(shown)
    what = f"{'other ' if len(shown) else ''}{'comparison' if silent == 1 else 'comparisons'}"
    return [*lines, f"  no difference shown: {silent} {what} of accuracy"]


def _win_rates(table: pd.DataFrame) -> list[str]:
    """Every win rate, with what became of its pairs."""
    judges = ", ".join(sorted(table["judge"].unique()))
    lines = ["", f"Win rates, judged in both orders by {judges} (½ = as good; a tie counts ½):"]
    for row in table.itertuples():
        name = f"{row.model}, {row.instructions}: {row.method} M{row.iteration} against {row.against}"
        rate = f"{row.win_rate:.3f} [{row.low:.3f}, {row.high:.3f}]" if row.used else "no rate: no pair has a verdict"
        became = f"{row.won} won, {row.lost} lost, {row.tied} tied, {row.failed} failed"
        lines.append(f"  {name:<60} {rate}   {became}   {row.verdict}")
    bias = table["first"].mean()
    if pd.isna(bias):
        return [*lines, "  position bias: no verdict prefers either place"]
    return [*lines, f"  position bias: {bias:.0%} of the verdicts prefer the answer in first place"]


def _degradation(drift: pd.DataFrame) -> list[str]:
    flagged = drift[drift["flags"].notna() & (drift["flags"] != "")]
    found = [
        f"  {row.model} {row.method} iteration {row.iteration} seed {row.seed}: {row.flags}"
        for row in flagged.itertuples()
    ]
    return ["", "Degradation of the responses (docs/statistics.md has the rules):", *(found or ["  none flagged"])]


def _line(name: str, row) -> str:
    seed = f" seed {int(row.seed)}" if pd.notna(row.seed) else ""
    return f"  {name + seed:<34} {row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]"


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--accuracy", type=stage.input_path, required=True, help="accuracy table")
    flags.add_argument("--consistency", type=stage.input_path, required=True, help="consistency table")
    flags.add_argument("--comparisons", type=stage.input_path, nargs="*", default=[], help="paired comparisons")
    flags.add_argument("--win-rates", type=stage.input_path, nargs="*", default=[], help="win rates")
    flags.add_argument("--drift", type=stage.input_path, nargs="*", default=[], help="drift monitors")
    flags.add_argument("--level", type=float, required=True, help="confidence level of the intervals")
    flags.add_argument("--summary", type=stage.output_path, required=True, help="text file to write")
    stage.run(flags, main, determinism="B")
