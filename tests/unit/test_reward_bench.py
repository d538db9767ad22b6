"""Files in RewardBench's format: read whole, or refused with one sentence."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cream.errors import UserError
from cream.reward_bench import Preference, read_reward_bench

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/score_reward_bench.py"
GOOD = {"prompt": "Which?", "chosen": "This.", "rejected": "That."}
TURNS = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "I am Ada."},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Who am I?"},
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def written(folder: Path, rows: list[dict], kind: str) -> Path:
    path = folder / f"items.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if kind.endswith("gz") else lines)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_every_kind_of_file_gives_the_same_items(tmp_path: Path, kind: str) -> None:
    rows = [{**GOOD, "id": number, "subset": name} for number, name in enumerate(["easy", "hard", None])]
    found = read_reward_bench(written(tmp_path, rows, kind))
    turns = (("user", "Which?"),)
    assert found == [Preference(str(n), name, turns, "This.", "That.") for n, name in enumerate(["easy", "hard", ""])]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_a_prompt_may_be_turns(tmp_path: Path, kind: str) -> None:
    (item,) = read_reward_bench(written(tmp_path, [{**GOOD, "prompt": TURNS, "chosen_model": "x"}], kind))
    assert item.turns == tuple((turn["role"], turn["content"]) for turn in TURNS)
    assert item.id == item.subset == ""


@given(st.lists(st.tuples(TEXT.filter(str.strip), TEXT, TEXT).filter(lambda row: row[1] != row[2]), min_size=1))
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]) -> None:
    """Also line ends that are not the newline, and empty answers."""
    folder = tmp_path_factory.mktemp("texts")
    given_rows = [dict(zip(("prompt", "chosen", "rejected"), row, strict=True)) for row in rows]
    for kind in ("jsonl", "parquet"):
        found = read_reward_bench(written(folder, given_rows, kind))
        assert [(item.turns[0][1], item.chosen, item.rejected) for item in found] == rows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"chosen": None}, "line 2 has no 'chosen'"),
        ({"rejected": 5}, "line 2: 'rejected' is no text"),
        ({"chosen": "Same.", "rejected": "Same."}, "line 2: chosen and rejected are the same text"),
        ({"prompt": 5}, "line 2: the prompt is neither text nor a list of turns"),
        ({"prompt": ["Which?"]}, "line 2: the prompt is neither text nor a list of turns"),
        ({"prompt": []}, "line 2: the prompt must end with something the user says"),
        ({"prompt": "  "}, "line 2: the prompt must end with something the user says"),
        ({"prompt": TURNS[:3]}, "line 2: the prompt must end with something the user says"),
        ({"prompt": [{"role": "judge", "content": "x"}]}, "line 2: a turn of the prompt lacks a role"),
        ({"prompt": [{"role": "user", "content": None}]}, "line 2: a turn of the prompt lacks a role"),
    ],
)
def test_an_item_that_is_none_is_named(tmp_path: Path, change: dict, says: str) -> None:
    path = written(tmp_path, [GOOD, {**GOOD, **change}], "jsonl")
    with pytest.raises(UserError) as refused:
        read_reward_bench(path)
    assert f"{path}, {says}" in str(refused.value)


def test_a_missing_column_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, [{"prompt": "Which?", "chosen": "This."}], "parquet")
    with pytest.raises(UserError, match="row 1 has no 'rejected': an item has prompt, chosen and rejected"):
        read_reward_bench(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("items.jsonl", b"", "has no items"),
        ("items.jsonl", b"\n\n", "has no items"),
        ("items.jsonl", b"{'prompt': 1}\n", "line 1 is not JSON"),
        ("items.jsonl", b"[1]\n", "line 1 is not an object"),
        ("items.jsonl", b'{"prompt": "\\ud800", "chosen": "a", "rejected": "b"}\n', "line 1 is not JSON that can be"),
        ("items.jsonl", b"[" * 100_000, "line 1 is not JSON"),
        ("items.jsonl", b"\xff\xfe", "can't be read as .jsonl with UTF-8 text"),
        ("items.jsonl.gz", b"no gzip", "can't be read as .gz"),
        ("items.jsonl.gz", gzip.compress(b"x" * 999, mtime=0)[:-9], "can't be read as .gz"),
        ("items.parquet", b"PAR1", "can't be read as parquet"),
        ("items.csv", b"prompt,chosen,rejected\n", "must end in .jsonl, .jsonl.gz or .parquet"),
    ],
)
def test_a_file_that_is_none_gives_one_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_reward_bench(path)
    assert str(path) in str(refused.value) and says in str(refused.value) and "\n" not in str(refused.value)


def test_an_empty_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD]).slice(0, 0), path)
    with pytest.raises(UserError, match="has no items"):
        read_reward_bench(path)


@pytest.mark.parametrize(("file", "says"), [("none.jsonl", "none.jsonl doesn't exist"), ("bad.jsonl", "the same text")])
def test_the_script_ends_with_one_sentence(tmp_path: Path, tiny_assets: Path, file: str, says: str) -> None:
    (tmp_path / "bad.jsonl").write_text(json.dumps({**GOOD, "chosen": GOOD["rejected"]}) + "\n")
    model = str(tiny_assets / "model")
    command = [sys.executable, str(SCRIPT), "--file", str(tmp_path / file), "--model", model, "--base", model]
    command += ["--prompts-per-batch", "4", "--reward-bench", str(tmp_path / "out.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert says in line and not (tmp_path / "out.parquet").exists()
