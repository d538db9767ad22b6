"""Digests by content: of files, of tensors, of model folders."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_digest(path: Path) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor of a safetensors file, by name.

    The file's own bytes vary from save to save when it carries metadata; its tensors don't.
    Raises `ValueError` if it is no whole safetensors file.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        header, header_length = _header(file, path)
        header.pop("__metadata__", None)
        for name in sorted(header):
            entry = header[name]
            start, end = entry["data_offsets"]
            digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
            file.seek(8 + header_length + start)
            left = end - start
            while left:
                count = file.readinto(buffer[: min(CHUNK, left)])
                if not count:
                    raise ValueError(f"{path} ends inside tensor {name}")
                digest.update(buffer[:count])
                left -= count
    return digest.hexdigest()


def _header(file: BinaryIO, path: Path) -> tuple[dict, int]:
    """What a safetensors file says it holds, and how many bytes that took."""
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= path.stat().st_size - 8:
        raise ValueError(f"{path} has no header of tensors")
    header = json.loads(file.read(length))
    entries = (
        [entry for name, entry in header.items() if name != "__metadata__"] if isinstance(header, dict) else [None]
    )
    if not all(isinstance(entry, dict) and {"dtype", "shape", "data_offsets"} <= entry.keys() for entry in entries):
        raise ValueError(f"{path} has no header of tensors")
    return header, length


def folder_digests(folder: Path) -> dict[str, str]:
    """Digest of every file below a model folder, several at a time; weights by their tensors."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        digests = pool.map(_digest, files)
        return {str(path.relative_to(folder)): digest for path, digest in zip(files, digests, strict=True)}


def _digest(path: Path) -> str:
    return tensors_digest(path) if path.suffix == ".safetensors" else file_digest(path)
