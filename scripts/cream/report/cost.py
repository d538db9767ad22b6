"""What the study cost: seconds and memory from Snakemake's benchmark files, GPU hours from the jobs' records."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

# Stage → the rules that belong to it and the scripts that run a model in it. A rule that none of
# them names counts under OTHER: nothing is left out of the sum.
STAGES = {
    "assets and base models": (r"fetch_package|convert_model|copy_reward_model", ()),
    "data": (r"build_pool|encode_\w+|check_splits", ()),
    "supervised fine-tuning": (r"train_sft", ("train_sft",)),
    "sampling": (r"sample_responses", ("sample_responses",)),
    "scoring": (r"score_M\w+", ("score_responses",)),
    "judging, verifying, external rewards": (
        r"judge_responses|verify_responses|reward_responses",
        ("judge_responses", "reward_responses"),
    ),
    "rewards, consistency, pairs": (r"compute_rewards|measure_consistency|measure_agreement|build_pairs", ()),
    "preference training": (r"train_policy", ("train_policy",)),
    "evaluation": (
        r"evaluate_model|answer_instructions|judge_answers|score_reward_bench",
        ("evaluate_model", "answer_instructions", "judge_answers", "score_reward_bench"),
    ),
    "export": (r"export_\w+", ()),
}
OTHER = "tables, charts and the rest"
JOB = ["stage", "seconds", "memory_mb"]


def costs(benchmarks: Path, records: list[dict]) -> pd.DataFrame:
    """Jobs, time, memory and GPU hours of each stage that has run, and of all in the last row.

    `benchmarks`: the folder whose subfolders and files are named for rules. `records`: of the
    study's jobs. Columns: stage, jobs, seconds (sum), longest (seconds), memory_mb (the largest job's, NaN
    where none was measured), gpu_hours.
    """
    jobs = pd.DataFrame([_job(path, benchmarks) for path in sorted(benchmarks.rglob("*.tsv"))], columns=JOB)
    gpu_hours = {
        stage: sum(record["seconds"] * gpus(record) / 3600 for record in records if record["stage"] in scripts)
        for stage, (_, scripts) in STAGES.items()
    }
    rows = [
        {"stage": stage, **_sums(jobs[jobs["stage"] == stage]), "gpu_hours": gpu_hours.get(stage, 0.0)}
        for stage in [*STAGES, OTHER]
        if (jobs["stage"] == stage).any()
    ]
    return pd.DataFrame([*rows, {"stage": "all", **_sums(jobs), "gpu_hours": sum(gpu_hours.values())}])


def _sums(jobs: pd.DataFrame) -> dict[str, float]:
    seconds = jobs["seconds"]
    return {
        "jobs": len(jobs),
        "seconds": seconds.sum(),
        "longest": seconds.max(),
        "memory_mb": jobs["memory_mb"].max(),
    }


def _job(path: Path, benchmarks: Path) -> tuple[str, float, float]:
    rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
    # Very short jobs have a word in place of their memory. A repeated job's last line is the run that counts.
    last = pd.read_csv(path, sep="\t").iloc[-1]
    return stage_of(rule), float(last["s"]), pd.to_numeric(last["max_rss"], errors="coerce")


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to."""
    return next((name for name, (rules, _) in STAGES.items() if re.fullmatch(rules, rule)), OTHER)


def gpus(record: dict) -> int:
    """GPUs that a job held: none if its PyTorch is a CPU build, it said so itself or it asked an
    endpoint, else one a process, or as many as vLLM shares the model out to."""
    observed = record.get("observed", {})
    engine = observed.get("engine")
    elsewhere = isinstance(engine, dict) and "endpoint" in engine
    if elsewhere or observed.get("device") == "cpu" or record["packages"].get("torch", "+cpu").endswith("+cpu"):
        return 0
    if record["settings"].get("engine") == "vllm":
        return record["settings"]["serving"]["tensor_parallel"]
    return record["processes"]


def read_records(results: Path) -> list[dict]:
    """Every record under a study's results."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.rglob("*.record.json"))]
