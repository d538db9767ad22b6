"""How many tokens a model can take in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from cream.errors import UserError


def context_length(model: Path) -> int:
    """Positions of the model in a folder, from its config; no limit where it names none."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config = {**config, **(config.get("text_config") or {})}
    return config.get("max_position_embeddings") or config.get("n_positions") or sys.maxsize


def check_room(prompts: Iterable[tuple[str, int]], new_tokens: int, model: Path, advice: str) -> None:
    """Raise `UserError` for the first of (what it is called, tokens) that leaves no room for `new_tokens` more."""
    context = context_length(model)
    for name, tokens in prompts:
        if tokens + new_tokens > context:
            raise UserError(
                f"{name} has {tokens} tokens and may get {new_tokens} more, the model's context is {context}: {advice}"
            )
