"""How long a short job takes on SLURM, and how busy many jobs keep two nodes.

    python benchmarks/cluster.py

Starts the tests' cluster (two nodes of four CPUs each, with accounting) and runs `snakemake --profile slurm`
with the project's own profile on a workflow of sleeping jobs: what is measured is profile, plugin and SLURM.
Takes some minutes; nothing stays behind.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "tests/slurm"), str(PROJECT / "scripts")]

from cluster import NODES, Cluster  # noqa: E402

CPUS = 4 * len(NODES)
WORKFLOW = """\
rule all:
    input: expand("done/{i}", i=range(int(config["jobs"])))
rule work:
    output: "done/{i}"
    resources: runtime=5, mem_mb=600
    shell: "sleep {config[seconds]} && touch {output}"
"""
STAMP = re.compile(r"^\[(.+)\]$")


def run(cluster: Cluster, folder: Path, jobs: int, seconds: int) -> tuple[list[str], str]:
    """What Snakemake said of so many jobs that sleep so long, and the name of its run in SLURM."""
    folder.mkdir()
    shutil.copytree(PROJECT / "slurm", folder / "slurm")
    (folder / "Snakefile").write_text(WORKFLOW)
    command = ["-m", "snakemake", "--profile", "slurm", "--nocolor", "--config", f"jobs={jobs}", f"seconds={seconds}"]
    environment = {**os.environ, **cluster.environment}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode:
        sys.exit("\n".join(said[-30:]))
    return said, next(line.split()[-1] for line in said if line.startswith("SLURM run ID:"))


def end_to_end(said: list[str]) -> float:
    """Seconds from the submission of the only job to Snakemake's word that it is done."""
    stamp, times = None, {}
    for line in said:
        if found := STAMP.match(line):
            stamp = datetime.strptime(found[1], "%a %b %d %H:%M:%S %Y")
        elif line.startswith(("rule work:", "Finished jobid: 1 ")):
            times[line.split()[0]] = stamp
    return (times["Finished"] - times["rule"]).total_seconds()


def busy(cluster: Cluster, name: str) -> tuple[float, float]:
    """Share of the nodes' CPUs that were allocated from the first start to the last end, and those seconds."""
    rows = cluster.run("sacct", "-X", "-n", "-P", "--name", name, "--format=Start,End,AllocCPUS").split()
    jobs = [row.split("|") for row in rows]
    spans = [(datetime.fromisoformat(start), datetime.fromisoformat(end), int(cpus)) for start, end, cpus in jobs]
    whole = (max(end for _, end, _ in spans) - min(start for start, _, _ in spans)).total_seconds()
    return sum((end - start).total_seconds() * cpus for start, end, cpus in spans) / (CPUS * whole), whole


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--tries", type=int, default=3, help="how often the one-second job runs")
    flags.add_argument("--jobs", type=int, default=100, help="jobs that keep the nodes busy")
    flags.add_argument("--seconds", type=int, default=10, help="how long each of them sleeps")
    settings = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "slurm", accounting=True) as cluster:
        for number in range(settings.tries):
            said, _ = run(cluster, Path(folder) / f"short{number}", 1, 1)
            print(f"one-second job, submission to done: {end_to_end(said):.0f} s", flush=True)
        _, name = run(cluster, Path(folder) / "many", settings.jobs, settings.seconds)
        share, whole = busy(cluster, name)
        print(f"{settings.jobs} jobs of {settings.seconds} s: CPUs of both nodes busy {share:.0%} of {whole:.0f} s")


if __name__ == "__main__":
    main()
