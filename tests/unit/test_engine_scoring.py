"""Scoring and packing against the plain way: one sequence at a time, full float64 log-softmax."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    set_seed,
)

from cream.engines import hf_scoring
from cream.engines.base import Lora, ModelFiles, ScoringGroup
from cream.engines.hf_models import lora_config, save_policy
from cream.engines.hf_scoring import score_groups, token_logprobs
from cream.engines.packing import pack, response_logprobs
from cream.engines.scorer import open_scorer
from cream.engines.tokens import load_tokenizer
from cream.errors import UserError


@pytest.fixture(scope="module")
def model(tiny_assets: Path):
    return AutoModelForCausalLM.from_pretrained(tiny_assets / "model", dtype=torch.float64).eval()


def random_groups(seed: int, count: int) -> list[ScoringGroup]:
    chance = random.Random(seed)
    ids = lambda low, high: [chance.randrange(4, 300) for _ in range(chance.randint(low, high))]  # noqa: E731
    return [ScoringGroup(ids(1, 12), [ids(1, 9) for _ in range(chance.randint(1, 5))]) for _ in range(count)]


def plain_logprob(model, prompt: Sequence[int], response: Sequence[int]) -> float:
    """The formula, one full forward pass per response."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *response]]), use_cache=False).logits[0].double()
    logprobs = torch.log_softmax(logits, dim=-1)
    return sum(float(logprobs[len(prompt) - 1 + at, token]) for at, token in enumerate(response))


@pytest.mark.parametrize("seed", range(5))
def test_packed_responses_score_as_if_alone(model, seed: int) -> None:
    groups = random_groups(seed, 4)
    with torch.no_grad():
        sums = response_logprobs(model, pack(groups, pad_id=1))
    for row, group in enumerate(groups):
        for column, response in enumerate(group.responses):
            assert float(sums[row, column]) == pytest.approx(plain_logprob(model, group.prompt_ids, response), abs=1e-5)
        assert (sums[row, len(group.responses) :] == 0).all()


def test_packed_gradient_is_the_plain_gradient(model) -> None:
    (group,) = random_groups(11, 1)
    response_logprobs(model, pack([group], pad_id=1)).sum().backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for response in group.responses:
        logits = model(torch.tensor([group.prompt_ids + response])).logits[0, len(group.prompt_ids) - 1 : -1]
        logprobs = torch.log_softmax(logits, dim=-1)
        logprobs.gather(-1, torch.tensor(response)[:, None]).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(packed[name].double(), parameter.grad, rtol=1e-4, atol=1e-5)  # float32 softmax
    model.zero_grad()


def test_pad_id_and_batch_company_change_nothing(model) -> None:
    groups = random_groups(3, 6)
    with torch.no_grad():
        together = response_logprobs(model, pack(groups, pad_id=1))
        other_pad = response_logprobs(model, pack(groups, pad_id=7))
        alone = response_logprobs(model, pack(groups[:1], pad_id=1))
    assert torch.equal(together, other_pad)
    torch.testing.assert_close(together[:1, : alone.shape[1]], alone, rtol=0, atol=1e-5)


# The scorer: a prompt's keys and values once, then its responses' hidden states


def largest_gap(model, groups: Sequence[ScoringGroup], scores: Sequence[Sequence[float]]) -> float:
    """Nats that the scores lie from the plain way, at most."""
    return max(
        abs(value - plain_logprob(model, group.prompt_ids, ids))
        for group, found in zip(groups, scores, strict=True)
        for value, ids in zip(found, group.responses, strict=True)
    )


@pytest.fixture(scope="module")
def m0(tiny_assets: Path) -> ModelFiles:
    return ModelFiles(tiny_assets / "model", tiny_assets / "model")


def test_scorer_keeps_order_and_gives_equal_responses_one_number(model, m0: ModelFiles) -> None:
    scorer = open_scorer("transformers", [m0], "float32")
    groups = random_groups(7, 9)
    groups[4] = ScoringGroup(groups[4].prompt_ids, [[9, 8, 7], [5], [9, 8, 7]])
    scores = scorer.score(m0, groups, 2)
    assert scores[4][0] == scores[4][2]
    assert [len(found) for found in scores] == [len(group.responses) for group in groups]
    assert largest_gap(model, groups, scores) < 1e-4
    assert scorer.score(m0, groups[::-1], 2)[::-1] == scores  # arrival order changes nothing


ODD_GROUPS = {
    "prompts of one token": [ScoringGroup([5 + i], [[9, 8, 7], [20 + i]]) for i in range(4)],
    "responses of one token": [ScoringGroup(list(range(10, 13 + i)), [[30 + i], [9], [0]]) for i in range(4)],
    "one token answers one token": [ScoringGroup([5 + i], [[9 + i]]) for i in range(4)],
    "prompts of one token beside long ones": [
        ScoringGroup([7], [[9, 8, 7], [5]]),
        ScoringGroup(list(range(20, 60)), [[9, 8, 7], [5], list(range(100, 130))]),
        ScoringGroup([7, 6], [[5]]),
        ScoringGroup([8], [list(range(60, 80))]),
    ],
    "one prompt": [ScoringGroup([7, 8, 9], [[1, 2, 3]])],
    "all of one length": [ScoringGroup([7, 8, i], [[10, 20, i], [i, 30, 40]]) for i in range(50, 55)],
}


@pytest.mark.parametrize("together", [1, 3, 16])
@pytest.mark.parametrize("case", ODD_GROUPS)
def test_scores_are_the_plain_ones(model, m0: ModelFiles, case: str, together: int) -> None:
    scores = open_scorer("transformers", [m0], "float32").score(m0, ODD_GROUPS[case], together)
    assert largest_gap(model, ODD_GROUPS[case], scores) < 1e-4


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("together", [1, 4, 30])
def test_scores_of_prompts_of_mixed_lengths_are_the_plain_ones(model, m0: ModelFiles, seed: int, together: int) -> None:
    groups = random_groups(20 + seed, 11)
    assert len({len(group.prompt_ids) for group in groups}) > 4
    scores = open_scorer("transformers", [m0], "float32").score(m0, groups, together)
    assert largest_gap(model, groups, scores) < 1e-4


SHAPE = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.3,
    "max_position_embeddings": 128,
}


def test_a_sliding_window_shorter_than_the_prompts_is_seen_through_the_cache() -> None:
    set_seed(0)
    model = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=4)).double().eval()
    groups = random_groups(31, 8)
    assert largest_gap(model, groups, score_groups(model, groups, 3)) < 1e-4
    # The window does count, or the test means nothing.
    wide = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=None)).double().eval()
    wide.load_state_dict(model.state_dict())
    assert largest_gap(wide, groups, score_groups(model, groups, 3)) > 1e-2


# The head: log-probabilities from hidden states


def plain_token_logprobs(hidden: torch.Tensor, head: torch.nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    """The formula in float64."""
    logits = hidden.double() @ head.weight.double().T
    if head.bias is not None:
        logits = logits + head.bias.double()
    return torch.log_softmax(logits, dim=-1).gather(-1, targets[:, None])[:, 0]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("vocabulary", [5, 8191, 8192, 8192 + 5, 3 * 8192 + 1])
@torch.no_grad()
def test_token_logprobs_of_any_vocabulary_are_the_plain_ones(vocabulary: int, bias: bool) -> None:
    torch.manual_seed(vocabulary)
    positions = hf_scoring.POSITIONS + 3
    head = torch.nn.Linear(16, vocabulary, bias=bias)
    if bias:
        head.bias.mul_(20)  # large enough that leaving it out shows
    hidden = torch.randn(positions, 16) * 3
    targets = torch.randint(vocabulary, (positions,))
    # On both sides of every slice's border, in both blocks of positions.
    borders = [token for start in range(0, vocabulary, hf_scoring.WORDS) for token in (start - 1, start)]
    ends = torch.tensor([vocabulary - 1, *borders[1:]])
    targets[: len(ends)] = ends
    targets[-3:] = ends[:3].repeat(3)[:3]
    found = token_logprobs(hidden, head, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), plain_token_logprobs(hidden, head, targets), rtol=1e-6, atol=1e-5)


@given(
    vocabulary=st.integers(1, 40),
    positions=st.integers(1, 25),
    block=st.tuples(st.integers(1, 30), st.integers(1, 50)),
    bias=st.booleans(),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    seed=st.integers(0, 2**20),
)
@torch.no_grad()
def test_the_block_size_changes_no_logprob(
    vocabulary: int, positions: int, block: tuple[int, int], bias: bool, scale: float, seed: int
) -> None:
    torch.manual_seed(seed)
    head = torch.nn.Linear(4, vocabulary, bias=bias)
    hidden, targets = torch.randn(positions, 4) * scale, torch.randint(vocabulary, (positions,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hf_scoring, "POSITIONS", block[0])
        patch.setattr(hf_scoring, "WORDS", block[1])
        found = token_logprobs(hidden, head, targets)
    # A float32 logit of thousands is exact to a few 1e-4.
    torch.testing.assert_close(
        found.double(), plain_token_logprobs(hidden, head, targets), rtol=1e-5, atol=1e-5 + 1e-6 * scale
    )


@pytest.mark.parametrize("vocabulary", [20_000, 40_000])
def test_logits_held_at_a_time_grow_with_neither_vocabulary_nor_length(
    monkeypatch: pytest.MonkeyPatch, vocabulary: int
) -> None:
    monkeypatch.setattr(hf_scoring, "POSITIONS", 64)
    monkeypatch.setattr(hf_scoring, "WORDS", 4096)
    set_seed(1)
    model = LlamaForCausalLM(LlamaConfig(**{**SHAPE, "vocab_size": vocabulary, "hidden_size": 16})).eval()
    weights = model.get_output_embeddings().weight.untyped_storage().data_ptr()
    real_linear = torch.nn.functional.linear
    sizes, from_head = [], []

    def watched(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        output = real_linear(inputs, weight, bias)
        sizes.append(output.numel())
        if weight.untyped_storage().data_ptr() == weights:
            from_head.append(output.numel())
        return output

    groups = [ScoringGroup(list(range(40)), [list(range(i, i + 20 + i)) for i in range(5)]) for _ in range(3)]
    tokens = sum(len(ids) for ids in groups[0].responses) * 3
    assert tokens * vocabulary > 20 * 64 * 4096  # what all logits at once would take
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "linear", watched)
        scores = score_groups(model, groups, 3)
    assert sum(from_head) >= tokens * vocabulary  # the spy has seen them all
    assert max(sizes) <= 64 * 4096
    assert largest_gap(model.double(), groups, scores) < 1e-3


# Several policies


def adapted(assets: Path, folder: Path, seed: int, size: float = 0.1) -> ModelFiles:
    """An adapter on M0 whose every matrix does something (nothing at size 0)."""
    policy = get_peft_model(AutoModelForCausalLM.from_pretrained(assets / "model"), lora_config(Lora(4, 8, 0.0)))
    torch.manual_seed(seed)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=size)
    save_policy(policy, load_tokenizer(assets / "model"), folder)
    return ModelFiles(folder, assets / "model")


def merged(files: ModelFiles) -> torch.nn.Module:
    """M0 + alpha / rank · B A in float64, worked out from the adapter's file."""
    model = AutoModelForCausalLM.from_pretrained(files.base, dtype=torch.float64).eval()
    config = json.loads((files.folder / "adapter_config.json").read_text())
    tensors = load_file(files.folder / "adapter_model.safetensors")
    ups = [name for name in tensors if "lora_B" in name]
    assert len(ups) == 2 * 7  # every linear layer of both blocks
    with torch.no_grad():
        for name in ups:
            module = model.get_submodule(name.removeprefix("base_model.model.").removesuffix(".lora_B.weight"))
            step = tensors[name].double() @ tensors[name.replace("lora_B", "lora_A")].double()
            module.weight += config["lora_alpha"] / config["r"] * step
    return model


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights, and what a model computes with besides: rotary frequencies are in no state_dict."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.fixture(scope="module")
def adapters(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ModelFiles]:
    return [adapted(tiny_assets, tmp_path_factory.mktemp("adapter") / "model", seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def own_weights(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A policy of whole weights, other than M0's."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    model = AutoModelForCausalLM.from_pretrained(tiny_assets / "model")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.25
    save_policy(model, load_tokenizer(tiny_assets / "model"), folder)
    return ModelFiles(folder, tiny_assets / "model")


def test_an_adapters_scores_are_those_of_its_merged_weights(m0: ModelFiles, adapters: list[ModelFiles]) -> None:
    groups = random_groups(41, 6)
    scorer = open_scorer("transformers", adapters, "float32")
    for files in adapters:
        scores = scorer.score(files, groups, 4)
        assert largest_gap(merged(files), groups, scores) < 1e-4
        assert largest_gap(merged(files), groups, scorer.score(m0, groups, 4)) > 0.1


PRECISIONS = ["float32", "bfloat16"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_policies_one_after_the_other_score_as_if_alone(
    m0: ModelFiles, adapters: list[ModelFiles], own_weights: ModelFiles, precision: str
) -> None:
    groups = random_groups(42, 6)
    in_turn = [m0, adapters[0], m0, adapters[1], adapters[0], own_weights, adapters[1], m0]
    together = open_scorer("transformers", in_turn, precision)
    alone = {files.folder: open_scorer("transformers", [files], precision).score(files, groups, 4) for files in in_turn}
    for files in in_turn:
        assert together.score(files, groups, 4) == alone[files.folder]
    assert len({str(scores) for scores in alone.values()}) == 4  # four policies


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_adapter_that_does_nothing_scores_as_m0(
    tiny_assets: Path, m0: ModelFiles, tmp_path: Path, precision: str
) -> None:
    nothing = adapted(tiny_assets, tmp_path / "model", seed=1, size=0.0)
    groups = random_groups(45, 6)
    expected = open_scorer("transformers", [m0], precision).score(m0, groups, 4)
    assert open_scorer("transformers", [nothing], precision).score(nothing, groups, 4) == expected


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_adapter_leaves_m0_as_it_was(m0: ModelFiles, adapters: list[ModelFiles], precision: str) -> None:
    scorer = open_scorer("transformers", [m0, *adapters], precision)
    scorer.score(m0, random_groups(43, 2), 4)
    held = scorer.policies.held[1]
    before = {name: tensor.clone() for name, tensor in tensors_of(held).items()}
    for files in adapters:
        scorer.score(files, random_groups(43, 2), 4)
    assert scorer.policies.held[1] is held  # not loaded a second time
    after = tensors_of(held)
    assert after.keys() == before.keys()
    assert [name for name, tensor in before.items() if after[name].dtype != tensor.dtype] == []
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not [name for name, _ in held.named_modules() if "lora" in name]


def test_an_adapter_is_taken_off_m0_when_scoring_stops_half_way(m0: ModelFiles, adapters: list[ModelFiles]) -> None:
    groups = random_groups(44, 3)
    scorer = open_scorer("transformers", [m0, *adapters], "float32")
    expected = scorer.score(m0, groups, 4)
    with pytest.raises(IndexError):
        scorer.score(adapters[0], [*groups, ScoringGroup([7], [[10_000, 7]])], 4)  # no such token
    assert scorer.score(m0, groups, 4) == expected


# Families whose logits are more than the head's product


def capped(cap: float | None, initializer_range: float) -> torch.nn.Module:
    set_seed(2)
    shape = {**SHAPE, "head_dim": 16, "initializer_range": initializer_range, "attn_logit_softcapping": None}
    return Gemma2ForCausalLM(Gemma2Config(**shape, final_logit_softcapping=cap)).eval()


def refusal(model: torch.nn.Module) -> str:
    with pytest.raises(UserError) as mistake:
        score_groups(model, random_groups(51, 4), 2)
    return str(mistake.value)


@pytest.mark.parametrize(
    ("cap", "initializer_range"),
    [
        (1.0, 0.3),
        (30.0, 1.0),
        (30.0, 0.3),
    ],
)
def test_a_model_that_caps_its_logits_is_refused(cap: float, initializer_range: float) -> None:
    free = capped(None, initializer_range).double()
    groups = random_groups(51, 4)
    scores = score_groups(free, groups, 2)
    assert largest_gap(free, groups, scores) < 1e-3  # the family isn't what is refused
    model = capped(cap, initializer_range)
    assert largest_gap(model.double(), groups, scores) > 0.1  # and the cap does count
    said = refusal(model.float())
    assert "Gemma2ForCausalLM" in said and "choose another model family" in said
    assert "\n" not in said


def test_a_model_that_scales_its_logits_is_refused() -> None:
    set_seed(3)
    assert "GraniteForCausalLM" in refusal(GraniteForCausalLM(GraniteConfig(**SHAPE, logits_scaling=1.5)).eval())
