"""Is SLURM there, does it keep accounts, is the account ours, does the study fit the partitions?"""

from __future__ import annotations

import getpass
import shutil
import time
from collections.abc import Iterator, Mapping

from cream.cluster import slurm
from cream.cluster.findings import Finding, ok, skipped, wrong
from cream.cluster.fitting import judge_partition
from cream.cluster.requests import largest_requests
from cream.cluster.site import PROFILE, Site
from cream.cluster.slurm import NoAnswer, Partition
from cream.cluster.states import NO_ACCOUNTS

COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel")
# Snakemake looks at its jobs every three minutes at the least: squeue must remember them longer.
REMEMBERED = 200


def missing_commands() -> list[str]:
    return [name for name in COMMANDS if shutil.which(name) is None]


def check_controller() -> Finding:
    begun = time.monotonic()
    try:
        said = slurm.ask("scontrol", "ping")
        version = slurm.ask("scontrol", "--version").split()[-1]
    except NoAnswer as problem:
        return wrong("slurm", f"the controller doesn't answer ({problem}): ask the cluster's administrators")
    if "UP" not in said:
        return wrong("slurm", f"no controller is up ({slurm.first_line(said)}): ask the cluster's administrators")
    return ok("slurm", f"version {version}, the controller answered in {time.monotonic() - begun:.2f} s")


def check_accounting(site: Site) -> Finding:
    """Where Snakemake will learn what became of its jobs."""
    try:
        slurm.ask("sacct", "--noheader", "--format=JobID", "--starttime=now")
    except NoAnswer as problem:
        return _without_accounting(site, str(problem))
    if site.status_command == "squeue":
        return _remembered("sacct answers too")
    return ok("accounting", "sacct answers")


def _without_accounting(site: Site, reason: str) -> Finding:
    """Where the cluster keeps no accounts, states.py asks squeue; where there is no sacct, the plugin itself does."""
    found = _remembered(f"without sacct: {reason}")
    if site.status_command == "squeue" or NO_ACCOUNTS in reason or shutil.which("sacct") is None:
        return found
    advice = f"ask the cluster's administrators, or set slurm-status-command: squeue in {PROFILE}"
    if found.mark != "ok":
        advice += f"; and {found.said}"
    return wrong("accounting", f"sacct doesn't answer ({reason}), Snakemake would wait until it does: {advice}")


def _remembered(beside: str) -> Finding:
    try:
        said = slurm.setting(slurm.ask("scontrol", "show", "config"), "MinJobAge") or "unknown"
    except NoAnswer as problem:
        return wrong("accounting", f"scontrol show config doesn't answer ({problem})")
    age = int(said.split()[0]) if said.split()[0].isdecimal() else 0
    if age < REMEMBERED:
        return wrong(
            "accounting",
            f"squeue forgets a job {said} after its end (MinJobAge), Snakemake needs {REMEMBERED} s: "
            "ask for a longer MinJobAge, or for accounting",
        )
    return ok("accounting", f"squeue remembers jobs for {said} ({beside})")


def check_account(site: Site) -> Finding:
    user = getpass.getuser()
    try:
        said = slurm.ask(
            "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account"
        )
    except NoAnswer as problem:
        return skipped("account", f"not asked: sacctmgr doesn't answer ({problem})")
    accounts = sorted(set(said.split()))
    if site.slurm_account is None:
        return ok("account", f"none in {PROFILE}; the accounts of {user} are {', '.join(accounts) or 'none'}")
    if not accounts:
        return skipped("account", f"SLURM lists no account of {user}")
    if site.slurm_account.lower() not in accounts:
        known = ", ".join(accounts)
        return wrong(
            "account", f"{site.slurm_account!r} is no account of {user}: set slurm_account in {PROFILE} to {known}"
        )
    return ok("account", f"{site.slurm_account} is an account of {user}")


def check_partitions(config: Mapping, site: Site) -> Iterator[tuple[Finding, str | None, int]]:
    """For each partition that the study uses: what was found, its name if jobs can be sent there, the most GPUs
    a job asks for."""
    try:
        known = slurm.partitions(slurm.ask("scontrol", "--oneliner", "show", "partition"))
        all_nodes = slurm.nodes(slurm.ask("scontrol", "--oneliner", "show", "nodes"))
    except NoAnswer as problem:
        yield wrong("partitions", f"scontrol doesn't list them ({problem})"), None, 0
        return
    requests = [each for attempt in range(1, site.attempts + 1) for each in largest_requests(config, attempt)]
    for with_gpus in (False, True):
        ours = [each for each in requests if bool(each.gpus) is with_gpus]
        if not ours:
            continue
        name, key = site.partition_of(int(with_gpus)), "gpu_partition" if with_gpus else "slurm_partition"
        name = name or next((each.name for each in known.values() if each.default), None)
        for each in name.split(",") if name else [None]:  # SLURM takes a list, of which it chooses
            if each not in known:
                yield wrong("partition", _unknown(each, key, known)), None, 0
                continue
            there = [node for node in all_nodes if each in node.partitions]
            found, usable = judge_partition(known[each], there, ours, site)
            yield found, each if usable else None, max(request.gpus for request in ours)


def _unknown(name: str | None, key: str, known: Mapping[str, Partition]) -> str:
    has = ", ".join(known)
    if name is None:
        return f"SLURM has no default partition: set {key} in {PROFILE} to one of {has}"
    return f"there is no {name!r}: set {key} in {PROFILE} to one of {has}"
