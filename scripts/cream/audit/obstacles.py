"""Why a job can't be done again here: an input that is gone or another, a GPU, an engine, a network."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cream.audit.ledger import Ledger, Record
from cream.digests import file_digest, folder_digests
from cream.machine import PROJECT, machine
from cream.records import manifest_path


def obstacles(record: Record, ledger: Ledger) -> Iterator[str]:
    """A sentence each. None: the job can be done again from the very inputs that it had."""
    if not script_of(record).is_file():
        yield f"this code has no scripts/{script_of(record).name}: audit with the code that made it"
    yield from _changed_inputs(record, ledger)
    yield from _network(record)
    if record.data["settings"].get("engine") == "vllm" and importlib.util.find_spec("vllm") is None:
        yield "it ran on vLLM, which is not installed here: install what envs/ locks"
    needed, found = gpus_needed(record), len(gpus_here()) if gpus_needed(record) else 0
    if found < needed:
        yield f"it ran on {needed} GPU{'s' * (needed > 1)}, here {'is none' if not found else f'are {found}'}"


def script_of(record: Record) -> Path:
    """The stage's script in this code. By its name alone: a record must not say which program is run."""
    return PROJECT / "scripts" / f"{Path(record.stage).name}.py"


def gpus_needed(record: Record) -> int:
    """GPUs without which the job would be another: what its model is shared out to."""
    used = len(record.data.get("gpus") or [])
    asked = max(record.data["settings"].get("gpus") or 1, record.data.get("processes") or 1)
    return min(used, asked)


@cache
def gpus_here() -> list[dict]:
    return machine(uses_gpus=True)["gpus"]


def _network(record: Record) -> Iterator[str]:
    settings = record.data["settings"]
    if record.stage == "fetch_package":
        yield "it fetches from a package index, and an audit asks no network: `verify` checks the file's digest"
    elif record.stage == "evaluate_model" and not any(settings.get(name) for name in ("train", "validation", "test")):
        yield "its benchmark comes from a hub, and an audit asks no network"
    elif record.stage == "judge_answers" and "endpoint" in json.loads(settings.get("judge") or "{}"):
        yield "its judge is an endpoint, and an audit asks no network"


def _changed_inputs(record: Record, ledger: Ledger) -> Iterator[str]:
    for name, recorded in record.data["inputs"].items():
        place = ledger.place(name)
        if not place.exists():
            yield f"its input {name} is missing: restore it"
            continue
        for wrong in _unlike(place, recorded, name):
            yield f"{wrong} is not what it was when the job read it: restore it"


def _unlike(place: Path, recorded: str | dict, name: str) -> Iterator[str]:
    """Which files of an input aren't what a record says; it says so in one of three forms."""
    if isinstance(recorded, str):
        if place.is_dir() or _file(place) != recorded:
            yield name
    elif set(recorded) == {"manifest"}:
        manifest = manifest_path(place)
        if not manifest.is_file() or _file(manifest) != recorded["manifest"]:
            yield f"{name}.json"
        else:
            yield from _unlike_folder(place, json.loads(manifest.read_text(encoding="utf-8")), name)
    else:
        yield from _unlike_folder(place, recorded, name)


def _unlike_folder(place: Path, told: dict, name: str) -> Iterator[str]:
    try:
        found = _folder(place)
    except ValueError:  # tensors without their end
        yield name
        return
    yield from (f"{name}/{file}" for file in sorted({*told, *found}) if told.get(file) != found.get(file))


# Many jobs read the same models. No file of the results changes while an audit goes on; if one did, the next
# audit would see it.
_file = cache(file_digest)
_folder = cache(folder_digests)
