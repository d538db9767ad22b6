"""Tensors in safetensors files, found by name and read one at a time."""

from __future__ import annotations

from pathlib import Path

BLOCK = 1 << 22  # numbers that are turned into doubles at a time


def holders(files: list[Path]) -> dict[str, Path]:
    """Tensor → the file that holds it."""
    from safetensors import safe_open

    found = {}
    for path in files:
        with safe_open(path, framework="pt") as tensors:
            found.update(dict.fromkeys(tensors.keys(), path))
    return found


def read(path: Path, name: str):
    """The tensor, in memory."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as tensors:
        return tensors.get_tensor(name)
