"""Models with random weights: speed and memory don't depend on what a model has learned."""

from __future__ import annotations

from pathlib import Path

SHAPES = {
    # SmolLM2-135M's shape; its vocabulary is varied for the memory of scoring.
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    # Llama-3.1-8B's shape.
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    },
}


def save_random(shape: str, folder: Path, tokenizer_of: Path, **changes) -> Path:
    """Write a bfloat16 Llama of that shape, with another model's tokenizer beside it; returns `folder`."""
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(**{**SHAPES[shape], **changes}, max_position_embeddings=8192, eos_token_id=2, pad_token_id=2)
    LlamaForCausalLM(config).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        if (tokenizer_of / name).is_file():
            shutil.copy(tokenizer_of / name, folder / name)
    return folder


def parameter_count(folder: Path) -> int:
    """Weights that take part in a forward pass's matrix products: all but the input embedding."""
    import json
    import struct

    total, embedding = 0, 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            size = 1
            for length in tensor["shape"]:
                size *= length
            total += size
            embedding += size if "embed_tokens" in name else 0
    tied = json.loads((folder / "config.json").read_text()).get("tie_word_embeddings", False)
    return total if tied else total - embedding
