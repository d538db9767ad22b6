"""Seeded sampling: the right distribution, and each response independent of its company."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cream.engines.base import Decoding, ModelFiles, Prompt
from cream.engines.hf_sampling import draw, uniforms
from cream.engines.sampler import open_sampler


def nucleus(probabilities: list[float], top_p: float) -> dict[int, float]:
    """The definition: most likely tokens first, until their mass reaches top_p; renormalised."""
    kept, mass = {}, 0.0
    for token in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
        if mass >= top_p:
            break
        kept[token] = probabilities[token]
        mass += probabilities[token]
    return {token: p / mass for token, p in kept.items()}


@pytest.mark.parametrize(("temperature", "top_p"), [(0.8, 0.95), (1.0, 1.0), (1.5, 0.5), (0.3, 0.2)])
def test_draws_follow_the_nucleus(temperature: float, top_p: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(20) * 2
    expected = nucleus(torch.softmax(logits / temperature, -1).tolist(), top_p)
    n = 20_000
    tokens = draw(logits.expand(n, -1), temperature, top_p, uniforms([4], n)[0])
    counts = Counter(tokens.tolist())
    assert set(counts) <= set(expected)
    order = list(expected)
    if len(order) > 1:
        test = stats.chisquare([counts[t] for t in order], [expected[t] * n for t in order])
        assert test.pvalue > 1e-4


@given(st.floats(0, 1, exclude_max=True), st.floats(0.01, 1.0))
@settings(deadline=None, max_examples=60)
def test_wide_nucleus_beyond_the_first_guess_is_exact(uniform: float, top_p: float) -> None:
    # 600 nearly equal tokens: the nucleus doesn't fit into the tokens looked at first.
    logits = torch.linspace(0, 1e-3, 600)
    (token,) = draw(logits[None], 1.0, top_p, torch.tensor([uniform])).tolist()
    kept = nucleus(torch.softmax(logits, -1).double().tolist(), top_p)
    assert token in kept or token == min(kept) - 1  # one more at the rounding of the float32 mass
    position = [600 - 1 - i for i in range(600)].index(token)
    assert position == pytest.approx(uniform * len(kept), abs=2)


def test_uniforms_depend_on_their_seed_alone() -> None:
    a, b = uniforms([5, 6], 8), uniforms([6, 2**64 - 1], 8)
    assert torch.equal(a[1], b[0])
    assert not torch.equal(a[0], a[1])


@pytest.fixture(scope="module")
def sampler(tiny_assets: Path):
    return open_sampler("transformers", ModelFiles(tiny_assets / "model", tiny_assets / "model"), "float32")


def prompts(count: int, responses: int) -> list[Prompt]:
    return [
        Prompt(f"p{i:02d}", [2, *range(10, 14 + i % 5), 3], [100 * i + k for k in range(responses)])
        for i in range(count)
    ]


DECODING = Decoding(temperature=0.9, top_p=0.95, max_new_tokens=10, prompts_per_batch=4)


def test_same_seeds_same_responses_in_any_order(sampler) -> None:
    asked = prompts(10, 3)
    first = sampler.generate(asked, DECODING)
    again = sampler.generate(asked[::-1], DECODING)[::-1]
    assert first == again
    assert len({tuple(r.ids) for found in first for r in found}) > 15  # seeds do differ


def test_samples_follow_the_model_token_by_token(sampler) -> None:
    """Teacher-forced recomputation: at each step the drawn token is what the step's own uniform
    picks from the model's distribution, computed without cache, padding or company."""
    asked = prompts(6, 2)
    for prompt, found in zip(asked, sampler.generate(asked, DECODING), strict=True):
        for seed, response in zip(prompt.seeds, found, strict=True):
            numbers = uniforms([seed], DECODING.max_new_tokens)[0]
            for at, token in enumerate(response.ids):
                with torch.no_grad():
                    logits = sampler.model(torch.tensor([[*prompt.ids, *response.ids[:at]]])).logits[0, -1]
                expected = draw(logits[None], 0.9, 0.95, numbers[at : at + 1])
                assert int(expected) == token


def test_finish_reason_and_end_token(sampler) -> None:
    end = sampler.tokenizer.eos_token_id
    found = [r for group in sampler.generate(prompts(20, 4), Decoding(1.2, 1.0, 25, 8)) for r in group]
    assert {r.finish_reason for r in found} == {"stop", "length"}
    for response in found:
        stopped = response.finish_reason == "stop"
        assert response.ids.count(end) == int(stopped)
        assert (response.ids[-1] == end) is stopped
        assert stopped or len(response.ids) == 25
        assert "<|end|>" not in response.text


def test_greedy_takes_the_most_likely_token(sampler) -> None:
    (found,) = sampler.generate([Prompt("p", [2, 20, 21, 3], [0])], Decoding(0.0, 1.0, 6, 1))
    ids = [2, 20, 21, 3]
    for token in found[0].ids:
        with torch.no_grad():
            assert int(sampler.model(torch.tensor([ids])).logits[0, -1].argmax()) == token
        ids.append(token)


def test_a_prompt_is_templated_once_and_gains_no_second_start(sampler) -> None:
    from cream.engines.tokens import chat_prompt

    ids = chat_prompt(sampler.tokenizer, "hello")
    assert sampler.tokenizer.decode(ids) == "<|user|>hello<|end|><|assistant|>"
