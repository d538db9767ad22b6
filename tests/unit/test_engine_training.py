"""Training: labels, the loss that is minimised, the steps taken, the reference that comes with the pairs."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from cream.digests import folder_digests
from cream.engines import hf_training
from cream.engines.base import Lora, ModelFiles, Optimisation, ScoringGroup
from cream.engines.hf_models import load_for_training
from cream.engines.scorer import open_scorer
from cream.engines.trainer import open_trainer
from cream.errors import UserError
from cream.loss import PreferenceLoss

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
STILL = replace(STEP, learning_rate=0.0)  # the model stays M0, so every loss can be worked out apart
LORA, FULL = Lora(rank=4, alpha=8, dropout=0.0), Lora(rank=0, alpha=1, dropout=0.0)
# All the data in every step, two at a time and the last place unfilled, with every setting at work.
THREE_STEPS = Optimisation(
    learning_rate=1e-3,
    epochs=3,
    batch_size=8,
    micro_batch_size=2,
    warmup_ratio=0.4,
    weight_decay=0.1,
    max_grad_norm=0.05,
    seed=5,
)
CREAM = PreferenceLoss("cream", 0.1)
SIDES = ("chosen", "rejected")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads only wait for each other where the model is this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def m0(tiny_assets: Path) -> ModelFiles:
    return ModelFiles(tiny_assets / "model", tiny_assets / "model")


@pytest.fixture(scope="module")
def plain(m0: ModelFiles) -> torch.nn.Module:
    """M0 in float64, for sums worked out apart. Not to be trained."""
    return AutoModelForCausalLM.from_pretrained(m0.folder, dtype=torch.float64)


def scored_pairs(files: ModelFiles, count: int, weight: float) -> list[dict]:
    """Random pairs with the reference log-probabilities the scorer gives them."""
    chance = random.Random(count)
    ids = lambda n: [chance.randrange(4, 300) for _ in range(n)]  # noqa: E731
    groups = [ScoringGroup(ids(chance.randint(3, 9)), [ids(5), ids(3)]) for _ in range(count)]
    scores = open_scorer("transformers", [files], "float32").score(files, groups, 4)
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


def unlike_pairs(files: ModelFiles, count: int) -> list[dict]:
    """Pairs with a weight and a margin of each one's own: the references are shifted, so u isn't 0."""
    pairs = scored_pairs(files, count, 0.0)
    for number, pair in enumerate(pairs):
        pair["weight"] = (number + 0.5) / count
        pair["ref_chosen_logps"] -= 1.5 * number
        pair["ref_rejected_logps"] -= 4.0 * (number % 3)
    return pairs


def unlike_examples(count: int) -> list[tuple[list[int], list[int]]]:
    """SFT examples with prompts and responses of very different lengths."""
    chance = random.Random(count)
    return [
        (
            [chance.randrange(4, 300) for _ in range(2 + n % 4)],
            [chance.randrange(4, 300) for _ in range(1 + n * n % 11)],
        )
        for n in range(count)
    ]


def prefer(files: ModelFiles, pairs: list[dict], settings: Optimisation, lora: Lora, out: Path, **loss) -> list[dict]:
    """Train on pairs with the engine, by default with the loss of CREAM; the log."""
    trainer = open_trainer("transformers", files, "float32")
    return trainer.train_preferences(pairs, replace(CREAM, **loss), settings, lora, out)


def finetune(files: ModelFiles, examples: Sequence, settings: Optimisation, lora: Lora, out: Path) -> list[dict]:
    return open_trainer("transformers", files, "float32").finetune(examples, settings, lora, out)


def losses(steps: list[dict]) -> list[float]:
    return [step["loss"] for step in steps]


# --- The same sums worked out apart: one whole sequence at a time, no packing, no micro-batches. ---


def token_logprobs(model: torch.nn.Module, prompt: Sequence[int], response: Sequence[int]) -> torch.Tensor:
    logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(response)[:, None])


def plain_pair_loss(model: torch.nn.Module, pair: dict, beta: float = 0.1) -> torch.Tensor:
    """CREAM's loss of one pair, as the paper writes it."""
    chosen, rejected = (token_logprobs(model, pair["prompt_ids"], pair[f"{side}_ids"]).sum() for side in SIDES)
    u = beta * ((chosen - pair["ref_chosen_logps"]) - (rejected - pair["ref_rejected_logps"]))
    return pair["weight"] * F.softplus(-u) + (1 - pair["weight"]) * F.softplus(u)


def plain_sft_loss(model: torch.nn.Module, examples: Sequence[tuple[Sequence[int], Sequence[int]]]) -> torch.Tensor:
    """The mean over all response tokens of all examples."""
    return -torch.cat([token_logprobs(model, *example) for example in examples]).mean()


def plain_training(model: torch.nn.Module, loss: Callable[[torch.nn.Module], torch.Tensor]) -> None:
    """`THREE_STEPS` on the whole data: AdamW with no decay of the norms, clipping, learning rates by hand."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decayed = [p for name, p in trained if "norm" not in name]
    others = [p for name, p in trained if "norm" in name]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, weight_decay=THREE_STEPS.weight_decay)
    for share in (0.5, 1.0, 0.5):  # one step up to the peak, half a cosine down
        for group in optimiser.param_groups:
            group["lr"] = share * THREE_STEPS.learning_rate
        optimiser.zero_grad()
        loss(model).backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in trained], THREE_STEPS.max_grad_norm)
        optimiser.step()


def assert_trained_alike(found: torch.nn.Module, start: torch.nn.Module, expected: torch.nn.Module) -> None:
    """Adam divides by the size of a gradient: the few parameters whose gradient is nothing but rounding
    may step either way. All others agree to a thousandth of a step."""
    was, now = dict(start.named_parameters()), dict(found.named_parameters())
    moves, errors = [], []
    for name, parameter in expected.named_parameters():
        moves.append((parameter - was[name]).detach().abs().flatten())
        errors.append((parameter - now[name]).detach().abs().flatten())
    assert torch.cat(moves).max() > THREE_STEPS.learning_rate
    assert (torch.cat(errors) > 1e-3 * THREE_STEPS.learning_rate).double().mean() < 1e-3


def assert_split_into_steps(found: list[float], sums: Sequence[float], counts: Sequence[int]) -> None:
    """Seven examples in steps of four and three, in some order: each step's loss is the mean over its own."""
    splits = []
    for last in itertools.combinations(range(7), 3):
        first = [i for i in range(7) if i not in last]
        splits.append([sum(sums[i] for i in part) / sum(counts[i] for i in part) for part in (first, last)])
    assert any(found == pytest.approx(split, rel=1e-5) for split in splits)


# --- Supervised fine-tuning ---


def test_only_response_tokens_carry_a_label() -> None:
    example = hf_training.supervised_example([5, 6, 7], [8, 2])
    assert example == {"input_ids": [5, 6, 7, 8, 2], "labels": [-100, -100, -100, 8, 2]}


@pytest.mark.parametrize("micro_batch", [4, 2, 1])
def test_sft_loss_is_the_mean_over_all_response_tokens_of_the_step(
    m0: ModelFiles, plain: torch.nn.Module, tmp_path: Path, micro_batch: int
) -> None:
    examples = unlike_examples(4)
    steps = finetune(m0, examples, replace(STEP, micro_batch_size=micro_batch), FULL, tmp_path / "m")
    assert losses(steps) == pytest.approx([plain_sft_loss(plain, examples).item()], rel=1e-5)


@pytest.mark.parametrize("micro_batch", [4, 2])
def test_sft_counts_every_token_once_where_the_last_batch_is_uneven(
    m0: ModelFiles, plain: torch.nn.Module, tmp_path: Path, micro_batch: int
) -> None:
    examples = unlike_examples(7)
    steps = finetune(m0, examples, replace(STILL, micro_batch_size=micro_batch), FULL, tmp_path / "m")
    with torch.no_grad():
        sums = [-token_logprobs(plain, *example).sum().item() for example in examples]
    assert_split_into_steps(losses(steps), sums, [len(response) for _, response in examples])


@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_sft_steps_equal_steps_of_plain_torch(m0: ModelFiles, tmp_path: Path, lora: Lora) -> None:
    examples = unlike_examples(7)
    finetune(m0, examples, THREE_STEPS, lora, tmp_path / "m")
    start, expected = (load_for_training(m0, "float32", lora, THREE_STEPS.seed).double() for _ in range(2))
    plain_training(expected, lambda model: plain_sft_loss(model, examples))
    trained = ModelFiles(tmp_path / "m", m0.base)
    assert_trained_alike(load_for_training(trained, "float32", lora, seed=0), start, expected)


# --- Preference training ---


@pytest.mark.parametrize("weight", [1.0, 0.7, 0.5, 0.2, 0.0])
@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_first_loss_is_log_two_for_every_weight(m0: ModelFiles, tmp_path: Path, weight: float, lora: Lora) -> None:
    steps = prefer(m0, scored_pairs(m0, 4, weight), STEP, lora, tmp_path / "m")
    assert losses(steps) == pytest.approx([math.log(2)], abs=1e-5)
    assert steps[0]["weight"] == pytest.approx(weight)


@pytest.mark.parametrize("kind", ["dpo", "cream", "signed", "robust", "ipo"])
def test_the_first_loss_is_what_the_loss_says_of_its_start(m0: ModelFiles, tmp_path: Path, kind: str) -> None:
    """scripts/train_policy.py checks this. Five pairs in a batch of eight: micro-batches unlike in size."""
    pairs = scored_pairs(m0, 5, 0.0)
    for pair, weight in zip(pairs, (0.9, 0.1, 0.3, 0.8, 0.7), strict=True):
        pair["weight"] = weight
    steps = prefer(m0, pairs, replace(STILL, batch_size=8), FULL, tmp_path / "m", type=kind)
    assert losses(steps) == pytest.approx([PreferenceLoss(kind, 0.1).at_start(steps[0]["weight"])], rel=1e-4)


@pytest.mark.parametrize("micro_batch", [4, 2])
def test_every_pair_counts_once_where_the_last_batch_is_uneven(
    m0: ModelFiles, plain: torch.nn.Module, tmp_path: Path, micro_batch: int
) -> None:
    pairs = unlike_pairs(m0, 7)
    steps = prefer(m0, pairs, replace(STILL, micro_batch_size=micro_batch), FULL, tmp_path / "m")
    with torch.no_grad():
        apart = [plain_pair_loss(plain, pair).item() for pair in pairs]
    assert_split_into_steps(losses(steps), apart, [1] * 7)


def test_the_logged_numbers_are_means_over_the_pairs_of_the_step(m0: ModelFiles, tmp_path: Path) -> None:
    """However the step is cut up: 7 pairs in micro-batches of 4 and 3, of 7, and of 1."""
    pairs = unlike_pairs(m0, 7)
    gaps = [pair["ref_rejected_logps"] - pair["ref_chosen_logps"] for pair in scored_pairs(m0, 7, 0.0)]
    margins = [0.1 * (p["ref_rejected_logps"] - p["ref_chosen_logps"] - g) for p, g in zip(pairs, gaps, strict=True)]
    for micro_batch in (4, 8, 1):
        settings = replace(STILL, batch_size=8, micro_batch_size=micro_batch)
        (step,) = prefer(m0, pairs, settings, FULL, tmp_path / f"m{micro_batch}")
        assert step["weight"] == pytest.approx(0.5, rel=1e-5)
        assert step["rewards/margins"] == pytest.approx(np.mean(margins), rel=1e-4)


@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_preference_steps_equal_steps_of_plain_torch(m0: ModelFiles, tmp_path: Path, lora: Lora) -> None:
    pairs = unlike_pairs(m0, 7)
    prefer(m0, pairs, THREE_STEPS, lora, tmp_path / "m")
    start, expected = (load_for_training(m0, "float32", lora, THREE_STEPS.seed).double() for _ in range(2))
    plain_training(expected, lambda model: torch.stack([plain_pair_loss(model, pair) for pair in pairs]).mean())
    trained = ModelFiles(tmp_path / "m", m0.base)
    assert_trained_alike(load_for_training(trained, "float32", lora, seed=0), start, expected)


@pytest.mark.parametrize(
    ("kind", "trl_kind", "epsilon"),
    [("dpo", "sigmoid", 0.0), ("robust", "robust", 0.3), ("robust", "robust", 0.45), ("ipo", "ipo", 0.0)],
)
def test_loss_and_gradient_equal_trl(m0: ModelFiles, tmp_path: Path, kind: str, trl_kind: str, epsilon: float) -> None:
    """TRL's own trainer, fed the same ids and references, with ε = 1 − C as its label_smoothing."""
    pairs = [{**pair, "weight": 1 - epsilon} for pair in unlike_pairs(m0, 4)]
    (step,) = prefer(m0, pairs, STILL, FULL, tmp_path / "m", type=kind)

    tokenizer = AutoTokenizer.from_pretrained(m0.folder)
    settings = DPOConfig(
        output_dir=str(tmp_path / "trl"),
        loss_type=trl_kind,
        beta=0.1,
        label_smoothing=epsilon,
        precompute_ref_log_probs=True,  # it reads them from the batch
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to=[],
    )
    texts = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])  # a trainer must have some
    model = AutoModelForCausalLM.from_pretrained(m0.folder, dtype=torch.float32)
    trl = DPOTrainer(model=model, args=settings, train_dataset=texts, processing_class=tokenizer)
    loss = trl.compute_loss(trl.model, DataCollatorForPreference(tokenizer.pad_token_id)(pairs))
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(trl.model.parameters(), 1e9)
    assert step["loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert step["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)


def test_micro_batches_add_up_to_the_batch(m0: ModelFiles, tmp_path: Path) -> None:
    pairs = unlike_pairs(m0, 8)
    logs = [prefer(m0, pairs, replace(STEP, micro_batch_size=size), FULL, tmp_path / f"m{size}") for size in (4, 2, 1)]
    for one, *others in zip(*logs, strict=True):
        for other in others:
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_a_batch_that_micro_batches_cannot_fill_is_refused(m0: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch_size \(4\) is not a multiple of micro_batch_size × processes \(3\)"):
        prefer(m0, unlike_pairs(m0, 4), replace(STEP, micro_batch_size=3), FULL, tmp_path / "m")


def test_no_reference_model_runs(m0: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts real forward passes: one per micro-batch, none for a reference."""
    calls = []
    real = hf_training.response_logprobs
    monkeypatch.setattr(hf_training, "response_logprobs", lambda *args: calls.append(1) or real(*args))
    monkeypatch.setattr(hf_training.DPOTrainer, "compute_ref_log_probs", lambda *a: pytest.fail("a reference pass ran"))
    prefer(m0, scored_pairs(m0, 8, 1.0), STEP, LORA, tmp_path / "m")
    assert len(calls) == 2


def trained_margins(files: ModelFiles, pairs: list[dict]) -> list[float]:
    """How far each pair's log-ratios lie apart after training."""
    groups = [ScoringGroup(p["prompt_ids"], [p["chosen_ids"], p["rejected_ids"]]) for p in pairs]
    after = open_scorer("transformers", [files], "float32").score(files, groups, 4)
    return [(c - p["ref_chosen_logps"]) - (r - p["ref_rejected_logps"]) for p, (c, r) in zip(pairs, after, strict=True)]


@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_training_moves_the_margin_its_way_and_repeats_exactly(m0: ModelFiles, tmp_path: Path, lora: Lora) -> None:
    pairs = scored_pairs(m0, 4, 1.0)
    digests = []
    for run in ("a", "b"):
        steps = prefer(m0, pairs, replace(STEP, epochs=6), lora, tmp_path / run)
        digests.append(folder_digests(tmp_path / run))
    assert digests[0] == digests[1]
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.01
    assert min(trained_margins(ModelFiles(tmp_path / "b", m0.base), pairs)) > 0


@pytest.mark.parametrize("kind", ["cream", "signed"])
def test_every_pair_goes_the_way_of_its_own_weight(m0: ModelFiles, tmp_path: Path, kind: str) -> None:
    """C = 1 pulls the chosen response up, C = 0 the rejected one, in the same batch."""
    pairs = scored_pairs(m0, 8, 1.0)
    for pair in pairs[::2]:
        pair["weight"] = 0.0
    prefer(m0, pairs, replace(STEP, batch_size=8, epochs=8), FULL, tmp_path / "m", type=kind)
    margins = trained_margins(ModelFiles(tmp_path / "m", m0.base), pairs)
    assert max(margins[::2]) < 0 < min(margins[1::2])


def test_every_epoch_has_an_order_of_its_own(m0: ModelFiles, plain: torch.nn.Module, tmp_path: Path) -> None:
    pairs = unlike_pairs(m0, 6)
    one_by_one = replace(STILL, batch_size=1, micro_batch_size=1, epochs=2)
    found = losses(prefer(m0, pairs, one_by_one, FULL, tmp_path / "a"))
    other_seed = losses(prefer(m0, pairs, replace(one_by_one, seed=9), FULL, tmp_path / "b"))
    with torch.no_grad():
        apart = sorted(plain_pair_loss(plain, pair).item() for pair in pairs)
    orders = [found[:6], found[6:], other_seed[:6]]
    for order in orders:
        assert sorted(order) == pytest.approx(apart, rel=1e-5)
    for one, other in itertools.combinations(orders, 2):
        assert one != pytest.approx(other, rel=1e-3)


def test_every_step_has_its_learning_rate(m0: ModelFiles, tmp_path: Path) -> None:
    """Two steps up to the peak, then half a cosine, never 0."""
    settings = replace(STEP, batch_size=1, micro_batch_size=1, epochs=2, warmup_ratio=0.3)
    steps = prefer(m0, scored_pairs(m0, 4, 1.0), settings, LORA, tmp_path / "m")
    shares = [1 / 3, 2 / 3, *(0.5 * (1 + math.cos(math.pi * k / 6)) for k in range(6))]
    assert [step["learning_rate"] for step in steps] == pytest.approx([1e-3 * share for share in shares], rel=1e-9)


def test_an_adapter_is_carried_on_not_started_anew(m0: ModelFiles, tmp_path: Path) -> None:
    """M1's adapter goes on training: M2 starts as M1, so its first loss is log 2 again."""
    examples = [([2, 10, 11, 3], [20, 21, 0])] * 4
    finetune(m0, examples, replace(STEP, epochs=5), LORA, tmp_path / "m1")
    m1 = ModelFiles(tmp_path / "m1", m0.base)
    assert not (tmp_path / "m1" / "model.safetensors").exists()
    pairs = scored_pairs(m1, 4, 0.9)
    assert pairs != scored_pairs(m0, 4, 0.9)
    steps = prefer(m1, pairs, STEP, LORA, tmp_path / "m2")
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert {p.name for p in (tmp_path / "m2").iterdir() if p.suffix == ".safetensors"} == {"adapter_model.safetensors"}


@pytest.mark.parametrize("lora", [LORA, FULL], ids=["lora", "full"])
def test_trained_parameters_are_float32_even_in_bfloat16(m0: ModelFiles, lora: Lora) -> None:
    model = load_for_training(m0, "bfloat16", lora, seed=1)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained and all(p.dtype == torch.float32 for p in trained)
