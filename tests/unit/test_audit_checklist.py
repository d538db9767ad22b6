"""The reproducibility checklist: every number is in the records, and what isn't in them is said to be missing."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from audited import HOSTILE, JOBS, POOL, TRAINED, audit
from markdown_it import MarkdownIt

from cream.audit.checklist.claims import claims, reproduction
from cream.audit.checklist.compute import compute, software
from cream.audit.checklist.material import material
from cream.audit.checklist.missing import missing as missing_from
from cream.audit.checklist.setting import setting, significance
from cream.audit.described import facts
from cream.audit.ledger import Ledger
from cream.audit.verdicts import Verdicts
from cream.records import record_text, seal

CREAM = TRAINED["cream"]


@pytest.fixture
def study(audited_study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(audited_study, tmp_path / "project", symlinks=True))


def checklist(study: Path) -> str:
    done = audit(study, "checklist")
    assert done.returncode == 0, done.stderr
    return done.stdout


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, as a reader of Markdown has them."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.map and token.level == 5 - 1:
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


def table(text: str, *columns: str) -> list[dict[str, str]]:
    matching = [rows for rows in tables(text) if rows[0][: len(columns)] == list(columns)]
    assert len(matching) == 1, (columns, [rows[0] for rows in tables(text)])
    head, *rows = matching[0]
    return [dict(zip(head, row, strict=True)) for row in rows]


def missing(text: str) -> list[str]:
    return text.partition("## What is missing")[2].strip().splitlines()


def records(study: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in study.rglob("*.record.json")]


def test_compute_is_the_sum_of_the_records(study: Path) -> None:
    rows = {row["stage"]: row for row in table(checklist(study), "stage", "jobs", "hours")}
    jobs = Counter(stage for stage, *_ in JOBS)
    assert {stage: int(row["jobs"]) for stage, row in rows.items()} == {**jobs, "all": len(JOBS)}
    seconds = sum(record["seconds"] for record in records(study))
    assert float(rows["all"]["hours"]) == pytest.approx(seconds / 3600, abs=6e-4)
    assert int(rows["all"]["memory (MB, largest)"]) == max(record["peak_memory_mb"] for record in records(study))


def test_settings_are_told_by_method_where_methods_differ(study: Path) -> None:
    rows = {(row["stage"], row["setting"]): row["values"] for row in table(checklist(study), "stage", "setting")}
    assert rows["train_policy", "beta"] in ("cream: 0.25 · srlm: 0.1", "srlm: 0.1 · cream: 0.25")
    assert rows["train_policy", "seed"] == "1" and rows["build_pool", "seed"] == "7"
    assert not {name for _, name in rows} & {"read", "made"}


def test_trainings_and_seeds_are_counted(study: Path) -> None:
    text = checklist(study)
    runs = {(row["method"], row["policy"]): (row["trainings"], row["seeds"]) for row in table(text, "model", "method")}
    assert runs == {("sft", "M1"): ("1", "1"), ("srlm", "M2"): ("1", "1"), ("cream", "M2"): ("1", "1")}
    assert any("One seed only in train" in sentence for sentence in missing(text))
    shutil.copytree(study / "results/toy/seed1", study / "results/toy/seed2")
    for path in (study / "results/toy/seed2").rglob("*.record.json"):
        path.write_text(path.read_text().replace("seed1", "seed2").replace('"seed": 1', '"seed": 2'))
    text = checklist(study)
    runs = {(row["method"], row["policy"]): (row["trainings"], row["seeds"]) for row in table(text, "model", "method")}
    assert runs["cream", "M2"] == ("2", "1, 2")
    assert not any("One seed only" in sentence for sentence in missing(text))


def test_what_is_missing_is_said_and_what_is_there_is_not(study: Path) -> None:
    before = missing(checklist(study))
    for words in ("No signed statement", "Nothing of these stages was made again: build", "no record names a licence"):
        assert any(words.lower() in sentence.lower() for sentence in before), words
    assert any("questions.txt" in sentence and "only their digests" in sentence for sentence in before)
    assert not any("Not what their records say" in sentence for sentence in before)
    git = {(record["git"]["commit"] is None, record["git"]["dirty"]) for record in records(study)}
    assert any("uncommitted changes" in sentence for sentence in before) == any(dirty for _, dirty in git)
    assert any("recorded no commit" in sentence for sentence in before) == any(none for none, _ in git)

    (study / "results/audit").mkdir(exist_ok=True)
    (study / "results/audit/statement.dsse.json").write_text("{}")
    verdict = {"artifact": POOL, "stage": "build_pool", "verdict": "IDENTICAL", "determinism": "B", "kept": True}
    digest = hashlib.sha256((study / f"{POOL}.record.json").read_bytes()).hexdigest()
    verdict |= {"record": digest, "said": [], "seconds": 1.0, "host": "elsewhere", "when": "2026-11-23T10:00:00Z"}
    (study / "results/audit/reproduced.json").write_text(json.dumps([verdict]))
    (study / "results/stray.txt").write_text("?")
    (study / CREAM / "weights.txt").write_text("other")
    text = checklist(study)
    after = missing(text)
    assert not any("No signed statement" in sentence for sentence in after)
    assert any("Nothing of these stages was made again: convert" in sentence for sentence in after)
    assert any("Not what their records say" in sentence and "cream/M2/model" in sentence for sentence in after)
    assert any("stray.txt" in sentence for sentence in after)
    promises = {row["stage"]: row["made again"] for row in table(text, "stage", "promised")}
    assert promises["build_pool"] == "1 IDENTICAL" and promises["train_sft"] == "not yet"
    assert "also on elsewhere, where no job of the study ran" in text


def test_text_from_outside_is_text_in_the_markdown(study: Path) -> None:
    text = checklist(study)
    shown = HOSTILE.replace("\x1b", "\\u001b")
    values = [row["values"] for row in table(text, "stage", "setting") if row["setting"] == "note"]
    assert values == [f"cream: {shown}"]
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or []}
    assert not kinds & {"html_block", "html_inline", "image", "link_open"}


def test_every_answer_names_its_records(study: Path) -> None:
    sections = re.split(r"^## ", checklist(study), flags=re.M)[1:]
    assert len(sections) == 8
    assert all("\nFrom: " in section for section in sections[:-1])


def test_it_can_go_into_a_file_and_needs_records(study: Path, tmp_path: Path) -> None:
    text = checklist(study)
    assert audit(study, "checklist", "--out", "answers.md").returncode == 0
    assert (study / "answers.md").read_text() == text
    empty = tmp_path / "empty"
    empty.mkdir()
    done = audit(study, "checklist", "--results", str(empty))
    assert done.returncode == 1 and "holds no records" in done.stderr


WRONG = (None, True, 3, "x", [], [3], {}, {"a": 3}, {"a": {"b": []}})


def test_a_record_with_anything_in_it_is_named_or_told_of(study: Path) -> None:
    """Each field in turn holds what it shouldn't; the seal fits, as of a record that somebody made so."""
    path = study / f"{CREAM}.record.json"
    right = json.loads(path.read_text())
    for name in sorted(right.keys() - {"seal", "version"}):
        for value in WRONG:
            changed = {**right, name: value}
            path.write_text(record_text({**changed, "seal": seal(changed)}))
            ledger = Ledger(study / "results")
            if not ledger.problems:
                told = [*facts(ledger, CREAM), missing_from(ledger, Verdicts(), [])]
                for section in (material, setting, significance, compute, software):
                    told.append(section(ledger).markdown())
                told += [claims(ledger, Verdicts()), reproduction(ledger, Verdicts(), [])]
                assert all(told), (name, value)
