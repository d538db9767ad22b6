"""Responses with the items they answer, and the script that checks them against the items' answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from cream.errors import UserError
from cream.exchanges import read_exchanges
from cream.tables import SAMPLES, SPLIT, VERDICTS, read_table, write_table

PROJECT = Path(__file__).resolve().parents[2]


def write_items(path: Path, items: Sequence[dict]) -> Path:
    """A SPLIT table of items given as item_id, kind, prompt, and where there are any answer and choices."""
    rows = [
        {
            "task": "task",
            "target": "t",
            "answer": "",
            "choices": [],
            "prompt_ids": [5],
            "target_ids": [6],
            **item,
        }
        for item in items
    ]
    write_table(pd.DataFrame(rows), SPLIT, path)
    return path


def write_samples(path: Path, responses: Sequence[tuple[str, int, str]]) -> Path:
    """A SAMPLES table of (prompt_id, response_index, text)."""
    rows = [
        {
            "prompt_id": prompt_id,
            "response_index": index,
            "task": "task",
            "prompt_ids": [5],
            "response_ids": [6],
            "text": text,
            "finish_reason": "stop",
        }
        for prompt_id, index, text in responses
    ]
    write_table(pd.DataFrame(rows), SAMPLES, path)
    return path


def python(script: str, **flags: str | Path) -> subprocess.CompletedProcess[str]:
    """One of the project's scripts, in its own process."""
    words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / script), *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def last_error(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence that a script leaves when the user's input is wrong."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    return last


ITEMS = [
    {"item_id": "sums-0", "kind": "number", "prompt": "3 + 4 = ?", "answer": "7"},
    {"item_id": "things-0", "kind": "choice", "prompt": "Iron?", "answer": "a magnet", "choices": ["wood", "a magnet"]},
    {"item_id": "talk-0", "kind": "open", "prompt": "Tell me a story."},
]


def test_samples_come_with_the_items_they_answer(tmp_path: Path) -> None:
    prompts = write_items(tmp_path / "prompts.parquet", ITEMS)
    given = [("things-0", 1, "wood"), ("sums-0", 0, "7"), ("things-0", 0, "")]
    samples, items = read_exchanges(write_samples(tmp_path / "samples.parquet", given), prompts)
    found = list(zip(samples["prompt_id"], samples["response_index"], samples["text"], strict=True))
    assert sorted(found) == sorted(given)
    # Items that nobody answered are no mistake: they are just there.
    assert set(items) == {"sums-0", "things-0", "talk-0"}
    assert items["things-0"]["choices"] == ["wood", "a magnet"]
    assert items["sums-0"]["answer"] == "7"
    assert items["talk-0"]["answer"] == ""


def test_a_response_to_another_prompt_is_refused(tmp_path: Path) -> None:
    prompts = write_items(tmp_path / "prompts.parquet", ITEMS)
    samples = write_samples(tmp_path / "samples.parquet", [("sums-0", 0, "7"), ("sums-9", 0, "7"), ("sums-8", 0, "7")])
    with pytest.raises(UserError) as mistake:
        read_exchanges(samples, prompts)
    text = str(mistake.value)
    assert all(word in text for word in ("samples.parquet", "'sums-8'", "prompts.parquet", "sample again"))
    assert "\n" not in text


def verify(folder: Path, items: Sequence[dict], responses: Sequence[tuple[str, int, str]]) -> tuple[pd.DataFrame, dict]:
    """The verdicts of the real script, and what its record says it saw."""
    done = python(
        "verify_responses.py",
        samples=write_samples(folder / "samples.parquet", responses),
        prompts=write_items(folder / "prompts.parquet", items),
        verdicts=folder / "verdicts.parquet",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "verdicts.parquet.record.json").read_text())
    return read_table(folder / "verdicts.parquet", VERDICTS), {**record["observed"], "printed": done.stdout.strip()}


def test_each_response_is_checked_against_its_own_item(tmp_path: Path) -> None:
    responses = [
        ("things-0", 0, "Answer: (B) a magnet"),
        ("things-0", 1, "Answer: (A) wood"),
        ("sums-0", 0, "Answer: 3 + 4 = 7"),
        ("sums-0", 1, "Answer: 8"),
        ("sums-0", 2, ""),
        ("talk-0", 0, "Once upon a time …"),
        ("talk-0", 1, "Answer: 7"),
        ("talk-0", 2, ""),
    ]
    verdicts, observed = verify(tmp_path, ITEMS, responses)
    found = dict(
        zip(zip(verdicts["prompt_id"], verdicts["response_index"], strict=True), verdicts["verdict"], strict=True)
    )
    assert {key: None if pd.isna(value) else value for key, value in found.items()} == {
        ("things-0", 0): 1.0,
        ("things-0", 1): 0.0,
        ("sums-0", 0): 1.0,
        ("sums-0", 1): 0.0,
        ("sums-0", 2): 0.0,
        # Nobody can say whether a story is right: missing, not wrong.
        ("talk-0", 0): None,
        ("talk-0", 1): None,
        ("talk-0", 2): None,
    }
    assert (observed["responses"], observed["checked"], observed["right"]) == (8, 5, 2)
    assert observed["printed"] == "2 of 5 responses are right; 3 can't be checked"


def test_a_task_without_answers_has_no_verdict_at_all(tmp_path: Path) -> None:
    verdicts, observed = verify(tmp_path, [ITEMS[2]], [("talk-0", 0, "a"), ("talk-0", 1, "b")])
    assert verdicts["verdict"].isna().all()
    assert (observed["responses"], observed["checked"], observed["right"]) == (2, 0, 0)


def test_a_missing_verdict_is_null_in_the_file(tmp_path: Path) -> None:
    verify(tmp_path, ITEMS, [("sums-0", 0, "7"), ("talk-0", 0, "a")])
    assert pq.read_table(tmp_path / "verdicts.parquet")["verdict"].null_count == 1


def test_responses_to_other_prompts_stop_the_script(tmp_path: Path) -> None:
    done = python(
        "verify_responses.py",
        samples=write_samples(tmp_path / "samples.parquet", [("sums-9", 0, "7")]),
        prompts=write_items(tmp_path / "prompts.parquet", ITEMS),
        verdicts=tmp_path / "verdicts.parquet",
    )
    assert "'sums-9'" in last_error(done)
    assert not (tmp_path / "verdicts.parquet").exists()
