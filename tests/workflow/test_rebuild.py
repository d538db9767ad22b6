"""What runs again when a user changes something, row by row of docs/rebuilding.md."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from projects import PROJECT, Study

# What follows, for one method, from a change in its first iteration (iterations 1 and 2).
AFTER_FIRST_WEIGHT = {
    "build_pairs": 2,
    "train_policy": 2,
    "sample_responses": 1,
    "verify_responses": 1,
    "score_M2": 1,
    "compute_rewards": 1,
    "measure_agreement": 1,
    "measure_consistency": 2,
    "evaluate_model": 2,
}
FINDINGS = {"make_tables": 1, "draw_charts": 1, "write_summary": 1, "make_report": 1, "audit_page": 1}
TABLES = FINDINGS | {"compare_models": 1, "measure_drift": 1, "measure_reward_quality": 1}


def twice(counts: dict[str, int]) -> dict[str, int]:
    """The same for both methods."""
    return {rule: 2 * count for rule, count in counts.items()}


def test_nothing_to_do(study: Study) -> None:
    assert study.planned() == {}


def test_requests_to_a_cluster(study: Study) -> None:
    study.change("{cluster: {start_seconds: 99, margin: {time: 9}}, models: {tiny: {parameters: 70000}}}")
    assert study.planned() == {}


def test_consistency_measure(study: Study) -> None:
    study.change("methods: {cream: {consistency: {measure: spearman}}}")
    assert study.planned() == AFTER_FIRST_WEIGHT | TABLES


def test_beta(study: Study) -> None:
    study.change("methods: {srlm: {loss: {beta: 0.2}}}")
    expected = AFTER_FIRST_WEIGHT | {"measure_consistency": 1, "build_pairs": 1} | TABLES
    assert study.planned() == expected


def test_two_numbers_swapped(study: Study) -> None:
    """Snakemake compares params as a set of values: these two only changed places."""
    study.change("train: {warmup_ratio: 0.01, weight_decay: 0.1}")
    expected = twice(AFTER_FIRST_WEIGHT | {"measure_consistency": 1, "build_pairs": 1}) | TABLES
    assert study.planned() == expected


@pytest.mark.parametrize(
    ("change", "rule", "jobs"),
    [
        ("tasks: {sums: {source: {count: 130}}}", "build_pool", 1),
        ("data: {seed: 8}", "build_pool", 3),
        ("methods: {cream: {score_ref: previous}}", "compute_rewards", 2),
        ("methods: {cream: {consistency: {previous_score: likelihood}}}", "compute_rewards", 2),
        ("evaluate: {max_new_tokens: 13}", "evaluate_model", 6),
        ("evaluate: {prompts_per_batch: 7}", "evaluate_model", 6),
    ],
)
def test_every_setting_of_data_rewards_and_evaluation(study: Study, change: str, rule: str, jobs: int) -> None:
    """Snakemake doesn't compare a parameter whose function asks for the job's input."""
    study.change(change)
    assert study.planned().get(rule) == jobs


def test_no_parameter_is_hidden_from_snakemake() -> None:
    """Parameters that functions make of `input` alone may be hidden: settings never are."""
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "rules").glob("*.smk"))
    assert not re.findall(r"(?:lambda|def \w+\()\s*wildcards, (?:input|threads|resources)", rules)


def test_number_of_responses(study: Study) -> None:
    study.change("sample: {responses: 5}")
    assert study.planned() == {
        "sample_responses": 3,
        "verify_responses": 3,
        "score_M1": 1,
        "score_M2": 2,
        "compute_rewards": 4,
        "measure_agreement": 4,
        "measure_consistency": 4,
        "build_pairs": 4,
        "train_policy": 4,
        "evaluate_model": 4,
        **TABLES,
    }


def test_evaluation_task_added(study: Study) -> None:
    study.change("study: {evaluate: [colours, sums]}")
    assert study.planned() == {
        "encode_evaluation": 1,
        "check_splits": 1,
        "evaluate_model": 6,
        "compare_models": 1,
        **FINDINGS,
    }


def test_more_evaluation_items(study: Study) -> None:
    study.change("tasks: {colours: {eval: 30}}")
    assert study.planned() == {
        "encode_evaluation": 1,
        "check_splits": 1,
        "evaluate_model": 6,
        "compare_models": 1,
        **FINDINGS,
    }


def test_third_iteration_added(study: Study) -> None:
    study.change("study: {iterations: 3}")
    one = {
        "sample_responses": 1,
        "verify_responses": 1,
        "score_M3": 1,
        "compute_rewards": 1,
        "measure_agreement": 1,
        "measure_consistency": 1,
        "build_pairs": 1,
        "train_policy": 1,
        "evaluate_model": 1,
    }
    assert study.planned() == twice(one) | {"encode_prompts": 1, "check_splits": 1} | TABLES


def test_method_added(study: Study) -> None:
    study.change(
        "study: {methods: [sft, srlm, cream, by-prompt]}\n"
        "methods: {by-prompt: {preset: cream, consistency: {level: prompt}}}"
    )
    assert study.planned() == AFTER_FIRST_WEIGHT | {"compute_rewards": 2, "measure_agreement": 2} | TABLES


def test_seed_added(study: Study) -> None:
    study.change("study: {seeds: [1, 2]}")
    assert study.planned() == {
        "train_sft": 1,
        "sample_responses": 3,
        "verify_responses": 3,
        "score_M1": 1,
        "score_M2": 2,
        "compute_rewards": 4,
        "measure_agreement": 4,
        "measure_consistency": 4,
        "build_pairs": 4,
        "train_policy": 4,
        "evaluate_model": 5,
        **TABLES,
    }


def test_prompt_file(study: Study) -> None:
    """After `snakemake data`, only what reads a changed slice runs: here iteration 2's prompts."""
    pool = pd.read_parquet(study.folder / "results/data/pool/colours.parquet")
    in_second_iteration = pool["prompt"].iloc[24 + 8 + 3]
    file = study.folder / "results/assets/tiny/colours.jsonl"
    text = file.read_text()
    assert text.count(in_second_iteration) == 1
    # Another target for the same prompt: it keeps its place in the shuffle.
    lines = [
        line.replace('"target": "', '"target": "dark ') if in_second_iteration in line else line
        for line in text.splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")
    study.run("data")
    second = {
        "sample_responses": 1,
        "verify_responses": 1,
        "score_M2": 1,
        "compute_rewards": 1,
        "measure_agreement": 1,
        "measure_consistency": 1,
        "build_pairs": 1,
        "train_policy": 1,
        "evaluate_model": 1,
    }
    assert study.planned() == twice(second) | TABLES


def test_lock_file(study: Study) -> None:
    """The lock alone changes nothing: what is installed counts (next test)."""
    with (study.folder / "envs/cpu.lock").open("a") as lock:
        lock.write("# changed\n")
    assert study.planned() == {}


def test_upgraded_package(study: Study, tmp_path: Path) -> None:
    """Another scipy: only the stages whose code uses it, and what follows."""
    info = tmp_path / "packages" / "scipy-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 99.0\n")
    (info / "RECORD").write_text("scipy/__init__.py,,\n")
    planned = study.planned(PYTHONPATH=str(tmp_path / "packages"))
    # lm-evaluation-harness needs scipy too, and with it every evaluation.
    assert planned == twice(AFTER_FIRST_WEIGHT | {"measure_agreement": 2}) | {"evaluate_model": 6} | TABLES


def test_verifier(study: Study) -> None:
    """No method here is trained on verdicts: only what is measured by them is made again."""
    edit(study, "scripts/verify_responses.py", '"responses": len', '"all": len')
    measured = {"measure_agreement": 4, "measure_drift": 1, "measure_reward_quality": 1}
    assert study.planned() == {"verify_responses": 3, **measured, **FINDINGS}


def test_upgraded_package_nobody_uses(study: Study, tmp_path: Path) -> None:
    info = tmp_path / "packages" / "pytest-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest\nVersion: 99.0\n")
    assert study.planned(PYTHONPATH=str(tmp_path / "packages")) == {}


def edit(study: Study, file: str, old: str, new: str) -> None:
    path = study.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_library_function_of_one_stage(study: Study) -> None:
    edit(study, "scripts/cream/pairs.py", "< 2:", "< 3:")
    expected = twice(AFTER_FIRST_WEIGHT | {"measure_consistency": 1}) | TABLES
    assert study.planned() == expected


def test_training_code_does_not_sample_anew(study: Study) -> None:
    edit(study, "scripts/train_policy.py", '"bfloat16": 0.02', '"bfloat16": 0.03')
    expected = twice(AFTER_FIRST_WEIGHT | {"measure_consistency": 1, "build_pairs": 1}) | TABLES
    assert study.planned() == expected


def test_page_of_the_report(study: Study) -> None:
    edit(study, "report/style.css", "1.6rem", "1.7rem")
    assert study.planned() == {"make_report": 1, "audit_page": 1}


def test_comment_and_docstring(study: Study) -> None:
    edit(study, "scripts/cream/pairs.py", '"""Preference pairs', '# a comment\n"""All about preference pairs')
    edit(study, "scripts/cream/engines/packing.py", "import torch\n", "import torch  # tensors\n\n")
    assert study.planned() == {}


def test_touched_files(study: Study) -> None:
    time.sleep(1.1)
    for name in (
        "scripts/build_pairs.py",
        "scripts/cream/pairs.py",
        "rules/pairs.smk",
        "config.yaml",
        "results/data/pool/sums.parquet",
        "results/tiny/seed1/sft/M1/samples.parquet",
        "results/tiny/seed1/sft/M1/model.json",
        "results/tiny/seed1/cream/iter1/pairs.parquet",
    ):
        os.utime(study.folder / name)
    assert study.planned() == {}


def test_fresh_clone_over_existing_results(finished: Study, tmp_path: Path) -> None:
    clone = Study.with_code(tmp_path / "clone")
    shutil.copytree(finished.folder / "results", clone.folder / "results", copy_function=shutil.copy2)
    assert not (clone.folder / ".snakemake").exists()
    assert clone.planned() == {}
