"""Opens the sampler of an engine by name."""

from __future__ import annotations

from cream.engines.base import ModelFiles, Sampler, Serving


def open_sampler(engine: str, model: ModelFiles, precision: str, serving: Serving | None = None) -> Sampler:
    """The sampler of `engine` for the policy in `model`.

    `precision` is the dtype of the forward pass: `bfloat16` or `float32`; `serving` is for vLLM.
    """
    if engine == "transformers":
        from cream.engines.hf_sampling import TransformersSampler

        return TransformersSampler(model, precision)
    if engine == "vllm":
        from cream.engines.vllm_sampling import VllmSampler

        return VllmSampler(model, precision, serving)
    raise ValueError(f"no engine called {engine!r}")
