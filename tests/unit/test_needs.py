"""What jobs ask for, against the same worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_config import default_config

from cream.cluster import needs


@pytest.fixture
def config() -> dict:
    return default_config()


def test_sampling_of_the_default_study_by_hand(config: dict) -> None:
    # 20 + 16 + 20 prompts, 5 responses each, 48 tokens each; 18 s for 1000 tokens and a billion parameters.
    assert needs.response_tokens(config) == 56 * 5 * 48
    found = needs.need(config, "sample", 56 * 5 * 48, 134_515_008)
    assert found.seconds == pytest.approx(10 + 13.44 * 0.134515008 * 18, abs=1)
    assert found.memory_mb == pytest.approx(1200 + 134.515008 * 4, abs=1)
    assert found.gpus == 0


def test_other_stages_count_their_own_tokens(config: dict) -> None:
    assert needs.sft_tokens(config) == (96 + 64 + 208) * 48
    assert needs.vote_tokens(config) == 56 * 5 * 3 * 128
    assert needs.pair_tokens(config) == 2 * 56 * 48
    assert needs.evaluation_tokens(config, "legs") == 80 * 48
    assert needs.evaluation_tokens(config, "gsm8k") == needs.UNKNOWN_ITEMS * 256
    config["benchmarks"]["gsm8k"]["limit"] = 50
    assert needs.evaluation_tokens(config, "gsm8k") == 50 * 256


def test_shards_share_the_work(config: dict) -> None:
    whole = needs.response_tokens(config)
    config["study"]["shards"] = 3
    assert needs.response_tokens(config) == 19 * 5 * 48 >= whole / 3


def test_instructions_are_counted_or_limited(config: dict, tmp_path: Path) -> None:
    table = tmp_path / "some.tsv"
    table.write_text("instruction\n" + "say it\n" * 30)
    config["instructions"]["mine"] = {"file": str(table)}
    assert needs.answer_tokens(config, "mine") == 31 * 96
    assert needs.contest_tokens(config, "mine") == 4 * 31 * 96
    config["instructions"]["mine"]["limit"] = 5
    assert needs.answer_tokens(config, "mine") == 5 * 96
    assert needs.rows(str(tmp_path / "some.parquet")) == needs.UNKNOWN_ITEMS


def test_every_process_of_a_training_needs_its_own_memory(config: dict) -> None:
    alone = needs.need(config, "train", 1000, 10**9).memory_mb
    config["compute"]["processes"]["train"] = 4
    assert needs.need(config, "train", 1000, 10**9).memory_mb == pytest.approx(4 * alone, abs=4)


def test_gpus_follow_processes_and_the_engine(config: dict) -> None:
    assert all(needs.gpus(config, kind) == 0 for kind in config["cluster"]["bytes"])
    config["compute"].update(platform="cuda", processes={"sft": 2, "train": 4})
    config["compute"]["engine"]["sample"] = "vllm"
    config["compute"]["vllm"]["tensor_parallel"] = 2
    found = {kind: needs.gpus(config, kind) for kind in config["cluster"]["bytes"]}
    ones = dict.fromkeys(["score", "judge", "reward", "evaluate", "compare"], 1)
    assert found == {**ones, "sft": 2, "train": 4, "sample": 2, "convert": 0}


@given(st.sampled_from(sorted(default_config()["cluster"]["seconds"])), st.integers(1, 10**9), st.integers(1, 10**11))
def test_requests_cover_the_estimate_and_grow_with_every_attempt(kind: str, tokens: int, parameters: int) -> None:
    config = default_config()
    wanted = needs.need(config, kind, tokens, parameters)
    for attempt in (1, 2, 3):
        assert needs.time_request(config, wanted, attempt) * 60 >= 3 * wanted.seconds * attempt
        assert needs.memory_request(config, wanted, attempt) >= 1.5 * wanted.memory_mb * attempt
        assert needs.time_request(config, wanted, attempt) >= 10 * attempt
    more = needs.need(config, kind, 2 * tokens, parameters)
    assert more.seconds >= wanted.seconds and more.memory_mb == wanted.memory_mb
