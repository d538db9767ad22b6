"""The jobs of a study as Snakemake itself plans them, with what each is estimated to need.

Snakemake makes its plan in this process and is asked for it, so there is no second description of the
study that could drift from the rules.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cream.errors import UserError

# Seconds of a job that makes tables or reads a file, Python's start included: the median of such jobs in
# the run that docs/slurm.md tells of. No rate is worth its place for them.
TABLE_SECONDS = 2


@dataclass(frozen=True)
class Job:
    """One job of the plan: estimated `seconds`, what it asks for, and `after`, the places in the plan of the
    jobs it waits for. `memory_mb` is None where nothing is asked for; `rated`: estimated from `cluster`."""

    rule: str
    seconds: int
    rated: bool
    gpus: int
    threads: int
    memory_mb: int | None
    local: bool
    priority: int
    outputs: tuple[str, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Jobs, and the whole configuration they were planned from."""

    jobs: list[Job]
    config: Mapping


def plan(files: Sequence[Path], everything: bool = False, overlay: Mapping | None = None) -> Plan:
    """Snakemake's plan of config.yaml with study files laid over it, and `overlay` over these.

    Of the jobs that would run now, or of all if `everything`. Raises `UserError` where Snakemake finds no plan;
    a wrong configuration ends the program with the sentence that `snakemake` gives.
    """
    with _planned(files, everything, overlay) as workflow:
        return Plan(_jobs(workflow), workflow.globals["config"])


def commands(files: Sequence[Path]) -> dict[str, str]:
    """Output → the shell command that Snakemake would make it with, for every job of the whole plan."""
    with _planned(files, True, None) as workflow:
        jobs = [job for job in workflow.dag.needrun_jobs() if not job.rule.norun]
        return {str(output): job.shellcmd for job in jobs for output in job.output}


@contextlib.contextmanager
def _planned(files: Sequence[Path], everything: bool, overlay: Mapping | None) -> Iterator:
    # Half a second that --help should not take.
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import RuleException, WorkflowError
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

    if not Path("Snakefile").is_file():
        raise UserError("this must run in the project's own folder, where the Snakefile is")
    # Quiet in both ways, Snakemake ends a dry run as soon as it has the plan.
    silent = OutputSettings(
        dryrun=True, quiet={Quietness.RULES, Quietness.PROGRESS}, log_level_override=logging.WARNING
    )
    with SnakemakeApi(silent) as api:
        try:
            workflow = api.workflow(
                # No job's threads are cut down to this machine's cores.
                resource_settings=ResourceSettings(cores=2**31),
                config_settings=ConfigSettings(config=overlay or {}, configfiles=list(files)),
                snakefile=Path("Snakefile"),
            )
            # As slurm/profile.yaml has it, what a killed job left is made again, and doesn't stop the plan.
            wanted = DAGSettings(forceall=everything, force_incomplete=True)
            workflow.dag(wanted).execute_workflow(pseudo_executor="dryrun")
        except (WorkflowError, RuleException) as problem:
            words = " ".join(str(problem).split())
            raise UserError(f"Snakemake finds no plan for this study: {words}") from problem
        yield workflow._workflow  # the API has no other way to the jobs


def _jobs(workflow) -> list[Job]:
    """Every job that has work to do, in an order that is the same every time."""
    dag = workflow.dag
    working = [job for job in dag.needrun_jobs() if not job.rule.norun]
    working.sort(key=lambda job: (job.rule.name, *job.output))
    places = {job: place for place, job in enumerate(working)}
    # With a cluster's executor; this plan is made with the local one, for which all rules are local.
    local = workflow._localrules
    return [_job(job, sorted(_waits_for(dag, job, places)), job.rule.name in local) for job in working]


def _waits_for(dag, job, places: Mapping) -> Iterator[int]:
    return (places[other] for other in dag.job_dependencies(job) if other in places)


def _job(job, after: list[int], local: bool) -> Job:
    asked = job.resources
    seconds = asked.get("expected_seconds")
    return Job(
        rule=job.rule.name,
        seconds=TABLE_SECONDS if seconds is None else seconds,
        rated=seconds is not None,
        gpus=asked.get("gpu", 0),
        threads=job.threads,
        memory_mb=asked.get("mem_mb"),
        local=local,
        priority=job.priority,
        outputs=tuple(map(str, job.output)),
        after=tuple(after),
    )
