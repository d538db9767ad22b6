"""Shards: any number of jobs make the very file that one makes. The scripts' own mains on the tiny model."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
from test_exchanges import last_error, write_samples

import judge_responses
import merge_shards
import sample_responses
import score_responses
from cream import stage
from cream.engines.tokens import chat_prompt, load_tokenizer
from cream.errors import UserError
from cream.judging import TOO_LONG
from cream.tables import JUDGEMENTS, LOGPROBS, POOL, SAMPLES, TableSpec, read_table, write_table
from encode_split import main as encode_split

PROJECT = Path(__file__).resolve().parents[2]
PROMPTS, RESPONSES, VOTES = 13, 3, 2
COUNTS = (1, 2, 5)


# One table from many jobs


def items(tokenizer) -> list[dict]:
    """Prompts of several lengths, two of them the same, one so long that a judge has no room to answer."""
    rows = [{**row, "prompt": row["prompt"] + " Say it." * (at % 6)} for at, row in enumerate(tiny.questions())]
    rows = rows[:PROMPTS]
    rows[7] = rows[2]
    long = dict(rows[5])
    while len(chat_prompt(tokenizer, long["prompt"])) < 240:
        long["prompt"] += " red"
    rows[5] = long
    lengths = [len(chat_prompt(tokenizer, row["prompt"])) for row in rows]
    assert len(set(lengths)) > 5 and len({row["prompt"] for row in rows}) == PROMPTS - 1
    return [{**row, "item_id": f"colours-{at:02}", "task": "colours", "kind": "choice"} for at, row in enumerate(rows)]


def shuffled(table: Path, to: Path) -> Path:
    """The same table, its rows in another order (write_table would sort them)."""
    rows = pq.read_table(table)
    order = list(range(rows.num_rows))
    random.Random(1).shuffle(order)
    pq.write_table(rows.take(order), to)
    assert pq.read_table(to).to_pylist() != rows.to_pylist()
    return to


class Study:
    """One iteration's tables in a folder, each made by as many jobs as asked."""

    def __init__(self, folder: Path, model: Path, precision: str):
        self.folder, self.model = folder, model
        self.prompts = folder / "prompts.parquet"
        pool = folder / "pool.parquet"
        write_table(pd.DataFrame(items(load_tokenizer(model))), POOL, pool)
        encode_split(argparse.Namespace(pools=[pool], slices=[f"colours=0:{PROMPTS}"], model=model, split=self.prompts))
        self.decoding = {"temperature": 1.2, "top_p": 0.95, "seed": 1, "iteration": 1}
        self.common = {"base": model, "engine": "transformers", "serving": None, "precision": precision, "threads": 1}

    def in_shards(self, main, count: int, kind: str, name: str, output: str, **flags: object) -> bytes:
        """The merged table's bytes."""
        made = self.folder / f"{name}-{kind}-{count}"
        made.mkdir()
        shards = [made / f"{number}-of-{count}.parquet" for number in range(1, count + 1)]
        for number, path in enumerate(shards, start=1):
            given = {output: [path] if output == "logprobs" else path, "shard": (number, count)}
            main(argparse.Namespace(**self.common, **flags, **given))
        table = made / "whole.parquet"
        merge_shards.main(argparse.Namespace(kind=kind, shards=shards[::-1], table=table))
        if count == 1:
            assert table.read_bytes() == shards[0].read_bytes()  # merging changes nothing
        return table.read_bytes()

    def sampled(self, count: int, name: str, prompts: Path, together: int = 2) -> bytes:
        flags = {**self.decoding, "prompts": prompts, "model": self.model, "responses": RESPONSES}
        flags |= {"max_new_tokens": 12, "prompts_per_batch": together}
        return self.in_shards(sample_responses.main, count, "samples", name, "samples", **flags)

    def scored(self, count: int, name: str, samples: Path, together: int = 2) -> bytes:
        flags = {"samples": samples, "models": [self.model], "prompts_per_batch": together}
        return self.in_shards(score_responses.main, count, "logprobs", name, "logprobs", **flags)

    def judged(self, count: int, name: str, samples: Path, prompts: Path) -> bytes:
        flags = {**self.decoding, "samples": samples, "prompts": prompts, "model": self.model, "judge": 1}
        flags |= {"template": "{prompt} | {response} | points?", "votes": VOTES, "max_new_tokens": 16}
        return self.in_shards(
            judge_responses.main, count, "judgements", name, "judgements", **flags, prompts_per_batch=4
        )

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def study(request: pytest.FixtureRequest, tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"), tiny_assets / "model", request.param)


@pytest.fixture(scope="module")
def samples(study: Study) -> Path:
    return study.file("samples.parquet", study.sampled(1, "first", study.prompts))


def rows_of(content: bytes, spec: TableSpec, folder: Path) -> pd.DataFrame:
    path = folder / "read.parquet"
    path.write_bytes(content)
    return read_table(path, spec)


@pytest.mark.parametrize("count", COUNTS)
def test_samples_are_the_same_file_whatever_the_shards(study: Study, samples: Path, count: int) -> None:
    assert study.sampled(count, "again", study.prompts) == samples.read_bytes()
    mixed = shuffled(study.prompts, study.folder / f"shuffled-{count}.parquet")
    assert study.sampled(count, "mixed", mixed) == samples.read_bytes()
    found = read_table(samples, SAMPLES)
    assert len(found) == PROMPTS * RESPONSES
    assert found["prompt_id"].nunique() == PROMPTS
    assert found["text"].nunique() > PROMPTS


@pytest.mark.parametrize("count", COUNTS)
def test_logprobs_are_the_same_file_whatever_the_shards(study: Study, samples: Path, count: int) -> None:
    expected = study.scored(1, f"one-{count}", samples)
    assert study.scored(count, "again", samples) == expected
    mixed = shuffled(samples, study.folder / f"shuffled-samples-{count}.parquet")
    assert study.scored(count, "mixed", mixed) == expected
    found = rows_of(expected, LOGPROBS, study.folder)
    assert len(found) == PROMPTS * RESPONSES
    assert (found["logprob_sum"] < 0).all()


@pytest.mark.parametrize("count", COUNTS)
def test_votes_are_the_same_file_whatever_the_shards(study: Study, samples: Path, count: int) -> None:
    expected = study.judged(1, f"one-{count}", samples, study.prompts)
    assert study.judged(count, "again", samples, study.prompts) == expected
    mixed = [shuffled(path, study.folder / f"votes-{count}-{path.name}") for path in (samples, study.prompts)]
    assert study.judged(count, "mixed", *mixed) == expected
    found = rows_of(expected, JUDGEMENTS, study.folder)
    assert len(found) == PROMPTS * RESPONSES * VOTES
    # The responses that leave no room are in the table once, not once per shard.
    assert (found["failure"] == TOO_LONG).sum() == RESPONSES * VOTES
    assert set(found.loc[found["failure"] == TOO_LONG, "prompt_id"]) == {"colours-05"}


@pytest.mark.parametrize("study", ["bfloat16"], indirect=True)
def test_other_batches_would_show(study: Study, samples: Path) -> None:
    """The comparison can fail: what runs together does round together."""
    assert study.scored(1, "two", samples) != study.scored(1, "three", samples, together=3)


@pytest.mark.parametrize("study", ["float32"], indirect=True)
def test_the_script_makes_the_same_shard_in_its_own_process(study: Study, samples: Path) -> None:
    study.sampled(5, "own", study.prompts)
    expected = study.folder / "own-samples-5/2-of-5.parquet"
    table = study.folder / "process/2-of-5.parquet"
    words = ["--prompts", study.prompts, "--model", study.model, "--base", study.model, "--samples", table]
    words += ["--responses", RESPONSES, "--temperature", 1.2, "--top-p", 0.95, "--max-new-tokens", 12, "--seed", 1]
    words += ["--iteration", 1, "--prompts-per-batch", 2, "--precision", "float32", "--shard", "2/5"]
    done = script("sample_responses.py", *words)
    assert done.returncode == 0, done.stderr
    assert table.read_bytes() == expected.read_bytes()
    record = json.loads(Path(f"{table}.record.json").read_text())
    assert record["settings"]["shard"] == [2, 5]
    # Cells 2 and 7, of two prompts and of the thirteenth.
    assert record["observed"]["responses"] == len(read_table(table, SAMPLES)) == 3 * RESPONSES


@pytest.mark.parametrize("study", ["float32"], indirect=True)
def test_a_shard_without_work_is_refused_and_writes_nothing(study: Study) -> None:
    with pytest.raises(UserError) as mistake:
        study.sampled(8, "too many", study.prompts)
    said = str(mistake.value)
    assert "shard 8 of 8" in said
    assert f"{PROMPTS} prompts in cells of 2 make 7" in said
    assert sorted(path.name for path in (study.folder / "too many-samples-8").iterdir()) == [
        f"{number}-of-8.parquet" for number in range(1, 8)
    ]


# What can't be put together


def script(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """One of the project's scripts, in its own process."""
    return subprocess.run(
        [sys.executable, f"scripts/{name}", *map(str, words)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def shard_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """Tables called so, of one prompt each."""
    return [
        write_samples(folder / f"{name}.parquet", [(f"p{at}", index, "red") for index in range(2)])
        for at, name in enumerate(names)
    ]


def merging(shards: Sequence[Path], kind: str = "samples") -> subprocess.CompletedProcess[str]:
    """Merge into a table beside the shards; on a mistake nothing may be written there."""
    folder = shards[0].parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = script("merge_shards.py", "--kind", kind, "--table", folder / "whole.parquet", "--shards", *shards)
    if done.returncode:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    return done


def test_shards_are_put_together_in_whatever_order(tmp_path: Path) -> None:
    shards = shard_files(tmp_path, ["1-of-3", "2-of-3", "3-of-3"])
    done = merging([shards[2], shards[0], shards[1]])
    assert done.returncode == 0, done.stderr
    everything = write_samples(tmp_path / "all.parquet", [(f"p{at}", k, "red") for at in range(3) for k in range(2)])
    assert (tmp_path / "whole.parquet").read_bytes() == everything.read_bytes()
    record = json.loads((tmp_path / "whole.parquet.record.json").read_text())
    assert record["observed"] == {"rows": 6, "shards": 3}
    assert len(record["inputs"]) == 3


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["1-of-3", "3-of-3"], ["shard 2 is missing", "make it first"]),
        (["1-of-2"], ["shard 2 is missing"]),
        (["1-of-2", "2-of-3"], ["parts of 2 and of 3", "one split"]),
        (["1-of-2", "part2"], ["part2.parquet is not named like a shard", "1-of-5.parquet"]),
        (["1-of-2", "2-of-2-old"], ["2-of-2-old.parquet is not named like a shard"]),
        (["1-of-2", "2-of-2", "3-of-2"], ["3-of-2"]),
        (["0-of-2", "1-of-2", "2-of-2"], ["0-of-2"]),
    ],
    ids=lambda names: " ".join(names),
)
def test_shards_that_are_no_whole_are_refused(tmp_path: Path, names: list[str], words: list[str]) -> None:
    said = last_error(merging(shard_files(tmp_path, names)))
    assert all(word in said for word in words), said


def test_shards_that_overlap_are_refused(tmp_path: Path) -> None:
    one = write_samples(tmp_path / "1-of-2.parquet", [("p0", 0, "red"), ("p1", 0, "red")])
    two = write_samples(tmp_path / "2-of-2.parquet", [("p1", 0, "blue"), ("p2", 0, "red")])
    said = last_error(merging([one, two]))
    assert all(word in said for word in ("1-of-2.parquet", "2-of-2.parquet", "'p1'", "different runs")), said


def test_a_shard_of_another_kind_of_table_is_refused(tmp_path: Path) -> None:
    said = last_error(merging(shard_files(tmp_path, ["1-of-2", "2-of-2"]), kind="logprobs"))
    assert "1-of-2.parquet" in said and "logprobs table" in said


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    one, two = shard_files(tmp_path, ["1-of-2", "2-of-2"])
    two.write_bytes(two.read_bytes()[:100])
    assert "2-of-2.parquet can't be read" in last_error(merging([one, two]))


# The flag


@pytest.fixture
def flags() -> argparse.ArgumentParser:
    parser = stage.parser("")
    stage.add_shard_flag(parser)
    return parser


@pytest.mark.parametrize(("text", "expected"), [("1/1", (1, 1)), ("2/5", (2, 5)), ("10/10", (10, 10))])
def test_a_shard_is_a_number_and_their_count(flags: argparse.ArgumentParser, text: str, expected: tuple) -> None:
    assert flags.parse_args(["--shard", text]).shard == expected


def test_without_the_flag_one_job_does_all(flags: argparse.ArgumentParser) -> None:
    assert flags.parse_args([]).shard == (1, 1)


NO_SHARDS = ["0/3", "4/3", "x", "2", "", "/", "1/", "/3", "-1/3", "1/0", "0/0", "1.0/3", "1/3/5", "½/3", "²/5"]


@pytest.mark.parametrize("text", NO_SHARDS)
def test_what_is_no_shard_is_said_clearly(
    flags: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        flags.parse_args([f"--shard={text}"])
    assert stop.value.code == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert "--shard" in said and repr(text) in said and "write 2/5" in said


@pytest.mark.parametrize(
    ("name", "text"),
    [("sample_responses.py", "0/3"), ("score_responses.py", "4/3"), ("judge_responses.py", "x")],
)
def test_every_sharing_script_refuses_what_is_no_shard(tiny_assets: Path, name: str, text: str) -> None:
    done = script(name, "--base", tiny_assets / "model", "--shard", text)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"argument --shard: {text!r} is no shard: write 2/5 for the second of five" in done.stderr
