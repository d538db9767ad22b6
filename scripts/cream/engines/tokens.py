"""The one place where text becomes token ids: chat-templated once, the same ids ever after."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

# Not AutoTokenizer: importing that brings in torch, four times the seconds, for the same class.
from transformers import PreTrainedTokenizerFast

from cream.errors import UserError

# Stands for a text while the template is rendered: a private-use character no template contains.
MARK = "\ue000"


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in `folder`, refused if it is missing or has no chat template.

    Raises `UserError` in both cases: a prompt can't be templated without them.
    """
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no tokenizer: {name} is missing beside the weights")
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as problem:  # the tokenizers package raises nothing more special
        raise UserError(f"{folder} has a tokenizer that can't be read: {str(problem).splitlines()[0]}") from problem
    if not tokenizer.chat_template:
        raise UserError(f"the tokenizer in {folder} has no chat template: add chat_template.jinja")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def chat_prompt(tokenizer: PreTrainedTokenizerFast, prompt: str) -> list[int]:
    """Ids of one user turn up to where the assistant's words begin."""
    return chat_ids(tokenizer, [("user", prompt)], add_generation_prompt=True)


def chat_ids(
    tokenizer: PreTrainedTokenizerFast, turns: Sequence[tuple[str, str]], add_generation_prompt: bool
) -> list[int]:
    """Ids of a conversation of (role, text) turns.

    What is said never becomes a special or added token: a text that spells one is ordinary
    tokens, so no response can end its own turn and speak for another. (A template whose markers
    are plain words, like "[INST]", can't be protected by any tokenisation.) Raises `UserError`
    for a template that doesn't show every turn's text once, in order.
    """
    marks = [f"{MARK}{at}{MARK}" for at in range(len(turns))]
    messages = [{"role": role, "content": mark} for (role, _), mark in zip(turns, marks, strict=True)]
    template = tokenizer.apply_chat_template(messages, add_generation_prompt=add_generation_prompt, tokenize=False)
    if re.findall(f"{MARK}\\d+{MARK}", template) != marks:
        raise UserError(
            "the chat template doesn't show every turn's text once, in order: choose a model with one that does"
        )
    ids: list[int] = []
    for (_, text), mark in zip(turns, marks, strict=True):
        before, _, template = template.partition(mark)
        ids += tokenizer.encode(before, add_special_tokens=False, split_special_tokens=False)
        for piece in _unspelt(tokenizer, text):
            ids += tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=True)
    return ids + tokenizer.encode(template, add_special_tokens=False, split_special_tokens=False)


def _unspelt(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """The text in pieces none of which spells an added token: `split_special_tokens` leaves those
    whole that aren't flagged special."""
    spelt = [re.escape(token.content) for token in tokenizer.added_tokens_decoder.values() if not token.special]
    if not spelt:
        return [text]
    cuts = [found.start() + 1 for found in re.finditer(f"(?={'|'.join(spelt)})", text)]
    return [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
