"""Processes by pid and by what they carry in their command line or environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def end(pid_file: Path, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """End the process a pid file names, and wait until it is gone."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    kill(pid, with_signal)
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    kill(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def kill(pid: int, with_signal: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, with_signal)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def parent(pid: int) -> int:
    """A process's parent; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_step(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"slurmstepd")
    except OSError:
        return False


def processes_with(words: str) -> set[int]:
    """Processes whose command line or environment has these words."""
    found = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if words.encode() in told:
            found.add(int(process.name))
    return found
