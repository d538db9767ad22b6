"""The processes that a launcher started for one job (torchrun's variables)."""

from __future__ import annotations

import os


def process_count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the one that writes outputs and records."""
    return int(os.environ.get("RANK", "0")) == 0
