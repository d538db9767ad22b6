"""A step of preference training with its reference in the pairs, against TRL computing its reference.

Run by benchmarks/run.py, one way a process:

    python benchmarks/dpo_step.py ours --model FOLDER --steps 4 --length 64
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from gauges import gauge


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("way", choices=["ours", "trl"])
    flags.add_argument("--model", type=Path, required=True)
    flags.add_argument("--steps", type=int, required=True)
    flags.add_argument("--length", type=int, required=True, help="tokens of a prompt, and of a response")
    flags.add_argument("--batch", type=int, default=8, help="pairs in a step, one forward pass")
    asked = flags.parse_args()

    from cream.engines.base import Lora, ModelFiles, Optimisation
    from cream.engines.hf_models import load_for_training
    from cream.engines.tokens import load_tokenizer

    chance = random.Random(0)
    ids = lambda: [chance.randrange(10, 40000) for _ in range(asked.length)]  # noqa: E731
    # One step more than is timed: the first warms up.
    pairs = [
        {"prompt_ids": ids(), "chosen_ids": ids(), "rejected_ids": ids()}
        for _ in range(asked.batch * (asked.steps + 1))
    ]
    model = load_for_training(ModelFiles(asked.model, asked.model), "bfloat16", Lora(16, 32, 0.0), 1)
    tokenizer = load_tokenizer(asked.model)
    optimisation = Optimisation(1e-5, 1, asked.batch, asked.batch, 0.1, 0.0, 1.0, 1)
    clock = StepClock()
    with gauge() as reading:
        {"ours": ours, "trl": trl}[asked.way](model, tokenizer, pairs, optimisation, clock)
    seconds = clock.ends[-1] - clock.ends[0]
    tokens = asked.steps * asked.batch * 3 * asked.length
    print(
        json.dumps(
            {
                "seconds_per_step": seconds / asked.steps,
                "peak_mb": reading.peak_mb,
                "tokens_per_s": tokens / seconds,  # a pair is its prompt once and two responses
            }
        )
    )


class StepClock:
    """Notes when each optimiser step has ended."""

    def __init__(self):
        self.ends: list[float] = []

    def callback(self):
        from transformers import TrainerCallback

        ends = self.ends

        class Note(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                ends.append(time.perf_counter())

        return Note()


def ours(model, tokenizer, pairs, optimisation, clock) -> None:
    from cream.engines import hf_training
    from cream.loss import PreferenceLoss

    class Timed(hf_training.WeightedDPOTrainer):
        def train(self, *args, **kwargs):
            self.add_callback(clock.callback())
            return super().train(*args, **kwargs)

    hf_training.WeightedDPOTrainer = Timed
    scored = [{**pair, "ref_chosen_logps": -500.0, "ref_rejected_logps": -500.0, "weight": 1.0} for pair in pairs]
    hf_training.train_preferences(model, tokenizer, scored, PreferenceLoss("dpo", 0.1, 0.45), optimisation, "bfloat16")


def trl(model, tokenizer, pairs, optimisation, clock) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from cream.engines.hf_training import _trainer_settings

    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset

    with tempfile.TemporaryDirectory() as scratch:
        trainer = Tokenised(
            model=model,
            args=DPOConfig(**_trainer_settings(optimisation, "bfloat16", scratch), beta=0.1),
            train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
        )
        trainer.add_callback(clock.callback())
        trainer.train()


if __name__ == "__main__":
    main()
