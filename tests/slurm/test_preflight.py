"""The checks before a run, on a real SLURM: what is well, and one line for each thing that is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cluster import Cluster
from projects import Study

from cream.cluster.slurm_checks import COMMANDS

CUDA = {"compute": {"platform": "cuda"}}


@dataclass
class Site:
    """A project folder with the tiny study's files, and a cluster."""

    folder: Path
    cluster: Cluster

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess:
        known = {**os.environ, **self.cluster.environment, **environment}
        return subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=known, capture_output=True, text=True, timeout=100
        )

    def preflight(self, *flags: str, **environment: str) -> tuple[int, list[str]]:
        """Exit code and lines of a preflight of the tiny study."""
        done = self.run("scripts/preflight.py", "studies/tiny.yaml", *flags, **environment)
        assert "Traceback" not in done.stderr and not done.stderr, done.stderr
        return done.returncode, done.stdout.splitlines()

    def asked(self, *flags: str, **environment: str) -> tuple[int, list[str]]:
        """The same without a job on a node."""
        return self.preflight("--no-probe", *flags, **environment)

    def profile(self, **resources: str) -> tuple[str, str]:
        """The flags for the project's profile with other values of the site."""
        found = yaml.safe_load((self.folder / "slurm/profile.yaml").read_text())
        found["default-resources"].update(resources)
        (self.folder / "other").mkdir(exist_ok=True)
        (self.folder / "other/profile.yaml").write_text(yaml.safe_dump(found))
        return "--profile", "other"


@pytest.fixture(scope="module")
def preflight_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("preflight-cluster"), accounting=True) as running:
        yield running


@pytest.fixture(scope="module")
def site(preflight_cluster: Cluster, tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = Study.with_code(tmp_path_factory.mktemp("preflight")).folder
    shutil.copytree(tiny_assets, folder / "results/assets/tiny")
    return Site(folder, preflight_cluster)


def wrong(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("no  ")]


def config(settings: dict) -> tuple[str, str]:
    return "--config", json.dumps(settings)


def test_all_is_ready(site: Site) -> None:
    code, lines = site.preflight()
    assert code == 0, lines
    assert [line[:20].split("  ")[:2] for line in lines[:-1]] == [
        ["ok", name]
        for name in (
            *("environment", "launcher", "slurm", "accounting", "account", "partition cpu"),
            *("node n1", "files n1", "clock n1", "packages", "data", "space"),
        )
    ]
    assert lines[-1] == "12 checks: nothing is wrong"
    seconds = re.search(r"seen there after ([\d.]+) s, one from there here after ([\d.]+) s", lines[7])
    assert all(float(took) < 2 for took in seconds.groups())
    assert not list((site.folder / "results/scratch").iterdir())


def test_snakemake_hands_over_what_it_has(site: Site) -> None:
    """Values of the command line, which no file has: a partition and a misnamed task's file."""
    done = site.run(
        *("-m", "snakemake", "preflight", "--profile", "slurm", "--nocolor", "--configfile", "studies/tiny.yaml"),
        *("--config", "tasks={colours: {source: {file: nowhere.jsonl}}}", "--default-resources"),
        *("slurm_partition=short", "gpu_partition=gpu", "slurm_account=lab"),
    )
    assert done.returncode == 1
    lines = (site.folder / "results/logs/preflight.log").read_text().splitlines()
    assert wrong(lines) == [
        "no  partition       there is no 'short': set slurm_partition in slurm/profile.yaml to one of cpu, gpu, "
        "cheap, patient, urgent",
        "no  data            tasks.colours.source.file names nowhere.jsonl, which doesn't exist: put it there or "
        "correct the path",
    ]
    assert all(line in done.stdout for line in lines)
    assert "--  node            no job was started: the partition can't run one" in lines


@pytest.mark.parametrize(
    ("resources", "settings", "expected"),
    [
        ({"slurm_account": "nobody"}, {}, "account         'nobody' is no account of root: set slurm_account in"),
        (
            {},
            {"cluster": {"margin": {"memory": 2.5}}},
            "partition cpu   convert asks for 9009 MB at attempt 3, a node has at most 8000: name a partition",
        ),
        (
            {},
            {"cluster": {"least": {"minutes": 50}}},
            "partition cpu   convert asks for 100 min at attempt 2, the limit is 60 (MaxTime): name a partition",
        ),
        ({"gpu_request": "gpus:h100"}, CUDA, "partition gpu   no GPU of it is of kind h100, but fake: set gpu_request"),
        (
            {"gpu_partition": "nope"},
            CUDA,
            "partition       there is no 'nope': set gpu_partition in slurm/profile.yaml",
        ),
        (
            {"gpu_request": "gres:fake"},
            {"compute": {"platform": "cuda", "processes": {"train": 4}}, "train": {"batch_size": 16}},
            "partition gpu   train asks for 4 GPUs on one node, a node has at most 2: lower compute.processes",
        ),
    ],
    ids=["account", "memory", "time", "gpu kind", "gpu partition", "gpus"],
)
def test_what_does_not_fit_is_one_line(site: Site, resources: dict, settings: dict, expected: str) -> None:
    code, lines = site.asked(*site.profile(**resources), *config(settings))
    assert code == 1
    # Of another platform, this machine's environment is wrong as well.
    found = [line for line in wrong(lines) if not line.startswith("no  environment")]
    assert len(found) == 1 and found[0].startswith(f"no  {expected}"), lines


def test_torch_without_gpus_is_told(site: Site) -> None:
    """The cluster hands out two devices, on which nothing can be computed."""
    code, lines = site.preflight(*config(CUDA))
    assert code == 1
    told = [line for line in wrong(lines) if not line.startswith("no  environment")]
    assert len(told) == 1 and told[0].startswith("no  GPUs n2         torch sees 0 of the 1 asked for"), lines
    assert sum(line.startswith(("ok  node", "ok  files", "ok  clock")) for line in lines) == 6


def test_another_version_of_the_plugin_is_told(site: Site) -> None:
    lock = site.folder / "envs/cpu.lock"
    text = lock.read_text()
    lock.write_text(text.replace("snakemake-executor-plugin-slurm==2.8.0", "snakemake-executor-plugin-slurm==2.7.1"))
    try:
        code, lines = site.preflight("--local")
    finally:
        lock.write_text(text)
    assert code == 1
    assert wrong(lines) == [
        "no  environment     not as envs/cpu.lock has it: snakemake-executor-plugin-slurm is 2.8.0 (pinned: 2.7.1): "
        "make the environment again (make env PLATFORM=cpu)"
    ]
    assert (
        "--  slurm           --local: controller, accounting, account, partitions and nodes were not looked at" in lines
    )


def without_accounting(site: Site, folder: Path) -> dict[str, str]:
    """As where AccountingStorageType is none: the commands' own configuration says so."""
    for name in ("slurm.conf", "cgroup.conf", "gres.conf"):
        shutil.copy(site.cluster.folder / name, folder)
    file = folder / "slurm.conf"
    file.write_text(re.sub(r"(?m)^AccountingStorage.*\n", "", file.read_text()))
    return {"SLURM_CONF": str(file)}


@pytest.mark.parametrize("command", [None, "sacct", "squeue"])
def test_without_accounting_the_queue_is_enough(site: Site, tmp_path: Path, command: str | None) -> None:
    flags = ("--site", json.dumps({"status_command": command})) if command else ()
    code, lines = site.asked(*flags, **without_accounting(site, tmp_path))
    assert code == 0, lines
    assert lines[3] == (
        "ok  accounting      squeue remembers jobs for 3600 sec (without sacct: Slurm accounting storage is disabled)"
    )


def test_without_sacct_the_queue_is_enough(site: Site, tmp_path: Path) -> None:
    for name in (*COMMANDS, "sacctmgr", "bash"):
        (tmp_path / name).symlink_to(shutil.which(name))
    code, lines = site.asked(PATH=str(tmp_path))
    assert code == 0, lines
    assert (
        lines[3]
        == "ok  accounting      squeue remembers jobs for 3600 sec (without sacct: sacct is not installed here)"
    )


def test_a_queue_that_forgets_is_told(site: Site, tmp_path: Path) -> None:
    file = site.cluster.folder / "slurm.conf"
    before = file.read_text()
    file.write_text(before.replace("MinJobAge=3600", "MinJobAge=120"))
    site.cluster.run("scontrol", "reconfigure")
    try:
        code, lines = site.asked(**without_accounting(site, tmp_path))
    finally:
        file.write_text(before)
        site.cluster.run("scontrol", "reconfigure")
    assert code == 1
    assert wrong(lines) == [
        "no  accounting      squeue forgets a job 120 sec after its end (MinJobAge), Snakemake needs 200 s: "
        "ask for a longer MinJobAge, or for accounting"
    ]


def test_a_silent_database_is_told(site: Site) -> None:
    """sacct would answer if it could: states.py waits for it, and asks no queue."""
    site.cluster.stop_database()
    try:
        code, lines = site.asked()
        with_squeue, others = site.asked("--site", json.dumps({"status_command": "squeue"}))
    finally:
        site.cluster.start_database()
        site.cluster._wait_for("slurmdbd", lambda: site.cluster._answers("sacctmgr", "--noheader", "show", "cluster"))
    assert code == 1 and len(wrong(lines)) == 1
    assert lines[3].startswith("no  accounting      sacct doesn't answer (")
    assert "Snakemake would wait until it does: ask the cluster's administrators, or set slurm-status" in lines[3]
    assert with_squeue == 0, others
    assert others[3].startswith("ok  accounting      squeue remembers jobs for 3600 sec (without sacct: ")


def test_a_controller_that_is_down_is_told(site: Site) -> None:
    site.cluster.stop_controller()
    try:
        code, lines = site.asked()
    finally:
        site.cluster.start_controller()
        _wait_until_up(site)
    assert code == 1
    assert len(wrong(lines)) == 1 and wrong(lines)[0].startswith("no  slurm           "), lines
    assert "--  the rest        accounting, account, partitions and nodes need the controller" in lines


def test_a_node_that_is_down_is_told(site: Site) -> None:
    site.cluster.run("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    try:
        code, lines = site.asked(*config(CUDA))
    finally:
        site.cluster.run("scontrol", "update", "nodename=n2", "state=idle")
    assert code == 1
    assert any(line.startswith("ok  partition cpu   1 of 2 nodes up (n2 is DOWN); the largest") for line in lines), (
        lines
    )
    assert wrong(lines)[-1].startswith("no  partition gpu   no node of it is up (n2 is DOWN): wait"), lines


@pytest.fixture
def busy(site: Site) -> Iterator[Site]:
    """All nodes are taken."""
    site.cluster.run("sbatch", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 90")
    yield site
    site.cluster.run("scancel", "--name=wrap")


def queued(site: Site) -> list[str]:
    return site.cluster.run("squeue", "--noheader", "--format=%j", "--states=PENDING,RUNNING").split()


def test_a_job_that_stays_queued_is_told_and_cancelled(busy: Site) -> None:
    code, lines = busy.preflight("--wait", "2")
    assert code == 1
    assert wrong(lines) == [
        "no  node of cpu     no job began within 2 s (pending, resources), it was cancelled: ask again later, or with "
        "--wait SECONDS"
    ]
    assert queued(busy) == ["wrap"]


def test_a_preflight_that_is_stopped_leaves_no_job(busy: Site) -> None:
    running = subprocess.Popen(
        [sys.executable, "scripts/preflight.py", "studies/tiny.yaml"],
        cwd=busy.folder,
        env={**os.environ, **busy.cluster.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    busy.cluster._wait_for("the job", lambda: len(queued(busy)) == 2)
    running.terminate()
    assert running.communicate(timeout=30)[1] == "stopped: the rest was not looked at\n"
    assert running.returncode == 1 and queued(busy) == ["wrap"]
    assert not list((busy.folder / "results/scratch").iterdir())


def _wait_until_up(site: Site) -> None:
    site.cluster._wait_for("the controller", lambda: site.cluster._answers("sinfo"))
    site.cluster._wait_for("a node", site.cluster._nodes_are_up)
