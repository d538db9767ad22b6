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

from cream.checked import keep_checked, state_of, was_checked
from cream.code_kept import keep_code
from cream.contents import artifact_digests, canonical_digest
from cream.digests import file_digest, folder_digests
from cream.errors import UserError
from cream.fingerprint import code_digest, code_files, stage_packages
from cream.machine import git_state, lock_state, machine, used_gpus
from cream.phases import phase, phases
from cream.processes import is_main_process, process_count
from cream.promises import Promise

RECORD_VERSION = 2
# What a record says of the work itself. The rest tells of one run of it: times, host, memory.
ESSENCE = ("version", "stage", "settings", "inputs", "code", "packages", "outputs", "determinism")


def record_path(output: Path) -> Path:
    return output.with_name(output.name + ".record.json")


def write_record(settings: argparse.Namespace, started: float, promise: Promise, observed: dict) -> None:
    """Write the record of the stage that just ran (its command line is `settings`)."""
    from cream.stage import OutputPath, whole_file

    given = vars(settings)
    outputs = [path for value in given.values() for path in _paths(value, OutputPath)]
    if not outputs:
        return
    with phase("record"):
        made_from = recipe(settings)
        facts = {
            **made_from,
            "lock": lock_state(made_from["packages"]),
            "outputs": {str(path): output_digests(path) for path in outputs},
            "parents": _parents(settings),
            "code_files": keep_code(code_files(Path(sys.argv[0]), given.get("engine", "transformers")), outputs[0]),
            "git": git_state(),
            **machine(used_gpus(given.get("gpus"))),
        }
    record = {
        "version": RECORD_VERSION,
        "command": sys.argv,
        **facts,
        "seeds": {name: value for name, value in made_from["settings"].items() if "seed" in name},
        "python": platform.python_version(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 3),
        "phases": phases(started),
        "cpu_seconds": round(sum(os.times()[:4]), 3),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "processes": process_count(),
        "determinism": promise.determinism,
        "tolerance": dataclasses.asdict(promise.tolerance) if promise.tolerance else None,
        "observed": observed,
    }
    # As JSON will give it back: what is sealed is what is read.
    record = json.loads(json.dumps(_finite(record), default=str))
    with whole_file(record_path(outputs[0])) as path:
        path.write_text(record_text({**record, "seal": seal(record)}), encoding="utf-8")


def record_text(record: dict) -> str:
    """A record as it stands in its file."""
    return json.dumps(record, indent=2) + "\n"


def seal(record: dict) -> str:
    """SHA-256 of all that a record says but the seal itself."""
    return canonical_digest({name: value for name, value in record.items() if name != "seal"})


def essence(record: dict) -> str:
    """SHA-256 of what a record says of the work: equal for two runs that did the same with the same outcome. It
    covers the essences of the records of its inputs, and so everything below."""
    parents = {path: parent["essence"] for path, parent in record.get("parents", {}).items()}
    return canonical_digest({**{name: record.get(name) for name in ESSENCE}, "parents": parents})


def output_digests(path: Path) -> dict:
    """Digests of an output, by bytes and by content; of a model folder with those of the manifest beside it."""
    manifest = manifest_path(path)
    beside = {"manifest": file_digest(manifest)} if path.is_dir() and manifest.exists() else {}
    return {**artifact_digests(path), **beside}


def _parents(settings: argparse.Namespace) -> dict:
    """Input → the record of the job that made it: where it lies, the digest of its bytes, its essence."""
    from cream.stage import InputPath

    found = {}
    for path in dict.fromkeys(path for value in vars(settings).values() for path in _paths(value, InputPath)):
        for place, record in _records_beside(path):
            if any(_same_place(output, path) for output in record.get("outputs", {})):
                found[str(path)] = {"record": str(place), "digest": file_digest(place), "essence": essence(record)}
    return found


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
        and all(path.exists() and record["outputs"].get(str(path)) == output_digests(path) for path in outputs)
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
    told = [
        digests.get("file") if isinstance(digests, dict) else digests
        for _, record in _records_beside(path)
        for output, digests in record.get("outputs", {}).items()
        if _same_place(output, path)
    ]
    return not told or _input_digest(path) in told


def _records_beside(path: Path) -> list[tuple[Path, dict]]:
    read = [(place, _read_json(place)) for place in sorted(path.parent.glob("*.record.json"))]
    return [(place, record) for place, record in read if isinstance(record, dict)]


def _same_place(recorded: str, path: Path) -> bool:
    """Whether a recorded path and one of today are of the same file in the same folder, wherever that has moved."""
    return Path(recorded).parts[-2:] == path.parts[-2:]


def _check_folder(folder: Path) -> None:
    """Raise `UserError` naming the first file of a model folder that its manifest tells otherwise, or not at all."""
    manifest = manifest_path(folder)
    if not manifest.exists():
        return
    state = state_of(folder, manifest)
    if was_checked(folder, state):
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
    keep_checked(folder, state)


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
