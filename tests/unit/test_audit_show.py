"""`audit.py show` and `find`: what the records say, and which artifacts' records say it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from audited import HOSTILE, JOBS, M0, M1, POOL, TABLES, TRAINED, audit

from cream.audit.grammar import family, short, what

CREAM = TRAINED["cream"]


def record(audited_study: Path, output: str) -> dict:
    return json.loads((audited_study / f"{output}.record.json").read_text())


def found(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines() if line.startswith("results/")]


def test_show_says_what_the_record_says(audited_study: Path) -> None:
    done = audit(audited_study, "show", CREAM)
    assert done.returncode == 0, done.stderr
    written = record(audited_study, CREAM)
    wanted = ["train_policy", "(sealed)", "beta: 0.25", "seed: 1", f"{POOL}  made by build_pool"]
    wanted += [f"{M1}  made by train_sft", written["host"], written["started"], written["git"]["commit"]]
    wanted += [written["outputs"][CREAM]["manifest"], written["outputs"][CREAM]["files"]["weights.txt"]["file"][:12]]
    wanted += ["LoRA adapter", "M2 of toy, cream, seed 1", "C: the same content", 'steps: [0, "… 7 more …", 8]']
    missing = [words for words in wanted if words not in done.stdout]
    assert not missing, done.stdout
    assert json.loads(audit(audited_study, "show", CREAM, "--json").stdout)["record"] == written


def test_show_tells_an_edited_record_and_an_input_without_one(audited_study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["cp", "-a", audited_study, other], check=True)
    path = other / f"{POOL}.record.json"
    path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    said = audit(other, "show", POOL).stdout
    assert "its seal does not fit: edited" in said and "(sealed)" not in said
    assert "questions.txt  no record" in said


def test_text_from_outside_cannot_harm_a_terminal(audited_study: Path) -> None:
    assert "\x1b" in record(audited_study, CREAM)["settings"]["note"]
    for asked in (["show", CREAM], ["lineage", CREAM], ["find", "--setting", "beta=0.25"], ["list"]):
        said = audit(audited_study, *asked).stdout
        assert said and "\x1b" not in said, asked


@pytest.mark.parametrize("command", ["show", "lineage"])
def test_an_unknown_artifact_is_one_sentence_with_the_nearest(audited_study: Path, command: str) -> None:
    done = audit(audited_study, command, "results/toy/seed1/cream/M2/modle")
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert f"nearest are {CREAM}" in done.stderr


def test_an_artifact_goes_by_its_path_today_its_record_and_its_manifest(audited_study: Path) -> None:
    said = audit(audited_study, "show", CREAM).stdout
    for name in (
        f"{CREAM}.record.json",
        f"{CREAM}.json",
        f"{CREAM}/weights.txt",
        str(audited_study / CREAM),
        f"{CREAM}/",
    ):
        assert audit(audited_study, "show", name).stdout == said, name


def digests(audited_study: Path) -> dict[str, tuple[str, str]]:
    """Kind of digest → a digest taken here, without the project's code, and an artifact that it leads to."""
    weights = hashlib.sha256((audited_study / CREAM / "weights.txt").read_bytes()).hexdigest()
    manifest = hashlib.sha256((audited_study / f"{CREAM}.json").read_bytes()).hexdigest()
    of_record = hashlib.sha256((audited_study / f"{CREAM}.record.json").read_bytes()).hexdigest()
    script = hashlib.sha256((audited_study / "scripts/train_policy.py").read_bytes()).hexdigest()
    outside = hashlib.sha256((audited_study / "questions.txt").read_bytes()).hexdigest()
    return {
        "file of weights.txt": (weights, CREAM),
        "manifest": (manifest, CREAM),
        "record": (of_record, CREAM),
        "code file": (script, CREAM),
        "input questions.txt": (outside, POOL),
    }


@pytest.mark.parametrize("kind", ["file of weights.txt", "manifest", "record", "code file", "input questions.txt"])
@pytest.mark.parametrize("length", [6, 64])
def test_find_by_digest(audited_study: Path, kind: str, length: int) -> None:
    digest, artifact = digests(audited_study)[kind]
    done = audit(audited_study, "find", digest[:length].upper())
    assert artifact in found(done)
    assert any(line.startswith(artifact) and kind in line for line in done.stdout.splitlines())


def test_find_leads_from_an_input_to_those_that_read_it(audited_study: Path) -> None:
    manifest = hashlib.sha256((audited_study / f"{M1}.json").read_bytes()).hexdigest()
    assert {M1, *TRAINED.values()} < set(found(audit(audited_study, "find", manifest)))


def test_find_by_settings_and_packages(audited_study: Path) -> None:
    assert found(audit(audited_study, "find", "--setting", "beta=0.250")) == [CREAM]
    assert found(audit(audited_study, "find", "--setting", "loss.beta=0.1")) == [TRAINED["srlm"]]
    assert set(found(audit(audited_study, "find", "--setting", "seed=1"))) == {M1, *TRAINED.values()}
    assert found(audit(audited_study, "find", "--setting", "seed=1", "--setting", "beta=0.1")) == [TRAINED["srlm"]]
    assert found(audit(audited_study, "find", "--setting", "seed=1", "--setting", "beta=0.3")) == []
    assert found(audit(audited_study, "find", "--setting", f"note={HOSTILE}")) == [CREAM]
    name, version = next(iter(record(audited_study, POOL)["packages"].items()))
    everything = {output for _, _, made, _ in JOBS for output in made}
    assert set(found(audit(audited_study, "find", "--package", f"{name}={version}"))) == everything
    assert found(audit(audited_study, "find", "--package", f"{name}=0")) == []


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        (["--setting", "bata=1"], 1, "no record knows a setting bata: do you mean beta?"),
        (["--package", "tourch=1"], 1, "no record knows a package tourch"),
        ([], 1, "find what?"),
        (["12345"], 2, "12345 is no SHA-256"),
        (["zzzzzzz"], 2, "zzzzzzz is no SHA-256"),
        (["--setting", "beta"], 2, "write beta as NAME=VALUE"),
    ],
)
def test_a_mistake_is_one_sentence(audited_study: Path, asked: list[str], status: int, sentence: str) -> None:
    done = audit(audited_study, "find", *asked)
    assert done.returncode == status and sentence in done.stderr and "Traceback" not in done.stderr


def test_find_goes_on_past_a_torn_record_and_says_so(audited_study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["cp", "-a", audited_study, other], check=True)
    (other / f"{TABLES[0]}.record.json").write_text('{"version": 2')
    done = audit(other, "find", "--setting", "seed=1")
    assert done.returncode == 1 and "half-written" in done.stdout and M1 in done.stdout


@pytest.mark.parametrize(
    ("path", "words", "whose", "name"),
    [
        (M0, "M0 of toy", ("toy", "", "base", "M0"), "model"),
        ("results/m/seed2/cream/iter1/pairs.parquet", "iteration 1 of m, cream", ("m", "2", "cream", "iter1"), "pairs"),
        ("results/m/seed2/sft/M1/logprobs/M0.parquet", "under M0 (M1 of m", ("m", "2", "sft", "M1"), "logprobs/M0"),
        ("results/m/seed1/c/M2/judged/i/sft-M1.parquet", "those of sft-M1", ("m", "1", "c", "M2"), "judged/i/sft-M1"),
        ("results/m/data/prompts/iter2.parquet", "prompts of iteration 2", ("m", "", "", ""), "data/prompts/iter2"),
        ("results/tables/splits/m.csv", "sizes of the splits of m", ("", "", "", ""), "tables/splits/m"),
        ("results/data/pool/sums.parquet", "task sums", ("", "", "", ""), "data/pool/sums"),
        ("results/m/seed1/c/M2/nothing.txt", "no artifact of the path grammar", ("m", "1", "c", "M2"), "nothing"),
        ("report/page.html", "no artifact of the path grammar", ("", "", "", ""), "report/page.html"),
    ],
)
def test_the_grammar_reads_paths(path: str, words: str, whose: tuple[str, ...], name: str) -> None:
    assert words in what(path)
    assert family(path) == whose
    assert short(path) == name
