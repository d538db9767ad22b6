"""The tables that stages hand to each other: their columns, types, keys, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cream.errors import UserError
from cream.stage import whole_file

IDS = pa.list_(pa.int32())


@dataclass(frozen=True)
class TableSpec:
    """Columns with their types, the columns that together name a row, and what may be missing."""

    name: str
    columns: dict[str, pa.DataType]
    key: tuple[str, ...]
    nullable: frozenset[str] = frozenset()

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(name, kind) for name, kind in self.columns.items()])


POOL = TableSpec(
    "pool",
    {
        "item_id": pa.string(),
        "task": pa.string(),
        "kind": pa.string(),
        "prompt": pa.string(),
        "target": pa.string(),
        "answer": pa.string(),
        "choices": pa.list_(pa.string()),
    },
    key=("item_id",),
)
SPLIT = TableSpec(
    "split",
    {
        **POOL.columns,
        "prompt_ids": IDS,
        "target_ids": IDS,
    },
    key=("item_id",),
)
SAMPLES = TableSpec(
    "samples",
    {
        "prompt_id": pa.string(),
        "response_index": pa.int32(),
        "task": pa.string(),
        "prompt_ids": IDS,
        "response_ids": IDS,
        "text": pa.string(),
        "finish_reason": pa.string(),
    },
    key=("prompt_id", "response_index"),
)
LOGPROBS = TableSpec(
    "logprobs",
    {
        "prompt_id": pa.string(),
        "response_index": pa.int32(),
        "logprob_sum": pa.float64(),
        "tokens": pa.int32(),
    },
    key=("prompt_id", "response_index"),
)
JUDGEMENTS = TableSpec(
    "judgements",
    {
        "prompt_id": pa.string(),
        "response_index": pa.int32(),
        "vote": pa.int32(),
        "text": pa.string(),
        "finish_reason": pa.string(),
        "score": pa.float64(),
        "failure": pa.string(),
    },
    key=("prompt_id", "response_index", "vote"),
    nullable=frozenset({"score"}),
)
EXTERNAL = TableSpec(
    "external rewards",
    {
        "prompt_id": pa.string(),
        "response_index": pa.int32(),
        "score": pa.float64(),
        "failure": pa.string(),
    },
    key=("prompt_id", "response_index"),
    nullable=frozenset({"score"}),
)
VERDICTS = TableSpec(
    "verdicts",
    {
        "prompt_id": pa.string(),
        "response_index": pa.int32(),
        "verdict": pa.float64(),
    },
    key=("prompt_id", "response_index"),
    nullable=frozenset({"verdict"}),
)
REWARDS = TableSpec(
    "rewards",
    {
        "prompt_id": pa.string(),
        "response_index": pa.int32(),
        "reward": pa.float64(),
        "comparison": pa.float64(),
    },
    key=("prompt_id", "response_index"),
    nullable=frozenset({"reward", "comparison"}),
)
CONSISTENCY = TableSpec(
    "consistency",
    {
        "prompt_id": pa.string(),
        "compared": pa.int32(),
        "kendall": pa.float64(),
        "spearman": pa.float64(),
        "toporder": pa.float64(),
        "left_out": pa.string(),
        "consistency": pa.float64(),
        "weight": pa.float64(),
        "unweighted": pa.string(),
    },
    key=("prompt_id",),
    nullable=frozenset({"kendall", "spearman", "toporder", "consistency", "weight"}),
)
AGREEMENT = TableSpec(
    "agreement",
    {
        "prompt_id": pa.string(),
        "self_kendall": pa.float64(),
        "self_spearman": pa.float64(),
        "self_toporder": pa.float64(),
        "self_consistency": pa.float64(),
        "self_left_out": pa.string(),
        "told_apart": pa.int32(),
        "reward_accuracy": pa.float64(),
        "self_accuracy": pa.float64(),
    },
    key=("prompt_id",),
    nullable=frozenset(
        {"self_kendall", "self_spearman", "self_toporder", "self_consistency", "reward_accuracy", "self_accuracy"}
    ),
)
PAIRS = TableSpec(
    "pairs",
    {
        "prompt_id": pa.string(),
        "chosen_index": pa.int32(),
        "rejected_index": pa.int32(),
        "prompt_ids": IDS,
        "chosen_ids": IDS,
        "rejected_ids": IDS,
        "chosen_reward": pa.float64(),
        "rejected_reward": pa.float64(),
        "ref_chosen_logps": pa.float64(),
        "ref_rejected_logps": pa.float64(),
        "weight": pa.float64(),
    },
    key=("prompt_id",),
)


def write_table(frame: pd.DataFrame, spec: TableSpec, path: Path) -> None:
    """Write `frame` sorted by its key, with exactly the columns and types of `spec`."""
    ordered = frame.sort_values(list(spec.key), kind="stable")
    columns = {name: pa.array(ordered[name].tolist(), kind, from_pandas=True) for name, kind in spec.columns.items()}
    with whole_file(path) as temporary:
        pq.write_table(pa.table(columns, schema=spec.schema), temporary)


def read_table(path: Path, spec: TableSpec) -> pd.DataFrame:
    """Read and check a table. List columns hold Python lists.

    Raises `UserError` naming the file and the reason: unreadable, missing or foreign columns,
    wrong types, no rows, missing values, duplicate keys.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as problem:
        reason = str(problem).splitlines()[0]
        raise UserError(
            f"{path} can't be read as a {spec.name} table ({reason}): delete it and make it again"
        ) from problem
    _check_columns(table, spec, path)
    if table.num_rows == 0:
        raise UserError(f"{path} has no rows: a {spec.name} table needs at least one")
    for name in spec.columns:
        missing = table[name].is_null(nan_is_null=True)
        if name not in spec.nullable and pc.any(missing).as_py():
            row = missing.to_pylist().index(True)
            raise UserError(f"{path}, row {row} (from 0): column {name!r} has no value")
    frame = pd.DataFrame(
        {
            name: pd.Series(table[name].to_pylist(), dtype="float64" if kind == pa.float64() else None)
            for name, kind in spec.columns.items()
        }
    )
    _check_keys(frame, spec.key, path)
    return frame


def _check_columns(table: pa.Table, spec: TableSpec, path: Path) -> None:
    found = {field.name: field.type for field in table.schema}
    for name, kind in spec.columns.items():
        if name not in found:
            raise UserError(f"{path}: column {name!r} of a {spec.name} table is missing")
        if found[name] != kind and not _same_list(found[name], kind):
            raise UserError(f"{path}: column {name!r} is {found[name]}, a {spec.name} table has {kind}")
    foreign = sorted(set(found) - set(spec.columns))
    if foreign:
        raise UserError(f"{path}: a {spec.name} table has no column {foreign[0]!r}")


def _same_list(a: pa.DataType, b: pa.DataType) -> bool:
    """Lists are equal whatever their element field is called."""
    return pa.types.is_list(a) and pa.types.is_list(b) and a.value_type == b.value_type


def _check_keys(frame: pd.DataFrame, key: Sequence[str], path: Path) -> None:
    repeated = frame.duplicated(list(key))
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        values = ", ".join(f"{name}={frame[name].tolist()[row]!r}" for name in key)
        raise UserError(f"{path}, row {row} (from 0): {values} appears more than once")
