"""Seeded sampling with transformers' own generation loop.

`generate` draws from one random stream per batch, so what a prompt gets would depend on its
neighbours. Here every response has its own stream of uniforms, fixed by its seed, and the next
token is the inverse of the cumulative distribution at that uniform: the same distribution, but
each response repeats whatever else is running.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from cream.engines.base import Decoding, ModelFiles, Prompt, Response
from cream.engines.hf_models import load_for_inference
from cream.engines.tokens import load_tokenizer
from cream.progress import Progress

# Nearly always the nucleus lies within this many tokens; where it doesn't, all are sorted.
NUCLEUS_GUESS = 256


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


class SeededDraw(LogitsProcessor):
    """Leaves only the drawn token possible, so that greedy decoding takes it."""

    def __init__(self, decoding: Decoding, seeds: Sequence[int], prompt_width: int):
        self.decoding = decoding
        self.uniforms = uniforms(seeds, decoding.max_new_tokens)
        self.prompt_width = prompt_width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self.prompt_width
        uniform = self.uniforms[:, step].to(scores.device)
        chosen = draw(scores, self.decoding.temperature, self.decoding.top_p, uniform)
        only = torch.full_like(scores, -torch.inf)
        return only.scatter(-1, chosen[:, None], 0.0)


class TransformersSampler:
    """See `cream.engines.base.Sampler`."""

    def __init__(self, files: ModelFiles, precision: str):
        self.tokenizer = load_tokenizer(files.folder)
        # One token at a time, torch's fused CPU attention is slower than plain matrix products.
        attention = "sdpa" if torch.cuda.is_available() else "eager"
        self.model = load_for_inference(files, precision, attention)

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[Response]]:
        """Responses in the prompts' order. Batches are cells of prompts sorted by length and id,
        so the order in which prompts arrive changes nothing."""
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), prompts[i].prompt_id))
        responses: list[list[Response]] = [[] for _ in prompts]
        with Progress("sampling", len(prompts), "prompts") as progress:
            for start in range(0, len(order), decoding.prompts_per_batch):
                cell = order[start : start + decoding.prompts_per_batch]
                found = _generate_cell(self.model, self.tokenizer, [prompts[i] for i in cell], decoding)
                for i, its_responses in zip(cell, found, strict=True):
                    responses[i] = its_responses
                progress.update(len(cell))
        return responses


def _generate_cell(model, tokenizer, cell: Sequence[Prompt], decoding: Decoding) -> list[list[Response]]:
    wanted = len(cell[0].seeds)
    if any(len(prompt.seeds) != wanted for prompt in cell):
        raise ValueError("every prompt of a batch must want the same number of responses")
    width = max(len(prompt.ids) for prompt in cell)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    input_ids = torch.full((len(cell), width), pad)
    attention_mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(cell):
        input_ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
        attention_mask[row, width - len(prompt.ids) :] = 1
    input_ids, attention_mask = input_ids.to(model.device), attention_mask.to(model.device)
    processors = LogitsProcessorList()
    if decoding.temperature > 0:
        seeds = [seed for prompt in cell for seed in prompt.seeds]
        processors.append(SeededDraw(decoding, seeds, width))
    output = model.generate(
        input_ids=input_ids.repeat_interleave(wanted, dim=0),
        attention_mask=attention_mask.repeat_interleave(wanted, dim=0),
        past_key_values=_shared_prompt_cache(model, input_ids, attention_mask, wanted),
        logits_processor=processors,
        do_sample=False,
        max_new_tokens=decoding.max_new_tokens,
        eos_token_id=end,
        pad_token_id=pad,
    )
    flat = [_response(ids, end, tokenizer) for ids in output[:, width:].tolist()]
    return [flat[at : at + wanted] for at in range(0, len(flat), wanted)]


def _shared_prompt_cache(model, input_ids, attention_mask, wanted: int):
    """Keys and values of all but the last prompt token, computed once per prompt, one copy per
    response."""
    positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    cache = model(
        input_ids=input_ids[:, :-1],
        attention_mask=attention_mask[:, :-1],
        position_ids=positions[:, :-1],
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values
    cache.batch_repeat_interleave(wanted)
    return cache


def _response(ids: list[int], end: int, tokenizer) -> Response:
    """Cut at the first end token, which belongs to the response; without one it was cut short."""
    finished = end in ids
    if finished:
        ids = ids[: ids.index(end) + 1]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return Response(ids, text, "stop" if finished else "length")
