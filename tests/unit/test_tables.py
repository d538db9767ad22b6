"""The tables between stages: what is written is read back, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream import tables
from cream.consistency import Weighting, measure_prompts, weigh_prompts
from cream.errors import UserError
from cream.tables import CONSISTENCY, LOGPROBS, REWARDS, SAMPLES, SPLIT, TableSpec, read_table, write_table

SPECS = [value for value in vars(tables).values() if isinstance(value, TableSpec)]

samples_rows = st.lists(
    st.fixed_dictionaries(
        {
            "prompt_id": st.sampled_from(["p", "q", "né", ""]),
            "response_index": st.integers(0, 4),
            "task": st.text(max_size=5),
            "prompt_ids": st.lists(st.integers(0, 2**31 - 1), max_size=4),
            "response_ids": st.lists(st.integers(0, 9), max_size=4),
            "text": st.text(max_size=10),
            "finish_reason": st.sampled_from(["stop", "length"]),
        }
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: (row["prompt_id"], row["response_index"]),
)


def by_key(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: (row["prompt_id"], row["response_index"]))


@settings(max_examples=40)
@given(rows=samples_rows, data=st.data())
def test_what_is_written_is_read_back_whatever_the_row_order(tmp_path_factory, rows: list[dict], data) -> None:
    folder = tmp_path_factory.mktemp("round")
    write_table(pd.DataFrame(rows), SAMPLES, folder / "one.parquet")
    write_table(pd.DataFrame(data.draw(st.permutations(rows))), SAMPLES, folder / "two.parquet")
    assert read_table(folder / "one.parquet", SAMPLES).to_dict("records") == by_key(rows)
    assert (folder / "one.parquet").read_bytes() == (folder / "two.parquet").read_bytes()


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    frame = logprobs()
    for _ in range(2):
        write_table(frame, LOGPROBS, tmp_path / "one.parquet")
        write_table(frame.sample(frac=1, random_state=1), LOGPROBS, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "two.parquet"]


def test_column_order_and_foreign_columns_of_the_frame_do_not_reach_the_file(tmp_path: Path) -> None:
    frame = logprobs()
    write_table(frame, LOGPROBS, tmp_path / "one.parquet")
    write_table(frame[reversed(frame.columns)].assign(scratch=1), LOGPROBS, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert pq.read_schema(tmp_path / "two.parquet").names == list(LOGPROBS.columns)


def test_lists_of_ids_and_of_texts_stay_lists(tmp_path: Path) -> None:
    row = {
        "item_id": "siqa-000001",
        "task": "siqa",
        "kind": "choice",
        "prompt": "p",
        "target": "t",
        "answer": "a",
        "choices": ["a", "b"],
        "prompt_ids": [1, 2],
        "target_ids": [3],
    }
    write_table(pd.DataFrame([row]), SPLIT, tmp_path / "split.parquet")
    (found,) = read_table(tmp_path / "split.parquet", SPLIT).to_dict("records")
    assert found == row
    assert isinstance(found["prompt_ids"], list) and isinstance(found["choices"], list)


def test_missing_values_survive_where_they_are_allowed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"prompt_id": ["p", "q"], "response_index": [0, 0], "reward": [1.5, None]})
    frame["comparison"] = [None, 2.5]
    frame = frame.astype(object).where(frame.notna(), None)
    write_table(frame, REWARDS, tmp_path / "rewards.parquet")
    found = read_table(tmp_path / "rewards.parquet", REWARDS)
    assert found["reward"].isna().tolist() == [False, True]
    assert found["comparison"].isna().tolist() == [True, False]
    assert found["reward"].dtype == found["comparison"].dtype == np.float64


def test_a_column_that_is_missing_altogether_is_still_one_of_numbers(tmp_path: Path) -> None:
    # A study in which no prompt counts: later table steps compute with the column.
    frame = pd.DataFrame(
        {"prompt_id": ["p", "q"], "response_index": [0, 0], "reward": [1.0, 2.0], "comparison": [None, None]}
    )
    write_table(frame, REWARDS, tmp_path / "rewards.parquet")
    assert read_table(tmp_path / "rewards.parquet", REWARDS)["comparison"].dtype == np.float64


def test_the_consistency_table_of_a_real_measure_is_read_back(tmp_path: Path) -> None:
    rewards = pd.DataFrame(
        {
            "prompt_id": ["p", "p", "q", "q"],
            "response_index": [0, 1, 0, 1],
            "reward": [1.0, 2.0, 3.0, 3.0],
            "comparison": [2.0, 1.0, 1.0, 2.0],
        }
    )
    weighed = weigh_prompts(measure_prompts(rewards), Weighting("kendall", "prompt"))
    write_table(weighed.astype(object).where(weighed.notna(), None), CONSISTENCY, tmp_path / "c.parquet")
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "c.parquet", CONSISTENCY), weighed[list(CONSISTENCY.columns)], check_dtype=False
    )


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_spec_names_its_key_and_missing_values_among_its_columns(spec: TableSpec) -> None:
    assert spec.key
    assert set(spec.key) | spec.nullable <= set(spec.columns)
    assert not set(spec.key) & spec.nullable
    assert spec.schema.names == list(spec.columns)


def logprobs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "prompt_id": ["p", "p", "q"],
            "response_index": [0, 1, 0],
            "logprob_sum": [-1.5, -2.5, -3.5],
            "tokens": [3, 4, 5],
        }
    )


def good_arrow() -> pa.Table:
    return pa.table({name: pa.array(logprobs()[name].tolist(), kind) for name, kind in LOGPROBS.columns.items()})


def replaced(name: str, values: list, kind: pa.DataType) -> pa.Table:
    table = good_arrow()
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))


BAD = {
    "missing column": (good_arrow().drop_columns(["tokens"]), ["'tokens'", "missing"]),
    "foreign column": (good_arrow().append_column("scratch", pa.array([1, 2, 3])), ["'scratch'"]),
    "wrong type": (replaced("logprob_sum", ["a", "b", "c"], pa.string()), ["'logprob_sum'", "string", "double"]),
    "narrower type": (replaced("tokens", [3, 4, 5], pa.int64()), ["'tokens'", "int64", "int32"]),
    "null": (replaced("logprob_sum", [-1.5, None, -3.5], pa.float64()), ["'logprob_sum'", "row 1", "no value"]),
    "null key": (replaced("prompt_id", ["p", "p", None], pa.string()), ["'prompt_id'", "row 2", "no value"]),
    "duplicate key": (
        replaced("prompt_id", ["p", "q", "q"], pa.string()).set_column(
            1, "response_index", pa.array([0, 0, 0], pa.int32())
        ),
        ["row 2", "prompt_id='q'", "response_index=0", "more than once"],
    ),
    "empty": (good_arrow().slice(0, 0), ["no rows"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_with_its_file_and_what_is_wrong(case: str, tmp_path: Path) -> None:
    table, words = BAD[case]
    path = tmp_path / "scores.parquet"
    pq.write_table(table, path)
    with pytest.raises(UserError) as mistake:
        read_table(path, LOGPROBS)
    text = str(mistake.value)
    assert all(word in text for word in [str(path), *words]), text
    assert "\n" not in text


def test_a_number_that_is_not_one_counts_as_missing(tmp_path: Path) -> None:
    # NaN is how pandas writes a missing number, so a column without missing values has none.
    path = tmp_path / "scores.parquet"
    pq.write_table(replaced("logprob_sum", [-1.5, float("nan"), -3.5], pa.float64()), path)
    with pytest.raises(UserError, match="logprob_sum"):
        read_table(path, LOGPROBS)


@pytest.mark.parametrize("content", [b"", b"not a table", b"PAR1 cut short", b"prompt_id,tokens\np,3\n"])
def test_a_file_that_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError) as mistake:
        read_table(path, LOGPROBS)
    assert str(path) in str(mistake.value)
    assert "logprobs table" in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_table_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_table(logprobs(), LOGPROBS, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match="can't be read"):
        read_table(path, LOGPROBS)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as mistake:
        read_table(tmp_path / "nowhere.parquet", LOGPROBS)
    assert "nowhere.parquet" in str(mistake.value)


def test_a_failed_write_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_table(logprobs(), LOGPROBS, path)
    before = path.read_bytes()
    with pytest.raises((pa.ArrowException, TypeError, ValueError)):
        write_table(logprobs().assign(tokens="many"), LOGPROBS, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
