"""Optimiser steps that don't depend on how many processes share them.

The trainers below transformers' own give each process its share of a batch and average the
processes' gradients. That equals one process's step only if every example counts the same: so
losses are summed, divided by the number of examples (or tokens) of the whole step, and where
the last batch doesn't divide among the processes it is filled with examples that count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler

from cream.seeds import request_seed


def filled(rows: Sequence[dict], width: int) -> list[dict]:
    """Rows with `real` 1.0, followed by copies with `real` 0.0 up to a multiple of `width`."""
    real = [{**row, "real": 1.0} for row in rows]
    return real + [{**rows[0], "real": 0.0} for _ in range(-len(rows) % width)]


class ShuffledThenFill(Sampler[int]):
    """A new order of the real examples every epoch, the filling always last."""

    def __init__(self, real: int, total: int, seed: int):
        self.real, self.total, self.seed = real, total, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        # Hashed, not added: seed 1 in its second epoch must not repeat seed 2 in its first.
        seed = request_seed(self.seed, self.epoch, "data order", 0) % 2**63
        order = torch.randperm(self.real, generator=torch.Generator().manual_seed(seed))
        yield from order.tolist()
        yield from range(self.real, self.total)


def warm_up_then_cosine(step: int, steps: int, warmup_ratio: float) -> float:
    """Share of the peak learning rate at a step, counted from 0: up in a line, down along a cosine.

    Transformers' own schedule starts at 0, so that its first step learns nothing, and a training
    of one step nothing at all. Here every step learns.
    """
    warmup = math.floor(warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


class ExactSteps:
    """Mixed into a trainer whose dataset is `filled` and whose batches carry `real` (B,).

    The trainer's `compute_loss` must return `self.share_of_step(summed loss, items in the step)`.
    """

    # The loss is divided by the items of the whole step here, not once more by the micro-batches.
    loss_is_scaled_for_ga = True

    def items_in(self, batch: dict) -> torch.Tensor:
        """What the step's mean is over: by default its examples."""
        return batch["real"].sum()

    def share_of_step(self, summed_loss: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """This process's share of the step's mean loss; the processes' gradients are averaged, so
        times their number."""
        return summed_loss * self.accelerator.num_processes / items

    def create_scheduler(self, num_training_steps: int, optimizer=None) -> LambdaLR:
        def share(step: int) -> float:
            return warm_up_then_cosine(step, num_training_steps, self.args.warmup_steps)

        self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, share)
        return self.lr_scheduler

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor:
        items = torch.stack([self.items_in(batch).to(device) for batch in batch_samples]).sum()
        return self.accelerator.gather(items).sum()

    def _get_train_sampler(self, train_dataset=None) -> Sampler[int]:
        real = int(sum(self.train_dataset["real"]))
        self.order = ShuffledThenFill(real, len(self.train_dataset), self.args.data_seed)
        return self.order
