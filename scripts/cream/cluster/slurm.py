"""What SLURM says of itself: its commands asked with a time limit, their answers read."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

PATIENCE = 30.0  # seconds for an answer
# Words of a state in which a node starts no job now.
GONE = {"DOWN", "DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING", "MAINT", "ERROR", "FUTURE", "INVAL"}
GONE |= {"NOT_RESPONDING", "UNKNOWN"}


class NoAnswer(Exception):
    """A command of SLURM that isn't there, failed or took too long: its text is the reason, in one line."""


@dataclass(frozen=True)
class Node:
    name: str
    state: str
    partitions: tuple[str, ...]
    cpus: int
    memory_mb: int
    gpus: dict[str, int]  # by kind, "" where SLURM knows no kind

    @property
    def up(self) -> bool:
        return not (set(self.state.rstrip("*~#!%$@^-+").split("+")) & GONE) and not self.state.endswith("*")


@dataclass(frozen=True)
class Partition:
    name: str
    state: str
    default: bool
    minutes: int | None  # None: no limit
    memory_mb: int | None
    accounts: tuple[str, ...] | None  # None: all


def ask(*command: str, patience: float = PATIENCE) -> str:
    """A command's output. Raises `NoAnswer`."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=patience
        )
    except FileNotFoundError as problem:
        raise NoAnswer(f"{command[0]} is not installed here") from problem
    except OSError as problem:
        raise NoAnswer(f"{command[0]} can't be started ({problem.strerror})") from problem
    except subprocess.TimeoutExpired as problem:
        raise NoAnswer(f"{command[0]} gave no answer in {patience:.0f} s") from problem
    if done.returncode:
        raise NoAnswer(first_line(done.stderr or done.stdout) or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def first_line(text: str) -> str:
    """The first line that says something, without the command's name."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"^[\w.-]+: (error: )?", "", lines[0]) if lines else ""


def partitions(text: str) -> dict[str, Partition]:
    """From `scontrol --oneliner show partition`."""
    found = {}
    for facts in map(_facts, text.splitlines()):
        if "PartitionName" not in facts:
            continue
        accounts = facts.get("AllowAccounts", "ALL")
        found[facts["PartitionName"]] = Partition(
            facts["PartitionName"],
            facts.get("State", "UP"),
            facts.get("Default") == "YES",
            minutes(facts.get("MaxTime", "UNLIMITED")),
            _number(facts.get("MaxMemPerNode", "UNLIMITED")),
            None if accounts == "ALL" else tuple(accounts.split(",")),
        )
    return found


def nodes(text: str) -> list[Node]:
    """From `scontrol --oneliner show nodes`."""
    return [
        Node(
            facts["NodeName"],
            facts.get("State", "UNKNOWN"),
            tuple(facts.get("Partitions", "").split(",")),
            _number(facts.get("CPUEfctv", facts.get("CPUTot", "0"))) or 0,
            (_number(facts.get("RealMemory", "0")) or 0) - (_number(facts.get("MemSpecLimit", "0")) or 0),
            gpus(facts.get("Gres", "")),
        )
        for facts in map(_facts, text.splitlines())
        if "NodeName" in facts
    ]


def gpus(gres: str) -> dict[str, int]:
    """GPUs by kind, of gpu:2, gpu:h100:4(S:0-1) or gpu:a100:2,gpu:h100:2."""
    found: dict[str, int] = {}
    for kind, count in re.findall(r"(?:^|,)gpu:(?:([^:,()]+):)?(\d+)", gres):
        found[kind] = found.get(kind, 0) + int(count)
    return found


def minutes(text: str) -> int | None:
    """A time limit as SLURM writes it: 1-00:00:00, 01:00:00, UNLIMITED."""
    parts = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if parts is None:
        return None
    days, hours, mins, _ = (int(part or 0) for part in parts.groups())
    return (24 * days + hours) * 60 + mins


def setting(text: str, name: str) -> str | None:
    """A value of `scontrol show config`."""
    found = re.search(rf"^{re.escape(name)}\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    return found[1] if found else None


def _facts(line: str) -> dict[str, str]:
    """KEY=VALUE words of a line; what follows a value with spaces in it (as OS=Linux 6 …) is no key."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _number(text: str) -> int | None:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None
