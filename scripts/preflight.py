"""Is everything ready for a study on this cluster? One line a check: ok, no with what to do, -- for what wasn't
looked at.

    python scripts/preflight.py studies/mine.yaml        # with slurm/profile.yaml
    snakemake --profile slurm preflight --configfile studies/mine.yaml

Starts one small job on each partition that the study uses, and waits for it for at most --wait seconds.
Exits 0 if nothing is wrong, else 1. Run it in the project's own folder.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cream import stage
from cream.cluster import data_checks, here_checks, slurm_checks
from cream.cluster.findings import OK, WRONG, Finding, skipped, wrong
from cream.cluster.node_checks import check_nodes
from cream.cluster.site import PROFILE, Site, site_of_json, site_of_profile
from cream.cluster.study import read_study
from cream.errors import UserError
from cream.paths import RESULTS


def main(settings: argparse.Namespace) -> int:
    try:
        config = read_study(settings.study, settings.config)
        site = site_of_json(settings.site) if settings.site else site_of_profile(settings.profile / PROFILE.name)
    except UserError as mistake:
        sys.exit(f"error: {mistake}")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # as Ctrl-C does: the job on a node is cancelled first
    wrongs = count = 0
    try:
        for finding in findings(config, site, settings):
            print(finding, flush=True)
            wrongs, count = wrongs + (finding.mark == WRONG), count + 1
    except KeyboardInterrupt:
        sys.exit("stopped: the rest was not looked at")
    print(f"{count} checks: {f'{wrongs} to mend' if wrongs else 'nothing is wrong'}", flush=True)
    return 1 if wrongs else 0


def findings(config: Mapping, site: Site, settings: argparse.Namespace) -> Iterator[Finding]:
    results = Path(RESULTS)
    yield here_checks.check_environment(config)
    yield here_checks.check_launcher(config)
    reaches = None
    for finding, reached in _cluster_findings(config, site, settings, results):
        yield finding
        reaches = reached if reached is not None else reaches
    yield data_checks.check_packages(config)
    yield from data_checks.check_files(config)
    yield from data_checks.check_judge(config)
    yield from data_checks.check_benchmarks(config, reaches)
    yield here_checks.check_space(config, results)


def _cluster_findings(
    config: Mapping, site: Site, settings: argparse.Namespace, results: Path
) -> Iterator[tuple[Finding, bool | None]]:
    """Of SLURM and its nodes, each with whether a node reaches the hub (None: unknown)."""
    missing = slurm_checks.missing_commands()
    if settings.local or len(missing) == len(slurm_checks.COMMANDS):
        why = "--local" if settings.local else "there is no SLURM here"
        yield skipped("slurm", f"{why}: controller, accounting, account, partitions and nodes were not looked at"), None
        return
    if missing:
        yield wrong("slurm", f"{', '.join(missing)} not found: put SLURM's commands in PATH"), None
        return
    controller = slurm_checks.check_controller()
    yield controller, None
    if controller.mark != OK:
        yield skipped("the rest", "accounting, account, partitions and nodes need the controller"), None
        return
    accounting = slurm_checks.check_accounting(site)
    yield accounting, None
    yield slurm_checks.check_account(site), None
    host = data_checks.HUB if data_checks.hub_benchmarks(config) else None
    for finding, partition, gpus in slurm_checks.check_partitions(config, site):
        yield finding, None
        if settings.no_probe:
            yield skipped("node", "no job was started: --no-probe"), None
        elif partition is None:
            yield skipped("node", "no job was started: the partition can't run one"), None
        else:
            yield from check_nodes(partition, gpus, config, site, results, settings.wait, host)


def _settings(text: str) -> dict:
    try:
        found = json.loads(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {problem}") from problem
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no object of JSON")
    return found


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("study", type=Path, nargs="*", help="files of settings, laid over config.yaml in this order")
    flags.add_argument("--config", type=_settings, default={}, help="further settings as JSON, over the files'")
    flags.add_argument("--profile", type=Path, default=PROFILE.parent, help="folder of the profile (slurm)")
    flags.add_argument("--site", help="the profile's values as JSON, instead of --profile")
    flags.add_argument("--wait", type=float, default=120, help="seconds that the job on a node may stand in the queue")
    flags.add_argument("--no-probe", action="store_true", help="start no job: ask SLURM alone")
    flags.add_argument("--local", action="store_true", help="only what can be looked at without SLURM")
    sys.exit(main(flags.parse_args()))
