"""Digests of content: the same for the same values however they are stored, another for any other value."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cream.contents import artifact_digests, canonical_digest, file_digests, table_digest

ROW = st.fixed_dictionaries(
    {
        "id": st.text(max_size=3) | st.none(),
        "ids": st.lists(st.integers(-3, 3), max_size=3) | st.none(),
        "texts": st.lists(st.text(max_size=2) | st.none(), max_size=2),
        "right": st.booleans() | st.none(),
        "sum": st.sampled_from([0.0, 1.5, -2.0]) | st.none(),
        "who": st.fixed_dictionaries({"name": st.text(max_size=2) | st.none(), "t": st.integers(0, 2)}) | st.none(),
    }
)
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "ids": pa.list_(pa.int64()),
        "texts": pa.list_(pa.string()),
        "right": pa.bool_(),
        "sum": pa.float64(),
        "who": pa.struct({"name": pa.string(), "t": pa.int32()}),
    }
)
FEW = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def digest(rows: list[dict], path: Path, **how) -> str:
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, **how)
    return table_digest(path)


@FEW
@given(st.lists(ROW, max_size=6), st.lists(ROW, max_size=6))
def test_tables_have_one_digest_if_and_only_if_their_rows_are_equal(
    tmp_path: Path, ours: list[dict], theirs: list[dict]
) -> None:
    same = json.dumps(ours) == json.dumps(theirs)
    first = digest(ours, tmp_path / "a.parquet")
    second = digest(theirs, tmp_path / "b.parquet", row_group_size=2, compression="zstd", use_dictionary=False)
    assert (first == second) == same


@FEW
@given(st.lists(ROW, min_size=1, max_size=6))
def test_how_a_table_is_stored_does_not_count(tmp_path: Path, rows: list[dict]) -> None:
    plain = digest(rows, tmp_path / "a.parquet")
    assert plain == digest(rows, tmp_path / "b.parquet", row_group_size=1, compression="none")
    assert plain == digest(rows, tmp_path / "c.parquet", compression="zstd", use_dictionary=["id"], version="1.0")


def test_names_types_and_order_of_columns_count(tmp_path: Path) -> None:
    def of(**columns) -> str:
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        return table_digest(tmp_path / "t.parquet")

    one, two = pa.array([1, 2]), pa.array([3, 4])
    found = [of(a=one, b=two), of(b=one, a=two), of(b=two, a=one), of(a=one), of(a=one.cast(pa.int32()), b=two)]
    assert len(set(found)) == len(found)


def test_json_by_its_values(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"b": [1, 2.0], "a": "é"}')
    (tmp_path / "b.json").write_text('{\n "a": "\\u00e9",\n "b": [1, 2.0]}')
    (tmp_path / "c.json").write_text('{"b": [2.0, 1], "a": "é"}')
    found = [file_digests(tmp_path / f"{name}.json") for name in "abc"]
    assert found[0]["content"] == found[1]["content"] != found[2]["content"]
    assert len({each["file"] for each in found}) == 3
    assert found[0]["content"] == canonical_digest({"a": "é", "b": [1, 2.0]})


@pytest.mark.parametrize("name", ["a.json", "a.parquet", "a.safetensors", "a.txt"])
def test_what_can_not_be_read_as_its_kind_has_its_bytes_as_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PAR1 no")
    expected = hashlib.sha256(b"PAR1 no").hexdigest()
    assert file_digests(tmp_path / name) == {"kind": "file", "bytes": 7, "file": expected, "content": expected}


def test_a_folder_file_by_file_hidden_ones_too(tmp_path: Path) -> None:
    (tmp_path / "m" / "deep").mkdir(parents=True)
    (tmp_path / "m" / "deep" / ".a").write_text("x")
    (tmp_path / "m" / "b.json").write_text("{}")
    assert artifact_digests(tmp_path / "m")["files"].keys() == {"deep/.a", "b.json"}
