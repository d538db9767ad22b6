"""Starts vLLM in this very process and keeps its ways in check: ids in, ids out, adapters unmerged.

With one device vLLM runs inside the job's process, so nothing outlives it and what runs together
depends on the requests alone. Tensor parallelism adds worker processes, which are ended with it.
"""

from __future__ import annotations

import atexit
import gc
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from cream.engines.base import ModelFiles
from cream.errors import UserError
from cream.kept import Kept, key_of
from cream.phases import importing, phase
from cream.serving import Serving

ADAPTER_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM can be asked for
# Tokens in one forward pass. While it scores, vLLM holds logits of all of them over the whole vocabulary.
TOKENS_AT_ONCE = 2048
# Requests that run together before they are kept: the last ones of a part leave the device half empty.
KEPT_TOGETHER = 2048


class ServedPolicies:
    """vLLM serving one policy after the other; those that adapt one M0 share its weights.

    vLLM is loaded at the first request, which says how long the longest sequence is. Raises
    `UserError` if vLLM can't serve the model or stops half-way.
    """

    def __init__(self, policies: Sequence[ModelFiles], precision: str, serving: Serving):
        _prepare_environment(serving)
        self.precision, self.serving = precision, serving
        self.adapters = {files.folder: _adapter_config(files.folder) for files in policies}
        self.llm = None
        self.held: tuple[Path, int] | None = None
        self.watch: WorkerWatch | None = None

    def generate(
        self,
        files: ModelFiles,
        requests: Sequence[Sequence[int]],
        parameters: Sequence,
        cells: Sequence[Sequence[int]],
        doing: str,
        read: Callable[[int, Any], Any],
        kept: Kept | None = None,
    ) -> list:
        """What `read` makes of vLLM's output for each request (token ids), in their order; JSON must be able
        to hold it. `cells` has the numbers of the requests that may run together in a deterministic run."""
        if not requests:
            return []
        longest = max(len(ids) + one.max_tokens for ids, one in zip(requests, parameters, strict=True))
        llm = self._serving(files, longest)
        adapter = self._adapter(files.folder)
        kept = kept or Kept()
        outputs: list = [None] * len(requests)

        def answers(numbers: Sequence[int]) -> list:
            try:
                found = llm.generate(
                    [{"prompt_token_ids": requests[i]} for i in numbers],
                    [parameters[i] for i in numbers],
                    lora_request=adapter,
                    use_tqdm=partial(_bar, doing),
                )
                if self._one_cell_at_a_time:
                    llm.reset_prefix_cache()
            except Exception as problem:  # a dead worker shows as any of several kinds
                self.close()
                raise UserError(
                    f"vLLM stopped while {doing} with {files.folder} ({_reason(problem)}): what it had finished is "
                    "kept; run the job again, with more memory if it was killed for that"
                ) from problem
            return [read(i, output) for i, output in zip(numbers, found, strict=True)]

        for part in cells if self._one_cell_at_a_time else _large_parts(cells):
            key = key_of(str(files.folder), [(requests[i], repr(parameters[i])) for i in part])
            for i, answer in zip(part, kept.once(key, partial(answers, part)), strict=True):
                outputs[i] = answer
        return outputs

    def facts(self) -> dict:
        """What the record says of the engine."""
        import torch
        import vllm

        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        return {"engine": "vllm", "version": vllm.__version__, "device": device, **vars(self.serving)}

    def close(self) -> None:
        """End vLLM and whatever processes it started."""
        if self.llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self.watch.end()
        self.llm.llm_engine.engine_core.shutdown()
        self.llm = self.held = None
        gc.collect()
        cleanup_dist_env_and_memory()

    @property
    def _one_cell_at_a_time(self) -> bool:
        """vLLM's batch-invariant kernels need a GPU. Without one, the same cells as transformers runs, one
        after the other, make a result independent of how many jobs share the prompts."""
        import torch

        return self.serving.deterministic and not torch.cuda.is_available()

    def _serving(self, files: ModelFiles, longest: int):
        weights = files.base if self.adapters[files.folder] else files.folder
        if self.held is None or self.held[0] != weights or self.held[1] < longest:
            self.close()
            self.llm = self._start(weights, longest)
            self.held = (weights, longest)
            self.watch = WorkerWatch(weights)
        return self.llm

    def _start(self, weights: Path, longest: int):
        import torch

        with importing():
            from vllm import LLM

        try:
            return self._llm(LLM, weights, longest, torch.cuda.is_available())
        except Exception as problem:  # config, memory, device: vLLM raises many kinds
            raise UserError(f"vLLM can't serve {weights}: {_reason(problem)}") from problem

    def _llm(self, LLM, weights: Path, longest: int, on_gpu: bool):
        with phase("load"):
            return LLM(
                model=str(weights),
                dtype=self.precision,
                max_model_len=longest,
                max_num_batched_tokens=max(TOKENS_AT_ONCE, longest),
                tensor_parallel_size=self.serving.tensor_parallel,
                gpu_memory_utilization=self.serving.gpu_memory,
                enforce_eager=not on_gpu,
                # A prompt read in two parts makes vLLM turn its seeded stream back, which a processor's can't.
                enable_chunked_prefill=on_gpu,
                enable_prefix_caching=True,
                skip_tokenizer_init=True,
                generation_config="vllm",
                load_format="safetensors",
                trust_remote_code=False,
                disable_log_stats=True,
                **_adapting([config for config in self.adapters.values() if config]),
            )

    def _adapter(self, folder: Path):
        if not self.adapters[folder]:
            return None
        from vllm.lora.request import LoRARequest

        number = list(self.adapters).index(folder) + 1
        return LoRARequest(f"adapter {number}", number, str(folder))


class WorkerWatch:
    """Ends the job when a worker process does: vLLM would wait for its answer for ever."""

    def __init__(self, weights: Path):
        self.weights = weights
        self.workers = multiprocessing.active_children()
        self.asked_to_end, self.end_signal = multiprocessing.Pipe(duplex=False)
        if self.workers:
            threading.Thread(target=self._watch, daemon=True).start()
            atexit.register(self.end)  # before Python ends its children itself

    def end(self) -> None:
        """Stop watching: the workers are about to be ended on purpose."""
        self.end_signal.send(None)

    def _watch(self) -> None:
        ended = wait([self.asked_to_end, *(worker.sentinel for worker in self.workers)])
        if self.asked_to_end in ended:
            return
        dead = next(worker for worker in self.workers if worker.sentinel in ended)
        for worker in self.workers:
            worker.kill()
        print(
            f"error: a process of vLLM ended ({dead.exitcode}) while serving {self.weights}: what it had "
            "finished is kept; "
            "run the job again, with more memory if it was killed for that",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # the main thread is inside vLLM and hears nothing


def _large_parts(cells: Sequence[Sequence[int]]) -> list[list[int]]:
    """Whole cells in parts of about KEPT_TOGETHER requests."""
    parts: list[list[int]] = [[]]
    for cell in cells:
        if len(parts[-1]) >= KEPT_TOGETHER:
            parts.append([])
        parts[-1].extend(cell)
    return parts


def _prepare_environment(serving: Serving) -> None:
    """Set what vLLM reads from the environment when it is imported."""
    os.environ.update(
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
        VLLM_LOGGING_LEVEL="ERROR",
        VLLM_NO_USAGE_STATS="1",
        DO_NOT_TRACK="1",
        VLLM_ALLOW_LONG_MAX_MODEL_LEN="1",  # scoring asks for a token after the last one
        VLLM_CPU_OMP_THREADS_BIND="nobind",  # jobs beside each other must not share a core
        VLLM_CPU_KVCACHE_SPACE=str(serving.cpu_cache_gb),
    )
    import torch

    if serving.deterministic and torch.cuda.is_available():
        os.environ["VLLM_BATCH_INVARIANT"] = "1"


def _adapter_config(folder: Path) -> dict | None:
    path = folder / "adapter_config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _adapting(adapters: Sequence[dict]) -> dict:
    """vLLM's settings for serving these adapters beside their base."""
    if not adapters:
        return {}
    return {
        "enable_lora": True,
        "max_loras": 1,
        "max_lora_rank": _served_rank(max(config["r"] for config in adapters)),
        # Only what the adapters change: vLLM would wrap the head as well, and can't score through that. By
        # their last names: of full ones vLLM leaves out, unsaid, what it packs together (q, k and v).
        "lora_target_modules": sorted(
            {name.rsplit(".")[-1] for config in adapters for name in config["target_modules"]}
        ),
    }


def _served_rank(rank: int) -> int:
    for served in ADAPTER_RANKS:
        if rank <= served:
            return served
    raise UserError(f"vLLM serves adapters up to rank {ADAPTER_RANKS[-1]}, not {rank}: set lora.rank or another engine")


def _reason(problem: Exception) -> str:
    """The first line of what went wrong, from the innermost cause."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    text = str(problem).strip()
    return text.splitlines()[0] if text else type(problem).__name__


def _bar(doing: str, waiting=None, **settings):
    """What vLLM shows progress with: nothing while it queues requests, then a bar or a line now and then."""
    if waiting is not None:
        return waiting
    from tqdm import tqdm

    return tqdm(**{**settings, "desc": doing, "mininterval": 1 if sys.stderr.isatty() else 20})
