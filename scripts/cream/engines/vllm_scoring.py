"""Log-probabilities of given responses, with vLLM: those it gives of a request's own ids."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cream.cells import cells_of_requests
from cream.engines.base import ModelFiles, ScoringGroup
from cream.engines.vllm_serving import ServedPolicies
from cream.kept import Kept
from cream.serving import Serving


class VllmScorer:
    """See `cream.engines.base.Scorer`."""

    def __init__(self, policies: Sequence[ModelFiles], precision: str, serving: Serving):
        self.served = ServedPolicies(policies, precision, serving)

    def score(
        self,
        files: ModelFiles,
        groups: Sequence[ScoringGroup],
        groups_per_batch: int,
        note: str = "scoring",
        kept: Kept | None = None,
    ) -> list[list[float]]:
        from vllm import SamplingParams

        # Equal responses to one prompt are computed once: a tie in the samples is a tie in the rewards.
        asked = [
            (number, ids)
            for number, group in enumerate(groups)
            for ids in dict.fromkeys(tuple(map(int, response)) for response in group.responses)
        ]
        requests = [[*map(int, groups[number].prompt_ids), *ids] for number, ids in asked]
        parameters = [SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)] * len(requests)
        cells = cells_of_requests([number for number, _ in asked], [group.place for group in groups], groups_per_batch)

        def logprob(request: int, output) -> float:
            """Of the response at the end of a request."""
            ids = asked[request][1]
            positions = output.prompt_logprobs[-len(ids) :]
            return math.fsum(position[token].logprob for position, token in zip(positions, ids, strict=True))

        found = self.served.generate(files, requests, parameters, cells, note, logprob, kept)
        sums = dict(zip(asked, found, strict=True))
        return [
            [sums[number, tuple(map(int, response))] for response in group.responses]
            for number, group in enumerate(groups)
        ]

    def facts(self) -> dict:
        return self.served.facts()
