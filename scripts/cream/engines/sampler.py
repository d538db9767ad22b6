"""Opens the sampler of an engine by name."""

from __future__ import annotations

from cream.engines.base import ModelFiles, Sampler


def open_sampler(engine: str, model: ModelFiles, precision: str) -> Sampler:
    """The sampler of `engine` for the policy in `model`.

    `precision` is the dtype of the forward pass: `bfloat16` or `float32`.
    """
    if engine == "transformers":
        from cream.engines.hf_sampling import TransformersSampler

        return TransformersSampler(model, precision)
    raise ValueError(f"no engine called {engine!r}")
