"""What an engine is: the only doorway between the study and whatever runs the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cream.kept import Kept

Tokens = Sequence[int]


@dataclass(frozen=True)
class ModelFiles:
    """Where a policy lies on disk.

    `folder` holds either whole weights or a LoRA adapter; `base` is the folder of M0, which an
    adapter is added to (ignored for whole weights).
    """

    folder: Path
    base: Path


@dataclass(frozen=True)
class Prompt:
    """One templated prompt and the seed of each response wanted for it (one seed per response)."""

    prompt_id: str
    ids: Tokens
    seeds: Sequence[int]

    @property
    def place(self) -> tuple[int, str]:
        """Key in the order of `cream.cells`: prompts of a length run together."""
        return len(self.ids), self.prompt_id


@dataclass(frozen=True)
class Decoding:
    """How to turn next-token probabilities into tokens. Temperature 0 is greedy."""

    temperature: float
    top_p: float
    max_new_tokens: int
    prompts_per_batch: int


@dataclass(frozen=True)
class Response:
    """One generated response: exactly the sampled ids (the end token only if it was sampled),
    its text, and why it ended: `stop` (end token) or `length` (token limit)."""

    ids: list[int]
    text: str
    finish_reason: str


@dataclass(frozen=True)
class ScoringGroup:
    """Responses that share one prompt, to be scored together."""

    prompt_ids: Tokens
    responses: Sequence[Tokens]

    @property
    def place(self) -> tuple:
        """Key in the order of `cream.cells`: prompts of a length run together, then responses of a length."""
        longest = max(map(len, self.responses))
        return len(self.prompt_ids), longest, tuple(self.prompt_ids), tuple(map(tuple, self.responses))


@dataclass(frozen=True)
class Optimisation:
    """The settings that both kinds of training share (paper, section "Experimental setup")."""

    learning_rate: float
    epochs: int
    batch_size: int
    micro_batch_size: int
    warmup_ratio: float
    weight_decay: float
    max_grad_norm: float
    seed: int


@dataclass(frozen=True)
class Lora:
    """LoRA on every linear layer of the transformer blocks; rank 0 means full-parameter training."""

    rank: int
    alpha: float
    dropout: float


class Sampler(Protocol):
    """Generates responses with one policy."""

    tokenizer: object

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding, kept: Kept | None = None) -> list[list[Response]]:
        """Responses for every prompt, in the prompts' order, one per seed of the prompt; what is in
        `kept` isn't sampled again.

        Raises `UserError` if the engine stops half-way.
        """
        ...

    def facts(self) -> dict:
        """What the record says of the engine: its name, version and device."""
        ...


class Scorer(Protocol):
    """Computes log-probabilities of given responses under several policies, one after the other."""

    def score(
        self,
        files: ModelFiles,
        groups: Sequence[ScoringGroup],
        groups_per_batch: int,
        note: str = "scoring",
        kept: Kept | None = None,
    ) -> list[list[float]]:
        """Sum of log-probabilities (nats) of each response's ids given its group's prompt, under the
        policy in `files`. `note` names the work in progress lines; what is in `kept` isn't computed again."""
        ...

    def facts(self) -> dict:
        """What the record says of the engine: its name, version and device."""
        ...


class Trainer(Protocol):
    """Trains one policy and writes the result, weights and tokenizer, to a folder."""

    tokenizer: object

    def finetune(
        self,
        examples: Sequence[tuple[Tokens, Tokens]],
        optimisation: Optimisation,
        lora: Lora,
        out: Path,
        checkpoints: object = ...,
    ) -> list[dict]:
        """Supervised fine-tuning on (prompt_ids, response_ids); returns the log, one entry a step.

        `checkpoints` is a `cream.checkpoints.Checkpoints` (not imported: see below): training goes on from the
        last one, and leaves them where they are. None are kept by default.
        """
        ...

    def train_preferences(
        self,
        pairs: Sequence[dict],
        loss: Callable,
        optimisation: Optimisation,
        lora: Lora,
        out: Path,
        checkpoints: object = ...,
    ) -> list[dict]:
        """Preference training on weighted pairs; returns the log, one entry a step. Checkpoints as above.

        Each pair has prompt_ids, chosen_ids, rejected_ids, ref_chosen_logps, ref_rejected_logps
        (nats, summed over the response) and weight (C). `loss` is a `cream.loss.PreferenceLoss`
        (not imported: stages that only sample must not be made again when a loss changes).
        """
        ...


class Rewarder(Protocol):
    """Scores whole exchanges with an external reward model."""

    def reward(self, exchanges: Sequence[tuple[str, str]], per_batch: int) -> list[float | None]:
        """One number per (prompt, response), higher is better; None where the two are longer
        than the model's context."""
        ...
