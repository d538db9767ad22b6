"""Training: labels, the loss that is minimised, the reference that comes with the pairs."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from cream.digests import folder_digests
from cream.engines import hf_training
from cream.engines.base import Lora, ModelFiles, Optimisation, ScoringGroup
from cream.engines.hf_models import load_for_training
from cream.engines.scorer import open_scorer
from cream.engines.trainer import open_trainer

STEP = Optimisation(
    learning_rate=1e-3,
    epochs=1,
    batch_size=4,
    micro_batch_size=4,
    warmup_ratio=0.0,
    weight_decay=0.0,
    max_grad_norm=1e9,
    seed=5,
)
LORA, FULL = Lora(rank=4, alpha=8, dropout=0.0), Lora(rank=0, alpha=1, dropout=0.0)


@pytest.fixture(scope="module")
def m0(tiny_assets: Path) -> ModelFiles:
    return ModelFiles(tiny_assets / "model", tiny_assets / "model")


def scored_pairs(files: ModelFiles, count: int, weight: float) -> list[dict]:
    """Random pairs with the reference log-probabilities the scorer gives them."""
    chance = random.Random(count)
    ids = lambda n: [chance.randrange(4, 300) for _ in range(n)]  # noqa: E731
    groups = [ScoringGroup(ids(chance.randint(3, 9)), [ids(5), ids(3)]) for _ in range(count)]
    scores = open_scorer("transformers", files, "float32").score(groups, 4)
    return [
        {
            "prompt_ids": group.prompt_ids,
            "chosen_ids": group.responses[0],
            "rejected_ids": group.responses[1],
            "ref_chosen_logps": chosen,
            "ref_rejected_logps": rejected,
            "weight": weight,
        }
        for group, (chosen, rejected) in zip(groups, scores, strict=True)
    ]


def test_only_response_tokens_carry_a_label() -> None:
    example = hf_training.supervised_example([5, 6, 7], [8, 2])
    assert example == {"input_ids": [5, 6, 7, 8, 2], "labels": [-100, -100, -100, 8, 2]}


@pytest.mark.parametrize("micro_batch", [4, 1])
def test_sft_loss_is_the_mean_over_all_response_tokens(m0: ModelFiles, tmp_path: Path, micro_batch: int) -> None:
    examples = [([2, 10 + i, 11, 3], [20, 21 + i, *range(30, 30 + i), 0]) for i in range(4)]
    scores = open_scorer("transformers", m0, "float32").score([ScoringGroup(p, [r]) for p, r in examples], 4)
    expected = -sum(s for (s,) in scores) / sum(len(r) for _, r in examples)
    trainer = open_trainer("transformers", m0, "float32")
    steps = trainer.finetune(examples, replace(STEP, micro_batch_size=micro_batch), FULL, tmp_path / "m")
    assert steps[0]["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [1.0, 0.7, 0.5, 0.2, 0.0])
@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_first_loss_is_log_two_for_every_weight(m0: ModelFiles, tmp_path: Path, weight: float, lora: Lora) -> None:
    trainer = open_trainer("transformers", m0, "float32")
    steps = trainer.train_preferences(scored_pairs(m0, 4, weight), 0.1, STEP, lora, tmp_path / "m")
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert steps[0]["weight"] == pytest.approx(weight)


def test_first_update_follows_the_closed_form_gradient(m0: ModelFiles) -> None:
    """One SGD-like look: gradients of the trainer's loss equal (σ(u) − C)·∇u, computed apart
    with plain sequences, per-pair weights and a shifted reference so that u isn't 0."""
    pairs = scored_pairs(m0, 4, 0.0)
    for number, pair in enumerate(pairs):
        pair["weight"] = 0.2 + 0.2 * number
        pair["ref_chosen_logps"] -= 3.0 * number
    model = load_for_training(m0, "float32", FULL, seed=1)
    batch = hf_training.PairCollator(pad_id=1)(pairs)
    packed = hf_training.PackedBatch(**{k: batch[k] for k in hf_training.PackedBatch.__dataclass_fields__})
    chosen, rejected = hf_training.response_logprobs(model, packed).unbind(1)
    u = 0.1 * ((chosen - batch["ref_chosen_logps"]) - (rejected - batch["ref_rejected_logps"]))
    hf_training.preference_loss(u, batch["weight"]).mean().backward()
    found = {name: p.grad.double() for name, p in model.named_parameters()}

    plain = AutoModelForCausalLM.from_pretrained(m0.folder, dtype=torch.float64)
    for pair in pairs:
        lp = [sequence_logprob(plain, pair["prompt_ids"], pair[side]) for side in ("chosen_ids", "rejected_ids")]
        u_plain = 0.1 * ((lp[0] - pair["ref_chosen_logps"]) - (lp[1] - pair["ref_rejected_logps"]))
        ((torch.sigmoid(u_plain.detach()) - pair["weight"]) * u_plain / len(pairs)).backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-6)


def sequence_logprob(model, prompt: list[int], response: list[int]) -> torch.Tensor:
    logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(response)[:, None]).sum()


def test_micro_batches_add_up_to_the_batch(m0: ModelFiles, tmp_path: Path) -> None:
    pairs = scored_pairs(m0, 8, 0.8)
    logs = []
    for micro_batch in (4, 2):
        trainer = open_trainer("transformers", m0, "float32")
        settings = replace(STEP, micro_batch_size=micro_batch)
        logs.append(trainer.train_preferences(pairs, 0.1, settings, FULL, tmp_path / f"m{micro_batch}"))
    for one, other in zip(*logs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_no_reference_model_runs(m0: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts real forward passes: one per micro-batch, none for a reference."""
    calls = []
    real = hf_training.response_logprobs
    monkeypatch.setattr(hf_training, "response_logprobs", lambda *args: calls.append(1) or real(*args))
    monkeypatch.setattr(hf_training.DPOTrainer, "compute_ref_log_probs", lambda *a: pytest.fail("a reference pass ran"))
    trainer = open_trainer("transformers", m0, "float32")
    trainer.train_preferences(scored_pairs(m0, 8, 1.0), 0.1, STEP, LORA, tmp_path / "m")
    assert len(calls) == 2


@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_training_moves_the_margin_its_way_and_repeats_exactly(m0: ModelFiles, tmp_path: Path, lora: Lora) -> None:
    pairs = scored_pairs(m0, 4, 1.0)
    digests = []
    for run in ("a", "b"):
        trainer = open_trainer("transformers", m0, "float32")
        steps = trainer.train_preferences(pairs, 0.1, replace(STEP, epochs=6), lora, tmp_path / run)
        digests.append(folder_digests(tmp_path / run))
    assert digests[0] == digests[1]
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.01
    trained = ModelFiles(tmp_path / "b", m0.base)
    groups = [ScoringGroup(p["prompt_ids"], [p["chosen_ids"], p["rejected_ids"]]) for p in pairs]
    after = open_scorer("transformers", trained, "float32").score(groups, 4)
    margins = [
        (c - p["ref_chosen_logps"]) - (r - p["ref_rejected_logps"]) for p, (c, r) in zip(pairs, after, strict=True)
    ]
    assert min(margins) > 0


def test_an_adapter_is_carried_on_not_started_anew(m0: ModelFiles, tmp_path: Path) -> None:
    """M1's adapter goes on training: M2 starts as M1, so its first loss is log 2 again."""
    examples = [([2, 10, 11, 3], [20, 21, 0])] * 4
    open_trainer("transformers", m0, "float32").finetune(examples, replace(STEP, epochs=5), LORA, tmp_path / "m1")
    m1 = ModelFiles(tmp_path / "m1", m0.base)
    assert not (tmp_path / "m1" / "model.safetensors").exists()
    pairs = scored_pairs(m1, 4, 0.9)
    assert pairs != scored_pairs(m0, 4, 0.9)
    steps = open_trainer("transformers", m1, "float32").train_preferences(pairs, 0.1, STEP, LORA, tmp_path / "m2")
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert {p.name for p in (tmp_path / "m2").iterdir() if p.suffix == ".safetensors"} == {"adapter_model.safetensors"}


@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_trained_parameters_are_float32_even_in_bfloat16(m0: ModelFiles, lora: Lora) -> None:
    model = load_for_training(m0, "bfloat16", lora, seed=1)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained and all(p.dtype == torch.float32 for p in trained)
