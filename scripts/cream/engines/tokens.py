"""The one place where text becomes token ids: chat-templated once, the same ids ever after."""

from __future__ import annotations

from pathlib import Path

# Not AutoTokenizer: importing that brings in torch, four times the seconds, for the same class.
from transformers import PreTrainedTokenizerFast

from cream.errors import UserError


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in `folder`, refused if it is missing or has no chat template.

    Raises `UserError` in both cases: a prompt can't be templated without them.
    """
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no tokenizer: {name} is missing beside the weights")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise UserError(f"the tokenizer in {folder} has no chat template: add chat_template.jinja")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def chat_prompt(tokenizer: PreTrainedTokenizerFast, prompt: str) -> list[int]:
    """Ids of one user turn up to where the assistant's words begin."""
    messages = [{"role": "user", "content": prompt}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))
