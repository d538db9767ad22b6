"""Sampling with vLLM: every response is a request of its own, with its own seed.

The N requests of a prompt share its keys and values by prefix caching.
"""

from __future__ import annotations

from collections.abc import Sequence

from cream.cells import cells_of_requests
from cream.engines.base import Decoding, ModelFiles, Prompt, Response
from cream.engines.tokens import load_tokenizer
from cream.engines.vllm_serving import ServedPolicies
from cream.kept import Kept
from cream.serving import Serving


class VllmSampler:
    """See `cream.engines.base.Sampler`."""

    def __init__(self, files: ModelFiles, precision: str, serving: Serving):
        self.files = files
        self.tokenizer = load_tokenizer(files.folder)
        self.served = ServedPolicies([files], precision, serving)

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding, kept: Kept | None = None) -> list[list[Response]]:
        asked = [(number, seed) for number, prompt in enumerate(prompts) for seed in prompt.seeds]
        requests = [list(map(int, prompts[number].ids)) for number, _ in asked]
        parameters = [self._parameters(seed, decoding) for _, seed in asked]
        cells = cells_of_requests(
            [number for number, _ in asked], [prompt.place for prompt in prompts], decoding.prompts_per_batch
        )
        sampled = self.served.generate(
            self.files,
            requests,
            parameters,
            cells,
            "sampling",
            lambda _, output: list(output.outputs[0].token_ids),
            kept,
        )
        found = iter(map(self._response, sampled))
        return [[next(found) for _ in prompt.seeds] for prompt in prompts]

    def facts(self) -> dict:
        return self.served.facts()

    def _parameters(self, seed: int, decoding: Decoding):
        from vllm import SamplingParams

        return SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_new_tokens,
            seed=seed % 2**63,
            stop_token_ids=[self.tokenizer.eos_token_id],
            detokenize=False,
        )

    def _response(self, ids: list[int]) -> Response:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return Response(ids, text, "stop" if ids[-1] == self.tokenizer.eos_token_id else "length")
