"""What the records of two jobs of the same part give as causes that their outputs differ."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cream.audit.cause import CODE, ENVIRONMENT, HARDWARE, KINDS, NONE, SEED, SETTINGS, Cause, Job
from cream.audit.code_changes import changes, source
from cream.audit.data_causes import data_causes
from cream.audit.differences.values import leaves
from cream.audit.pairing import Inputs
from cream.errors import UserError
from cream.paths import RESULTS

# Settings that say what the job had of the machine.
MACHINE_SETTINGS = ("threads", "gpus")
LONGEST = 60  # letters of a value that are shown


def causes(ours: Job, theirs: Job, inputs: list[Inputs]) -> list[Cause]:
    """The recorded differences of two jobs, inputs that were themselves made by a job left out: those part earlier."""
    if ours.record.stage != theirs.record.stage:
        return [Cause(CODE, f"made by {ours.record.stage}, theirs by {theirs.record.stage}")]
    found = [
        *_code(ours, theirs),
        *_settings(ours, theirs),
        *data_causes(ours, theirs, inputs),
        *_environment(ours.data, theirs.data),
        *_hardware(ours.data, theirs.data),
    ]
    return sorted(found, key=lambda cause: KINDS.index(cause.kind))


def none_recorded(ours: Job, theirs: Job) -> Cause:
    """What to say where two jobs were the same in all that is recorded."""
    said = "settings, inputs, code, packages and machine are the same"
    continued = [job.data.get("observed", {}).get("continues_an_earlier_try", False) for job in (ours, theirs)]
    if continued[0] != continued[1]:
        said += f"; {'ours' if continued[0] else 'theirs'} went on from an earlier try"
    return Cause(NONE, f"{said} (determinism class {ours.data.get('determinism')})")


def uncounted(ours: Job, theirs: Job) -> dict[str, int]:
    """Differences that are no causes, by what they are."""
    code = _other_code(ours, theirs) if ours.record.stage == theirs.record.stage else []
    paths = [
        name
        for name in {*ours.data["settings"], *theirs.data["settings"]}
        if _without_paths(ours, name) == _without_paths(theirs, name)
        and ours.data["settings"].get(name) != theirs.data["settings"].get(name)
    ]
    silent = [name for name in code if not _changes(ours, theirs, name)]
    return {"settings that only name other files": len(paths), "code files with other comments alone": len(silent)}


def _code(ours: Job, theirs: Job) -> Iterator[Cause]:
    if ours.data["code"] == theirs.data["code"]:
        return
    for name in _other_code(ours, theirs):
        yield from _changes(ours, theirs, name)


def _other_code(ours: Job, theirs: Job) -> list[str]:
    """The code files whose bytes differ, or that only one run used."""
    our, their = ours.data["code_files"], theirs.data["code_files"]
    return [name for name in sorted({*our, *their}) if our.get(name) != their.get(name)]


def _changes(ours: Job, theirs: Job, name: str) -> list[Cause]:
    our, their = (job.data["code_files"].get(name) for job in (ours, theirs))
    if our is None or their is None:
        return [Cause(CODE, f"{name}: only {'theirs' if our is None else 'ours'} uses it")]
    return _between(name, ours.ledger.results, our, theirs.ledger.results, their)


@cache
def _between(name: str, ours: Path, our: str, theirs: Path, their: str) -> list[Cause]:
    """What differs between two kept versions of a code file: worked out once for all stages that use it."""
    try:
        found = changes(name, source(ours, name, our), source(theirs, name, their))
    except (UserError, SyntaxError, UnicodeDecodeError) as problem:
        return [Cause(CODE, f"{name} differs (where can't be said: {problem})")]
    return [Cause(CODE, f"{name}: {change.definition}", change.diff) for change in found]


def _settings(ours: Job, theirs: Job) -> Iterator[Cause]:
    for name in dict.fromkeys([*ours.data["settings"], *theirs.data["settings"]]):
        our, their = (dict(_leaves(name, _without_paths(job, name))) for job in (ours, theirs))
        for leaf in dict.fromkeys([*our, *their]):
            if our.get(leaf) != their.get(leaf):
                yield Cause(_kind(name, leaf), f"{leaf} {shown(our.get(leaf))} → {shown(their.get(leaf))}")


def _kind(name: str, leaf: str) -> str:
    if name in MACHINE_SETTINGS:
        return HARDWARE
    return SEED if "seed" in leaf else SETTINGS


def _without_paths(job: Job, name: str) -> object:
    """A setting without the paths that say where inputs and outputs lie."""
    value = job.data["settings"].get(name)
    files = {*job.data["inputs"], *job.data["outputs"]}
    if isinstance(value, list):
        return [item for item in value if not _is_path(item, files)]
    # A flag that isn't given and one that names a file alone are told apart by the inputs.
    return None if _is_path(value, files) else value


def _is_path(value: object, files: set[str]) -> bool:
    return isinstance(value, str) and (value in files or value.startswith(f"{RESULTS}/"))


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Every value in a setting with its name; settings that were given as JSON are looked into."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    return leaves(value, name)


def _environment(ours: dict, theirs: dict) -> Iterator[Cause]:
    if ours.get("python") != theirs.get("python"):
        yield Cause(ENVIRONMENT, f"python {shown(ours.get('python'))} → {shown(theirs.get('python'))}")
    our, their = ours["packages"], theirs["packages"]
    for name in sorted({*our, *their}):
        if our.get(name) != their.get(name):
            yield Cause(ENVIRONMENT, f"{name} {shown(our.get(name))} → {shown(their.get(name))}")


def _hardware(ours: dict, theirs: dict) -> Iterator[Cause]:
    for name in ("cpu", "machine", "processes"):
        if ours.get(name) != theirs.get(name):
            yield Cause(HARDWARE, f"{name} {shown(ours.get(name))} → {shown(theirs.get(name))}")
    our, their = (_gpus(data) for data in (ours, theirs))
    if our != their:
        yield Cause(HARDWARE, f"gpus {', '.join(our) or 'none'} → {', '.join(their) or 'none'}")


def _gpus(data: dict) -> list[str]:
    """Kind and driver of each GPU. Another one of the same kind is no other hardware."""
    return [f"{gpu.get('name')} (driver {gpu.get('driver_version')})" for gpu in data.get("gpus") or []]


def shown(value: object) -> str:
    """A value in a line for people."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
