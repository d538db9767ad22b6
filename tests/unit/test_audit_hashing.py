"""Hashing many files: the digests of sha256sum, and a finding for each file that has none."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from cream.audit.findings import DIFFERS, UNCHECKED, Finding
from cream.audit.hashing import hash_files


def written(folder: Path, sizes: list[int]) -> list[Path]:
    paths = [folder / f"{at}.bin" for at in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(os.urandom(size))
    return paths


def test_digests_are_those_of_sha256sum_in_the_order_asked_for(tmp_path: Path) -> None:
    paths = written(tmp_path, [0, 1, 70, 1 << 18, (1 << 20) + 3, 5])
    said = subprocess.run(["sha256sum", *paths], capture_output=True, text=True, check=True).stdout.splitlines()
    found = hash_files([*paths, paths[0]])
    assert list(found) == paths
    assert list(found.values()) == [line.split()[0] for line in said]


def test_what_has_no_digest_is_found_and_the_rest_is_hashed(tmp_path: Path) -> None:
    (whole,) = written(tmp_path, [10])
    missing, folder, pipe, link = (tmp_path / name for name in ("missing", "folder", "pipe", "link"))
    folder.mkdir()
    os.mkfifo(pipe)
    link.symlink_to(link)
    found = hash_files([missing, folder, pipe, link, whole])
    assert found[missing] == Finding(DIFFERS, str(missing), "is missing: restore it or make it again")
    assert found[folder].said == found[pipe].said == "is no file: restore the file that was made"
    assert found[link] == Finding(UNCHECKED, str(link), "can't be read (Too many levels of symbolic links)")
    assert len(found[whole]) == 64


def overwritten(path: Path) -> None:
    """One byte, at once and with the old times put back."""
    times = path.stat()
    with path.open("r+b") as file:
        file.write(os.urandom(1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(b"another")
    other.replace(path)


@pytest.mark.parametrize("change", [overwritten, replaced, Path.unlink])
def test_a_file_changed_while_it_is_read_is_found(tmp_path: Path, change) -> None:
    """A file of holes, which hashes for half a second, is changed by another thread as soon as it has been opened."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(1 << 29)
    opened = threading.Event()

    def wait_and_change() -> None:
        while not opened.is_set():
            if str(path) in _open_files():
                opened.set()
        change(path)

    other = threading.Thread(target=wait_and_change)
    other.start()
    found = hash_files([path])[path]
    opened.set()
    other.join()
    assert isinstance(found, Finding)
    assert (found.kind, found.said) == (
        (DIFFERS, "is missing: restore it or make it again")
        if change is Path.unlink
        else (UNCHECKED, "was changed while it was read: verify again")
    )


def _open_files() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(entry.readlink()))
        except OSError:  # closed again
            continue
    return found
