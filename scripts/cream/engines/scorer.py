"""Opens the scorer of an engine by name."""

from __future__ import annotations

from collections.abc import Sequence

from cream.engines.base import ModelFiles, Scorer
from cream.phases import importing, phase
from cream.serving import DEFAULT_SERVING, Serving


def open_scorer(engine: str, policies: Sequence[ModelFiles], precision: str, serving: Serving | None = None) -> Scorer:
    """The scorer of `engine` for all the policies it will be asked about.

    `precision` is the dtype of the forward pass: `bfloat16` or `float32`; `serving` is for vLLM.
    """
    if engine == "transformers":
        with importing():
            from cream.engines.hf_scoring import TransformersScorer
        with phase("load"):
            return TransformersScorer(precision)
    if engine == "vllm":
        with importing():
            from cream.engines.vllm_scoring import VllmScorer
        with phase("load"):
            return VllmScorer(policies, precision, serving or DEFAULT_SERVING)
    raise ValueError(f"no engine called {engine!r}")
