"""Why a job can't be done again here: what its settings ask for."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from cream.audit.ledger import Ledger, Record
from cream.audit.obstacles import gpus_needed, obstacles

ENDPOINT = json.dumps({"endpoint": "https://judge.example/v1", "model": "judge"})
LOCAL = json.dumps({"model": "tiny", "verdict": "words"})


def found(stage: str, tmp_path: Path, **settings) -> list[str]:
    record = Record("results/x.record.json", "0", True, {"stage": stage, "inputs": {}, "settings": settings})
    (tmp_path / "x.record.json").write_text("{}")  # a folder of results needs a record, if only a wrong one
    return list(obstacles(record, Ledger(tmp_path)))


@pytest.mark.parametrize(
    ("stage", "settings", "said"),
    [
        ("judge_answers", {"judge": ENDPOINT}, "its judge is an endpoint, and an audit asks no network"),
        ("evaluate_model", {"test": None}, "its benchmark comes from a hub, and an audit asks no network"),
        ("fetch_package", {}, "it fetches from a package index"),
        ("../../somebody/elses", {}, "this code has no scripts/elses.py"),
    ],
)
def test_what_asks_a_network_or_another_program_is_not_run(
    stage: str, settings: dict, said: str, tmp_path: Path
) -> None:
    (sentence,) = found(stage, tmp_path, **settings)
    assert sentence.startswith(said)


def test_local_work_has_no_obstacle(tmp_path: Path) -> None:
    assert found("judge_answers", tmp_path, judge=LOCAL, engine="transformers") == []
    assert found("evaluate_model", tmp_path, test="results/tiny/data/eval/colours.parquet") == []


def test_an_engine_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else there(name))
    assert found("sample_responses", tmp_path, engine="vllm") == [
        "it ran on vLLM, which is not installed here: install what envs/ locks"
    ]


@pytest.mark.parametrize(
    ("seen", "asked", "processes", "needed"), [(0, None, 1, 0), (8, None, 1, 1), (4, 4, 1, 4), (2, None, 2, 2)]
)
def test_a_job_needs_the_gpus_that_its_model_is_shared_out_to(
    seen: int, asked: int | None, processes: int, needed: int
) -> None:
    told = {"gpus": [{}] * seen, "settings": {"gpus": asked}, "processes": processes}
    assert gpus_needed(Record("results/x.record.json", "0", True, told)) == needed
