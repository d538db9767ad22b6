"""What an artifact holds, as digests: of its bytes, and of its content where the same content can have other bytes.

A parquet file names the library that wrote it, a safetensors file may carry notes in any order, JSON can be laid
out in many ways. The content digests here leave all that out.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cream.digests import file_digest, tensors_digest

KINDS = {".parquet": "table", ".safetensors": "tensors", ".json": "json"}


def artifact_digests(path: Path) -> dict:
    """Of a file: `kind`, `bytes`, `file` (SHA-256 of its bytes) and `content`. Of a folder: `files`, the same for
    every file below it, hidden ones too, by relative path."""
    if not path.is_dir():
        return file_digests(path)
    files = files_below(path)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(file_digests, files))
    return {
        "kind": "folder",
        "files": {str(file.relative_to(path)): digests for file, digests in zip(files, found, strict=True)},
    }


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def file_digests(path: Path) -> dict:
    """`kind`, `bytes`, `file` and `content` of one file. What can't be read as its kind has its bytes as content."""
    kind, digest = KINDS.get(path.suffix, "file"), file_digest(path)
    try:
        content = content_digest(path, kind)
    except Exception:  # a damaged file breaks its reader in any way
        kind, content = "file", None
    return {"kind": kind, "bytes": path.stat().st_size, "file": digest, "content": content or digest}


def content_digest(path: Path, kind: str) -> str | None:
    """SHA-256 of the content of a file of that kind; None where the bytes are the content.

    Raises `ValueError` if it can't be read as one.
    """
    if kind == "table":
        return table_digest(path)
    if kind == "tensors":
        return tensors_digest(path)
    if kind == "json":
        return canonical_digest(json.loads(path.read_text(encoding="utf-8")))
    return None


def canonical_digest(value: object) -> str:
    """SHA-256 of a value that JSON can hold: keys sorted, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def table_digest(path: Path) -> str:
    """SHA-256 over the columns of a parquet file in order: name, type, and the values of all rows.

    Neither row groups, compression, dictionaries nor metadata count. Raises `ValueError` if it is no table.
    """
    # By name: imported plainly, pyarrow would count among the packages of stages that make no table (fingerprint.py).
    parquet = importlib.import_module("pyarrow.parquet")
    table = parquet.ParquetFile(path).read()
    digest = hashlib.sha256(json.dumps([table.num_rows, table.num_columns]).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(json.dumps([name, str(column.type)]).encode())
        _update(digest, column.combine_chunks())
    return digest.hexdigest()


def _update(digest, values) -> None:
    """Add an array: which values are there, and those that are. What lies under a missing value doesn't count."""
    arrow = importlib.import_module("pyarrow")
    if isinstance(values, arrow.ChunkedArray):  # of no chunk at all
        values = arrow.concat_arrays(values.chunks) if values.chunks else arrow.array([], values.type)
    if arrow.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    digest.update(json.dumps([str(values.type), len(values)]).encode())
    digest.update(values.is_valid().to_numpy(zero_copy_only=False).tobytes())
    values, kind = values.drop_null(), values.type
    if arrow.types.is_struct(kind):
        for field, part in zip(kind, values.flatten(), strict=True):
            digest.update(json.dumps(field.name).encode())
            _update(digest, part)
    elif arrow.types.is_list(kind) or arrow.types.is_large_list(kind):
        digest.update(values.value_lengths().cast(arrow.int64()).to_numpy(zero_copy_only=False).tobytes())
        _update(digest, values.flatten())
    elif arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
        _update(digest, values.cast(arrow.large_binary()))
    elif arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind):
        digest.update(
            importlib.import_module("pyarrow.compute").binary_length(values).cast("int64").to_numpy().tobytes()
        )
        for value in values:
            digest.update(value.as_buffer())
    else:
        digest.update(values.to_numpy(zero_copy_only=False).tobytes())
