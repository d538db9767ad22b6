"""External reward models with transformers: sequence classification with a single output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from cream.engines.base import Tokens
from cream.engines.hf_loading import dtype_of, load_safely
from cream.engines.tokens import chat_ids, load_tokenizer
from cream.errors import UserError
from cream.progress import Progress


class TransformersRewarder:
    """See `cream.engines.base.Rewarder`."""

    def __init__(self, folder: Path, precision: str):
        self.tokenizer = load_tokenizer(folder)
        self.model = _load(folder, dtype_of(precision))
        # Decoder classifiers read the last token that isn't padding: the model's own idea of it counts.
        self.own_padding = self.model.config.get_text_config().pad_token_id
        self.context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @torch.no_grad()
    def reward(self, exchanges: Sequence[tuple[str, str]], per_batch: int) -> list[float | None]:
        ids = [
            chat_ids(self.tokenizer, [("user", prompt), ("assistant", response)], add_generation_prompt=False)
            for prompt, response in exchanges
        ]
        # Equal exchanges are scored once: batches round differently, and equal must tie.
        distinct = sorted({tuple(tokens) for tokens in ids}, key=lambda tokens: (len(tokens), tokens))
        fitting = [tokens for tokens in distinct if self.context is None or len(tokens) <= self.context]
        scores: dict[tuple[int, ...], float] = {}
        with Progress("rewarding", len(fitting), "responses") as progress:
            for start in range(0, len(fitting), per_batch):
                cell = fitting[start : start + per_batch]
                scores.update(zip(cell, self._score(cell), strict=True))
                progress.update(len(cell))
        return [scores.get(tuple(tokens)) for tokens in ids]

    def _score(self, batch: Sequence[Tokens]) -> list[float]:
        width = max(map(len, batch))
        padding = self.own_padding
        if padding is None:  # an id that occurs nowhere, or the score would be read before the last token
            used = set().union(*batch)
            padding = next(token for token in range(len(used) + 1) if token not in used)
            self.model.config.get_text_config().pad_token_id = padding
        input_ids = torch.full((len(batch), width), padding)
        mask = torch.zeros_like(input_ids)
        for row, tokens in enumerate(batch):
            input_ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        device = self.model.device
        logits = self.model(input_ids=input_ids.to(device), attention_mask=mask.to(device)).logits
        return logits[:, 0].float().tolist()


def _load(folder: Path, dtype: torch.dtype):
    model, report = load_safely(
        AutoModelForSequenceClassification, folder, "sequence-classification", dtype=dtype, output_loading_info=True
    )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])[0]
        raise UserError(f"{folder} is no reward model: its weights lack {missing!r}, which would be random numbers")
    if model.config.num_labels != 1:
        raise UserError(f"{folder} has {model.config.num_labels} outputs: a reward model has one")
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
