"""A process that answers questions by the line: an srun whose other end is scripts/cream/cluster/probe.py."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time

from cream.cluster import slurm

PATIENCE = 30.0  # seconds for an answer beyond what the question takes


class Silent(Exception):
    """No answer came: the text is the reason, in one line."""


class NodeJob:
    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(
            command,
            # Inside a job of one's own, SLURM's variables would make this a step of that job.
            env={name: value for name, value in os.environ.items() if name == "SLURM_CONF" or name[:6] != "SLURM_"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for this program, which then ends the job
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.complaints: list[str] = []
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_complaints)]
        for reader in self.readers:
            reader.start()

    def ask(self, patience: float = PATIENCE, **question: object) -> dict:
        """The answer to a question. Raises `Silent` when none comes."""
        with contextlib.suppress(OSError):  # where the job has ended, reading says why
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        found = self.answer(patience)
        if found is None:
            raise Silent(f"the job gave no answer in {patience:.0f} s")
        return found

    def answer(self, patience: float) -> dict | None:
        """The next answer; None if none comes in time. Raises `Silent` when the job has ended."""
        until = time.monotonic() + patience
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return None
            if line is None:
                self.readers[1].join(timeout=2)
                raise Silent(_reason(self.complaints))
            with contextlib.suppress(ValueError):  # what a site's prolog prints is no answer
                found = json.loads(line)
                if isinstance(found, dict):
                    return found

    def end(self, job_name: str | None = None) -> None:
        """Let it end by itself; else cancel the job of this name and kill srun."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=0 if self.waiting else 5)
            return
        if job_name is not None:
            with contextlib.suppress(slurm.NoAnswer):
                slurm.ask("scancel", f"--name={job_name}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
            return
        self.process.kill()
        self.process.wait()

    @property
    def waiting(self) -> bool:
        """Whether it stands in the queue, as far as srun has said."""
        said = "".join(self.complaints)
        return "queued and waiting" in said and "has been allocated" not in said

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _read_complaints(self) -> None:
        for line in self.process.stderr:
            self.complaints.append(line)


def _reason(complaints: list[str]) -> str:
    """What SLURM complained of first, notes of waiting left out."""
    lines = [line for line in complaints if "queued and waiting" not in line and "has been allocated" not in line]
    return f"the job failed: {slurm.first_line(chr(10).join(lines)) or 'SLURM gave no reason'}"
