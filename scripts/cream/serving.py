"""How vLLM serves a policy. Apart from the engines, because every script's flags know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Serving:
    """Settings of vLLM (transformers needs none).

    `deterministic`: what a request gets doesn't depend on its company. `tensor_parallel`: devices
    that share a model. `gpu_memory`: share of a GPU's memory to take. `cpu_cache_gb`: gigabytes
    for keys and values without a GPU.
    """

    deterministic: bool
    tensor_parallel: int
    gpu_memory: float
    cpu_cache_gb: int


# For scripts run by hand.
DEFAULT_SERVING = Serving(deterministic=False, tensor_parallel=1, gpu_memory=0.9, cpu_cache_gb=1)
