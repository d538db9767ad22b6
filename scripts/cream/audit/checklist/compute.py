"""What the recorded jobs took, on what, and in which environment."""

from __future__ import annotations

from collections import Counter, defaultdict

from cream.audit.checklist.section import Section, counted, inline, listed
from cream.audit.described import environment
from cream.audit.ledger import Ledger, Record
from cream.audit.telling import part
from cream.cards.markdown import table
from cream.report.cost import STAGES, gpus


def compute(ledger: Ledger) -> Section:
    stages: dict[str, list[Record]] = defaultdict(list)
    for record in ledger.in_order:
        stages[record.stage].append(record)
    rows = [_row(stage, records) for stage, records in stages.items()]
    again = sum(bool(part(record, "observed").get("continues_an_earlier_try")) for record in ledger.records)
    return Section(
        "6. Compute (NeurIPS: experiments compute resources)",
        "Which hardware, how much memory, how much time, for each part and in all?",
        [
            table(
                ("stage", "jobs", "hours", "longest (s)", "memory (MB, largest)", "GPU hours", "hardware"),
                [*rows, _row("all", ledger.records)],
            ),
            f"Hours are the sum over jobs, some of which ran side by side. {counted(again, 'job')} went on from an "
            "earlier try, whose time is not in it; nor are jobs that failed, or runs before this one: no record tells "
            "of them.",
        ],
        "`seconds`, `peak_memory_mb`, `processes`, `cpu`, `gpus` and `slurm_node` of every record",
    )


def _row(stage: str, records: list[Record]) -> tuple:
    seconds = [record.data.get("seconds") or 0.0 for record in records]
    gpu_hours = sum(of * _gpus(record) for of, record in zip(seconds, records, strict=True)) / 3600
    memory = max(record.data.get("peak_memory_mb") or 0 for record in records)
    hardware = Counter(_hardware(record) for record in records)
    return (
        stage,
        len(records),
        f"{sum(seconds) / 3600:.3f}",
        f"{max(seconds):.1f}",
        memory,
        f"{gpu_hours:.2f}",
        (listed(hardware, 4) if stage != "all" else counted(len(hardware), "kind")),
    )


def _gpus(record: Record) -> int:
    runs_a_model = any(record.stage in scripts for _, scripts in STAGES.values())
    return gpus({"observed": {}, "processes": 1, **record.data}) if runs_a_model else 0


def _hardware(record: Record) -> str:
    names = Counter(gpu.get("name") for gpu in record.data.get("gpus") or [] if isinstance(gpu, dict))
    cards = " + ".join(f"{count} × {name}" for name, count in names.items())
    return " + ".join(filter(None, (f"{record.data.get('cpu') or 'unknown'} ({record.data.get('machine')})", cards)))


def software(ledger: Ledger) -> Section:
    versions: dict[str, Counter] = defaultdict(Counter)
    for record in ledger.records:
        for name, version in record.data["packages"].items():
            versions[name][version] += 1
    several = {name: found for name, found in versions.items() if len(found) > 1}
    single = [f"{name} {next(iter(found))}" for name, found in sorted(versions.items()) if len(found) == 1]
    made_in = Counter(environment(record) for record in ledger.records)
    return Section(
        "7. Software environment",
        "Which versions of what?",
        [
            table(("environment", "jobs"), list(made_in.items())),
            f"Packages that the jobs used: {inline(single, 400)}.",
            "In more than one version: "
            + inline(f"{name} ({', '.join(found)})" for name, found in several.items())
            + ".",
        ],
        "`lock`, `python` and `packages` of every record",
    )
