"""What a job has finished so far, kept outside its declared output: killed, it goes on from there.

Snakemake removes the output of a job that failed, so finished parts lie in results/scratch until the output
is whole. They are used again only by the very same job: same settings, inputs, code and packages.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from cream.paths import RESULTS

SCRATCH = "scratch"


def scratch_path(output: Path) -> Path:
    """Where the unfinished work on an output lies: results/scratch/…, or hidden beside an output elsewhere."""
    results = results_of(output)
    if results is None:
        return output.with_name(f".{output.name}")
    return results / SCRATCH / output.relative_to(results)


def results_of(output: Path) -> Path | None:
    """The results folder that an output lies in; None for one elsewhere."""
    return next((parent for parent in output.parents if parent.name == RESULTS), None)


def key_of(*facts: object) -> str:
    """A short name for a part of the work, from what it is about (anything JSON can say)."""
    return hashlib.sha256(json.dumps(facts, default=_plain).encode()).hexdigest()[:32]


class Kept:
    """Finished parts by key. Without a file they are forgotten with the process.

    Each is a line of its own with a digest, flushed to the disk, so a line that a kill cut short is seen and
    its part done again.
    """

    def __init__(self, path: Path | None = None, identity: str = ""):
        self.path, self.identity = path, identity
        self.parts: dict[str, Any] = {}
        self.file: TextIO | None = None
        if path is not None and path.exists():
            self._read(path)

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """The part of this name: kept from before, or computed now and kept. A value is what JSON can hold."""
        if key not in self.parts:
            self.parts[key] = compute()
            self._write({"key": key, "value": self.parts[key], "digest": _digest(self.parts[key])})
        return self.parts[key]

    def _read(self, path: Path) -> None:
        first, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        if first != self._first_line:
            print(f"{path} is of other settings, inputs or code: beginning anew", flush=True)
            path.unlink()
            return
        damaged = 0
        for line in filter(None, lines):
            try:
                entry = json.loads(line)
                if entry["digest"] != _digest(entry["value"]):
                    raise ValueError("changed")
                self.parts[entry["key"]] = entry["value"]
            except (ValueError, KeyError, TypeError):
                damaged += 1
        print(f"going on where an earlier try stopped: {len(self.parts)} parts are done", flush=True)
        if damaged:
            print(f"{damaged} cut short or changed in {path}: done again", flush=True)

    def _write(self, entry: dict) -> None:
        if self.path is None:
            return
        if self.file is None:
            self._open(self.path)
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def _open(self, path: Path) -> None:
        """Begin the file with its identity, or go on behind what is in it, on a line of its own."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        self.file = path.open("a", encoding="utf-8")
        self.file.write(f"{self._first_line}\n" if new else "\n")

    @property
    def _first_line(self) -> str:
        return json.dumps({"identity": self.identity})


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    """NumPy's integers and arrays as Python's."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
