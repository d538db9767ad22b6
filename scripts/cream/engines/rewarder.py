"""Opens an external reward model on an engine by name."""

from __future__ import annotations

from pathlib import Path

from cream.engines.base import Rewarder
from cream.phases import importing, phase


def open_rewarder(engine: str, folder: Path, precision: str) -> Rewarder:
    """The reward model in `folder` on `engine`.

    `precision` is the dtype of the forward pass: `bfloat16` or `float32`.
    """
    if engine == "transformers":
        with importing():
            from cream.engines.hf_rewarding import TransformersRewarder
        with phase("load"):
            return TransformersRewarder(folder, precision)
    raise ValueError(f"no engine called {engine!r}")
