"""The tiny study on a test cluster: `snakemake --profile slurm`, and what SLURM says of its jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster import Cluster
from projects import Study

# Every kind of job: models converted, fine-tuning, sampling, scores, votes, an external reward model's scores,
# preference training, evaluation, answers to instructions and a judge's verdicts on them.
SMALL = """\
study: {methods: [one], iterations: 1, instructions: [everyday]}
methods: {one: {preset: cream-external-rm, reward: judge}}
instructions: {everyday: {limit: 3}}
sample: {prompts_per_batch: 4}
score: {prompts_per_batch: 4}
judge: {prompts_per_batch: 4}
reward_model: {prompts_per_batch: 4}
"""
SAMPLES = "results/tiny/seed1/sft/M1/samples.parquet"


class ClusterStudy(Study):
    """A project folder whose jobs go to a cluster."""

    cluster: Cluster

    @classmethod
    def on(cls, cluster: Cluster, folder: Path) -> ClusterStudy:
        study = cls.with_code(folder)
        study.cluster = cluster
        return study

    def copy(self, folder: Path) -> ClusterStudy:
        twin = ClusterStudy(super().copy(folder).folder)
        twin.cluster = self.cluster
        return twin

    def started(self, *arguments: str) -> subprocess.Popen:
        """`snakemake --profile slurm` on this study, under way; what it says goes to run.log."""
        files = [name for name in ("studies/tiny.yaml", "change.yaml") if (self.folder / name).exists()]
        command = ["-m", "snakemake", "--profile", "slurm", "--nocolor", *arguments, "--configfile", *files]
        with (self.folder / "run.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env={**os.environ, **self.cluster.environment},
                stdout=log,
                stderr=log,
            )

    def said(self) -> str:
        return (self.folder / "run.log").read_text(errors="replace")

    def ended(self, run: subprocess.Popen, within: float = 900.0) -> int:
        """The exit code of a run; one that hangs is ended and fails the test."""
        try:
            return run.wait(timeout=within)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            raise AssertionError(f"not done after {within:.0f} s:\n{self.said()[-3000:]}") from None

    def submit(self, *arguments: str) -> str:
        """Run to the end; what Snakemake said."""
        code = self.ended(self.started(*arguments))
        assert code == 0, self.said()[-5000:]
        return self.said()

    def slurm_jobs(self) -> list[dict[str, str]]:
        """The SLURM jobs of the last run, first to last, as sacct knows them."""
        name = next(line.split()[-1] for line in self.said().splitlines() if line.startswith("SLURM run ID:"))
        fields = ["JobIDRaw", "State", "Partition", "Timelimit", "TimelimitRaw", "ReqMem", "AllocTRES", "NodeList"]
        out = self.cluster.run("sacct", "-X", "-n", "-P", "-D", "--name", name, "--format", ",".join(fields))
        return [dict(zip(fields, line.split("|"), strict=True)) for line in out.splitlines()]

    def tables(self) -> dict[str, bytes]:
        """What must be the same, to the last byte, however a study ran."""
        folder = self.folder / "results/tables"
        files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".csv", ".txt")]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def wait_until(true: Callable[[], object], what: str, within: float = 180.0) -> None:
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, f"{what}: not within {within:.0f} s"
        time.sleep(0.3)


def one_job(study: ClusterStudy, *arguments: str) -> subprocess.Popen:
    """A run that samples again, as one SLURM job, and nothing else."""
    return study.started(SAMPLES, "--forcerun", "sample_responses", "--allowed-rules", "sample_responses", *arguments)


def running(study: ClusterStudy) -> list[str]:
    """SLURM ids of the study's jobs that run now."""
    names = [line.split()[-1] for line in study.said().splitlines() if line.startswith("SLURM run ID:")]
    return study.cluster.run("squeue", "-h", "-t", "R", "-n", names[0], "-o", "%i").split() if names else []


def job_runs(study: ClusterStudy, after: str = "") -> str:
    """Wait for a job of the study to run, another than `after`; its SLURM id."""
    wait_until(lambda: set(running(study)) - {after}, "a running job")
    return next(iter(set(running(study)) - {after}))
