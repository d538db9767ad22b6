"""The record every stage leaves beside its first output: what went in, what came out, how.

A record is for people and audits. Nothing downstream depends on it, so the times and host in
it never make anything run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import resource
import sys
import time
from functools import cache
from pathlib import Path

from cream.digests import file_digest, folder_digests
from cream.errors import UserError
from cream.fingerprint import code_digest, stage_packages
from cream.phases import phases
from cream.processes import is_main_process, process_count

RECORD_VERSION = 1


def record_path(output: Path) -> Path:
    return output.with_name(output.name + ".record.json")


def write_record(settings: argparse.Namespace, started: float, determinism: str, observed: dict) -> None:
    """Write the record of the stage that just ran (its command line is `settings`)."""
    from cream.stage import OutputPath, whole_file

    outputs = [path for value in vars(settings).values() for path in _paths(value, OutputPath)]
    if not outputs:
        return
    record = {
        "version": RECORD_VERSION,
        "command": sys.argv,
        **recipe(settings),
        "outputs": {str(path): _digest(path) for path in outputs},
        "python": platform.python_version(),
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 3),
        "phases": phases(started),
        "cpu_seconds": round(sum(os.times()[:4]), 3),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "processes": process_count(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "determinism": determinism,
        "observed": observed,
    }
    with whole_file(record_path(outputs[0])) as path:
        path.write_text(json.dumps(_finite(record), indent=2, default=str) + "\n")


def recipe(settings: argparse.Namespace) -> dict:
    """All that the stage's result follows from: its settings, inputs, code and packages."""
    from cream.stage import InputPath

    script, given = Path(sys.argv[0]), vars(settings)
    engine = given.get("engine", "transformers")
    inputs = [path for value in given.values() for path in _paths(value, InputPath)]
    return {
        "stage": script.stem,
        "settings": {name: _plain(value) for name, value in given.items()},
        "inputs": {str(path): _input_digest(path) for path in inputs},
        "code": code_digest(script, engine),
        "packages": stage_packages(script, engine),
    }


def was_made(settings: argparse.Namespace, outputs: list[Path]) -> bool:
    """Whether the outputs are there, whole, from the very job that `settings` describe."""
    record = _read_json(record_path(outputs[0]))
    wanted = json.loads(json.dumps(_finite(recipe(settings)), default=str))
    return (
        record is not None
        and all(record.get(name) == value for name, value in wanted.items())
        and all(path.exists() and record["outputs"].get(str(path)) == _digest(path) for path in outputs)
    )


def check_inputs(settings: argparse.Namespace) -> None:
    """Raise `UserError` if an input isn't what its own record or manifest says: changed or cut short since."""
    from cream.stage import InputPath

    paths = dict.fromkeys(path for value in vars(settings).values() for path in _paths(value, InputPath))
    for path in paths:
        if path.is_dir():
            _check_folder(path)
        elif not _as_recorded(path):
            raise _changed(path, path)


def _changed(what: Path, path: Path) -> UserError:
    return UserError(
        f"{what} is not what it was when it was made (changed or cut short): delete {path} and what lies beside it "
        "under that name, and run again to make it anew"
    )


def _as_recorded(path: Path) -> bool:
    """Whether a file is as one of the records beside it says; so is one of which none says anything. A job with
    several outputs has its record beside the first."""
    records = filter(None, map(_read_json, path.parent.glob("*.record.json")))
    told = [
        digest
        for record in records
        for output, digest in record.get("outputs", {}).items()
        if Path(output).parts[-2:] == path.parts[-2:]
    ]
    return not told or _input_digest(path) in told


def _check_folder(folder: Path) -> None:
    """Raise `UserError` naming the first file of a model folder that its manifest tells otherwise, or not at all."""
    manifest = manifest_path(folder)
    if not manifest.exists():
        return
    told = _read_json(manifest)
    try:
        found = folder_digests(folder)
    except ValueError:  # a file of tensors without its end
        raise _changed(folder, folder) from None
    if told is None:
        raise _changed(folder, folder)
    for name in sorted({*told, *found}):
        if name not in told:
            raise UserError(f"{folder / name} was added to a model that was made without it: remove it")
        if told[name] != found.get(name):
            raise _changed(folder / name, folder)


def _read_json(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _finite(value: object) -> object:
    """NaN and infinity as text: JSON has no word for them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _paths(value: object, kind: type) -> list[Path]:
    found = value if isinstance(value, list) else [value]
    return [item for item in found if isinstance(item, kind)]


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return str(value) if isinstance(value, Path) else value


@cache
def _input_digest(path: Path) -> str | dict[str, str]:
    """As the job found it: read once."""
    return _digest(path)


def _digest(path: Path) -> str | dict[str, str]:
    if not path.is_dir():
        return file_digest(path)
    manifest = manifest_path(path)
    return {"manifest": file_digest(manifest)} if manifest.exists() else folder_digests(path)


def manifest_path(folder: Path) -> Path:
    """Where the small digest file of a model folder lies: beside it."""
    return folder.with_name(folder.name + ".json")


def write_manifest(folder: Path) -> None:
    """Write the digests of a model folder beside it: what later stages depend on."""
    from cream.stage import whole_file

    if not is_main_process():
        return
    with whole_file(manifest_path(folder)) as path:
        path.write_text(json.dumps(folder_digests(folder), indent=2, sort_keys=True) + "\n")
