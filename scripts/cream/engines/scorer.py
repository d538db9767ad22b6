"""Opens the scorer of an engine by name."""

from __future__ import annotations

from cream.engines.base import ModelFiles, Scorer


def open_scorer(engine: str, model: ModelFiles, precision: str) -> Scorer:
    """The scorer of `engine` for the policy in `model`.

    `precision` is the dtype of the forward pass: `bfloat16` or `float32`.
    """
    if engine == "transformers":
        from cream.engines.hf_scoring import TransformersScorer

        return TransformersScorer(model, precision)
    raise ValueError(f"no engine called {engine!r}")
