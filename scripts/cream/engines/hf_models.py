"""Load and save policies with transformers and peft: whole weights, or a LoRA adapter on M0."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from cream.engines.base import Lora, ModelFiles
from cream.engines.hf_loading import dtype_of, load_safely
from cream.errors import UserError
from cream.phases import phase


def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _load_weights(folder: Path, dtype: torch.dtype, attention: str = "sdpa") -> PreTrainedModel:
    model = load_safely(AutoModelForCausalLM, folder, "safetensors", dtype=dtype, attn_implementation=attention)
    # `logits_to_keep` hands the head a slice, and torch multiplies a sliced batch by copying the
    # whole head once per row; made contiguous first, it is one matrix product.
    model.get_output_embeddings().register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
    return model


def load_for_inference(files: ModelFiles, precision: str, attention: str = "sdpa") -> PreTrainedModel:
    """The policy in evaluation mode, all of it in `precision`, with that attention kernel.

    An adapter stays beside the weights it adapts: merged into bfloat16 weights, a step as small
    as one preference iteration would be rounded away.
    """
    dtype = dtype_of(precision)
    if is_adapter(files.folder):
        return _adapted(_load_weights(files.base, dtype, attention), files.folder, dtype).get_base_model()
    return _ready(_load_weights(files.folder, dtype, attention))


def _adapted(weights: PreTrainedModel, adapter: Path, dtype: torch.dtype) -> PeftModel:
    policy = PeftModel.from_pretrained(weights, adapter)
    # The adapter's own weights alone: `.to` would round M0's rotary frequencies as well, for good.
    for parameter in policy.parameters():
        parameter.data = parameter.data.to(dtype)
    return _ready(policy)


def _ready(model):
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


class Policies:
    """Policies for inference, one after the other: those that adapt one M0 share its weights."""

    def __init__(self, precision: str):
        self.dtype = dtype_of(precision)
        self.held: tuple[Path, PreTrainedModel] | None = None

    @contextlib.contextmanager
    def loaded(self, files: ModelFiles) -> Iterator[PreTrainedModel]:
        """The policy in evaluation mode; an adapter is taken off M0 again when the block ends."""
        if not is_adapter(files.folder):
            yield self._weights(files.folder)
            return
        weights = self._weights(files.base)
        with phase("load"):
            policy = _adapted(weights, files.folder, self.dtype)
        try:
            yield policy.get_base_model()
        finally:
            policy.unload()

    def _weights(self, folder: Path) -> PreTrainedModel:
        if self.held is None or self.held[0] != folder:
            self.held = None  # let go before the next is loaded: two would not fit where one does
            with phase("load"):
                self.held = (folder, _ready(_load_weights(folder, self.dtype)))
        return self.held[1]


def load_for_training(files: ModelFiles, precision: str, lora: Lora, seed: int) -> PreTrainedModel:
    """The policy ready to train: the trained parameters are always float32.

    With LoRA the frozen weights are in `precision` and the adapter, new or carried on from the
    previous iteration, in float32. Without, all weights are float32 masters and only the
    forward pass runs in `precision`.
    """
    if lora.rank == 0:
        if is_adapter(files.folder):
            raise UserError(f"{files.folder} is a LoRA adapter but lora.rank is 0: rebuild it or set a rank")
        return _load_weights(files.folder, torch.float32)
    frozen = _load_weights(files.base if is_adapter(files.folder) else files.folder, dtype_of(precision))
    if is_adapter(files.folder):
        return PeftModel.from_pretrained(frozen, files.folder, is_trainable=True)
    torch.manual_seed(seed)
    return get_peft_model(frozen, lora_config(lora))


def lora_config(lora: Lora) -> LoraConfig:
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def save_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the policy and its tokenizer to `folder` (safetensors only)."""
    if isinstance(model, PeftModel):
        _save_adapter(model, folder)
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _save_adapter(model: PeftModel, folder: Path) -> None:
    # The adapter names its base by the study's own word: a path would make the artifact
    # differ from folder to folder.
    model.peft_config["default"].base_model_name_or_path = "M0"
    model.save_pretrained(folder, selected_adapters=["default"], save_embedding_layers=False)
    config_file = folder / "adapter_config.json"
    config = json.loads(config_file.read_text())
    for key, value in config.items():
        if isinstance(value, list):  # sets inside peft: their order changes with the hash seed
            config[key] = sorted(value)
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "README.md").unlink(missing_ok=True)  # peft's template card, empty of facts
