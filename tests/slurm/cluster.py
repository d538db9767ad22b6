"""A real SLURM on this machine, for tests: one controller, two nodes, a partition with two GPUs to schedule.

`python tests/slurm/cluster.py FOLDER` starts one and prints what to export; `--stop` ends it. Everything it
writes is in FOLDER; nothing in /etc, no systemd, stopped by the pids it wrote down. Authentication is off and
the daemons listen on every address: on a machine that others reach, don't.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from processes import end, is_step, kill, parent, processes_with

PROGRAMS = ["slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol"]
NODES = {"n1": "", "n2": "Gres=gpu:fake:2"}
START = 30.0  # seconds until every node must be there

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=2,sched_min_interval=0
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
EnforcePartLimits=ALL
MinJobAge=3600
SlurmdTimeout=10
KillWait=2
ReturnToService=2
JobRequeue=0
MailProg=/bin/true
"""
DATABASE = """\
AuthType=auth/none
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageUser=root
StorageLoc=slurm
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
"""


class Cluster:
    """SLURM in `folder`. With `accounting`, sacct works (slurmdbd and a private MariaDB)."""

    def __init__(self, folder: Path, accounting: bool = False):
        self.folder, self.accounting = folder.resolve(), accounting

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to talk to this cluster."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "MYSQL_UNIX_PORT": str(self.folder / "mariadb.sock"),
            "PATH": path,
        }

    def run(self, *command: str) -> str:
        """A SLURM command's output."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    # Life

    def start(self) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise RuntimeError(f"{', '.join(missing)} not found: apt-get install slurm-wlm")
        for name in ("state", "bin", *(f"spool.{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._configure()
        try:
            if self.accounting:
                self._start_accounting()
            self.start_controller()
            for node in NODES:
                self.start_node(node)
            self._wait_for("a node", self._nodes_are_up)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every daemon, and what they left running."""
        for node in NODES:
            self.stop_node(node)
        self.stop_controller()
        for name in ("slurmdbd", "mariadbd"):
            end(self.folder / f"{name}.pid")

    def start_controller(self) -> None:
        self._daemon("slurmctld")

    def stop_controller(self) -> None:
        end(self.folder / "slurmctld.pid")

    def start_database(self) -> None:
        self._daemon("slurmdbd")

    def stop_database(self) -> None:
        end(self.folder / "slurmdbd.pid")

    def start_node(self, node: str) -> None:
        self._daemon("slurmd", "-N", node)

    def stop_node(self, node: str) -> None:
        """End a node's daemon and its jobs' processes, as if its power failed."""
        end(self.folder / f"slurmd.{node}.pid", signal.SIGKILL)
        jobs = processes_with(f"{self.folder}/spool.{node}") | self._processes_of_jobs(node)
        # SLURM's own process of a job step carries no node's name: it is a job process's parent.
        left = jobs | {above for pid in jobs if is_step(above := parent(pid))}
        # All still before the first one dies: none is to tell the controller how another ended.
        for with_signal in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left:
                kill(pid, with_signal)

    def _processes_of_jobs(self, node: str) -> set[int]:
        """Of this cluster alone: others on this machine have nodes of the same names."""
        return processes_with(f"SLURMD_NODENAME={node}") & processes_with(f"SLURM_CONF={self.folder}/slurm.conf")

    def _start_accounting(self) -> None:
        """A MariaDB that only this folder's socket reaches, and slurmdbd before it."""
        socket_file, data = self.folder / "mariadb.sock", self.folder / "mariadb"
        data.mkdir(exist_ok=True)
        log = (self.folder / "mariadbd.log").open("a")
        own = [
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={socket_file}",
            "--skip-networking",
            "--user=root",
            "--skip-grant-tables",
        ]
        subprocess.Popen(
            ["mariadbd", *own, f"--pid-file={self.folder}/mariadbd.pid", "--innodb-buffer-pool-size=64M"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._wait_for("MariaDB", socket_file.exists)
        self.start_database()
        self._wait_for("slurmdbd", lambda: self._answers("sacctmgr", "--noheader", "show", "cluster"))
        known = self.run("sacctmgr", "--noheader", "--parsable2", "show", "cluster", "format=cluster")
        if "test" not in known:
            self.run("sacctmgr", "--immediate", "add", "cluster", "test")
            self.run("sacctmgr", "--immediate", "add", "account", "lab", "cluster=test")
            self.run("sacctmgr", "--immediate", "add", "user", "root", "account=lab")

    def _daemon(self, *command: str) -> None:
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, capture_output=True)

    def _answers(self, *command: str) -> bool:
        try:
            self.run(*command)
        except subprocess.CalledProcessError:
            return False
        return True

    def _nodes_are_up(self) -> bool:
        states = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").split("\n")
        return {f"{node} idle" for node in NODES} <= {line.strip() for line in states}

    def _wait_for(self, what: str, there: Callable[[], bool]) -> None:
        until = time.monotonic() + START
        while time.monotonic() < until:
            if there():
                return
            time.sleep(0.1)
        raise RuntimeError(f"{what} of the test cluster didn't come up in {START:.0f} s: see {self.folder}/*.log")

    # Configuration

    def _configure(self) -> None:
        host = _host()
        ports = _free_ports(2 + len(NODES))
        lines = [CONFIGURATION.format(host=host, folder=self.folder, controller=ports[0])]
        lines += self._accounting_lines(ports[1])
        for (node, extra), port in zip(NODES.items(), ports[2:], strict=True):
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=8000 {extra}"
            )
        lines += [
            "PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=60 State=UP PriorityTier=1",
            "PartitionName=gpu Nodes=n2 MaxTime=60 State=UP PriorityTier=1",
            "PartitionName=cheap Nodes=n1,n2 MaxTime=60 State=UP PriorityTier=1 PreemptMode=CANCEL",
            "PartitionName=patient Nodes=n1,n2 MaxTime=60 State=UP PriorityTier=1 GraceTime=30",
            "PartitionName=urgent Nodes=n1,n2 MaxTime=60 State=UP PriorityTier=10",
        ]
        _write(self.folder / "slurm.conf", "\n".join(lines) + "\n")
        _write(self.folder / "cgroup.conf", "CgroupAutomount=no\n")
        self._make_gpus()
        # The plugin's job step starts srun without SLURM_CONF.
        srun = self.folder / "bin/srun"
        _write(srun, f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _accounting_lines(self, port: int) -> list[str]:
        if not self.accounting:
            return ["AccountingStorageType=accounting_storage/none"]
        path = self.folder / "slurmdbd.conf"
        _write(path, DATABASE.format(host=_host(), folder=self.folder, port=port))
        path.chmod(0o600)
        return [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={port}",
            "AccountingStorageTRES=gres/gpu",
        ]

    def _make_gpus(self) -> None:
        """Devices that SLURM can count and hand out; nothing can be computed on them."""
        for number in (0, 1):
            device = self.folder / f"gpu{number}"
            if not device.exists():
                os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        _write(
            self.folder / "gres.conf",
            f"AutoDetect=off\nNodeName=n2 Name=gpu Type=fake File={self.folder}/gpu[0-1]\n",
        )


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on."""
    taken = [socket.socket() for _ in range(count)]
    for each in taken:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("folder", type=Path, help="where the cluster keeps all its files")
    flags.add_argument("--accounting", action="store_true", help="with slurmdbd, so that sacct works")
    flags.add_argument("--stop", action="store_true", help="end the cluster of this folder")
    settings = flags.parse_args()
    cluster = Cluster(settings.folder, settings.accounting)
    if settings.stop:
        cluster.stop()
        return
    cluster.start()
    for name, value in cluster.environment.items():
        print(f"export {name}={value}")


if __name__ == "__main__":
    main()
