"""Judges of two answers: what is asked, what their words mean, both orders, and no pair lost."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.errors import UserError
from cream.win_rates.comparing import compare_answers
from cream.win_rates.verdicts import (
    likelihoods_in_words,
    outcome,
    preference_in_likelihoods,
    preference_in_words,
    question,
)

read = preference_in_words
TEMPLATE = "Q {instruction}\n1 {first}\n2 {second}"


def answers(*texts: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "instruction_id": [f"{at:05d}" for at in range(len(texts))],
            "category": "",
            "instruction": [f"do {at}" for at in range(len(texts))],
            "text": texts,
            "tokens": 1,
            "finish_reason": "stop",
        }
    )


@pytest.mark.parametrize(
    ("said", "preference"),
    [
        ("Answer: 1", 0.0),
        ("The second is kinder. Answer: 2", 1.0),
        ("answer: **2**.", 1.0),
        ("Answer: tie", 0.5),
        ("Answer: 1. No, I was wrong. Answer: 2", 1.0),
        ("2", 1.0),
        (" (1). ", 0.0),
        ("TIE", 0.5),
        ("Answer 1 is better than answer 2", None),
        ("Answer: 12", None),
        ("Answer: 1.5", None),
        ("Both are good", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_strictly(said: str, preference: float | None) -> None:
    assert preference_in_words(said) == preference


@given(st.floats(-50, 0), st.floats(-50, 0))
def test_likelihoods_become_a_share(first: float, second: float) -> None:
    expected = math.exp(second) / (math.exp(first) + math.exp(second))
    assert preference_in_likelihoods(likelihoods_in_words(first, second)) == pytest.approx(expected, abs=1e-12)


def test_a_question_too_long_for_the_judge_is_no_verdict_and_says_so() -> None:
    judged = compare_answers(answers("a", "c"), answers("b", "d"), TEMPLATE, lambda asked: [None, "1", "?", "1"], read)
    assert judged["outcome"].tolist() == ["failed", "failed"]
    assert judged["failure"].tolist() == ["too long for the judge", "the judge names neither answer"]
    assert judged["words_first"].tolist() == ["", "?"]


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        (1, 1, "won"),
        (0, 0, "lost"),
        (1, 0, "tied"),
        (0, 1, "tied"),
        (0.5, 0.5, "tied"),
        (0.5, 1, "won"),
        (0, 0.5, "lost"),
        (math.nan, 1, "failed"),
        (0, math.nan, "failed"),
    ],
)
def test_two_orders_make_one_outcome(first: float, second: float, result: str) -> None:
    assert outcome(first, second) == result


def test_texts_that_spell_slots_stay_text() -> None:
    asked = question(TEMPLATE, "say {first}", "{second}", "{instruction}")
    assert asked == "Q say {first}\n1 {second}\n2 {instruction}"


def test_each_pair_is_asked_in_both_orders_and_nothing_else() -> None:
    asked: list[str] = []

    def ask(questions: list[str]) -> list[str]:
        asked.extend(questions)
        return ["1"] * len(questions)

    judged = compare_answers(answers("a", "same"), answers("b", "same"), TEMPLATE, ask, preference_in_words)
    assert sorted(asked) == ["Q do 0\n1 a\n2 b", "Q do 0\n1 b\n2 a"]
    assert judged["outcome"].tolist() == ["tied", "tied"]
    assert judged["ours_first"].tolist() == [1.0, 0.5] and judged["ours_second"].tolist() == [0.0, 0.5]
    assert judged["words_first"].tolist() == ["1", ""]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "", "{question}", "x\ny", "nan"]),
            st.sampled_from(["a", "b", "", "{output_1}"]),
            st.sampled_from(["1", "2", "tie", "hmm", ""]),
            st.sampled_from(["1", "2", "tie", "hmm", ""]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_no_pair_is_lost_whatever_the_judge_says(pairs: list[tuple[str, str, str, str]]) -> None:
    ours, theirs = answers(*(pair[0] for pair in pairs)), answers(*(pair[1] for pair in pairs))
    words = {}
    for at, (our, their, first, second) in enumerate(pairs):
        words[question(TEMPLATE, f"do {at}", our, their)] = first
        if our != their:
            words[question(TEMPLATE, f"do {at}", their, our)] = second

    judged = compare_answers(
        ours, theirs, TEMPLATE, lambda questions: [words[each] for each in questions], preference_in_words
    )
    value = {"1": 1.0, "2": 0.0, "tie": 0.5, "hmm": math.nan, "": math.nan}
    for row, (our, their, first, second) in zip(judged.to_dict("records"), pairs, strict=True):
        if our == their:
            assert row["outcome"] == "tied"
            continue
        # The plain rule: prefer ours when the judge points at our place.
        expected = (value[first], 1 - value[second])
        assert row["outcome"] == outcome(*expected)
        assert (row["ours_first"], row["ours_second"]) == pytest.approx(expected, nan_ok=True)
        assert (row["failure"] != "") == (row["outcome"] == "failed")
    assert len(judged) == len(pairs)


def test_answers_to_different_instructions_are_refused() -> None:
    with pytest.raises(UserError, match="answered different instructions"):
        compare_answers(answers("a"), answers("a", "b"), TEMPLATE, list, preference_in_words)
