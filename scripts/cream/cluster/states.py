"""SLURM's answers about jobs, put into the words that Snakemake's SLURM plugin acts on.

snakemake-executor-plugin-slurm 2.8.0 would otherwise wait for ever, with nothing in its log,
- for a job that sacct calls "CANCELLED by 1000": it looks for "CANCELLED";
- for a job that was preempted and that SLURM doesn't queue again (PreemptMode=CANCEL);
- for a job that SLURM knew and knows no more;
- for every job, once five questions in a row go unanswered (a controller or its database restarts, or there
  is no accounting): it then forgets what it was waiting for.

tests/slurm meets each of them on a real SLURM: when a newer plugin passes without this module, it can go.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

# Seconds after which a job that was preempted, or that SLURM has no word of, won't come back by itself.
GRACE = 60.0
ENDED = "FAILED"
States = Mapping[str, str]


class Answers:
    """The plugin's own question for the states of its jobs, with answers it understands."""

    def __init__(self, ask: Callable[..., Awaitable[tuple[States | None, float | None]]], grace: float = GRACE):
        self.ask, self.grace = ask, grace
        self.known: set[str] = set()
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
        return self._understood(states, logger), seconds

    def _understood(self, states: States, logger: Any) -> States:
        plain = {job: (state.split() or [""])[0] for job, state in states.items()}
        self.known |= plain.keys()
        preempted = {job for job, state in plain.items() if state == "PREEMPTED"}
        doubtful = preempted | (self.known - plain.keys())
        now = time.monotonic()
        self.missed = {job: self.missed.get(job, now) for job in doubtful}
        for job in sorted(job for job, since in self.missed.items() if now - since >= self.grace):
            plain[job] = ENDED
            self.known.discard(job)
            why = "was preempted and not queued again" if job in preempted else "is not known to SLURM any more"
            logger.warning(f"SLURM job {job} {why}: it counts as failed, and is submitted again if retries are left.")
        return plain


class _Heard:
    """A logger that remembers the last thing said: why a question failed."""

    def __init__(self, logger: Any):
        self.logger, self.last = logger, ""

    def debug(self, text: str) -> None:
        self.last = text.strip()
        self.logger.debug(text)


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
