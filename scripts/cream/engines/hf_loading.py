"""The one way weights are read: safetensors, from a folder, without anybody's code."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError

from cream.errors import UserError

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def dtype_of(precision: str) -> torch.dtype:
    """Raises `UserError` for bfloat16 on a GPU that would only imitate it."""
    if precision == "bfloat16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False):
        raise UserError(f"{torch.cuda.get_device_name()} has no bfloat16: set compute.precision to float32")
    return DTYPES[precision]


def load_safely(auto_class, folder: Path, what: str, **settings):
    """`auto_class.from_pretrained(folder, …)`; `what` says in the error what the folder should hold.

    Raises `UserError` for weights that are missing, of another format, damaged, or don't fit.
    """
    try:
        return auto_class.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, **settings
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise UserError(f"{folder} can't be loaded as a {what} model: {reason}") from problem


def transformers_facts() -> dict:
    """What the record says of the engine: its name, version and device."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"engine": "transformers", "version": transformers.__version__, "device": device}
