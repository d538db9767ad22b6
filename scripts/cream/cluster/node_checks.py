"""What a node said, judged: does it see the project, the environment, new files, the time, its GPUs?"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from cream.cluster.findings import Finding, bytes_of, ok, skipped, wrong
from cream.cluster.node_job import Silent
from cream.cluster.probing import PACKAGES, Seen, probe
from cream.cluster.site import PROFILE, Site

CLOCKS = 1.0  # seconds that two clocks may differ: Snakemake compares the times of files


def check_nodes(
    partition: str, gpus: int, config: Mapping, site: Site, results: Path, patience: float, host: str | None
) -> Iterator[tuple[Finding, bool | None]]:
    """What was found, and whether the node reaches `host` (None: it wasn't asked)."""
    try:
        seen = probe(partition, gpus, config, site, results, patience, host)
    except Silent as problem:
        yield wrong(f"node of {partition}", _advice(str(problem))), None
        return
    except OSError as problem:
        yield wrong(f"node of {partition}", f"{problem.filename or results}: {problem.strerror}"), None
        return
    for finding in judge_node(seen, gpus, site):
        yield finding, (seen.facts or {}).get("reaches")


def _advice(problem: str) -> str:
    if "execve" in problem or "can't open file" in problem:
        return f"{problem}: the project and its .venv must lie on a file system that the nodes share"
    return problem


def judge_node(seen: Seen, gpus: int, site: Site) -> Iterator[Finding]:
    yield _environment(seen)
    yield _files(seen, site.latency_wait)
    yield _clock(seen)
    if gpus:
        yield _gpus(seen, gpus)


def _environment(seen: Seen) -> Finding:
    about, facts = f"node {seen.node}", seen.facts or {}
    if facts.get("problem"):
        return wrong(about, f"{facts['problem']}: make the environment again (make env) where the nodes see it")
    here = {name: metadata.version(name) for name in PACKAGES} | {"Python": platform.python_version()}
    there = {**facts["packages"], "Python": facts["python"]}
    other = [f"{name} {there[name]} and here {here[name]}" for name in here if there[name] != here[name]]
    if other:
        return wrong(about, f"it has {', '.join(other)}: both must run the same .venv")
    names = ", ".join(f"{name} {there[name]}" for name in ("Python", *PACKAGES))
    return ok(about, f"began after {seen.started:.1f} s; {names} as here, imported in {facts['seconds']:.0f} s")


def _files(seen: Seen, limit: float) -> Finding:
    about = f"files {seen.node}"
    if seen.seen_there is None:
        return wrong(
            about,
            f"it saw no file that was written here within {limit:.0f} s: results/ must lie on a file system that the "
            f"nodes share, or latency-wait in {PROFILE} must be longer",
        )
    if seen.problem:
        return wrong(
            about, f"it can't write to results/ ({seen.problem}): the nodes need a file system with write access"
        )
    if seen.seen_here is None:
        return wrong(
            about, f"a file that it wrote wasn't here within {limit:.0f} s: make latency-wait in {PROFILE} longer"
        )
    return ok(
        about,
        f"a file from here seen there after {seen.seen_there:.2f} s, one from there here after {seen.seen_here:.2f} s "
        f"(latency-wait: {limit:.0f} s)",
    )


def _clock(seen: Seen) -> Finding:
    about, gap = f"clock {seen.node}", abs(seen.ahead)
    known = f"(to within {seen.uncertain:.2f} s)"
    if gap - seen.uncertain > CLOCKS:
        side = "ahead of" if seen.ahead > 0 else "behind"
        return wrong(
            about,
            f"it is {gap:.1f} s {side} this machine's {known}: Snakemake compares the times of files and will make "
            "things again; ask for both clocks to be set by NTP",
        )
    return ok(about, f"{gap:.2f} s from this machine's {known}")


def _gpus(seen: Seen, asked: int) -> Finding:
    about, facts = f"GPUs {seen.node}", seen.facts or {}
    found = facts.get("gpus")
    if found is None:
        return skipped(about, "not counted: torch can't be imported there")
    if found < asked:
        return wrong(
            about,
            f"torch sees {found} of the {asked} asked for: is it the build for GPUs (PLATFORM=cuda make env), and does "
            f"the driver fit? Or set gpu_request in {PROFILE}",
        )
    return ok(about, f"torch sees {found}, asked for were {asked}; /dev/shm has {bytes_of(facts['shared_memory'])}")
