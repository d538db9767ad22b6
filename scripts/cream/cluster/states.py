"""SLURM's answers about jobs, put into the words that Snakemake's SLURM plugin acts on.

snakemake-executor-plugin-slurm 2.8.0 would otherwise
- wait for ever for a job that sacct calls "CANCELLED by 1000": it looks for "CANCELLED";
- wait for ever for a job that was preempted and that SLURM doesn't queue again (PreemptMode=CANCEL), or lost
  with its node, or that SLURM knew and knows no more;
- submit a second time what SLURM queues again by itself: sacct calls a job PREEMPTED or NODE_FAIL for the two
  minutes until it starts again;
- take a job in state UNKNOWN for a finished one;
- forget all jobs, and wait for ever, once five questions in a row go unanswered (the controller or its database
  restarts, or there is no accounting).

tests/slurm meets each of them on a real SLURM: when a newer plugin passes without this module, it can go.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

# SLURM may queue such a job again: only the controller knows.
MAY_COME_BACK = ("PREEMPTED", "NODE_FAIL", "UNKNOWN")
# Seconds until the controller is asked, so that it has made up its mind.
GRACE = 15.0
ENDED = "FAILED"
States = Mapping[str, str]


class Answers:
    """The plugin's own question for the states of its jobs, with answers it understands."""

    def __init__(self, ask: Callable[..., Awaitable[tuple[States | None, float | None]]], grace: float = GRACE):
        self.ask, self.grace = ask, grace
        self.known: set[str] = set()
        self.ended: set[str] = set()
        self.missed: dict[str, float] = {}
        self.silent = False

    async def __call__(self, command: str, logger: Any) -> tuple[States, float]:
        heard = _Heard(logger)
        states, seconds = await self.ask(command, heard)
        if states is None:
            if not self.silent:
                logger.warning(_unanswered(command, heard.last))
            self.silent = True
            # No word of any job: the plugin goes on waiting for all of them, and asks again.
            return {}, 0.0
        if self.silent:
            logger.warning("SLURM answers again.")
        self.silent = False
        plain = {job: (state.split() or [""])[0] for job, state in states.items()}
        run = command.split()[-1]
        return plain | await self._doubtful(run, plain, heard), seconds

    async def _doubtful(self, run: str, states: States, logger: Any) -> States:
        """The jobs that may have ended or not: what the controller says of them."""
        self.known |= states.keys()
        lost = {job: states.get(job) for job in self.known if states.get(job) in (None, *MAY_COME_BACK)}
        now = time.monotonic()
        self.missed = {job: self.missed.get(job, now) for job in lost}
        due = [job for job, since in self.missed.items() if now - since >= self.grace and job not in self.ended]
        queued = (await self.ask(f"squeue --noheader --format=%i|%T --name {run}", logger))[0] if due else None
        for job in sorted(due) if queued is not None else []:
            if job not in queued:
                self.ended.add(job)
                logger.warning(_gone(job, lost[job]))
        # Until the controller denies it, a job waits.
        return {job: ENDED if job in self.ended else (queued or {}).get(job, "PENDING") for job in lost}


class _Heard:
    """A logger that remembers the last thing said: why a question failed."""

    def __init__(self, logger: Any):
        self.warning, self.logger, self.last = logger.warning, logger, ""

    def debug(self, text: str) -> None:
        self.last = text.strip()
        self.logger.debug(text)


def _gone(job: str, state: str | None) -> str:
    reasons = {"PREEMPTED": "was preempted", "NODE_FAIL": "was lost with its node"}
    why = reasons.get(state, "is not known to SLURM any more")
    return f"SLURM job {job} {why} and is not queued: submitted again if retries are left."


def _unanswered(command: str, said: str) -> str:
    program = command.split()[0]
    hint = ""
    if program == "sacct" and "disabled" in said:
        hint = " This cluster keeps no accounts: add `slurm-status-command: squeue` to slurm/profile.yaml."
    return f"{program} gives no answer ({said or 'no reason given'}). Jobs go on; Snakemake asks again.{hint}"


def understand(plugin: Any) -> None:
    """Put the answers between SLURM and the plugin, once."""
    if not isinstance(plugin.query_job_status, Answers):
        plugin.query_job_status = Answers(plugin.query_job_status)
