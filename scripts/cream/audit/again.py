"""One job done again from its record, in a folder of its own that looks to it like the project's.

The job's inputs lie there as links, its outputs are made there under their recorded names. So the recorded command
stays as it is, word by word, and leases, unfinished work and kept code, which follow an output's path, land there too.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cream.audit.ledger import Ledger, Record
from cream.audit.obstacles import script_of
from cream.errors import UserError
from cream.launching import launcher
from cream.paths import RESULTS
from cream.records import manifest_path, record_path

REPORT = "make_report"  # reads records and benchmark files that are none of its inputs
OUTSIDE = "outside"  # where outputs are made whose recorded path leads out of the project's folder


@dataclass(frozen=True)
class Again:
    """`outputs`: recorded name → where it was made again. `record`: the new one; None if the job failed, and then
    `failure` says why."""

    outputs: dict[str, Path]
    seconds: float
    record: dict | None
    failure: str = ""


def done_again(record: Record, ledger: Ledger, folder: Path, more: tuple[str, ...] = ()) -> Again:
    """Run the job's command in `folder`, which must be empty. `more`: flags to add."""
    renamed = {name: f"{OUTSIDE}/{at}/{Path(name).name}" for at, name in enumerate(record.outputs) if _leads_out(name)}
    outputs = {name: folder / renamed.get(name, name) for name in record.outputs}
    _link_inputs(record, ledger, folder)
    for output in outputs.values():
        output.parent.mkdir(parents=True, exist_ok=True)
        if not output.parent.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"the record of {record.outputs[0]} has an output inside an input: no job does that")
    words = [_renamed(word, renamed) for word in record.data["command"][1:]]
    start = ["env", *shlex.split(launcher(record.data.get("processes") or 1)), str(script_of(record))]
    started = time.monotonic()
    ran = subprocess.run(
        [*start, *words, *more], cwd=folder, env=_environment(record), capture_output=True, text=True, check=False
    )
    seconds = round(time.monotonic() - started, 1)
    written = record_path(outputs[record.outputs[0]])
    if ran.returncode or not written.is_file():
        said = (ran.stderr.strip() or ran.stdout.strip() or f"exit status {ran.returncode}").splitlines()[-1]
        return Again(outputs, seconds, None, said.removeprefix("error: "))
    told = json.loads(written.read_text(encoding="utf-8"))
    back = {new: old for old, new in renamed.items()}
    told["settings"] = _names_back(told["settings"], back)
    return Again(outputs, seconds, told)


def _leads_out(name: str) -> bool:
    return Path(name).is_absolute() or ".." in Path(name).parts


def _link_inputs(record: Record, ledger: Ledger, folder: Path) -> None:
    """Every input, with its manifest and the record of its making, which some stages read."""
    linked = {name: ledger.place(name) for name in record.inputs}
    for name in record.inputs:
        linked[f"{name}.json"] = manifest_path(ledger.place(name))
        maker = ledger.maker.get(ledger.artifact(name))
        if maker:
            linked[maker.path] = ledger.place(maker.path)
    if record.stage == REPORT:
        earlier = [other.path for other in ledger.records if other.data.get("started", "") <= record.data["started"]]
        linked |= {path: ledger.place(path) for path in earlier if path != record.path}
        linked[f"{RESULTS}/benchmarks"] = ledger.place(f"{RESULTS}/benchmarks")
    for name, place in linked.items():
        link = folder / name
        if _leads_out(name) or not place.exists() or link.exists():
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(place.resolve())


def _renamed(word: str, names: dict[str, str]) -> str:
    flag, equals, value = word.partition("=")
    return names.get(word) or (f"{flag}={names[value]}" if equals and value in names else word)


def _names_back(value: object, names: dict[str, str]) -> object:
    if isinstance(value, dict):
        return {key: _names_back(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_names_back(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _environment(record: Record) -> dict[str, str]:
    """Of this process, with the Python that runs it first on the path, and as many GPUs as the job had: none, too."""
    wanted = len(record.data.get("gpus") or [])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    here = visible.split(",") if visible is not None else list(map(str, range(wanted)))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "CUDA_VISIBLE_DEVICES": ",".join(here[:wanted]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # An audit inside a job of SLURM was promised that job's GPUs, not those of the one that it does again.
    return {name: value for name, value in environment.items() if name != "SLURM_JOB_ID"}
