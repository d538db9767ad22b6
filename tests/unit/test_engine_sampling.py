"""Seeded sampling: the right distribution, and each response independent of its company."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cream.engines import hf_sampling
from cream.engines.base import Decoding, ModelFiles, Prompt, Response
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
@settings(max_examples=60)
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
    found = [r for group in sampler.generate(prompts(20, 4), Decoding(1.2, 1.0, 8, 8)) for r in group]
    assert {r.finish_reason for r in found} == {"stop", "length"}
    for response in found:
        stopped = response.finish_reason == "stop"
        assert response.ids.count(end) == int(stopped)
        assert (response.ids[-1] == end) is stopped
        assert stopped or len(response.ids) == 8
        assert "<|end|>" not in response.text


def test_greedy_takes_the_most_likely_token(sampler) -> None:
    (found,) = sampler.generate([Prompt("p", [2, 20, 21, 3], [0])], Decoding(0.0, 1.0, 6, 1))
    ids = [2, 20, 21, 3]
    for token in found[0].ids:
        with torch.no_grad():
            assert int(sampler.model(torch.tensor([ids])).logits[0, -1].argmax()) == token
        ids.append(token)


def test_prompts_may_want_different_numbers_of_responses(sampler) -> None:
    wanted = [3, 1, 0, 5, 2, 4, 0, 1]
    asked = [
        Prompt(f"p{i}", [2, *range(20, 24 + i % 4), 3], [50 * i + k for k in range(n)]) for i, n in enumerate(wanted)
    ]
    found = sampler.generate(asked, Decoding(0.9, 0.95, 10, 8))  # all of them in one cell
    assert [len(responses) for responses in found] == wanted
    for prompt, responses in zip(asked, found, strict=True):
        if prompt.seeds:
            assert responses == sampler.generate([prompt], DECODING)[0]


def rows_of_steps(sampler, asked: list[Prompt], decoding: Decoding) -> tuple[list[int], list[list[Response]]]:
    """How many rows each forward pass had, and the responses."""
    rows: list[int] = []

    def note(_module, _args, inputs: dict) -> None:
        rows.append(len(inputs["input_ids"]))

    hook = sampler.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        return rows, sampler.generate(asked, decoding)
    finally:
        hook.remove()


@pytest.mark.parametrize("temperature", [0.0, 0.9, 1.3])
def test_responses_that_end_and_leave_the_batch_change_nothing(
    sampler, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    asked, decoding = prompts(12, 4), Decoding(temperature, 0.95, 24, 6)
    found = {}
    for share in (0.0, hf_sampling.LEAVE_TOGETHER, 2.0):
        monkeypatch.setattr(hf_sampling, "LEAVE_TOGETHER", share)
        found[share] = rows_of_steps(sampler, asked, decoding)
    rows, responses = found.pop(2.0)  # never leave
    lengths = {len(response.ids) for group in responses for response in group}
    assert len(lengths) > 2
    assert set(rows) == {6, 24}  # six prompts, then their 24 responses up to the last step
    for other_rows, other_responses in found.values():
        assert other_responses == responses
        assert sum(other_rows) < sum(rows)  # some did leave


def test_greedy_is_what_transformers_generates(sampler) -> None:
    """Transformers' own loop, over a batch padded on the left."""
    asked = [Prompt(f"p{i}", [2, *range(30 + 7 * i, 34 + 9 * i), 3], [0]) for i in range(7)]
    width = max(len(prompt.ids) for prompt in asked)
    pad, end = sampler.tokenizer.pad_token_id, sampler.tokenizer.eos_token_id
    ids = torch.tensor([[*[pad] * (width - len(prompt.ids)), *prompt.ids] for prompt in asked])
    mask = torch.tensor([[0] * (width - len(prompt.ids)) + [1] * len(prompt.ids) for prompt in asked])
    expected = sampler.model.generate(
        ids, attention_mask=mask, do_sample=False, max_new_tokens=20, eos_token_id=end, pad_token_id=pad
    )[:, width:]
    found = sampler.generate(asked, Decoding(0.0, 1.0, 20, len(asked)))
    assert len({tuple(response.ids) for (response,) in found}) > 2
    assert len({len(response.ids) for (response,) in found}) > 1
    for row, (response,) in zip(expected.tolist(), found, strict=True):
        assert response.ids == row[: len(response.ids)]
        # What transformers has behind a response's end is padding alone.
        assert set(row[len(response.ids) :]) <= {pad}
        assert response.ids[-1] == end or len(response.ids) == 20


def test_a_prompt_is_templated_once_and_gains_no_second_start(sampler) -> None:
    from cream.engines.tokens import chat_prompt

    ids = chat_prompt(sampler.tokenizer, "hello")
    assert sampler.tokenizer.decode(ids) == "<|user|>hello<|end|><|assistant|>"
