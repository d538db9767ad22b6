"""Opens the trainer of an engine by name."""

from __future__ import annotations

from cream.engines.base import ModelFiles, Trainer
from cream.phases import importing, phase


def open_trainer(engine: str, model: ModelFiles, precision: str) -> Trainer:
    """The trainer of `engine` for the policy in `model`.

    `precision` is the dtype of the forward pass: `bfloat16` or `float32`.
    """
    if engine == "transformers":
        with importing():
            from cream.engines.hf_training import TransformersTrainer
        with phase("load"):
            return TransformersTrainer(model, precision)
    raise ValueError(f"no engine called {engine!r}")
