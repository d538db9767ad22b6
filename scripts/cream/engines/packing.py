"""One prompt, several responses, one sequence: the prompt is computed once.

Each row of a packed batch is

    padding | prompt without its last token | segment | segment | ...

and each segment is the prompt's last token followed by one response, padded on the right to a
common width. A segment sees the prompt and itself, never another segment; positions continue
from the prompt, so every response gets exactly the log-probabilities it would get alone. All
segments sit in the last columns of every row, so a causal model needs logits only there
(`logits_to_keep`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cream.engines.base import ScoringGroup


@dataclass(frozen=True)
class PackedBatch:
    """Tensors of B groups with K segments of width W behind prefixes of width P.

    input_ids, position_ids: (B, P + K·W) int64. attention_mask: (B, 1, P + K·W, P + K·W) bool,
    True where a query may look. targets: (B, K, W − 1) int64, the response ids. target_mask:
    the same shape, bool, True on real response tokens.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    attention_mask: torch.Tensor
    targets: torch.Tensor
    target_mask: torch.Tensor

    def to(self, device: torch.device) -> PackedBatch:
        return PackedBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def pack(groups: Sequence[ScoringGroup], pad_id: int) -> PackedBatch:
    """Pack groups (prompts of at least one token, responses of at least one token)."""
    prefix_width = max(len(group.prompt_ids) for group in groups) - 1
    segments = max(len(group.responses) for group in groups)
    width = 1 + max(len(ids) for group in groups for ids in group.responses)
    length = prefix_width + segments * width

    input_ids = torch.full((len(groups), length), pad_id)
    position_ids = torch.zeros((len(groups), length), dtype=torch.long)
    # Which part a token belongs to: −1 padding, 0 the prefix, s ≥ 1 the s-th segment.
    part = torch.full((len(groups), length), -1)
    targets = torch.zeros((len(groups), segments, width - 1), dtype=torch.long)
    target_mask = torch.zeros((len(groups), segments, width - 1), dtype=torch.bool)

    for row, group in enumerate(groups):
        prefix, last = list(group.prompt_ids[:-1]), group.prompt_ids[-1]
        start = prefix_width - len(prefix)
        input_ids[row, start:prefix_width] = torch.tensor(prefix, dtype=torch.long)
        position_ids[row, start:prefix_width] = torch.arange(len(prefix))
        part[row, start:prefix_width] = 0
        for segment, response in enumerate(group.responses):
            at = prefix_width + segment * width
            end = at + 1 + len(response)
            ids = torch.tensor([last, *response], dtype=torch.long)
            input_ids[row, at:end] = ids
            position_ids[row, at:end] = len(prefix) + torch.arange(len(ids))
            part[row, at:end] = segment + 1
            targets[row, segment, : len(response)] = ids[1:]
            target_mask[row, segment, : len(response)] = True

    return PackedBatch(input_ids, position_ids, _attention_mask(part), targets, target_mask)


def _attention_mask(part: torch.Tensor) -> torch.Tensor:
    """Who may look at whom, from the part each token belongs to: (B, L) → (B, 1, L, L) bool."""
    length = part.shape[1]
    query, key = part[:, :, None], part[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same_part = (query == key) & causal
    looks_at_prefix = (key == 0) & (query >= 1)
    allowed = ((same_part & (key >= 0)) | looks_at_prefix) | torch.eye(length, dtype=torch.bool)
    return allowed[:, None]


def response_logprobs(model, batch: PackedBatch) -> torch.Tensor:
    """Sum of log-probabilities (nats, float32) of every response: (B, K), 0 for empty segments.

    Differentiable; the model is called through its own forward, so a distributed wrapper around
    it stays in charge of the gradients.
    """
    rows, segments, responses_width = batch.targets.shape
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
        logits_to_keep=segments * (responses_width + 1),
    ).logits
    logits = logits.view(rows, segments, responses_width + 1, -1)[:, :, :-1]
    # Only real response tokens reach the float32 softmax; padding would cost as much as they do.
    token_logits = logits[batch.target_mask].float()
    token_targets = batch.targets[batch.target_mask]
    token_logprobs = torch.log_softmax(token_logits, dim=-1).gather(-1, token_targets[:, None])[:, 0]
    summed = torch.zeros(rows, segments, responses_width, device=token_logprobs.device)
    return summed.masked_scatter(batch.target_mask, token_logprobs).sum(dim=-1)
