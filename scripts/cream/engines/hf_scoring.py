"""Log-probabilities of given responses, with transformers.

A prompt's keys and values are computed once and shared by all of its responses, and of the
responses only the hidden states are kept: the head turns them into log-probabilities a few
positions and a slice of the vocabulary at a time. Memory grows with neither the number of
responses to a prompt times its length nor with vocabulary times length.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from transformers import DynamicCache, PreTrainedModel

from cream.cells import fixed_cells
from cream.engines.base import ModelFiles, ScoringGroup, Tokens
from cream.engines.hf_loading import transformers_facts
from cream.engines.hf_models import Policies
from cream.errors import UserError
from cream.kept import Kept, key_of
from cream.progress import Progress

# One block of logits: 512 positions × 8192 words in float32 are 16 MB.
POSITIONS, WORDS = 512, 8192
# Fewer responses at once leave a processor's matrix units idle.
LEAST_ROWS = 8


class TransformersScorer:
    """See `cream.engines.base.Scorer`."""

    def __init__(self, precision: str):
        self.policies = Policies(precision)

    def facts(self) -> dict:
        return transformers_facts()

    @torch.no_grad()
    def score(
        self,
        files: ModelFiles,
        groups: Sequence[ScoringGroup],
        groups_per_batch: int,
        note: str = "scoring",
        kept: Kept | None = None,
    ) -> list[list[float]]:
        with self.policies.loaded(files) as model:
            return score_groups(model, groups, groups_per_batch, note, kept, str(files.folder))


@torch.no_grad()
def score_groups(
    model: PreTrainedModel,
    groups: Sequence[ScoringGroup],
    groups_per_batch: int,
    note: str = "scoring",
    kept: Kept | None = None,
    name: str = "",
) -> list[list[float]]:
    """Sum of log-probabilities (nats) per response, in the order given.

    Equal responses to one prompt are computed once: they get the very same number, so a tie in
    the samples is a tie in the rewards. What is in `kept` for the model of this `name` isn't computed
    again. Raises `UserError` for a model whose logits are more than its head's product with the hidden
    states.
    """
    _check_head(model)
    kept = kept or Kept()
    scores: list[dict[tuple[int, ...], float]] = [{} for _ in groups]
    with Progress(note, len(groups), "prompts") as progress:
        for cell in fixed_cells([group.place for group in groups], groups_per_batch):
            distinct = [(i, ids) for i in cell for ids in dict.fromkeys(map(tuple, groups[i].responses))]
            owners = [cell.index(i) for i, _ in distinct]
            work = [groups[i].prompt_ids for i in cell], owners, [ids for _, ids in distinct]
            sums = kept.once(key_of(name, *work), partial(_score_cell, model, *work))
            for (i, ids), value in zip(distinct, sums, strict=True):
                scores[i][ids] = value
            progress.update(len(cell))
    return [[found[tuple(ids)] for ids in group.responses] for group, found in zip(groups, scores, strict=True)]


def _score_cell(model, prompts: Sequence[Tokens], owners: Sequence[int], responses: Sequence[Tokens]) -> list[float]:
    """Log-probabilities of responses; the k-th answers prompt `owners[k]`."""
    cache, seen = _prompt_cache(model, prompts)
    scores = [0.0] * len(responses)
    # Responses of a length run together, so that a short one isn't padded to the longest of the cell.
    by_length = sorted(range(len(responses)), key=lambda k: (len(responses[k]), k))
    rows_at_once = max(len(prompts), LEAST_ROWS)
    for start in range(0, len(by_length), rows_at_once):
        some = by_length[start : start + rows_at_once]
        last_tokens = [prompts[owners[k]][-1] for k in some]
        sums = _score_rows(model, cache, seen, [owners[k] for k in some], last_tokens, [responses[k] for k in some])
        for k, value in zip(some, sums, strict=True):
            scores[k] = value
    return scores


def _score_rows(
    model, prompt_cache: DynamicCache, seen: torch.Tensor, owners, last_tokens, responses: Sequence[Tokens]
) -> list[float]:
    """Log-probabilities of responses; the k-th follows row `owners[k]` of the cache and the prompt's last token."""
    device = model.device
    rows = torch.tensor(owners, device=device)
    # Reading the responses adds to the cache: each time a copy.
    cache = copy.deepcopy(prompt_cache)
    if seen.shape[1]:
        cache.batch_select_indices(rows)
    # A response's tokens are predicted from the prompt's last token and the response but for its own last.
    width = max(map(len, responses))
    read = torch.zeros(len(responses), width, dtype=torch.long)
    targets = torch.zeros_like(read)
    real = torch.zeros(len(responses), width, dtype=torch.bool)
    for row, (last, ids) in enumerate(zip(last_tokens, responses, strict=True)):
        read[row, : len(ids)] = torch.tensor([last, *ids[:-1]])
        targets[row, : len(ids)] = torch.tensor(ids)
        real[row, : len(ids)] = True
    read, targets, real, seen = read.to(device), targets.to(device), real.to(device), seen[rows]
    hidden = _decoder(model)(
        input_ids=read,
        attention_mask=torch.cat([seen, real.long()], dim=-1),
        position_ids=seen.sum(-1, keepdim=True) + torch.arange(width, device=device),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    logprobs = token_logprobs(hidden[real], model.get_output_embeddings(), targets[real])
    summed = torch.zeros(real.shape, dtype=torch.float32, device=device).masked_scatter(real, logprobs)
    return summed.sum(-1).tolist()


def _prompt_cache(model, prompts: Sequence[Tokens]) -> tuple[DynamicCache, torch.Tensor]:
    """Keys and values of all but each prompt's last token, and which of the columns are a prompt's
    (B, longest − 1): the prompts stand at the right end."""
    width = max(map(len, prompts)) - 1
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    seen = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) + 1 :] = torch.tensor(prompt[:-1], dtype=torch.long)
        seen[row, width - len(prompt) + 1 :] = 1
    ids, seen = ids.to(model.device), seen.to(model.device)
    cache = DynamicCache(config=model.config)
    if width:
        positions = (seen.cumsum(-1) - 1).clamp(min=0)
        _decoder(model)(
            input_ids=ids, attention_mask=seen, position_ids=positions, past_key_values=cache, use_cache=True
        )
    return cache, seen


def token_logprobs(hidden: torch.Tensor, head: torch.nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    """log softmax(head(hidden))[target] in float32: hidden (n, D), targets (n,) → (n,).

    The normaliser is summed over slices of the vocabulary, so at most POSITIONS × WORDS logits
    exist at a time.
    """
    words = head.weight.shape[0]
    if int(targets.max()) >= words:
        raise UserError(
            f"a response has token {int(targets.max())}, the scorer knows {words}: another model sampled it"
        )
    found = []
    for states, wanted in zip(hidden.split(POSITIONS), targets.split(POSITIONS), strict=True):
        normaliser = torch.full(wanted.shape, -torch.inf, device=hidden.device)
        own = torch.zeros_like(normaliser)
        for start in range(0, words, WORDS):
            bias = None if head.bias is None else head.bias[start : start + WORDS]
            logits = F.linear(states, head.weight[start : start + WORDS], bias).float()
            at = wanted - start
            inside = (at >= 0) & (at < logits.shape[1])
            own[inside] = logits[inside, at[inside]]
            # The block is overwritten step by step: torch.logsumexp makes three more of its size, which costs
            # more than the sum itself.
            top = logits.amax(-1, keepdim=True)
            block = logits.sub_(top).exp_().sum(-1).log_().add_(top[:, 0])
            normaliser = torch.logaddexp(normaliser, block)
        found.append(own - normaliser)
    return torch.cat(found)


def _decoder(model: PreTrainedModel) -> torch.nn.Module:
    """The model without its head."""
    return model.get_decoder()


def _check_head(model: PreTrainedModel) -> None:
    """Some families cap or scale their logits after the head; scoring them here would be wrong."""
    ids = torch.arange(4, device=model.device)[None]
    hidden = _decoder(model)(input_ids=ids, use_cache=False).last_hidden_state
    expected = model(input_ids=ids, use_cache=False).logits.float()
    found = model.get_output_embeddings()(hidden).float()
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())):
        raise UserError(
            f"{type(model).__name__} changes its logits after its head (capped or scaled): scoring can't "
            "use its hidden states; choose another model family"
        )
