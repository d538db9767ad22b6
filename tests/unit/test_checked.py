"""A model folder is hashed once; any write to it, its time put back or not, has it hashed again."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cream import checked
from cream.errors import UserError
from cream.records import check_inputs, manifest_path, write_manifest
from cream.stage import InputPath


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "results/tiny/base/M0/model"
    folder.mkdir(parents=True)
    save_file({"a": np.arange(6.0), "b": np.ones((2, 2))}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    write_manifest(folder)
    return folder


def check(folder: Path) -> None:
    check_inputs(argparse.Namespace(model=InputPath(folder)))


def noted(folder: Path) -> bool:
    return checked.was_checked(folder, checked.state_of(folder, manifest_path(folder)))


def test_a_whole_model_is_noted_and_the_note_is_what_the_next_job_reads(model: Path) -> None:
    assert not noted(model)
    check(model)
    assert noted(model)
    # Damage that changes no time can only be made here by writing the note for it: it shows that nothing is hashed.
    (model / "config.json").write_text("[]")
    checked.keep_checked(model, checked.state_of(model, manifest_path(model)))
    check(model)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_changed_file_is_found_though_its_time_is_put_back(model: Path, name: str) -> None:
    check(model)
    path = model / name
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(UserError, match="is not what it was when it was made"):
        check(model)
    assert not noted(model)


def test_files_added_removed_and_another_manifest(model: Path) -> None:
    check(model)
    (model / "more.json").write_text("{}")
    with pytest.raises(UserError, match="was added to a model"):
        check(model)
    (model / "more.json").rename(model / "config.json")
    check(model)
    (model / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is not what it was"):
        check(model)
    manifest_path(model).write_text("{}")
    with pytest.raises(UserError, match="was added to a model"):
        check(model)


@pytest.mark.parametrize("note", ["", "{}", "[1"])
def test_a_damaged_note_has_the_model_hashed(model: Path, note: str) -> None:
    check(model)
    (path,) = (model.parents[3] / checked.FOLDER).rglob("*.json")
    path.write_text(note)
    assert not noted(model)
    check(model)
    assert noted(model)


def test_a_model_elsewhere_is_hashed_each_time(tmp_path: Path, model: Path) -> None:
    elsewhere = tmp_path / "given"
    model.rename(elsewhere)
    manifest_path(model).rename(manifest_path(elsewhere))
    check(elsewhere)
    assert not noted(elsewhere) and not list(tmp_path.rglob("checked"))
