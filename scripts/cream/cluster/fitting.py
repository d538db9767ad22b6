"""Whether what a study asks for fits a partition, and if not, what to change."""

from __future__ import annotations

from collections.abc import Sequence

from cream.cluster.findings import Finding, ok, wrong
from cream.cluster.requests import Request
from cream.cluster.site import PROFILE, Site
from cream.cluster.slurm import Node, Partition


def judge_partition(
    partition: Partition, there: Sequence[Node], requests: Sequence[Request], site: Site
) -> tuple[Finding, bool]:
    """What was found, and whether a small job with the study's GPUs could run there at all."""
    name, up = f"partition {partition.name}", [node for node in there if node.up]
    if partition.state != "UP":
        return wrong(name, f"it is {partition.state}: wait until it is up, or name another in {PROFILE}"), False
    if not up:
        states = _states(there) or "it has none"
        return wrong(name, f"no node of it is up ({states}): wait, or name another partition in {PROFILE}"), False
    if partition.accounts is not None and site.slurm_account and site.slurm_account not in partition.accounts:
        allowed = ", ".join(partition.accounts)
        return wrong(name, f"account {site.slurm_account} may not use it, only {allowed}: change either"), False
    runnable = all(_too_many_gpus(each, there, site) is None for each in requests)
    for each in requests:
        problem = (
            _too_many_gpus(each, there, site)
            or _too_long(each, partition)
            or _too_large(each, partition, there)
            or _too_many_cores(each, there, site)
        )
        if problem:
            return wrong(name, problem), runnable
    return ok(name, f"{_up(there)}; the largest requests fit: {_largest(requests, site)}"), runnable


def _up(there: Sequence[Node]) -> str:
    down = [node for node in there if not node.up]
    return f"{len(there) - len(down)} of {len(there)} nodes up" + (f" ({_states(down)})" if down else "")


def _states(nodes: Sequence[Node]) -> str:
    return ", ".join(f"{node.name} is {node.state}" for node in nodes[:3]) + (", …" if len(nodes) > 3 else "")


def _largest(requests: Sequence[Request], site: Site) -> str:
    most = {what: max(getattr(each, what) for each in requests) for what in ("gpus", "cpus", "memory_mb", "minutes")}
    gpus = f"{_counted(most['gpus'], 'GPU')}, " if most["gpus"] else ""
    at = f" at attempt {site.attempts}" if site.attempts > 1 else ""
    return f"{gpus}{_counted(most['cpus'], 'CPU')}, {most['memory_mb']} MB, {most['minutes']} min{at}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _too_long(request: Request, partition: Partition) -> str | None:
    if partition.minutes is None or request.minutes <= partition.minutes:
        return None
    return (
        f"{request.stage} asks for {request.minutes} min{_again(request)}, the limit is {partition.minutes} (MaxTime): "
        f"name a partition with a longer one, or lower cluster.margin.time{_or_retries(request)}"
    )


def _too_large(request: Request, partition: Partition, there: Sequence[Node]) -> str | None:
    limit = min([max(node.memory_mb for node in there), *([partition.memory_mb] if partition.memory_mb else [])])
    if request.memory_mb <= limit:
        return None
    return (
        f"{request.stage} asks for {request.memory_mb} MB{_again(request)}, a node has at most {limit}: name a "
        f"partition with larger nodes, or lower cluster.margin.memory{_or_retries(request)}"
    )


def _too_many_gpus(request: Request, there: Sequence[Node], site: Site) -> str | None:
    if not request.gpus:
        return None
    most = max(_fitting_gpus(node, site) for node in there)
    if request.gpus <= most:
        return None
    kinds = sorted({kind for node in there for kind in node.gpus if kind})
    if not any(node.gpus for node in there):
        return f"{request.stage} asks for GPUs, no node of it has any: set gpu_partition in {PROFILE}"
    if not most:
        has = f"but {', '.join(kinds)}" if kinds else "and its GPUs have no kind"
        return f"no GPU of it is of kind {site.gpu_kind}, {has}: set gpu_request in {PROFILE}"
    return (
        f"{request.stage} asks for {_counted(request.gpus, 'GPU')} on one node, a node has at most {most}: lower "
        "compute.processes or compute.vllm.tensor_parallel"
    )


def _too_many_cores(request: Request, there: Sequence[Node], site: Site) -> str | None:
    most = max((node.cpus for node in there if _fitting_gpus(node, site) >= request.gpus), default=0)
    if request.cpus <= most:
        return None
    return f"{request.stage} asks for {_counted(request.cpus, 'CPU')}, a node has at most {most}: lower compute.threads"


def _fitting_gpus(node: Node, site: Site) -> int:
    return node.gpus.get(site.gpu_kind, 0) if site.gpu_kind else sum(node.gpus.values())


def _again(request: Request) -> str:
    return f" at attempt {request.attempt}" if request.attempt > 1 else ""


def _or_retries(request: Request) -> str:
    return f" or retries in {PROFILE}" if request.attempt > 1 else ""
