"""Two artifacts held against each other: what counts as the same, and what is said where they aren't."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from cream.audit.compare import DIVERGED, IDENTICAL, SAME_CONTENT, WITHIN_TOLERANCE, compare
from cream.audit.harmless import HARMLESS, harmless
from cream.promises import Tolerance

SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("response_index", pa.int32()),
        ("score", pa.float64()),
        ("text", pa.string()),
        ("ids", pa.list_(pa.int32())),
    ]
)
ROW = st.tuples(
    st.one_of(st.none(), st.floats()),
    st.one_of(st.none(), st.text(max_size=8)),
    st.one_of(st.none(), st.lists(st.integers(-5, 5), max_size=5)),
)
ROWS = st.lists(ROW, min_size=1, max_size=12)
anew = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def columns(rows: list[tuple]) -> dict[str, list]:
    return {
        "prompt_id": [f"p{at // 2}" for at in range(len(rows))],
        "response_index": [at % 2 for at in range(len(rows))],
        **{name: [row[at] for row in rows] for at, name in enumerate(("score", "text", "ids"))},
    }


def table(path: Path, content: dict[str, list], **options) -> Path:
    pq.write_table(pa.table(content, schema=SCHEMA), path, **options)
    return path


def numbers(path: Path, values: list[float | None]) -> Path:
    return table(path, columns([(value, "a", [1]) for value in values]))


@anew
@given(
    rows=ROWS,
    group=st.integers(1, 5),
    compression=st.sampled_from(["none", "zstd", "gzip"]),
    dictionary=st.booleans(),
)
def test_equal_tables_have_the_same_content_however_they_are_stored(
    rows: list, group: int, compression: str, dictionary: bool, tmp_path: Path
) -> None:
    ours = table(tmp_path / "a.parquet", columns(rows))
    theirs = tmp_path / "b.parquet"
    noted = pa.table(columns(rows), schema=SCHEMA.with_metadata({"written": "elsewhere"}))
    pq.write_table(noted, theirs, row_group_size=group, compression=compression, use_dictionary=dictionary)
    assert compare(ours, theirs).verdict == SAME_CONTENT
    assert compare(ours, ours).verdict == IDENTICAL


def same(a: object, b: object) -> bool:
    """By bits, where they are numbers."""
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return a == b


@anew
@given(rows=ROWS, other=ROW, data=st.data())
def test_one_changed_cell_is_named(rows: list, other: tuple, data: st.DataObject, tmp_path: Path) -> None:
    row, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 2))
    name = ("score", "text", "ids")[column]
    changed = [list(entry) for entry in rows]
    changed[row][column] = other[column]
    found = compare(table(tmp_path / "a.parquet", columns(changed)), table(tmp_path / "b.parquet", columns(rows)))
    if same(rows[row][column], other[column]):
        assert found.verdict in (IDENTICAL, SAME_CONTENT)
        return
    assert found.verdict == DIVERGED
    assert f"prompt_id='p{row // 2}', response_index={row % 2}, column '{name}'" in found.said[0]
    assert found.data["difference"]["columns"] == {name: 1}
    assert found.data["difference"]["differing"] == 1


def test_the_first_differing_token_and_character_are_named(tmp_path: Path) -> None:
    ours, theirs = columns([(1.0, "seven", [4, 5, 6])] * 4), columns([(1.0, "seven", [4, 5, 6])] * 4)
    ours["ids"][2], ours["text"][3] = [4, 9], "sevan"
    found = compare(table(tmp_path / "a.parquet", ours), table(tmp_path / "b.parquet", theirs))
    assert (
        "prompt_id='p1', response_index=0, column 'ids', first at position 1 (from 0): 9 ours, 5 theirs"
        in found.said[0]
    )
    assert "2 of 4 rows differ; by column: text (1), ids (1)" in found.said
    only_text = {**ours, "ids": theirs["ids"]}
    found = compare(table(tmp_path / "a.parquet", only_text), table(tmp_path / "b.parquet", theirs))
    assert "first at character 3 (from 0): 'sevan' ours, 'seven' theirs" in found.said[0]


def test_rows_are_matched_by_key_and_those_alone_are_named(tmp_path: Path) -> None:
    theirs = columns([(float(at), "a", [at]) for at in range(6)])
    ours = {name: values[1:] for name, values in theirs.items()}
    found = compare(table(tmp_path / "a.parquet", ours), table(tmp_path / "b.parquet", theirs))
    assert found.verdict == DIVERGED
    assert found.said[0] == "1 rows are theirs alone (prompt_id='p0', response_index=0)"
    assert found.data["difference"]["differing"] == 0
    turned = {name: values[::-1] for name, values in theirs.items()}
    found = compare(table(tmp_path / "a.parquet", turned), table(tmp_path / "b.parquet", theirs), Tolerance(rows=1.0))
    assert (found.verdict, found.said[0]) == (DIVERGED, "the rows are in another order")


def test_other_columns_are_named(tmp_path: Path) -> None:
    content = columns([(1.0, "a", [1])])
    ours = pa.table({**content, "extra": [1], "response_index": ["0"]})
    pq.write_table(ours, tmp_path / "a.parquet")
    found = compare(tmp_path / "a.parquet", table(tmp_path / "b.parquet", content), Tolerance(rows=1.0))
    assert found.verdict == DIVERGED
    assert "column 'extra' is ours alone" in found.said
    assert "column 'response_index' is string ours, int32 theirs" in found.said


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (10.75, 10.0, WITHIN_TOLERANCE),  # 0.5 + 0.025 · 10, exactly
        (np.nextafter(10.75, 11), 10.0, DIVERGED),
        (9.25, 10.0, WITHIN_TOLERANCE),
        (10.0, 10.75, WITHIN_TOLERANCE),  # 0.5 + 0.025 · 10.75 is a little more
        (math.nan, 10.0, DIVERGED),
        (None, 10.0, DIVERGED),
        (math.inf, 10.0, DIVERGED),
        (math.inf, -math.inf, DIVERGED),
        (0.0, -0.0, WITHIN_TOLERANCE),  # other bits
        (math.nan, math.nan, IDENTICAL),
    ],
)
def test_numbers_at_the_edge_of_the_tolerance(ours: float, theirs: float, verdict: str, tmp_path: Path) -> None:
    tolerance = Tolerance(absolute=0.5, relative=0.025)
    tables = numbers(tmp_path / "a.parquet", [1.0, ours]), numbers(tmp_path / "b.parquet", [1.0, theirs])
    assert compare(*tables, tolerance).verdict == verdict
    if verdict != IDENTICAL:
        assert compare(*tables).verdict == DIVERGED


@pytest.mark.parametrize(("changed", "verdict"), [(1, WITHIN_TOLERANCE), (2, WITHIN_TOLERANCE), (3, DIVERGED)])
def test_a_share_of_rows_may_differ(changed: int, verdict: str, tmp_path: Path) -> None:
    theirs = columns([(1.0, "a", [1])] * 8)
    ours = {**theirs, "text": ["b"] * changed + ["a"] * (8 - changed)}
    found = compare(table(tmp_path / "a.parquet", ours), table(tmp_path / "b.parquet", theirs), Tolerance(rows=0.25))
    assert found.verdict == verdict


def test_the_largest_difference_of_numbers_is_named(tmp_path: Path) -> None:
    found = compare(numbers(tmp_path / "a.parquet", [1, 2, 3.5, 4]), numbers(tmp_path / "b.parquet", [1, 2.25, 3, 4]))
    assert found.said[-1] == (
        "the largest difference of two numbers is 0.5, at prompt_id='p1', response_index=0, column 'score'"
    )


def tensors(path: Path, content: dict[str, np.ndarray], **metadata: str) -> Path:
    save_file(content, path, metadata=metadata or None)
    return path


WEIGHTS = {"b": np.full((2, 2), 2.0, np.float32), "a": np.array([3.0, 0.0], np.float32)}  # ‖b‖² = 25


def test_tensors_are_the_same_whatever_notes_are_with_them(tmp_path: Path) -> None:
    ours = tensors(tmp_path / "a.safetensors", WEIGHTS, saved="today", by="someone")
    theirs = tensors(tmp_path / "b.safetensors", dict(reversed(WEIGHTS.items())), by="another")
    assert compare(ours, theirs).verdict == SAME_CONTENT


@pytest.mark.parametrize(("by", "verdict"), [(0.25, WITHIN_TOLERANCE), (0.2500001, DIVERGED), (math.nan, DIVERGED)])
def test_tensors_at_the_edge_of_the_tolerance(by: float, verdict: str, tmp_path: Path) -> None:
    ours = {**WEIGHTS, "a": np.array([3.0, by], np.float32)}
    files = tensors(tmp_path / "a.safetensors", ours), tensors(tmp_path / "b.safetensors", WEIGHTS)
    found = compare(*files, Tolerance(tensors=0.05))
    assert found.verdict == verdict
    assert found.data["difference"]["largest"]["tensor"] == "a"
    if by == 0.25:
        assert found.data["difference"]["relative"] == pytest.approx(0.05)
    assert compare(*files).verdict == DIVERGED


def test_tensors_of_another_form_are_named(tmp_path: Path) -> None:
    ours = {"a": np.zeros((2, 1), np.float32), "c": np.ones(1, np.float32)}
    found = compare(
        tensors(tmp_path / "a.safetensors", ours), tensors(tmp_path / "b.safetensors", WEIGHTS), Tolerance(tensors=9.0)
    )
    assert found.verdict == DIVERGED
    assert found.said == [
        "1 tensors are ours alone, the first is 'c'",
        "1 tensors are theirs alone, the first is 'b'",
        "tensor 'a': float32 [2, 1] ours, float32 [2] theirs",
    ]


def test_json_is_compared_by_value(tmp_path: Path) -> None:
    theirs = {"n": 2, "metrics": {"acc": 0.5}, "items": [{"id": "x", "acc": 1.0}, {"id": "y", "acc": 0.0}]}
    ours = json.loads(json.dumps(theirs))
    ours["items"][1]["acc"], ours["metrics"]["acc"] = 1.0, 1.0
    paths = tmp_path / "a.json", tmp_path / "b.json"
    paths[0].write_text(json.dumps(theirs, indent=2, sort_keys=True))
    paths[1].write_text(json.dumps(theirs))
    assert compare(*paths).verdict == SAME_CONTENT
    paths[0].write_text(json.dumps(ours))
    found = compare(*paths)
    assert found.verdict == DIVERGED
    assert found.said[0] == "metrics.acc: 1.0 ours, 0.5 theirs"
    assert "2 of 6 values differ" in found.said
    assert found.said[-1] == "the largest difference of two numbers is 1, at items[1].acc"
    assert compare(*paths, Tolerance(absolute=0.5, rows=1 / 4)).verdict == WITHIN_TOLERANCE
    assert compare(*paths, Tolerance(absolute=0.5, rows=0.24)).verdict == DIVERGED
    assert compare(*paths, Tolerance(absolute=0.49, rows=1.0)).verdict == DIVERGED  # the metric is no row
    del ours["items"][0]
    paths[0].write_text(json.dumps({**theirs, "items": theirs["items"][:1]}))
    assert "items[1].id: nothing ours, 'y' theirs" in compare(*paths).said


def test_csv_names_row_column_and_values(tmp_path: Path) -> None:
    paths = tmp_path / "a.csv", tmp_path / "b.csv"
    paths[0].write_text("model,task,acc\ntiny,sums,0.25\ntiny,colours,0.5\n")
    paths[1].write_text("model,task,acc\ntiny,sums,0.25\ntiny,colours,0.75\n")
    found = compare(*paths)
    assert found.verdict == DIVERGED
    assert found.said[0] == "line 3 (tiny, colours), column 'acc': '0.5' ours, '0.75' theirs"
    assert compare(*paths, Tolerance(absolute=0.25)).verdict == WITHIN_TOLERANCE


def test_other_files_name_the_first_byte(tmp_path: Path) -> None:
    paths = tmp_path / "a.txt", tmp_path / "b.txt"
    paths[0].write_text("one\ntwo\nthree\n")
    paths[1].write_text("one\ntwO\nthree\n")
    found = compare(*paths, Tolerance(rows=1.0))
    assert found.verdict == DIVERGED
    assert found.said[:2] == [
        "the first byte that differs is number 6 (from 0), in line 2",
        "line 2: 'two' ours, 'twO' theirs",
    ]
    paths[1].write_bytes(b"\xff\x00")
    assert compare(*paths).verdict == DIVERGED


def test_a_damaged_table_is_compared_by_its_bytes(tmp_path: Path) -> None:
    whole = numbers(tmp_path / "a.parquet", [1.0])
    cut = tmp_path / "b.parquet"
    cut.write_bytes(whole.read_bytes()[:-9])
    found = compare(cut, whole, Tolerance(rows=1.0))
    assert found.verdict == DIVERGED
    assert "the first byte that differs" in found.said[0]


def test_folders_are_compared_file_by_file(tmp_path: Path) -> None:
    for name, notes in (("a", {"by": "me"}), ("b", {})):
        folder = tmp_path / name
        folder.mkdir()
        tensors(folder / "model.safetensors", WEIGHTS, **notes)
        (folder / "config.json").write_text('{"n": 1}')
        (folder / ".snakemake_timestamp").write_text(name)
    a, b = tmp_path / "a", tmp_path / "b"
    found = compare(a, b)
    assert found.verdict == SAME_CONTENT
    assert found.data["harmless"] == [{"file": ".snakemake_timestamp", "why": HARMLESS[".snakemake_timestamp"]}]
    assert found.said[-1].startswith(".snakemake_timestamp counts for nothing")
    tensors(a / "model.safetensors", {**WEIGHTS, "a": np.array([3.0, 0.1], np.float32)})
    assert compare(a, b, Tolerance(tensors=0.05)).verdict == WITHIN_TOLERANCE
    assert compare(a, b).verdict == DIVERGED
    (a / "config.json").write_text('{"n": 2}')
    found = compare(a, b, Tolerance(tensors=0.05))
    assert found.verdict == DIVERGED
    assert "config.json: n: 2 ours, 1 theirs" in found.said
    (b / "config.json").unlink()
    assert "config.json: is ours alone" in compare(a, b).said
    assert compare(a, b / "model.safetensors").said == ["it is a folder ours, a file theirs"]
    assert compare(a, tmp_path / "gone").said == ["there is nothing theirs: gone is missing"]


def test_tensors_divided_into_other_files_are_no_other_numbers(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tensors(tmp_path / "a" / "model.safetensors", WEIGHTS)
    for name, tensor in WEIGHTS.items():
        tensors(tmp_path / "b" / f"{name}.safetensors", {name: tensor})
    found = compare(tmp_path / "a", tmp_path / "b", Tolerance(tensors=0.0))
    assert found.verdict == WITHIN_TOLERANCE
    assert found.data["difference"]["relative"] == 0.0


def test_what_a_table_says_is_never_a_terminals_command(tmp_path: Path) -> None:
    ours = table(tmp_path / "a.parquet", columns([(1.0, "\x1b[2J\u202eno", [1])]))
    found = compare(ours, table(tmp_path / "b.parquet", columns([(1.0, "yes", [1])])))
    assert all(line.isprintable() for line in found.said)


@pytest.mark.parametrize(
    ("path", "harmless_"),
    [
        ("results/logs/sample/x.log", True),
        ("results/tiny/base/M0/model/.snakemake_timestamp", True),
        (".snakemake_timestamp", True),
        ("results/export/models/tiny-M3-cream-seed1/README.md", True),
        ("results/report/index.html", True),
        ("results/tiny/seed1/cream/M2/judged/everyday/sft-M1.jsonl", True),
        ("results/tables/accuracy.csv", False),
        ("results/tiny/base/M0/model/config.json", False),
        ("results/report/other.html", False),
        ("results/assets/tiny/colours.jsonl", False),
    ],
)
def test_harmless_files(path: str, harmless_: bool) -> None:
    assert (harmless(path) is not None) == harmless_
