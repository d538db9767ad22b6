"""A small job on a node of a partition: what the node sees of files, environment and time."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cream.cluster import slurm
from cream.cluster.node_job import PATIENCE, NodeJob, Silent
from cream.cluster.site import Site

SCRIPT = Path(__file__).with_name("probe.py")
PACKAGES = ("torch", "transformers", "trl")
MINUTES = 10  # what the job asks for
IMPORTS = 300.0  # seconds that a node may take to import them: from a shared file system that is slow the first time


@dataclass
class Seen:
    """What a node answered. Seconds; None where a file wasn't seen in time."""

    node: str
    started: float  # from asking SLURM to the first answer
    ahead: float = 0.0  # the node's clock, and how far that may be off
    uncertain: float = 0.0
    seen_there: float | None = None
    seen_here: float | None = None
    problem: str | None = None  # why a file could not be written there
    facts: Mapping | None = None


def probe(
    partition: str, gpus: int, config: Mapping, site: Site, results: Path, patience: float, host: str | None
) -> Seen:
    """Run the job and ask it; `patience` is how many seconds it may stand in the queue. Raises `Silent`."""
    name = f"preflight-{uuid.uuid4().hex[:12]}"
    folder = _probe_folder(results)
    job = None
    try:
        begun = time.monotonic()
        job = NodeJob([*_srun(name, partition, gpus, config, site), sys.executable, str(SCRIPT), str(folder)])
        first = job.answer(patience)
        if first is None:
            raise Silent(_waiting(name, patience))
        seen = Seen(first["node"], time.monotonic() - begun)
        converse(job, seen, folder, site.latency_wait)
        seen.facts = job.ask(IMPORTS, ask="facts", packages=PACKAGES, gpus=gpus, host=host)
        return seen
    except FileNotFoundError as problem:
        raise Silent("srun is not installed here") from problem
    finally:
        if job is not None:
            job.end(name)
        _remove(folder)


def converse(job: NodeJob, seen: Seen, folder: Path, limit: float) -> None:
    """Clocks, then files each way, each waited for up to `limit` seconds."""
    _compare_clocks(job, seen)
    quick = 2 * seen.uncertain  # what an answer takes by itself
    # Looked for before it is there, as file systems remember what they haven't found.
    job.ask(ask="look", name="here", text="written here")
    (folder / "here").write_text("written here", encoding="utf-8")
    begun = time.monotonic()
    if job.ask(limit + PATIENCE, ask="look", name="here", text="written here", seconds=limit)["seen"]:
        seen.seen_there = max(0.0, time.monotonic() - begun - quick)
    there = folder / "there"
    there.exists()
    seen.problem = job.ask(ask="write", name="there", text="written there").get("problem")
    begun = time.monotonic()
    while seen.problem is None and seen.seen_here is None and time.monotonic() - begun < limit:
        with contextlib.suppress(OSError):
            if there.read_text(encoding="utf-8") == "written there":
                seen.seen_here = time.monotonic() - begun
                return
        time.sleep(0.02)


def _compare_clocks(job: NodeJob, seen: Seen) -> None:
    """The best of a few questions: an answer's time lies between the question's and its arrival."""
    rounds = []
    for _ in range(5):
        asked, begun = time.time(), time.monotonic()
        now = job.ask(ask="clock")["now"]
        half = (time.monotonic() - begun) / 2
        rounds.append((half, now - asked - half))
    seen.uncertain, seen.ahead = min(rounds)


def _srun(name: str, partition: str, gpus: int, config: Mapping, site: Site) -> list[str]:
    memory = max(config["cluster"]["least"]["memory_mb"], 2 * config["cluster"]["memory_mb"])
    command = ["srun", f"--job-name={name}", f"--partition={partition}", "--nodes=1", "--ntasks=1", "--cpus-per-task=1"]
    command += [f"--mem={memory}", f"--time={MINUTES}", *site.gpu_flags(gpus)]
    return command + ([f"--account={site.slurm_account}"] if site.slurm_account else [])


def _waiting(name: str, patience: float) -> str:
    """Why the job hasn't begun. It is cancelled when this was said."""
    reason = ""
    with contextlib.suppress(slurm.NoAnswer):
        reason = slurm.ask("squeue", "--noheader", f"--name={name}", "--format=%T, %r").strip().lower()
    state = f" ({reason})" if reason else ""
    return f"no job began within {patience:.0f} s{state}, it was cancelled: ask again later, or with --wait SECONDS"


def _probe_folder(results: Path) -> Path:
    scratch = results / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix="preflight-"))
    folder.chmod(0o755)
    return folder.resolve()


def _remove(folder: Path) -> None:
    for name in ("here", "there"):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
