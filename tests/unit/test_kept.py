"""Finished parts outlive a killed job, are used by the very same job alone, and a damaged one is done again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from cream.kept import Kept, key_of, scratch_path
from cream.tables import POOL, write_table

PROJECT = Path(__file__).resolve().parents[2]


def test_work_on_an_output_lies_in_scratch_and_not_beside_it() -> None:
    output = Path("results/tiny/seed1/sft/M1/samples.parquet")
    assert scratch_path(output) == Path("results/scratch/tiny/seed1/sft/M1/samples.parquet")
    assert scratch_path(Path("/a/results/b/results/c")) == Path("/a/results/b/results/scratch/c")
    assert scratch_path(Path("/elsewhere/samples.parquet")) == Path("/elsewhere/.samples.parquet")


parts = st.dictionaries(st.text(min_size=1), st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.text()))


@given(parts)
def test_what_was_kept_comes_back_exactly(tmp_path_factory, found: dict) -> None:
    path = tmp_path_factory.mktemp("kept") / "a/work.jsonl"
    first = Kept(path, "same")
    for key, value in found.items():
        assert first.once(key, lambda value=value: value) == value
    again = Kept(path, "same")
    for key, value in found.items():
        assert repr(again.once(key, never)) == repr(value)


def never() -> None:
    raise AssertionError("done twice")


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_short_is_done_again_and_said(tmp_path: Path, capsys, cut: int) -> None:
    path = tmp_path / "work.jsonl"
    kept = Kept(path, "same")
    kept.once("a", lambda: [1])
    kept.once("b", lambda: [2])
    path.write_bytes(path.read_bytes()[:-cut])
    again = Kept(path, "same")
    assert again.once("a", never) == [1]
    assert again.once("b", lambda: [2]) == [2]
    assert "1 parts are done" in capsys.readouterr().out or cut == 1
    # What was done again is behind the torn line, readable.
    assert Kept(path, "same").once("b", never) == [2]


def test_a_changed_value_is_done_again(tmp_path: Path, capsys) -> None:
    path = tmp_path / "work.jsonl"
    Kept(path, "same").once("a", lambda: [1, 2, 3])
    path.write_text(path.read_text().replace("[1, 2, 3]", "[1, 2, 4]"))
    assert Kept(path, "same").once("a", lambda: "again") == "again"
    assert "1 cut short or changed" in capsys.readouterr().out


def test_another_jobs_parts_are_not_used(tmp_path: Path, capsys) -> None:
    path = tmp_path / "work.jsonl"
    Kept(path, "temperature 1").once("a", lambda: "old")
    assert Kept(path, "temperature 2").once("a", lambda: "new") == "new"
    assert "other settings" in capsys.readouterr().out
    assert Kept(path, "temperature 2").once("a", never) == "new"


def test_keys_are_of_the_content() -> None:
    import numpy as np

    assert key_of("x", [1, 2]) == key_of("x", np.array([1, 2])) != key_of("x", [12])


# A real stage, killed


def command(script: str, folder: Path, **flags: object) -> list[str]:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    return [sys.executable, str(PROJECT / "scripts" / f"{script}.py"), *words]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory, tiny_assets: Path) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    rows = [
        {**row, "item_id": f"colours-{at:03}", "task": "colours", "kind": "choice"}
        for at, row in enumerate(tiny.questions(120))
    ]
    write_table(pd.DataFrame(rows), POOL, folder / "pool.parquet")
    encoded = folder / "prompts.parquet"
    flags = {"pools": folder / "pool.parquet", "model": tiny_assets / "model", "split": encoded}
    done = [*command("encode_split", folder, **flags), "--slices", "colours=0:120"]
    subprocess.run(done, check=True, capture_output=True)
    return encoded


def sampling(prompts: Path, model: Path, to: Path) -> list[str]:
    flags = {"prompts": prompts, "model": model, "base": model, "samples": to, "responses": 8, "temperature": 1.3}
    flags |= {"top_p": 0.95, "max_new_tokens": 40, "prompts_per_batch": 4, "seed": 1, "iteration": 1}
    return command("sample_responses", to.parent, **flags, precision="float32")


def until_kept(command: list[str], work: Path, lines: int) -> int:
    """Run the command, kill it once its work has so many lines; how many parts were whole."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and (not work.exists() or work.read_text().count("\n") < lines):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return sum('"key"' in line for line in work.read_text().splitlines() if line.endswith("}"))


def test_sampling_and_scoring_killed_go_on_and_make_the_undisturbed_tables(
    prompts: Path, tiny_assets: Path, tmp_path: Path
) -> None:
    model = tiny_assets / "model"
    calm, killed = tmp_path / "calm/samples.parquet", tmp_path / "killed/samples.parquet"
    subprocess.run(sampling(prompts, model, calm), check=True, capture_output=True)
    assert sorted(path.name for path in calm.parent.iterdir()) == ["samples.parquet", "samples.parquet.record.json"]
    # Under the same model twice: a part is kept for each model apart.
    other = Path(shutil.copytree(model, tmp_path / "other"))
    scoring = [scored(calm, [model, other], tmp_path / name) for name in ("a", "b")]
    subprocess.run(scoring[0], check=True, capture_output=True)

    finished = until_kept(sampling(prompts, model, killed), killed.parent / ".samples.parquet.jsonl", 4)
    assert 3 <= finished < 30 and not killed.exists()
    again = subprocess.run(sampling(prompts, model, killed), check=True, capture_output=True, text=True)
    assert f"going on where an earlier try stopped: {finished} parts are done" in again.stdout
    assert killed.read_bytes() == calm.read_bytes()
    assert sorted(path.name for path in killed.parent.iterdir()) == ["samples.parquet", "samples.parquet.record.json"]
    record = json.loads(killed.with_name("samples.parquet.record.json").read_text())
    assert record["observed"]["responses"] == 120 * 8

    # In the second model: 30 parts of the first lie before it.
    finished = until_kept(scoring[1], tmp_path / "b/.first.parquet.jsonl", 34)
    assert 33 <= finished < 60
    again = subprocess.run(scoring[1], check=True, capture_output=True, text=True)
    assert f"going on where an earlier try stopped: {finished} parts are done" in again.stdout
    for table in ("first", "second"):
        assert (tmp_path / f"a/{table}.parquet").read_bytes() == (tmp_path / f"b/{table}.parquet").read_bytes()


def scored(samples: Path, models: list[Path], to: Path) -> list[str]:
    flags = {"samples": samples, "base": models[0], "prompts_per_batch": 4, "precision": "float32"}
    tables = [to / "first.parquet", to / "second.parquet"]
    return [*command("score_responses", to, **flags), "--models", *map(str, models), "--logprobs", *map(str, tables)]
