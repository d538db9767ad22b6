"""The settings of every stage, seeds, number of runs, and what kind of intervals the tables give."""

from __future__ import annotations

import json
from collections import defaultdict

from cream.audit.checklist.material import splits
from cream.audit.checklist.section import Section, counted, listed, of_stages
from cream.audit.grammar import family
from cream.audit.ledger import Ledger
from cream.audit.telling import in_a_line, part, settings_that_matter
from cream.cards.markdown import table

# docs/statistics.md says the same at length: what each stage's intervals are about.
INTERVALS = {
    "make_tables": "percentile bootstrap over items or prompts; another seed's training is not in it",
    "compare_models": "paired bootstrap over items, and over seeds where there are several; sign-flip test, Holm",
    "tabulate_win_rates": "paired bootstrap over instructions, and over seeds where there are several",
    "measure_drift": "percentile bootstrap over prompts",
    "measure_reward_quality": "percentile bootstrap over prompts or items",
}
TRAININGS = ("train_sft", "train_policy")


def setting(ledger: Ledger) -> Section:
    values: dict[tuple[str, str], dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    methods: dict[str, set[str]] = defaultdict(set)
    for record in ledger.in_order:
        method = family(record.outputs[0])[2]
        methods[record.stage].add(method)
        for name, value in settings_that_matter(record).items():
            values[record.stage, name][method][_text(value)] = None
    rows = [(stage, name, _distinct(by_method, methods[stage])) for (stage, name), by_method in values.items()]
    return Section(
        "4. Setting and details (NeurIPS: experimental setting)",
        "Splits, hyperparameters, and how they were set?",
        [
            *splits(ledger),
            "Every distinct value of every setting that an outcome follows from (no files, threads, batching):",
            table(("stage", "setting", "values"), rows) if rows else "No record has settings.",
            "How the values were chosen is in no record.",
        ],
        "`settings` of every record; sizes from the files of `check_splits`, held against their digests",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _distinct(by_method: dict[str, dict[str, None]], methods: set[str]) -> str:
    """The values; by method where methods differ in them, or not all have one."""
    if by_method.keys() == methods and len({tuple(values) for values in by_method.values()}) == 1:
        return _some(next(iter(by_method.values())))
    return " · ".join(f"{method or 'all'}: {_some(values)}" for method, values in by_method.items())


def _some(values: dict[str, None], most: int = 8) -> str:
    shown = [in_a_line(value, 240) for value in values]
    return "; ".join(shown[:most]) + (f"; and {len(shown) - most} more" if len(shown) > most else "")


def training_seeds(ledger: Ledger) -> dict[str, list[object]]:
    """Stage → the distinct seeds that it trained with."""
    return {
        stage: sorted({str(record.data["settings"].get("seed")) for record in records})
        for stage in TRAININGS
        if (records := of_stages(ledger, stage))
    }


def significance(ledger: Ledger) -> Section:
    seeds: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    runs: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for record in ledger.in_order:
        for name, value in part(record, "seeds").items():
            if value is not None:
                seeds[record.stage, name][str(value)] = None
        model, seed, method, unit = family(record.outputs[0])
        if record.stage in TRAININGS:
            runs[model, method, unit].add(seed)
    level = [
        (
            record.stage,
            record.data["settings"].get("level"),
            record.data["settings"].get("resamples", "not recorded"),
            INTERVALS.get(record.stage, "not described in docs/statistics.md"),
        )
        for record in ledger.in_order
        if "resamples" in record.data["settings"]
    ]
    return Section(
        "5. Statistical significance (NeurIPS: experiment statistical significance)",
        "Are there error bars, of what, and over how many runs?",
        [
            table(("stage", "level", "resamples", "what is uncertain in it (docs/statistics.md)"), level)
            if level
            else "No record tells of intervals.",
            table(
                ("model", "method", "policy", "trainings", "seeds"),
                [(*whose, len(found), listed(sorted(found))) for whose, found in runs.items()],
            )
            if runs
            else "No record of a training.",
            table(("stage", "seed of", "values"), [(*of, _some(found)) for of, found in seeds.items()])
            if seeds
            else "No record has seeds.",
            f"Counted over {counted(len(ledger.records), 'job')}; what was started and never recorded is not in it.",
        ],
        "`seeds` and `settings` of every record",
    )
