"""`audit.py verify` on a finished study: sound as it is, and one byte changed anywhere is found and named."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Study

from cream.audit.findings import DIFFERS, Finding
from cream.audit.ledger import SUFFIX, Ledger
from cream.audit.verify import verify
from cream.contents import files_below
from cream.records import record_text, seal

M2 = "results/tiny/seed1/cream/M2/model"
PAIRS = "results/tiny/seed1/cream/iter1/pairs.parquet"


def audited(study: Study, *arguments: str, **environment: str) -> tuple[int, str]:
    done = study.python("scripts/audit.py", "verify", *arguments, **environment)
    return done.returncode, done.stdout + done.stderr


def found(study: Study) -> dict[str, Finding]:
    """What the audit says of files and records, by the name of what differs or can't be checked."""
    findings = verify(Ledger(study.folder / "results"), files_only=True)
    return {finding.what: finding for finding in findings if finding.kind != "note"}


def overwrite(path: Path, content: bytes) -> None:
    """Change a file without changing its time."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def changed_record(path: Path, change: Callable[[dict], None]) -> None:
    """Edit a record as somebody would who knows how it is sealed."""
    record = json.loads(path.read_text())
    change(record)
    record["seal"] = seal(record)
    overwrite(path, record_text(record).encode())


# --- Sound ---


def test_a_clean_study_is_sound(finished: Study) -> None:
    status, said = audited(finished)
    assert status == 0, said
    assert re.search(r"^\d+ artifacts are what their records say$", said, re.MULTILINE)
    assert "not checked: what a job printed" in said
    assert "not checked: Snakemake's mark of when it saw the folder made" in said


def test_a_copy_is_sound_in_a_fresh_clone_without_snakemakes_state(finished: Study, tmp_path: Path) -> None:
    clone = Study.with_code(tmp_path / "clone")
    shutil.copytree(finished.folder / "results", tmp_path / "moved" / "elsewhere", copy_function=shutil.copy)
    # A file of the user's own is still where the study read it.
    status, said = audited(clone, "--results", str(tmp_path / "moved" / "elsewhere"))
    assert status == 0, said


def test_one_artifact_is_asked_for_by_any_of_its_names(finished: Study) -> None:
    for name in (M2, f"{M2}.json", f"{M2}/tokenizer.json", f"{M2}{SUFFIX}", str(finished.folder / M2)):
        status, said = audited(finished, name)
        assert status == 0 and "artifacts are what their records say" in said
    status, said = audited(finished, "results/nowhere.parquet")
    assert status == 1 and said.startswith("error: no record tells of results/nowhere.parquet")


# --- One byte ---


def test_one_byte_of_any_artifact(study: Study) -> None:
    """Of every file that a record tells of, folders' files included: at a random place, its time kept."""
    draw, missed, checked = random.Random(1), [], 0
    for path in files_below(study.folder / "results"):
        name = str(path.relative_to(study.folder))
        if name.endswith((SUFFIX, ".snakemake_timestamp", "audit.html")) or name.startswith(
            ("results/logs", "results/benchmarks", "results/audit", "results/assets")
        ):
            continue
        content = path.read_bytes()
        overwrite(path, flipped(content, draw.randrange(len(content))))
        said = found(study)
        missed += [name] if list(said) != [name] or said[name].kind != DIFFERS else []
        overwrite(path, content)
        checked += 1
    assert missed == [] and checked > 90


def test_one_byte_of_any_record(study: Study) -> None:
    draw = random.Random(2)
    for path in sorted((study.folder / "results").rglob(f"*{SUFFIX}")):
        content = path.read_bytes()
        overwrite(path, flipped(content, draw.randrange(len(content))))
        assert str(path.relative_to(study.folder)) in found(study)
        overwrite(path, content)
    assert found(study) == {}


def test_one_byte_of_the_code_that_is_kept(study: Study) -> None:
    path = next((study.folder / "results/audit/code").iterdir())
    overwrite(path, flipped(path.read_bytes(), 10))
    assert [name.split()[0] for name in found(study)] == [str(path.relative_to(study.folder))]


def test_a_header_of_weights_that_says_nothing_else(study: Study) -> None:
    """Other bytes with the same tensors are told apart from other tensors."""
    path = study.folder / M2 / "adapter_model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = {"format": "pT"}
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    assert len(text) == length
    overwrite(path, content[:8] + text + content[8 + length :])
    assert found(study)[f"{M2}/adapter_model.safetensors"].said.endswith("with the same content")


# --- Swapped, renamed, removed, cut short, added ---


def test_two_tables_that_changed_places(study: Study) -> None:
    ours, theirs = (f"results/tiny/seed1/{method}/iter2/rewards.parquet" for method in ("cream", "srlm"))
    first, second = (study.folder / name for name in (ours, theirs))
    first.rename(study.folder / "aside")
    second.rename(first)
    (study.folder / "aside").rename(second)
    assert found(study).keys() == {ours, theirs}


def test_a_table_with_its_record_from_another_method(study: Study) -> None:
    """The record names what it was made for, so it can't stand elsewhere."""
    for name in ("rewards.parquet", f"rewards.parquet{SUFFIX}"):
        shutil.copy2(
            study.folder / f"results/tiny/seed1/srlm/iter2/{name}",
            study.folder / f"results/tiny/seed1/cream/iter2/{name}",
        )
    assert "results/tiny/seed1/cream/iter2/rewards.parquet" in found(study)


def test_renamed_removed_cut_short_and_added(study: Study) -> None:
    pairs = study.folder / PAIRS
    pairs.rename(pairs.with_name("best.parquet"))
    (study.folder / M2 / "tokenizer.json").unlink()
    (study.folder / M2 / ".hidden.json").write_text("{}")
    samples = study.folder / "results/tiny/seed1/cream/M2/samples.parquet"
    overwrite(samples, samples.read_bytes()[:-100])
    shutil.rmtree(study.folder / "results/tiny/base/M0/model")
    said = found(study)
    assert "is missing" in said[PAIRS].said
    assert "no record tells of it" in said["results/tiny/seed1/cream/iter1/best.parquet"].said
    assert "is missing" in said[f"{M2}/tokenizer.json"].said
    assert "was added" in said[f"{M2}/.hidden.json"].said
    assert "changed after it was made" in said["results/tiny/seed1/cream/M2/samples.parquet"].said
    assert "is missing" in said["results/tiny/base/M0/model/model.safetensors"].said


def test_a_file_that_a_user_gave_is_another_now(study: Study) -> None:
    items = study.folder / "results/assets/tiny/colours.jsonl"
    overwrite(items, items.read_bytes() + b"\n")
    assert "is another than the one that was read" in found(study)["results/assets/tiny/colours.jsonl"].said


# --- Records that were edited with care ---


def test_an_edited_record_that_was_sealed_again(study: Study) -> None:
    """Settings that no longer say how the pairs were made: the model trained on them was made over another record."""
    path = study.folder / f"results/tiny/seed1/cream/iter1/consistency.parquet{SUFFIX}"
    changed_record(path, lambda record: record["settings"].update(measure="spearman"))
    said = found(study)
    assert said.keys() == {f"results/tiny/seed1/cream/iter1/consistency.parquet{SUFFIX}"}
    assert "is not the record that these were made over" in next(iter(said.values())).said


def test_an_artifact_and_its_record_changed_together(study: Study) -> None:
    pairs = study.folder / PAIRS
    overwrite(pairs, flipped(pairs.read_bytes(), 500))
    changed_record(
        pairs.with_name(f"pairs.parquet{SUFFIX}"),
        lambda record: record["outputs"][PAIRS].update(
            file=__import__("hashlib").sha256(pairs.read_bytes()).hexdigest()
        ),
    )
    assert f"was made from another {PAIRS}" in found(study)[M2].said


# --- What Snakemake calls fresh ---


def test_an_edited_helper_names_its_file_and_its_artifacts(study: Study) -> None:
    helper = study.folder / "scripts/cream/loss.py"
    helper.write_text(helper.read_text() + "\nSOMETHING = 1\n")
    status, said = audited(study)
    assert status == 3
    lines = [line for line in said.splitlines() if line.startswith("✗")]
    assert lines and all("scripts/cream/loss.py" in line for line in lines)
    assert any("train_policy was other code when it made them" in line for line in lines)
    assert audited(study, "--files-only")[0] == 0


def test_a_comment_is_no_other_code(study: Study) -> None:
    helper = study.folder / "scripts/cream/loss.py"
    helper.write_text(helper.read_text() + "\n# Something\n")
    assert audited(study)[0] == 0


def test_an_upgraded_package_names_the_stages_that_use_it(study: Study, tmp_path: Path) -> None:
    info = tmp_path / "packages" / "scipy-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 99.0\n")
    (info / "RECORD").write_text("scipy/__init__.py,,\n")
    status, said = audited(study, PYTHONPATH=str(tmp_path / "packages"))
    assert status == 3
    stages = re.findall(r"(\w+) had other packages: .*scipy \S+, now 99.0", said)
    assert "measure_consistency" in stages and "sample_responses" not in stages


def test_another_lock(study: Study) -> None:
    lock = study.folder / "envs/cpu.lock"
    lock.write_text(lock.read_text() + "# Something\n")
    status, said = audited(study)
    assert status == 3 and "made with another envs/cpu.lock than this clone's" in said


def test_two_settings_that_changed_places(study: Study) -> None:
    """Snakemake's own comparison of parameters is by value; a record has them by name."""
    study.change("train: {weight_decay: 1.0, max_grad_norm: 0.01}\n")
    assert audited(study, "--plan", "studies/tiny.yaml")[0] == 0
    status, said = audited(study, "--plan", "studies/tiny.yaml", "change.yaml")
    assert status == 3
    line = next(line for line in said.splitlines() if line.startswith(f"✗ differs  {M2}:"))
    assert "--max-grad-norm was 1.0, the plan says 0.01" in line
    assert "--weight-decay was 0.01, the plan says 1.0" in line


# --- Bad input: one sentence each, the rest is still checked ---


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"version": 2, "comm', "is half-written or no JSON"),
        ("[1, 2]", "is no record of this project"),
        ('{"version": 99}', "is of version 99, this code knows 2: audit it with the code that wrote it"),
        ('{"version": 2, "command": []}', "has no proper stage, settings"),
    ],
)
def test_a_record_that_is_none(study: Study, text: str, sentence: str) -> None:
    path = study.folder / f"{PAIRS}{SUFFIX}"
    overwrite(path, text.encode())
    items = study.folder / "results/tables/accuracy.csv"
    overwrite(items, items.read_bytes() + b"\n")
    status, said = audited(study)
    assert status == 3
    assert f"{PAIRS}{SUFFIX}: {sentence}" in said
    assert "results/tables/accuracy.csv: is not what its record says" in said
    assert "Traceback" not in said


def test_a_folder_of_something_else(finished: Study, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert audited(finished, "--results", str(tmp_path))[1].startswith(f"error: {tmp_path} holds no records")
    assert "is no folder" in audited(finished, "--results", str(tmp_path / "none"))[1]
    (tmp_path / "a.record.json").write_text('{"name": "ours"}')
    status, said = audited(finished, "--results", str(tmp_path))
    assert status == 1 and "a.record.json: is no record of this project" in said
