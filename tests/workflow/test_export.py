"""`snakemake export`: folders that the libraries load, whose cards tell the truth and run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard
from peft import AutoPeftModelForCausalLM, PeftModel
from projects import Study
from transformers import AutoModelForCausalLM, AutoTokenizer

from cream.engines.base import ModelFiles
from cream.engines.hf_models import load_for_inference
from cream.tables import PAIRS, SAMPLES, read_table

# Adapter and merged weights sum the same products in another order: float32 rounding and no more.
MERGED_TOLERANCE = 1e-4
PROMPT = torch.tensor([[5, 9, 23, 41, 7, 3]])


@pytest.fixture(scope="module")
def exported(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study, everything exported as configured, and one policy merged as well."""
    study = finished.copy(tmp_path_factory.mktemp("exported") / "project")
    study.run("export", "results/export/models/tiny-M3-cream-seed1-merged")
    return study


def models(study: Study) -> Path:
    return study.folder / "results/export/models"


def folders(study: Study) -> list[Path]:
    return sorted(path for path in (study.folder / "results/export").glob("*/*") if path.is_dir())


def test_what_is_exported(exported: Study) -> None:
    assert [path.name for path in folders(exported)] == [
        "tiny-M1-cream-seed1-pairs",
        "tiny-M1-srlm-seed1-pairs",
        "tiny-M2-cream-seed1-pairs",
        "tiny-M2-srlm-seed1-pairs",
        "tiny-M0",
        "tiny-M1-sft-seed1",
        "tiny-M3-cream-seed1",
        "tiny-M3-cream-seed1-merged",
        "tiny-M3-srlm-seed1",
    ]


def test_weights_are_safetensors_and_no_file_knows_this_machine(exported: Study) -> None:
    for folder in folders(exported):
        for path in (path for path in folder.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp"):
            assert path.suffix in {".safetensors", ".json", ".jinja", ".md", ".yaml", ".parquet"}, path
            content = path.read_bytes()
            for machine in (exported.folder, Path.home(), Path(sys.prefix)):
                assert str(machine).encode() not in content, path
            if path.suffix in {".json", ".yaml", ".md"}:
                found = re.findall(r"(?<![\w.:/<])(?:/|~/)[A-Za-z_][\w./-]+", content.decode("utf-8"))
                # A tokenizer's vocabulary may spell one; nothing else may.
                assert path.name == "tokenizer.json" or found == [], path


@pytest.fixture(scope="module")
def ours(exported: Study):
    """M3 of cream as the study's own loader loads it."""
    run = exported.folder / "results/tiny"
    return load_for_inference(ModelFiles(run / "seed1/cream/M3/model", run / "base/M0/model"), "float32")


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model.eval()(input_ids=PROMPT).logits


def test_an_adapter_is_the_studys_own_policy_to_the_last_bit(exported: Study, ours, monkeypatch) -> None:
    monkeypatch.chdir(models(exported))
    base = AutoModelForCausalLM.from_pretrained("./tiny-M0")
    without = logits(base)
    beside = PeftModel.from_pretrained(base, "./tiny-M3-cream-seed1")
    assert torch.equal(logits(beside), logits(ours))
    assert not torch.equal(logits(beside), without)
    by_itself = AutoPeftModelForCausalLM.from_pretrained("./tiny-M3-cream-seed1")
    assert torch.equal(logits(by_itself), logits(ours))


def test_a_merged_model_loads_from_anywhere(exported: Study, ours, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    folder = models(exported) / "tiny-M3-cream-seed1-merged"
    merged = AutoModelForCausalLM.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(models(exported) / "tiny-M0")
    assert merged.dtype == base.dtype
    assert (logits(merged) - logits(ours)).abs().max() < MERGED_TOLERANCE
    assert (logits(base) - logits(ours)).abs().max() > 100 * MERGED_TOLERANCE
    told = json.loads(folder.with_name(f"{folder.name}.record.json").read_text())["observed"]["merging"]
    assert told["dtype"] == "float32" and told["stored"]["max"] < MERGED_TOLERANCE < told["bfloat16"]["max"]


def test_an_export_brings_its_tokenizer(exported: Study) -> None:
    theirs = AutoTokenizer.from_pretrained(models(exported) / "tiny-M0")
    for name in ("tiny-M3-cream-seed1", "tiny-M3-cream-seed1-merged"):
        tokenizer = AutoTokenizer.from_pretrained(models(exported) / name)
        messages = [{"role": "user", "content": "1 + 1 = ?"}]
        assert tokenizer.apply_chat_template(messages) == theirs.apply_chat_template(messages)


@pytest.mark.parametrize("name", ["tiny-M0", "tiny-M3-cream-seed1", "tiny-M3-cream-seed1-merged"])
def test_a_cards_code_runs(exported: Study, name: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (models(exported) / name / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=models(exported), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "method", "t"),
    [
        ("tiny-M0", "base", 0),
        ("tiny-M1-sft-seed1", "sft", 1),
        ("tiny-M3-srlm-seed1", "srlm", 3),
        ("tiny-M3-cream-seed1-merged", "cream", 3),
    ],
)
def test_a_cards_results_are_those_of_the_study(exported: Study, name: str, method: str, t: int) -> None:
    card = ModelCard.load(models(exported) / name / "README.md")
    table = pd.read_csv(exported.folder / "results/tables/accuracy.csv")
    mine = table[(table["method"] == method) & (table["iteration"] == t)]
    assert len(mine) == 2
    read = {(r.dataset_type, r.metric_type): (r.metric_value, r.metric_args["low"]) for r in card.data.eval_results}
    assert read == {(row.task, row.metric): (row.mean, row.low) for row in mine.itertuples()}
    assert card.data.license == "unknown"  # the tiny study names no licence


@pytest.mark.parametrize(("method", "t"), [("srlm", 1), ("cream", 2)])
def test_pairs_load_as_a_dataset(exported: Study, tmp_path: Path, method: str, t: int) -> None:
    folder = exported.folder / f"results/export/datasets/tiny-M{t}-{method}-seed1-pairs"
    cache = str(tmp_path / "cache")
    data = load_dataset(str(folder), split="train", cache_dir=cache)
    file = load_dataset("parquet", data_files=str(folder / "data/train.parquet"), split="train", cache_dir=cache)
    run = exported.folder / "results/tiny/seed1"
    pairs = read_table(run / f"{method}/iter{t}/pairs.parquet", PAIRS)
    samples = read_table(run / f"{'sft' if t == 1 else method}/M{t}/samples.parquet", SAMPLES)
    texts = samples.set_index(["prompt_id", "response_index"])["text"]
    assert data["prompt_id"] == file["prompt_id"] == pairs["prompt_id"].tolist()
    chosen = [texts[key] for key in zip(pairs["prompt_id"], pairs["chosen_index"], strict=True)]
    assert list(data["chosen"]) == chosen and list(data["weight"]) == pairs["weight"].tolist()
    assert DatasetCard.load(folder / "README.md").data.size_categories == "n<1K"


def test_nothing_is_made_twice_and_the_study_comes_along(exported: Study) -> None:
    assert exported.planned("export") == {}
    told = yaml.safe_load((models(exported) / "tiny-M3-cream-seed1/study.yaml").read_text())
    assert told["train"]["learning_rate"] == 0.003 and told["study"]["models"] == ["tiny"]


def test_what_is_asked_for_is_planned(exported: Study, tmp_path: Path) -> None:
    study = exported.copy(tmp_path / "project")
    study.change("export: {policies: [srlm/M2], merge: true}")
    shutil.rmtree(study.folder / "results/export")
    assert study.planned("export") == {"export": 1, "export_merged": 1, "export_pairs": 1}
    # Weights trained whole: there is nothing to merge, and they need no M0.
    study.change("export: {policies: [srlm/M2], merge: true}\nlora: {rank: 0}")
    exports = {rule: count for rule, count in study.planned("export").items() if rule.startswith("export_")}
    assert exports == {"export_model": 1, "export_pairs": 1}
    study.change("export: {policies: [srlm/M4]}")
    done = study.snakemake("export", "--dry-run")
    assert done.returncode != 0
    assert "error: config: export.policies: the study makes no 'srlm/M4'; it makes sft/M1, srlm/M2" in done.stderr


def test_a_name_that_is_no_policys_is_refused(exported: Study) -> None:
    """M1 belongs to no method: under a method's name it would be published twice."""
    done = exported.snakemake("results/export/models/tiny-M1-cream-seed1")
    assert done.returncode != 0
    assert "is exported as tiny-M1-sft-seed1: ask for that" in done.stdout + done.stderr
    assert not (models(exported) / "tiny-M1-cream-seed1").exists()
