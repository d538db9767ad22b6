"""What a node sees: run there by a check before a run, asked line by line.

    srun python scripts/cream/cluster/probe.py FOLDER

Each line of standard input is a question in JSON, each line of standard output its answer. FOLDER is on the
file system in question. Only the standard library, until `facts` asks for what jobs import.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from importlib import metadata
from pathlib import Path


def clock(_: dict, __: Path) -> dict:
    """Seconds since 1970, as this machine has it."""
    return {"now": time.time()}


def look(question: dict, folder: Path) -> dict:
    """Whether a file is there; with `seconds`, whether it comes to be within them and with that content."""
    until = time.monotonic() + question.get("seconds", 0)
    while True:
        try:
            if (folder / question["name"]).read_text() == question.get("text"):
                return {"seen": True}
        except OSError:
            pass
        if time.monotonic() >= until:
            return {"seen": False}
        time.sleep(0.02)


def write(question: dict, folder: Path) -> dict:
    try:
        with (folder / question["name"]).open("w") as file:
            file.write(question["text"])
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        return {"problem": problem.strerror}
    return {}


def facts(question: dict, _: Path) -> dict:
    """Versions of packages that can be imported here, how many GPUs torch finds, whether a host is reached."""
    import importlib

    found: dict = {"python": platform.python_version(), "packages": {}}
    begun = time.monotonic()
    for name in question["packages"]:
        try:
            importlib.import_module(name)
            found["packages"][name] = metadata.version(name)
        except Exception as problem:  # whatever a broken installation raises is the answer
            found["problem"] = f"{name} can't be imported: {problem or type(problem).__name__}"
            break
    found["seconds"] = time.monotonic() - begun
    if question.get("gpus") and "torch" in found["packages"]:
        import torch

        found["gpus"] = torch.cuda.device_count()
        shared = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None
        found["shared_memory"] = shared.f_frsize * shared.f_blocks if shared else 0
    if question.get("host"):
        found["reaches"] = _reaches(question["host"])
    return found


def _reaches(host: str) -> bool:
    try:
        with socket.create_connection((host, 443), timeout=5):
            return True
    except OSError:
        return False


def main(folder: Path) -> None:
    print(json.dumps({"node": os.environ.get("SLURMD_NODENAME") or platform.node()}), flush=True)
    asked = {"clock": clock, "look": look, "write": write, "facts": facts}
    for line in sys.stdin:
        question = json.loads(line)
        answer = asked[question["ask"]](question, folder)
        print(json.dumps({"answer": question["ask"], **answer}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
