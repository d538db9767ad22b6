"""Build the tiny study's model and data: a random Llama, a small tokenizer, a file of questions.

    python tests/tiny.py results/assets/tiny

Its answers mean nothing; it is there to walk every path of the workflow in two minutes.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

COLOURS = ["red", "green", "blue", "black", "white", "yellow", "brown", "grey"]
THINGS = ["door", "boat", "hat", "cup", "road", "bird", "lamp", "book", "chair", "stone", "leaf", "shoe"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def questions(count: int = 120) -> list[dict]:
    """Which of three colours a thing has: the answer stands in the question."""
    chance = random.Random(5)
    rows = []
    for number in range(count):
        thing, (colour, *others) = chance.choice(THINGS), chance.sample(COLOURS, 3)
        choices = sorted([colour, *others])
        prompt = f"The {thing} number {number} is {colour}. Which colour is it? {' / '.join(choices)}"
        rows.append({"prompt": prompt, "target": colour, "answer": colour, "choices": choices})
    return rows


def build(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    (folder / "model").mkdir(parents=True, exist_ok=True)
    rows = questions()
    (folder / "colours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([row["prompt"] for row in rows], trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", chat_template=TEMPLATE
    )
    wrapped.save_pretrained(folder / "model")

    set_seed(3)
    shape = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,  # far from uniform, so that responses and their rewards differ
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(shape).save_pretrained(folder / "model")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
