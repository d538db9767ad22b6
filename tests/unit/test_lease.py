"""One holder at a time: real processes that take turns, die, sleep too long and lose what they held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cream import lease as leases
from cream.lease import Held, lease

PROJECT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from cream import lease as leases

leases.BEAT = 0.2
with leases.lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
ADDER = """
import sys, time
from pathlib import Path
from cream import lease as leases

leases.LOOK = 0.01
path = Path(sys.argv[1])
for _ in range(20):
    with leases.lease(path, lambda holder: None):
        count = path.with_name("count")
        read = int(count.read_text())
        time.sleep(0.005)
        count.write_text(str(read + 1))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.2)
    monkeypatch.setattr(leases, "LOOK", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scratch/work.lease"


def started(path: Path, seconds: float = 60) -> subprocess.Popen[str]:
    """A process that holds the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(seconds)],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "scripts"), "SLURM_JOB_ID": "77"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n", process.stderr.read()
    return process


def test_while_one_holds_it_another_is_told_who(path: Path) -> None:
    holder = started(path)
    try:
        with pytest.raises(Held, match=rf"process {holder.pid} of \S+ on \S+, SLURM job 77, since 20"), lease(path):
            raise AssertionError("two holders")
    finally:
        holder.kill()
        holder.wait()


def test_it_is_gone_afterwards_also_after_an_error(path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), lease(path):
            assert path.exists()
            raise KeyError
        assert list(path.parent.iterdir()) == []


def test_who_waits_is_told_once_and_goes_on_when_it_is_free(path: Path) -> None:
    holder, told = started(path, 1.0), []
    with lease(path, told.append):
        assert holder.wait() == 0
    assert len(told) == 1


def test_a_killed_holder_is_replaced_at_once(path: Path) -> None:
    holder = started(path)
    holder.kill()
    holder.wait()
    with lease(path):
        pass


def test_a_holder_elsewhere_counts_as_gone_when_it_is_silent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another machine: whether its process runs can't be seen."""
    holder = started(path)
    monkeypatch.setattr(leases, "_place", lambda: "elsewhere")
    monkeypatch.setattr(leases, "DEAD", 4.0)
    for _ in range(4):
        time.sleep(0.5)
        with pytest.raises(Held), lease(path):
            raise AssertionError("two holders")
    os.kill(holder.pid, signal.SIGSTOP)
    with lease(path, lambda holder: None):
        # Awake again it finds another in its place, and ends before it does harm.
        os.kill(holder.pid, signal.SIGCONT)
        assert holder.wait(timeout=20) == 1
        assert "is another's now: this process was silent too long" in holder.stderr.read()


def test_a_deleted_lease_is_made_again(path: Path) -> None:
    with lease(path):
        path.unlink()
        path.parent.rmdir()
        until = time.monotonic() + 10
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert path.exists()
    assert not path.exists()


def test_an_emptied_lease_is_replaced_once_it_is_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "DEAD", 0.5)
    path.parent.mkdir()
    path.touch()
    with pytest.raises(Held, match="left no name"), lease(path):
        raise AssertionError("two holders")
    with lease(path, lambda holder: None):
        pass


def test_of_many_that_see_a_holder_gone_one_is_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = started(path)
    holder.kill()
    holder.wait()
    inside, most = [], []

    def take() -> None:
        with lease(path, lambda holder: None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_what_a_killed_one_was_writing_is_removed(path: Path) -> None:
    path.parent.mkdir()
    for name in (".work.lease.abc", ".other.lease.abc"):
        (path.parent / name).touch()
    with lease(path):
        assert sorted(file.name for file in path.parent.iterdir()) == [".other.lease.abc", "work.lease"]


def test_processes_take_turns(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / "count").write_text("0")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "scripts")}
    adders = [subprocess.Popen([sys.executable, "-c", ADDER, str(path)], env=environment) for _ in range(4)]
    assert [adder.wait(timeout=120) for adder in adders] == [0] * 4
    assert (path.parent / "count").read_text() == "80"
