"""Build the tiny study's model and data: a small Llama and tokenizer, files of questions, and a random
reward model.

    python tests/tiny.py results/assets/tiny

A few seconds of training teach the model to say "red", "Answer: 7" or "Score: 3" in the right places,
not which: it is there to walk every path of the workflow in two minutes.
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


def judgements(count: int = 120) -> list[dict]:
    """The tiny study's judge prompt on answers to such questions, with the points to give."""
    chance = random.Random(6)
    rows = []
    for number in range(count):
        row = chance.choice(questions())
        prompt = f"{row['prompt']} | {chance.choice(row['choices'])} {number} | points?"
        rows.append({"prompt": prompt, "target": f"Score: {chance.randrange(6)}"})
    return rows


def sums(count: int = 120) -> list[dict]:
    chance = random.Random(7)
    pairs = [(chance.randrange(1, 20), chance.randrange(1, 20)) for _ in range(count)]
    return [{"prompt": f"{a} + {b} = ?", "target": f"Answer: {a + b}"} for a, b in pairs]


def train(model, tokenizer, rows: list[dict], steps: int = 90) -> None:
    """Plain next-token training on the targets, on one thread so that it always gives the same."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    chance = random.Random(8)
    for _ in range(steps):
        batch = chance.sample(rows, 16)
        prompts = [f"<|user|>{row['prompt']}<|end|><|assistant|>" for row in batch]
        pieces = [
            (tokenizer.encode(p), tokenizer.encode(f"{row['target']}<|end|>"))
            for p, row in zip(prompts, batch, strict=True)
        ]
        width = max(len(prompt) + len(target) for prompt, target in pieces)
        ids = torch.full((len(pieces), width), tokenizer.pad_token_id)
        labels = torch.full_like(ids, -100)
        for row, (prompt, target) in enumerate(pieces):
            ids[row, : len(prompt) + len(target)] = torch.tensor(prompt + target)
            labels[row, len(prompt) : len(prompt) + len(target)] = torch.tensor(target)
        model(input_ids=ids, attention_mask=ids != tokenizer.pad_token_id, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    torch.set_num_threads(threads)


def build(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
        PreTrainedTokenizerFast,
        set_seed,
    )

    (folder / "model").mkdir(parents=True, exist_ok=True)
    rows = questions()
    for name, items in (("colours", rows), ("judging", judgements())):
        text = "".join(json.dumps(item) + "\n" for item in items)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")

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
    tokenizer.train_from_iterator([row["prompt"] for row in rows] + ["Score: 0 points?"] * 99, trainer)
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
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,  # the least that vLLM serves
        max_position_embeddings=256,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(shape)
    train(model, wrapped, rows + judgements() + sums())
    model.save_pretrained(folder / "model")
    shape.num_labels = 1
    LlamaForSequenceClassification(shape).save_pretrained(folder / "reward_model")
    wrapped.save_pretrained(folder / "reward_model")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
