"""What a real sacct says of jobs, read by plan.py --after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster

from cream.cluster import accounting

COMPUTE = "python3 -c 'import time; a = bytearray(200 << 20)\nwhile time.process_time() < 2: pass'"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", accounting=True) as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


def test_sacct_tells_states_times_processors_memory_and_gpus(cluster: Cluster, monkeypatch) -> None:
    def submit(*options: str) -> str:
        return cluster.run("sbatch", "--parsable", "--account=lab", "--output=/dev/null", *options).strip()

    computing = submit("--partition=gpu", "--gpus=2", "--mem=600M", f"--wrap=srun {COMPUTE}")
    failing = submit("--partition=cpu", "--mem=500M", "--cpus-per-task=2", "--wrap=sleep 1; exit 3")
    cancelled = submit("--partition=cpu", "--mem=500M", "--wrap=sleep 60")
    cluster.run("scancel", cancelled)
    found = _ended([computing, failing, cancelled])
    assert {job: found[job].state for job in found} == {
        computing: "COMPLETED",
        failing: "FAILED",
        cancelled: "CANCELLED",
    }
    assert found[computing].gpus == 2 and found[computing].asked_mb == 600
    assert found[computing].cpu_seconds == pytest.approx(2, abs=1.5) and found[computing].seconds >= 2
    assert 200 < found[computing].memory_mb < 600
    assert found[failing].cpus == 2 and found[failing].gpus == 0 and found[failing].seconds >= 1
    assert accounting.ask_if_there(["4711"]) == ({}, "sacct knows none of these jobs.")
    monkeypatch.setenv("PATH", str(cluster.folder))
    assert accounting.ask_if_there([computing]) == (
        {},
        "SLURM's accounting doesn't answer (sacct is not installed here).",
    )


def _ended(jobs: list[str]) -> dict[str, accounting.Accounted]:
    until = time.monotonic() + 30
    while True:
        found = accounting.ask(jobs)
        if len(found) == len(jobs) and not {job.state for job in found.values()} & {"PENDING", "RUNNING"}:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.5)
