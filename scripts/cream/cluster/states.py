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
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")
# Seconds until the controller is asked, so that it has made up its mind.
GRACE = 15.0
ENDED = "FAILED"
NO_ACCOUNTS = "accounting storage is disabled"
States = Mapping[str, str]


class Answers:
    """The plugin's own question for the states of its jobs, with answers it understands."""

    def __init__(self, ask: Callable[..., Awaitable[tuple[States | None, float | None]]], grace: float = GRACE):
        self.ask, self.grace = ask, grace
        # Jobs not seen at their end; jobs whose end only the controller told, and how they ended.
        self.known: set[str] = set()
        self.ended: dict[str, str] = {}
        self.missed: dict[str, float] = {}
        self.silent = self.without_accounts = False

    async def __call__(self, command: str, logger: Any) -> tuple[States, float]:
        run, heard = command.split()[-1], _Heard(logger)
        states, seconds = await self.ask(_queue(run) if self.without_accounts else command, heard)
        if states is None and NO_ACCOUNTS in heard.last:
            self.without_accounts = True
            logger.info("This cluster keeps no accounts, so that sacct knows nothing: squeue is asked instead.")
            states, seconds = await self.ask(_queue(run), heard)
        if states is None:
            if not self.silent:
                logger.warning(
                    f"SLURM gives no answer ({heard.last or 'no reason given'}): jobs go on, and Snakemake asks again."
                )
            self.silent = True
            # No word of any job: the plugin goes on waiting for all of them.
            return {}, 0.0
        if self.silent:
            logger.warning("SLURM answers again.")
        self.silent = False
        plain = _plain(states)
        return plain | await self._doubtful(run, plain, heard), seconds

    async def _doubtful(self, run: str, states: States, logger: Any) -> States:
        """The jobs that may have ended or not: what the controller says of them."""
        over = {job for job, state in states.items() if state in FINAL}
        self.known = (self.known | states.keys()) - over
        lost = {job: states.get(job) for job in self.known if states.get(job) in (None, *MAY_COME_BACK)}
        now = time.monotonic()
        self.missed = {job: self.missed.get(job, now) for job in lost}
        due = [job for job, since in self.missed.items() if now - since >= self.grace and job not in self.ended]
        queue = (await self.ask(_queue(run), logger))[0] if due else None
        found = _plain(queue or {})
        for job in sorted(due) if queue is not None else []:
            state = found.get(job)
            if state in FINAL:
                self.ended[job] = state
            elif state in (None, *MAY_COME_BACK):
                self.ended[job] = ENDED
                logger.warning(_gone(job, lost[job]))
        # Until the controller says that it ended, a job waits: one that it wasn't asked about, too.
        alive = {job: found[job] for job in due if job in found}
        return {job: self.ended.get(job) or alive.get(job, "PENDING") for job in lost}


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


def _plain(states: States) -> dict[str, str]:
    """Each job's state, without what stands behind it."""
    return {job: (state.split() or [""])[0] for job, state in states.items()}


def _queue(run: str) -> str:
    """The question for the controller's own knowledge of a run's jobs, ended ones too for as long as it remembers
    them, in the form of the plugin's questions."""
    return f"squeue --noheader --format=%i|%T --states=all --name {run}"


def understand(plugin: Any) -> None:
    """Put the answers between SLURM and the plugin, once."""
    if not isinstance(plugin.query_job_status, Answers):
        plugin.query_job_status = Answers(plugin.query_job_status)
