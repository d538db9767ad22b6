"""Checkpoints of one training, kept outside its declared output: killed, it goes on from the last whole one.

Snakemake removes the output of a job that failed, so they lie in results/scratch. They are used again only by
the very same job: same settings, inputs, code and packages.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from cream.digests import file_digest
from cream.processes import is_main_process

KEEP = 2  # the last one may be the one that a kill cut short
SEAL = "whole.json"
OWNER = "job.json"


class Checkpoints:
    """The checkpoints in a folder, one sub-folder `checkpoint-{step}` each. Without a folder there are none.

    A checkpoint counts only once it is sealed with the digests of its files, so one that was cut short, or
    changed since, is seen and left out.
    """

    def __init__(self, folder: Path | None = None, identity: str = ""):
        self.folder, self.identity = folder, identity

    def open(self) -> Path | None:
        """The folder to write `checkpoint-{step}` in, marked as this job's; what belongs to another is removed."""
        if self.folder is not None and is_main_process():
            if self.folder.is_dir() and not self._is_ours():
                _say(f"{self.folder} is of other settings, inputs or code: beginning anew")
                self.forget()
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder / OWNER, {"identity": self.identity})
        return self.folder

    def latest(self) -> Path | None:
        """The last whole checkpoint of this very job."""
        if self.folder is None or not self._is_ours():
            return None
        for checkpoint in reversed(self._all()):
            if _is_whole(checkpoint):
                return checkpoint
            _say(f"{checkpoint} was cut short or changed: left out")
        return None

    def seal(self, checkpoint: Path) -> None:
        """Say that a checkpoint is whole, once all its files are on the disk, and drop all but the last few."""
        files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL)
        for path in files:
            _flush(path)
        _write(checkpoint / SEAL, {str(path.relative_to(checkpoint)): file_digest(path) for path in files})
        for old in self._all()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)  # NFS may hold on to a file that is still being read

    def forget(self) -> None:
        if self.folder is not None and is_main_process():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        numbered = [path for path in self.folder.glob("checkpoint-*") if path.name.split("-")[-1].isdecimal()]
        return sorted(numbered, key=lambda path: int(path.name.split("-")[-1]))

    def _is_ours(self) -> bool:
        try:
            return json.loads((self.folder / OWNER).read_text(encoding="utf-8")) == {"identity": self.identity}
        except (OSError, ValueError):
            return False


def _is_whole(checkpoint: Path) -> bool:
    try:
        digests = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        return bool(digests) and all(file_digest(checkpoint / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, AttributeError):
        return False


def _write(path: Path, content: dict) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
    _flush(temporary)
    temporary.replace(path)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _say(text: str) -> None:
    if is_main_process():
        print(text, flush=True)
