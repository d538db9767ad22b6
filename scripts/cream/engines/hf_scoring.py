"""Log-probabilities of given responses, with transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cream.engines.base import ModelFiles, ScoringGroup
from cream.engines.hf_models import load_for_inference
from cream.engines.packing import pack, response_logprobs
from cream.engines.tokens import load_tokenizer
from cream.progress import Progress


class TransformersScorer:
    """See `cream.engines.base.Scorer`."""

    def __init__(self, files: ModelFiles, precision: str):
        self.pad_id = load_tokenizer(files.folder).pad_token_id
        self.model = load_for_inference(files, precision)

    def score(self, groups: Sequence[ScoringGroup], groups_per_batch: int) -> list[list[float]]:
        return score_groups(self.model, self.pad_id, groups, groups_per_batch)


@torch.no_grad()
def score_groups(model, pad_id: int, groups: Sequence[ScoringGroup], groups_per_batch: int) -> list[list[float]]:
    """Sum of log-probabilities (nats) per response, in the order given.

    Equal responses to one prompt are computed once: they get the very same number, so a tie in
    the samples is a tie in the rewards. Groups are batched by length.
    """
    unique = [list(dict.fromkeys(map(tuple, group.responses))) for group in groups]
    order = sorted(range(len(groups)), key=lambda i: (_width(groups[i]), tuple(groups[i].prompt_ids)))
    scores: list[dict[tuple[int, ...], float]] = [{} for _ in groups]
    with Progress("scoring", len(groups), "prompts") as progress:
        for start in range(0, len(order), groups_per_batch):
            cell = order[start : start + groups_per_batch]
            batch = pack([ScoringGroup(groups[i].prompt_ids, unique[i]) for i in cell], pad_id)
            sums = response_logprobs(model, batch.to(model.device)).cpu()
            for row, i in enumerate(cell):
                scores[i] = {ids: float(sums[row, column]) for column, ids in enumerate(unique[i])}
            progress.update(len(cell))
    return [[found[tuple(ids)] for ids in group.responses] for group, found in zip(groups, scores, strict=True)]


def _width(group: ScoringGroup) -> tuple[int, int, int]:
    longest = max(len(ids) for ids in group.responses)
    return len(group.prompt_ids) + longest, longest, len(set(map(tuple, group.responses)))
