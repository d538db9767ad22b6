"""The one place where text becomes token ids: chat-templated once, the same ids ever after."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from cream.errors import UserError


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, refused if it is missing or has no chat template.

    Raises `UserError` in both cases: a prompt can't be templated without them.
    """
    if not (folder / "tokenizer_config.json").is_file():
        raise UserError(f"{folder} has no tokenizer: put its tokenizer files beside the weights")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise UserError(f"the tokenizer in {folder} has no chat template: add chat_template.jinja")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def chat_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Ids of one user turn up to where the assistant's words begin."""
    messages = [{"role": "user", "content": prompt}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))
