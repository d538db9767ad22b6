"""Consistency and accuracy over the iterations, one line a method.

    python scripts/draw_figure.py --accuracy results/tables/accuracy.csv \
        --consistency results/tables/consistency.csv --svg results/figures/iterations.svg \
        --png results/figures/iterations.png
"""

from __future__ import annotations

import pandas as pd

from cream import stage

MARKERS = "osD^vP*X"
DASHES = ["-", "--", "-.", ":"]
# A palette that stays apart for colour-blind readers (Okabe and Ito, 2008).
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def main(settings) -> dict:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "cream"  # the same picture is the same file
    import matplotlib.pyplot as plt

    accuracy = pd.read_csv(settings.accuracy)
    consistency = _read_consistency(settings.consistency)
    methods = sorted(set(accuracy["method"]) - {"base", "sft"})
    style = {
        method: {"color": COLOURS[i % 7], "marker": MARKERS[i % 8], "linestyle": DASHES[i % 4]}
        for i, method in enumerate(methods)
    }
    tasks = sorted(set(accuracy["task"]))
    height = 3.6 + 0.2 * (len(methods) // (2 * (1 + len(tasks))))  # room for the legend's rows
    figure, axes = plt.subplots(1, 1 + len(tasks), figsize=(3.6 * (1 + len(tasks)), height), squeeze=False)
    _draw_consistency(axes[0, 0], consistency, style)
    for axis, task in zip(axes[0, 1:], tasks, strict=True):
        _draw_accuracy(axis, accuracy[(accuracy["task"] == task) & (accuracy["metric"] == "acc")], methods, style)
        axis.set_title(f"Accuracy on {task}")
    handles, labels = axes[0, -1].get_legend_handles_labels()
    columns = min(max(1, len(labels)), 2 * (1 + len(tasks)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    figure.set_layout_engine("constrained")
    for path, extra in ((settings.svg, {"metadata": {"Date": None}}), (settings.png, {"dpi": 160})):
        with stage.whole_file(path) as temporary:
            figure.savefig(temporary, **extra)
    return {"methods": methods, "tasks": tasks}


def _read_consistency(path) -> pd.DataFrame:
    if path.stat().st_size <= 1:  # a study of supervised fine-tuning alone has no iterations
        return pd.DataFrame(columns=["method", "iteration", "measure", "mean", "low", "high"])
    return pd.read_csv(path)


def _draw_consistency(axis, table: pd.DataFrame, style: dict) -> None:
    rows = table[table["measure"] == "self_C"]  # the one C that means the same under every method
    for number, (method, look) in enumerate(style.items()):
        _line(axis, rows[rows["method"] == method], look, method, number, len(style))
    axis.axhline(0.5, color="0.6", linewidth=0.8, zorder=0)
    axis.set_ylim(0, 1.02)
    axis.set_title("Ranking consistency C")
    axis.set_ylabel("C by Kendall's τ (0.5 = unrelated rankings)")
    times = sorted(set(rows["iteration"]))
    axis.set_xticks(times, [f"M{t} vs M{t - 1}" for t in times])


def _draw_accuracy(axis, table: pd.DataFrame, methods: list[str], style: dict) -> None:
    shared = table[table["method"].isin(["base", "sft"])]
    for number, method in enumerate(methods):
        rows = pd.concat([shared, table[table["method"] == method]])
        _line(axis, rows, style[method], method, number, len(methods))
    if not methods:
        _line(axis, shared, {"color": "black", "marker": "o"}, "sft", 0, 1)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("share of items solved")
    times = sorted(set(table["iteration"]))
    axis.set_xticks(times, [f"M{t}" for t in times])


def _line(axis, rows: pd.DataFrame, look: dict, label: str, number: int, of: int) -> None:
    """One method: the mean over seeds as a line, each seed's interval as bars beside each other."""
    shift = min(0.06, 0.6 / of) * (number - (of - 1) / 2)  # all within their iteration
    means = rows.groupby("iteration")["mean"].mean()
    axis.plot(means.index + shift, means, label=label, markersize=5, linewidth=1.4, **look)
    errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    axis.errorbar(
        rows["iteration"] + shift, rows["mean"], yerr=errors, fmt="none", ecolor=look["color"], capsize=3, linewidth=1
    )
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--accuracy", type=stage.input_path, required=True, help="accuracy table")
    flags.add_argument("--consistency", type=stage.input_path, required=True, help="consistency table")
    flags.add_argument("--svg", type=stage.output_path, required=True, help="figure to write")
    flags.add_argument("--png", type=stage.output_path, required=True, help="figure to write")
    stage.run(flags, main, determinism="B")
