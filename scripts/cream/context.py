"""How many tokens a model can take in."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def context_length(model: Path) -> int:
    """Positions of the model in a folder, from its config; no limit where it names none."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config = {**config, **(config.get("text_config") or {})}
    return config.get("max_position_embeddings") or config.get("n_positions") or sys.maxsize
