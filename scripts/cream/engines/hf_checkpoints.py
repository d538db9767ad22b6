"""Training that can be stopped: a checkpoint every few minutes, and one more when the cluster asks to end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed
from transformers import Trainer, TrainerCallback

from cream.checkpoints import Checkpoints
from cream.errors import Stopped
from cream.processes import is_main_process

# No result depends on how often, so it is no setting of the study. 0: after every step.
EVERY = "CREAM_CHECKPOINT_SECONDS"
DEFAULT_SECONDS = 300.0
MOST = 0.1  # of the time may go into checkpoints


class SavesInTime(TrainerCallback):
    """Saves after the step in which the time is up or SIGTERM came; after SIGTERM training ends there.

    Processes that share a training decide together, after every step.
    """

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints
        self.every = float(os.environ.get(EVERY, DEFAULT_SECONDS))
        self.last = time.monotonic()
        self.began = self.last  # when the last step was over, and a checkpoint of it may have begun
        self.asked_to_end = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM ends the training after its step, not at once. Raises `Stopped` at the end of the block then."""

        def note(*_: object) -> None:
            self.asked_to_end = True

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
        if self.asked_to_end:
            raise Stopped

    def on_step_end(self, args, state, control, **kwargs):
        time_is_up = time.monotonic() - self.last >= self.every
        time_is_up, self.asked_to_end = _anywhere(time_is_up, self.asked_to_end)
        if state.global_step < state.max_steps:  # behind the last step nothing is left to lose
            control.should_save |= time_is_up or self.asked_to_end
            self.began = time.monotonic()
            control.should_training_stop |= self.asked_to_end
        else:
            self.asked_to_end = False
        return control

    def on_save(self, args, state, control, **kwargs):
        if _shared():
            torch.distributed.barrier()  # every process has written its part
        if is_main_process():
            self.checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            print(f"checkpoint after step {state.global_step}", flush=True)
        self.last = time.monotonic()
        if self.every:
            self.every = max(self.every, (self.last - self.began) / MOST)


class SetsEpoch(TrainerCallback):
    """Tells the order of the examples which epoch it is.

    accelerate does, but not where several processes go on from a checkpoint within an epoch: the rest of that
    epoch would be taken from the order of the first.
    """

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.order.set_epoch(int(state.epoch or 0))


def _shared() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _anywhere(*flags: bool) -> tuple[bool, ...]:
    """Each flag, raised for all processes if it is raised in one."""
    if not _shared():
        return flags
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    together = torch.tensor(flags, dtype=torch.int32, device=device)
    torch.distributed.all_reduce(together, torch.distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in together.tolist())
