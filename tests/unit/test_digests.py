"""Digests by content: a tensor file is its tensors, whatever else the file carries."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cream.digests import CHUNK, file_digest, folder_digests, tensors_digest


def tensors() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(6)
    return {
        "b.weight": generator.normal(size=(3, 4)).astype(np.float32),
        "a.weight": generator.normal(size=(5,)).astype(np.float16),
        "c.bias": np.arange(4, dtype=np.int64),
    }


def saved(path: Path, content: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
    save_file(content, path, metadata=metadata)
    return path


def rewritten(path: Path, names: list[str], content: dict[str, np.ndarray]) -> Path:
    """A valid safetensors file, by hand, with its tensors and header entries in the order of `names`."""
    header, body = {}, b""
    kinds = {"float32": "F32", "float16": "F16", "int64": "I64"}
    for name in names:
        array = content[name]
        data = array.tobytes()
        header[name] = {
            "dtype": kinds[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps({"__metadata__": {"made": "by hand"}, **header}, indent=1).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_a_file_digest_is_sha256_of_its_bytes(size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_metadata_and_order_do_not_count(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain.safetensors", tensors())
    noted = saved(tmp_path / "noted.safetensors", tensors(), metadata={"saved": "today", "by": "someone"})
    turned = rewritten(tmp_path / "turned.safetensors", ["c.bias", "a.weight", "b.weight"], tensors())
    # The three files hold the same tensors and yet differ.
    assert len({path.read_bytes() for path in (plain, noted, turned)}) == 3
    for name, array in load_file(turned).items():
        np.testing.assert_array_equal(array, tensors()[name])
    assert tensors_digest(plain) == tensors_digest(noted) == tensors_digest(turned)


@pytest.mark.parametrize("at", [1, 30, -1])
def test_one_changed_byte_counts(at: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", tensors())
    before = tensors_digest(path)
    content = bytearray(path.read_bytes())
    body = 8 + struct.unpack("<Q", content[:8])[0]
    content[at if at < 0 else body + at] ^= 1
    path.write_bytes(content)
    assert tensors_digest(path) != before


@pytest.mark.parametrize("change", ["name", "shape", "type", "swap", "missing"])
def test_names_shapes_and_types_count(change: str, tmp_path: Path) -> None:
    plain, content = tensors(), tensors()
    if change == "name":
        content["d.weight"] = content.pop("b.weight")
    elif change == "shape":
        content["b.weight"] = content["b.weight"].reshape(4, 3)
    elif change == "type":
        content["c.bias"] = content["c.bias"].view(np.uint64)
    elif change == "swap":
        # The same two arrays under each other's names.
        plain["d.weight"] = content["b.weight"] + 1
        content["b.weight"], content["d.weight"] = plain["d.weight"], plain["b.weight"]
    else:
        del content["c.bias"]
    changed = saved(tmp_path / "changed.safetensors", content)
    assert tensors_digest(changed) != tensors_digest(saved(tmp_path / "plain.safetensors", plain))


def test_a_tensor_larger_than_a_chunk_is_read_whole(tmp_path: Path) -> None:
    big = np.zeros(CHUNK // 4 + 10, dtype=np.float32)
    path = saved(tmp_path / "one.safetensors", {"big": big})
    big[-1] = 1
    assert tensors_digest(path) != tensors_digest(saved(tmp_path / "two.safetensors", {"big": big}))


def test_a_file_that_ends_inside_a_tensor_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", tensors())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"model\.safetensors ends inside tensor"):
        tensors_digest(path)


def test_a_folder_lists_every_file_and_weights_by_their_tensors(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deep/notes.txt").write_text("hello")
    (folder / ".hidden").write_text("scratch")
    weights = saved(folder / "model.safetensors", tensors())
    found = folder_digests(folder)
    assert found == {
        "config.json": hashlib.sha256(b"{}").hexdigest(),
        "deep/notes.txt": hashlib.sha256(b"hello").hexdigest(),
        "model.safetensors": tensors_digest(weights),
    }
    # Saved again with another note, the folder is still the same.
    saved(weights, tensors(), metadata={"saved": "later"})
    assert folder_digests(folder) == found
