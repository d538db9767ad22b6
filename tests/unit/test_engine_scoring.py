"""Scoring and packing against the plain way: one sequence at a time, full float64 log-softmax."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from cream.engines.base import ModelFiles, ScoringGroup
from cream.engines.packing import pack, response_logprobs
from cream.engines.scorer import open_scorer


@pytest.fixture(scope="module")
def model(tiny_assets: Path):
    return AutoModelForCausalLM.from_pretrained(tiny_assets / "model", dtype=torch.float64).eval()


def random_groups(seed: int, count: int) -> list[ScoringGroup]:
    chance = random.Random(seed)
    ids = lambda low, high: [chance.randrange(4, 300) for _ in range(chance.randint(low, high))]  # noqa: E731
    return [ScoringGroup(ids(1, 12), [ids(1, 9) for _ in range(chance.randint(1, 5))]) for _ in range(count)]


def plain_logprob(model, prompt: list[int], response: list[int]) -> float:
    """The formula, one full forward pass per response."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + response])).logits[0].double()
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


def test_scorer_keeps_order_and_gives_equal_responses_one_number(model, tiny_assets: Path) -> None:
    files = ModelFiles(tiny_assets / "model", tiny_assets / "model")
    scorer = open_scorer("transformers", files, "float32")
    groups = random_groups(7, 9)
    groups[4] = ScoringGroup(groups[4].prompt_ids, [[9, 8, 7], [5], [9, 8, 7]])
    scores = scorer.score(groups, groups_per_batch=2)
    assert scores[4][0] == scores[4][2]
    for group, found in zip(groups, scores, strict=True):
        expected = [plain_logprob(model, group.prompt_ids, ids) for ids in group.responses]
        assert found == pytest.approx(expected, abs=1e-3)
    assert scorer.score(groups[::-1], groups_per_batch=2)[::-1] == scores  # arrival order changes nothing
