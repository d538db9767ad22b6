"""Supervised and preference training with TRL, fed with ids: nothing is templated a second time."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from cream.checkpoints import Checkpoints
from cream.engines.base import Lora, ModelFiles, Optimisation, ScoringGroup, Tokens
from cream.engines.exact_steps import ExactSteps, filled
from cream.engines.hf_checkpoints import SavesInTime, SetsEpoch
from cream.engines.hf_models import load_for_training, save_policy
from cream.engines.packing import PackedBatch, pack, response_logprobs
from cream.engines.tokens import load_tokenizer
from cream.errors import UserError
from cream.loss import PreferenceLoss
from cream.phases import phase
from cream.processes import is_main_process, process_count

IGNORED = -100  # the label that torch's cross-entropy leaves out
NO_CHECKPOINTS = Checkpoints()


class TransformersTrainer:
    """See `cream.engines.base.Trainer`."""

    def __init__(self, files: ModelFiles, precision: str):
        self.files = files
        self.precision = precision
        self.tokenizer = load_tokenizer(files.folder)

    def finetune(
        self,
        examples: Sequence[tuple[Tokens, Tokens]],
        optimisation: Optimisation,
        lora: Lora,
        out: Path,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
    ) -> list[dict]:
        with phase("load"):
            model = load_for_training(self.files, self.precision, lora, optimisation.seed)
        steps = finetune(model, self.tokenizer, examples, optimisation, self.precision, checkpoints)
        if is_main_process():
            save_policy(model, self.tokenizer, out)
        return steps

    def train_preferences(
        self,
        pairs: Sequence[dict],
        loss: PreferenceLoss,
        optimisation: Optimisation,
        lora: Lora,
        out: Path,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
    ) -> list[dict]:
        with phase("load"):
            model = load_for_training(self.files, self.precision, lora, optimisation.seed)
        steps = train_preferences(model, self.tokenizer, pairs, loss, optimisation, self.precision, checkpoints)
        if is_main_process():
            save_policy(model, self.tokenizer, out)
        return steps


def supervised_example(prompt_ids: Sequence[int], response_ids: Sequence[int]) -> dict[str, list[int]]:
    """Ids and labels of one SFT example: only response tokens carry a label."""
    return {
        "input_ids": [*prompt_ids, *response_ids],
        "labels": [IGNORED] * len(prompt_ids) + list(response_ids),
    }


def examples_at_once(optimisation: Optimisation) -> int:
    """Examples in one forward pass of all processes together."""
    return optimisation.micro_batch_size * process_count()


def _trainer_settings(optimisation: Optimisation, precision: str, folder: str) -> dict:
    accumulation, rest = divmod(optimisation.batch_size, examples_at_once(optimisation))
    if rest:
        raise UserError(
            f"batch_size ({optimisation.batch_size}) is not a multiple of micro_batch_size × processes "
            f"({examples_at_once(optimisation)}): change one of the three"
        )
    return {
        "output_dir": folder,
        "learning_rate": optimisation.learning_rate,
        "num_train_epochs": optimisation.epochs,
        "per_device_train_batch_size": optimisation.micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "warmup_steps": optimisation.warmup_ratio,  # a share of the steps (ExactSteps.create_scheduler)
        "weight_decay": optimisation.weight_decay,
        "max_grad_norm": optimisation.max_grad_norm,
        "seed": optimisation.seed,
        "data_seed": optimisation.seed,
        "bf16": precision == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "max_length": None,
        "logging_steps": 1,
        "logging_first_step": True,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,
    }


class ProgressLine(TrainerCallback):
    """One line per optimiser step: where we are and what the loss is."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs and "loss" in logs:
            print(f"step {state.global_step}/{state.max_steps}: loss {logs['loss']:.4f}", flush=True)


class ResponseOnlySFTTrainer(ExactSteps, SFTTrainer):
    """TRL's SFT trainer, with logits only from the first labelled position of the batch on.

    TRL's fused head projects every position where Triton isn't there, prompt and padding too.
    The mean is over the labelled tokens of the step.
    """

    def items_in(self, batch: dict) -> torch.Tensor:
        return (batch["labels"] != IGNORED).sum()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs["labels"]
        labelled = (labels != IGNORED).any(dim=0).nonzero()
        # A micro-batch of nothing but filling still takes part: the processes wait for each other.
        from_first_label = int(labels.shape[1] - labelled[0]) if len(labelled) else 1
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            logits_to_keep=from_first_label + 1,  # the position before predicts the first label
        )
        kept = labels[:, -from_first_label:]
        real = kept != IGNORED
        summed = F.cross_entropy(outputs.logits[:, :-1][real].float(), kept[real], reduction="sum")
        loss = self.share_of_step(summed, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def finetune(
    model,
    tokenizer,
    examples,
    optimisation: Optimisation,
    precision: str,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> list[dict]:
    """Train `model` in place on (prompt_ids, response_ids) examples; returns the step log."""
    rows = filled([supervised_example(*example) for example in examples], examples_at_once(optimisation))
    for row in rows:
        if not row["real"]:
            row["labels"] = [IGNORED] * len(row["labels"])
    with _work_folder(checkpoints) as scratch:
        trainer = ResponseOnlySFTTrainer(
            model=model,
            args=SFTConfig(
                **_trainer_settings(optimisation, precision, scratch),
                dataset_kwargs={"skip_prepare_dataset": True},
                remove_unused_columns=False,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        return _train(trainer, checkpoints)


class PairCollator:
    """Packs pairs with their prompt computed once and carries the numbers training reads."""

    def __init__(self, pad_id: int):
        self.pad_id = pad_id

    def __call__(self, pairs: list[dict]) -> dict:
        groups = [ScoringGroup(pair["prompt_ids"], [pair["chosen_ids"], pair["rejected_ids"]]) for pair in pairs]
        batch = vars(pack(groups, self.pad_id))
        for name in ("ref_chosen_logps", "ref_rejected_logps", "weight", "real"):
            batch[name] = torch.tensor([pair[name] for pair in pairs], dtype=torch.float32)
        return batch


class WeightedDPOTrainer(ExactSteps, DPOTrainer):
    """TRL's DPO trainer with a weight per pair and no reference model.

    TRL's own losses have no per-pair weight (paper, Algorithm 1, needs one), and the reference
    log-probabilities come with the pairs, so nothing is computed for them here. The mean is over
    the pairs of the step. The model is called through its distributed wrapper.
    """

    def __init__(self, *args, preference_loss: PreferenceLoss, **kwargs):
        super().__init__(*args, **kwargs)
        # TRL adds a copy of the adapter as the reference. Nothing uses it here, and transformers goes on from a
        # checkpoint with two adapters by loading the copy alone.
        if "ref" in getattr(self.model, "peft_config", {}):
            self.model.delete_adapter("ref")
        self.preference_loss = preference_loss
        self.noted: dict[str, torch.Tensor] = {}  # (sum, count) over the pairs since the last log

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset  # already token ids

    def _precompute_ref_logps(self, dataset, *args, **kwargs):
        return dataset  # already in the pairs

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        batch = PackedBatch(**{name: inputs[name] for name in PackedBatch.__dataclass_fields__})
        chosen, rejected = response_logprobs(model, batch).unbind(dim=1)
        chosen_tokens, rejected_tokens = batch.target_mask.sum(dim=-1).unbind(dim=1)
        chosen_ratio = chosen - inputs["ref_chosen_logps"]
        rejected_ratio = rejected - inputs["ref_rejected_logps"]
        losses = self.preference_loss(chosen_ratio, rejected_ratio, chosen_tokens, rejected_tokens, inputs["weight"])
        beta = self.preference_loss.beta
        self._note("rewards/chosen", beta * chosen_ratio, inputs["real"])
        self._note("rewards/rejected", beta * rejected_ratio, inputs["real"])
        self._note("rewards/margins", beta * (chosen_ratio - rejected_ratio), inputs["real"])
        self._note("weight", inputs["weight"], inputs["real"])
        loss = self.share_of_step((losses * inputs["real"]).sum(), num_items_in_batch)
        return (loss, None) if return_outputs else loss

    def _note(self, name: str, values: torch.Tensor, real: torch.Tensor) -> None:
        mine = torch.stack([(values.detach() * real).sum(), real.sum()])
        self.noted[name] = self.noted.get(name, 0) + self.accelerator.gather(mine).view(-1, 2).sum(dim=0)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Means over the step's pairs, not over its micro-batches, which may differ in size."""
        means = {name: (summed / count).item() for name, (summed, count) in self.noted.items()}
        self.noted.clear()
        super().log({**logs, **means}, start_time)


def train_preferences(
    model,
    tokenizer,
    pairs: Sequence[dict],
    loss: PreferenceLoss,
    optimisation: Optimisation,
    precision: str,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> list[dict]:
    """Train `model` in place on weighted pairs; returns the step log.

    Each pair has prompt_ids, chosen_ids, rejected_ids, ref_chosen_logps, ref_rejected_logps
    (nats, summed over the response) and weight (C).
    """
    rows = filled(list(pairs), examples_at_once(optimisation))
    with _work_folder(checkpoints) as scratch:
        trainer = WeightedDPOTrainer(
            model=model,
            args=DPOConfig(
                **_trainer_settings(optimisation, precision, scratch),
                beta=loss.beta,
                precompute_ref_log_probs=True,
                remove_unused_columns=False,
            ),
            data_collator=PairCollator(tokenizer.pad_token_id),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            preference_loss=loss,
        )
        return _train(trainer, checkpoints)


@contextlib.contextmanager
def _work_folder(checkpoints: Checkpoints) -> Iterator[str]:
    """Where a trainer writes: the checkpoints' folder, or nowhere that stays."""
    folder = checkpoints.open()
    if folder is not None:
        yield str(folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield scratch


def _train(trainer, checkpoints: Checkpoints) -> list[dict]:
    """Train to the end, from the last checkpoint if there is one; returns the log of all steps, also of those
    before it. Raises `Stopped` after SIGTERM, with a checkpoint behind the step that was running."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ProgressLine())
    trainer.add_callback(SetsEpoch(trainer))
    latest = checkpoints.latest()
    if latest is not None and is_main_process():
        print(f"going on from {latest}", flush=True)
    saves = SavesInTime(checkpoints)
    if checkpoints.folder is not None:
        trainer.add_callback(saves)
    with saves.listening():
        trainer.train(resume_from_checkpoint=None if latest is None else str(latest))
    return [entry for entry in trainer.state.log_history if "loss" in entry]
