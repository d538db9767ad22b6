"""Seeded sampling with transformers' models and a loop of our own.

`generate` draws from one random stream per batch, so what a prompt gets would depend on its
neighbours. Here every response has its own stream of uniforms, fixed by its seed, and the next
token is the inverse of the cumulative distribution at that uniform: the same distribution, but
each response repeats whatever else is running. `generate` also goes on computing responses that
have ended until the longest of the batch has: here they leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from transformers import DynamicCache

from cream.cells import fixed_cells
from cream.engines.base import Decoding, ModelFiles, Prompt, Response, Tokens
from cream.engines.hf_loading import transformers_facts
from cream.engines.hf_models import load_for_inference
from cream.engines.tokens import load_tokenizer
from cream.kept import Kept, key_of
from cream.progress import Progress

# Nearly always the nucleus lies within this many tokens; where it doesn't, all are sorted.
NUCLEUS_GUESS = 256
# Ended responses leave a batch when they are at least this share of it: leaving copies the rest's
# keys and values, which costs about as much as a tenth of a step.
LEAVE_TOGETHER = 1 / 8


def uniforms(seeds: Sequence[int], length: int) -> torch.Tensor:
    """(len(seeds), length) float64 uniforms in [0, 1), row i depending on seeds[i] alone."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(length) for seed in seeds]
    return torch.from_numpy(np.stack(rows))


def draw(logits: torch.Tensor, temperature: float, top_p: float, uniform: torch.Tensor) -> torch.Tensor:
    """One token per row from the nucleus of softmax(logits / temperature).

    logits: (R, V); uniform: (R,) in [0, 1). Returns (R,) token ids. The nucleus is the smallest
    set of most likely tokens whose mass reaches `top_p`.
    """
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    guess = min(NUCLEUS_GUESS, probabilities.shape[-1])
    top, ids = probabilities.topk(guess, dim=-1)
    chosen = _draw_from_sorted(top, ids, top_p, uniform)
    wide = top.double().sum(-1) < top_p
    if bool(wide.any()):
        all_of_it, all_ids = probabilities[wide].sort(dim=-1, descending=True, stable=True)
        chosen[wide] = _draw_from_sorted(all_of_it, all_ids, top_p, uniform[wide])
    return chosen


def _draw_from_sorted(
    probabilities: torch.Tensor, ids: torch.Tensor, top_p: float, uniform: torch.Tensor
) -> torch.Tensor:
    """The nucleus draw from probabilities that fall along each row."""
    mass = probabilities.double().cumsum(-1)
    in_nucleus = (mass - probabilities) < top_p
    nucleus_mass = (probabilities * in_nucleus).double().sum(-1)
    choice = (mass <= (uniform * nucleus_mass)[:, None]).sum(-1)
    last = in_nucleus.sum(-1) - 1  # rounding at the upper end must not leave the nucleus
    return ids.gather(-1, torch.minimum(choice, last)[:, None])[:, 0]


class TransformersSampler:
    """See `cream.engines.base.Sampler`."""

    def __init__(self, files: ModelFiles, precision: str):
        self.tokenizer = load_tokenizer(files.folder)
        # One token at a time, torch's fused CPU attention is slower than plain matrix products.
        attention = "sdpa" if torch.cuda.is_available() else "eager"
        self.model = load_for_inference(files, precision, attention)

    def facts(self) -> dict:
        return transformers_facts()

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], decoding: Decoding, kept: Kept | None = None) -> list[list[Response]]:
        kept = kept or Kept()
        responses: list[list[Response]] = [[] for _ in prompts]
        with Progress("sampling", len(prompts), "prompts") as progress:
            for cell in fixed_cells([prompt.place for prompt in prompts], decoding.prompts_per_batch):
                mine = [prompts[i] for i in cell]
                found = kept.once(key_of(vars(decoding), list(map(vars, mine))), partial(self._cell, mine, decoding))
                for i, its_responses in zip(cell, found, strict=True):
                    responses[i] = [Response(**response) for response in its_responses]
                progress.update(len(cell))
        return responses

    def _cell(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[dict]]:
        found = _generate_cell(self.model, self.tokenizer, prompts, decoding)
        return [[vars(response) for response in responses] for responses in found]


def _generate_cell(model, tokenizer, cell: Sequence[Prompt], decoding: Decoding) -> list[list[Response]]:
    """All responses to a few prompts, each prompt's keys and values computed once for all of its responses."""
    end = tokenizer.eos_token_id
    owners = [number for number, prompt in enumerate(cell) for _ in prompt.seeds]
    sampled: list[list[int]] = [[] for _ in owners]
    streams = uniforms([seed for prompt in cell for seed in prompt.seeds], decoding.max_new_tokens)

    input_ids, mask = _left_padded([prompt.ids for prompt in cell], tokenizer.pad_token_id)
    input_ids, mask, streams = input_ids.to(model.device), mask.to(model.device), streams.to(model.device)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = _next_logits(model, input_ids, mask, positions, cache)
    per_response = torch.tensor(owners, device=model.device)
    cache.batch_select_indices(per_response)
    mask, logits = mask[per_response], logits[per_response]

    rows = torch.arange(len(owners), device=model.device)  # the response that each row of the batch is
    running = torch.ones(len(owners), dtype=torch.bool, device=model.device)
    for step in range(decoding.max_new_tokens):
        if decoding.temperature > 0:
            tokens = draw(logits, decoding.temperature, decoding.top_p, streams[rows, step])
        else:
            tokens = logits.argmax(-1)
        for row, token, runs in zip(rows.tolist(), tokens.tolist(), running.tolist(), strict=True):
            if runs:
                sampled[row].append(token)
        running &= tokens != end
        if step + 1 == decoding.max_new_tokens or not bool(running.any()):
            break
        if (~running).float().mean() >= LEAVE_TOGETHER:
            stay = running.nonzero()[:, 0]
            cache.batch_select_indices(stay)
            rows, tokens, mask, running = rows[stay], tokens[stay], mask[stay], running[stay]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
        logits = _next_logits(model, tokens[:, None], mask, mask.sum(-1, keepdim=True) - 1, cache)
    return _by_owner(owners, [_response(ids, end, tokenizer) for ids in sampled], len(cell))


def _next_logits(model, input_ids, mask, positions, cache: DynamicCache) -> torch.Tensor:
    """Logits (R, V) of the token after each row's last; adds the rows' keys and values to `cache`."""
    return model(
        input_ids=input_ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]


def _left_padded(prompts: Sequence[Tokens], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask (B, longest), every prompt at the right end of its row."""
    width = max(map(len, prompts))
    input_ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(prompts):
        input_ids[row, width - len(ids) :] = torch.tensor(ids)
        mask[row, width - len(ids) :] = 1
    return input_ids, mask


def _by_owner(owners: Sequence[int], responses: Sequence[Response], count: int) -> list[list[Response]]:
    found: list[list[Response]] = [[] for _ in range(count)]
    for owner, response in zip(owners, responses, strict=True):
        found[owner].append(response)
    return found


def _response(ids: list[int], end: int, tokenizer) -> Response:
    """The end token belongs to a response; one without it was cut short."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return Response(ids, text, "stop" if ids[-1] == end else "length")
