"""Opens the sampler of an engine by name."""

from __future__ import annotations

from cream.engines.base import ModelFiles, Sampler
from cream.phases import importing, phase
from cream.serving import DEFAULT_SERVING, Serving


def open_sampler(engine: str, model: ModelFiles, precision: str, serving: Serving | None = None) -> Sampler:
    """The sampler of `engine` for the policy in `model`.

    `precision` is the dtype of the forward pass: `bfloat16` or `float32`; `serving` is for vLLM.
    """
    if engine == "transformers":
        with importing():
            from cream.engines.hf_sampling import TransformersSampler
        with phase("load"):
            return TransformersSampler(model, precision)
    if engine == "vllm":
        with importing():
            from cream.engines.vllm_sampling import VllmSampler
        with phase("load"):
            return VllmSampler(model, precision, serving or DEFAULT_SERVING)
    raise ValueError(f"no engine called {engine!r}")
