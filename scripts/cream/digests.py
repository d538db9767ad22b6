"""Digests by content: of files, of tensors, of model folders."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def tensors_digest(path: Path) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor of a safetensors file, by name.

    The file's own bytes vary from save to save when it carries metadata; its tensors don't.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        (header_length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_length))
        header.pop("__metadata__", None)
        for name in sorted(header):
            entry = header[name]
            start, end = entry["data_offsets"]
            digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
            file.seek(8 + header_length + start)
            left = end - start
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise ValueError(f"{path} ends inside tensor {name}")
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def folder_digests(folder: Path) -> dict[str, str]:
    """Digest of every file below a model folder; weights by their tensors."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {
        str(path.relative_to(folder)): tensors_digest(path) if path.suffix == ".safetensors" else file_digest(path)
        for path in files
    }
