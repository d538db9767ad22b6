"""Where the seconds of a study go, from the records its jobs left.

python benchmarks/where_time_goes.py results
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

PHASES = ("start", "import", "load", "record", "work")


def by_stage(results: Path) -> dict[str, Counter]:
    """Jobs and seconds by phase, for every stage that left records under `results`."""
    found: dict[str, Counter] = {}
    for file in sorted(results.rglob("*.record.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        stage = found.setdefault(record["stage"], Counter())
        stage["jobs"] += 1
        stage.update(record["phases"])
    return found


def table(stages: dict[str, Counter]) -> list[str]:
    """Markdown rows, the stage that takes longest first, and their sum."""
    total = sum(stages.values(), Counter())
    ordered = sorted(stages.items(), key=lambda item: -sum(item[1][name] for name in PHASES))
    lines = ["| stage | jobs | start | import | load | record | work |", "|---|---|---|---|---|---|---|"]
    for name, counts in [*ordered, ("**all**", total)]:
        seconds = " | ".join(f"{counts[phase]:.0f} s" for phase in PHASES)
        lines.append(f"| {name} | {counts['jobs']} | {seconds} |")
    whole = sum(total[name] for name in PHASES)
    share, records = sum(total[name] for name in PHASES[:3]) / whole, total["record"] / whole
    return [
        *lines,
        "",
        f"Starting takes {share:.0%} of the jobs' seconds, records {records:.1%} ({total['record']:.1f} s).",
    ]


if __name__ == "__main__":
    print("\n".join(table(by_stage(Path(sys.argv[1])))))
