"""Bad input of every kind: one clear sentence, a non-zero exit, nothing made is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from projects import PROJECT, Study


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_assets: Path) -> Study:
    """The code with the tiny assets, nothing run yet."""
    study = Study.with_code(tmp_path_factory.mktemp("bad") / "project")
    shutil.copytree(tiny_assets, study.folder / "results/assets/tiny")
    return study


def sentence(done) -> str:
    """The one line that a failed script leaves on stderr."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "rror" in line]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("sample: {respones: 5}", "sample: there is no key 'respones'; did you mean 'responses'?"),
        ("train: {epochs: many}", "train.epochs: 'many' must be of type number"),
        ("train: {learning_rate: 1e-4}", "train.learning_rate: '1e-4' is read as text: write it as 0.0001"),
        ("sample: {responses: 1}", "sample.responses: 1 must be at least 2"),
        ("methods: {cream: {reward: jugde}}", "methods.cream.reward: 'jugde' is none of implicit"),
        (
            "methods: {constant: {consistency: {value: null}}}",
            "methods.constant.consistency.value: measure constant needs",
        ),
        (
            "methods: {constant: {consistency: {level: prompt}}}",
            "methods.constant.consistency.level: measure constant is",
        ),
        (
            "study: {methods: [oracle]}\ntasks: {judging: {prompts: 8}}",
            "methods.oracle.reward: the verifier can't check task 'judging', whose items have no answers",
        ),
        ("study: {methods: [p-srlm]}\njudge: {template: ''}", "methods.p-srlm.reward: a judge needs judge.template"),
        ("study: {methods: [sft, creme]}", "study.methods names 'creme', which methods doesn't define"),
        (
            "tasks: {colours: {prompts: 0}, sums: {prompts: 0}}",
            "the tasks of the study give no items to the iterations",
        ),
        ("train: {micro_batch_size: 5}", "train.batch_size (8) is not a multiple of train.micro_batch_size (5)"),
    ],
)
def test_config_is_refused_before_anything_runs(project: Study, tmp_path: Path, change: str, says: str) -> None:
    file = tmp_path / "change.yaml"
    file.write_text(change)
    done = project.python("-m", "snakemake", "-n", "--nocolor", "--configfile", "studies/tiny.yaml", str(file))
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_running_elsewhere_is_refused(project: Study, tmp_path: Path) -> None:
    config = str(project.folder / "config.yaml")
    done = project.python("-m", "snakemake", "-n", "--directory", str(tmp_path), "--configfile", config)
    assert "snakemake must run in the project's own folder" in done.stderr


def split(path: Path, prompts: list[str]) -> None:
    from cream.tables import SPLIT, write_table

    rows = {
        "item_id": [f"{path.stem}-{at}" for at in range(len(prompts))],
        "task": "colours",
        "kind": "choice",
        "prompt": prompts,
        "target": "red",
        "answer": "red",
    }
    ids = pd.Series([[5, 6]] * len(prompts))
    frame = pd.DataFrame(rows).assign(
        choices=pd.Series([["red", "blue"]] * len(prompts)),
        prompt_ids=ids,
        target_ids=ids,
    )
    write_table(frame, SPLIT, path)


def test_overlapping_splits_are_an_error(project: Study, tmp_path: Path) -> None:
    split(tmp_path / "sft.parquet", ["one", "two"])
    split(tmp_path / "eval.parquet", ["three", "  TWO "])
    report = tmp_path / "report.csv"
    paths = [str(tmp_path / "sft.parquet"), str(tmp_path / "eval.parquet")]
    done = project.python("scripts/check_splits.py", "--splits", *paths, "--report", str(report))
    assert "item eval-1 is in both" in sentence(done) and "sft.parquet" in sentence(done)
    assert not report.exists()


def encode(project: Study, model: Path, slices: str, out: Path):
    pool = "results/data/pool/colours.parquet"
    if not (project.folder / pool).exists():
        project.run(pool)
    arguments = ["--pools", pool, "--slices", slices, "--model", str(model), "--split", str(out)]
    return project.python("scripts/encode_split.py", *arguments)


def test_prompt_longer_than_the_context(project: Study, tiny_assets: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_assets / "model", model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 16}))
    says = sentence(encode(project, model, "colours=0:2", tmp_path / "out.parquet"))
    assert "colours-00000" in says and "the model's context is 16" in says


def test_too_few_items(project: Study, tiny_assets: Path, tmp_path: Path) -> None:
    says = sentence(encode(project, tiny_assets / "model", "colours=0:5000", tmp_path / "out.parquet"))
    assert "task colours has 120 items, fewer than the 5000 asked for" in says


@pytest.mark.parametrize(
    ("missing", "says"),
    [("tokenizer.json", "has no tokenizer"), ("chat_template.jinja", "has no chat template")],
)
def test_model_folder_without_tokenizer_or_template(
    project: Study, tiny_assets: Path, tmp_path: Path, missing: str, says: str
) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_assets / "model", source)
    (source / missing).unlink()
    out = tmp_path / "M0" / "model"
    assert says in sentence(project.python("scripts/convert_model.py", "--folder", str(source), "--model", str(out)))
    assert not out.exists() and not any(out.parent.glob(".model*"))


def test_model_folder_with_pickled_weights_is_refused(project: Study, tiny_assets: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_assets / "model", source)
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    done = project.python("scripts/convert_model.py", "--folder", str(source), "--model", str(tmp_path / "out"))
    assert "holds no .safetensors file" in sentence(done)


def make_wheel(folder: Path) -> tuple[str, str]:
    """A real, tiny wheel, fetched by pip from a folder; returns its requirement and digest."""
    wheel = folder / "tiny_asset-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_asset/data.txt", "hello")
        info = "tiny_asset-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return "tiny-asset==1.0", hashlib.sha256(wheel.read_bytes()).hexdigest()


def fetch(project: Study, folder: Path, requirement: str, digest: str, out: Path):
    arguments = ["--requirement", requirement, "--sha256", digest, "--wheel", str(out)]
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    return project.python("scripts/fetch_package.py", *arguments, **offline)


def test_damaged_download_is_refused(project: Study, tmp_path: Path) -> None:
    requirement, digest = make_wheel(tmp_path)
    out = tmp_path / "out" / "asset.whl"
    assert fetch(project, tmp_path, requirement, digest, out).returncode == 0
    out.unlink()
    with zipfile.ZipFile(tmp_path / "tiny_asset-1.0-py3-none-any.whl", "a") as archive:
        archive.writestr("tiny_asset/more.txt", "tampered")
    says = sentence(fetch(project, tmp_path, requirement, digest, out))
    assert requirement in says and digest in says
    assert not out.exists()


def test_package_that_cannot_be_had(project: Study, tmp_path: Path) -> None:
    says = sentence(fetch(project, tmp_path, "no-such-package==9", "0" * 64, tmp_path / "out.whl"))
    assert "pip can't fetch no-such-package==9" in says and "PIP_FIND_LINKS" in says


def test_table_with_duplicate_keys(project: Study, tmp_path: Path) -> None:
    from cream.tables import REWARDS, write_table

    rewards = pd.DataFrame(
        {"prompt_id": ["p"] * 3, "response_index": [0, 1, 1], "reward": [1.0, 2, 3], "comparison": [1.0, 2, 3]}
    )
    write_table(rewards, REWARDS, tmp_path / "rewards.parquet")
    arguments = ["--rewards", str(tmp_path / "rewards.parquet"), "--measure", "kendall", "--level", "set"]
    arguments += ["--drop-negative", "false"]
    done = project.python("scripts/measure_consistency.py", *arguments, "--consistency", str(tmp_path / "out.parquet"))
    says = sentence(done)
    assert "rewards.parquet, row 2" in says and "prompt_id='p', response_index=1 appears more than once" in says


def test_place_that_cannot_be_written(project: Study, tmp_path: Path) -> None:
    file = tmp_path / "a-file"
    file.write_text("in the way")
    report = file / "tables" / "report.csv"
    split(tmp_path / "sft.parquet", ["one"])
    done = project.python("scripts/check_splits.py", "--splits", str(tmp_path / "sft.parquet"), "--report", str(report))
    assert "a-file/tables can't be made" in sentence(done)


def test_missing_input_is_named(project: Study, tmp_path: Path) -> None:
    arguments = ["--splits", "no/such.parquet", "--report", str(tmp_path / "report.csv")]
    assert "no/such.parquet doesn't exist" in sentence(project.python("scripts/check_splits.py", *arguments))


def test_a_failed_stage_fails_its_job_behind_the_pipe_to_its_log(project: Study) -> None:
    """Not for want of its outputs, for which Snakemake would wait: old ones may lie there."""
    mistake = "models={tiny: {folder: studies}}"
    done = project.snakemake("results/tiny/base/M0/model.json", "--config", mistake)
    assert done.returncode == 1 and "Error in rule convert_model" in done.stdout + done.stderr
    assert "MissingOutputException" not in done.stdout + done.stderr


def test_pairs_scored_under_another_model_stop_training(study: Study) -> None:
    """The first loss must be log 2: it isn't when the reference log-probs are another model's."""
    run = study.folder / "results/tiny/seed1"
    command = json.loads((run / "cream/M2/model.record.json").read_text())["command"]
    pairs = pd.read_parquet(run / "cream/iter1/pairs.parquet")
    pairs["ref_chosen_logps"] += 30
    from cream.tables import PAIRS, write_table

    write_table(pairs, PAIRS, run / "cream/iter1/pairs.parquet")
    (run / "cream/iter1/pairs.parquet.record.json").unlink()  # it would say that they were changed
    before = (run / "cream/M2/model.json").read_bytes()
    says = sentence(study.python(*command))
    assert "not 0.6931" in says and "cream/iter1/pairs.parquet" in says
    assert (run / "cream/M2/model.json").read_bytes() == before
    assert (run / "cream/M2/model/adapter_model.safetensors").exists()


def test_every_script_explains_itself() -> None:
    study = Study(PROJECT)
    scripts = sorted((PROJECT / "scripts").glob("*.py"))
    assert scripts
    for script in scripts:
        done = study.python(str(script), "--help")
        assert done.returncode == 0 and f"python scripts/{script.name}" in done.stdout, script


@pytest.mark.parametrize(
    ("task", "content", "says"),
    [
        (
            "arc_easy",
            None,
            "the data of benchmark 'mine' (allenai/ai2_arc) can't be reached or read: ",
        ),
        ("arc_eazy", None, "lm-evaluation-harness has no task 'arc_eazy', which benchmark 'mine' names; near it: "),
        ("arc_easy", "{broken", "the data of benchmark 'mine' ("),
        ("arc_easy", '{"question": "no choices"}', "the data of benchmark 'mine' ("),
    ],
)
def test_a_benchmark_that_cannot_run_says_why(project: Study, task: str, content: str | None, says: str) -> None:
    model = "results/assets/tiny/model"
    command = ["scripts/evaluate_model.py", "--name", "mine", "--definition", json.dumps({"task": task})]
    command += ["--model", model, "--base", model, "--max-new-tokens", "4", "--prompts-per-batch", "2"]
    if content is not None:
        (project.folder / "items.jsonl").write_text(content)
        command += ["--test", "items.jsonl"]
    # Nobody answers there: the hub's place on a machine without a network.
    done = project.python(*command, "--result", "results/mine.json", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and says in last
    if task == "arc_easy":
        assert "Without a network give local files: benchmarks.mine.data: {test: PATH}" in last
    assert not (project.folder / "results/mine.json").exists()
