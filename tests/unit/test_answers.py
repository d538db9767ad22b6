"""The verifiers: what counts as the answer of a response (pitfall 11 of the paper notes)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.answers import extract_choice, extract_number, final_part, is_correct

THINGS = ["iron", "a mirror", "a magnet", "plain wood"]
FIVE = ["iron", "glass", "wood", "paper", "a magnet"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Answer: 3", " 3"),
        ("Answer: 3. No, wait. Answer: 4", " 4"),
        ("The answer is: 5", " 5"),
        ("ANSWER : B", " B"),
        ("no marker here", "no marker here"),
        ("Answer:", ""),
        ("", ""),
    ],
)
def test_what_follows_the_last_marker_is_the_final_part(text: str, part: str) -> None:
    assert final_part(text) == part


def test_the_article_a_is_not_choice_a() -> None:
    # Choice A is iron: a verifier that reads the article as a label would say 0.
    assert extract_choice("a magnet", THINGS) == 2
    assert extract_choice("A magnet", THINGS) == 2
    assert extract_choice("Answer: a magnet", THINGS) == 2
    assert extract_choice("Answer: A magnet attracts things", THINGS) == 2


def test_the_label_is_read_before_the_words() -> None:
    assert extract_choice("Answer: (C) a magnet", THINGS) == 2


def test_a_label_inside_the_words_is_no_label() -> None:
    # "b" starts "b12 vitamin" but is not marked as a label.
    assert extract_choice("Answer: b12 vitamin", ["a b12 vitamin", "sugar"]) is None
    assert extract_choice("Answer: 3 apples", ["1 apple", "2 apples", "5 pears", "3 apples"]) == 3


@pytest.mark.parametrize(
    "form", ["{}", "({})", "{})", "{}.", "{}:", "**{}**", '"{}"', " {} \n", "{}) because", "({}) x"]
)
@pytest.mark.parametrize(("label", "index"), [("A", 0), ("C", 2), ("E", 4), ("e", 4), ("1", 0), ("4", 3), ("5", 4)])
def test_labels_letters_and_digits_in_every_form(form: str, label: str, index: int) -> None:
    choices = ["first thing", "second thing", "third thing", "fourth thing", "fifth thing"]
    assert extract_choice("Answer: " + form.format(label), choices) == index


def test_a_label_alone_on_its_line_counts_when_an_explanation_follows() -> None:
    assert extract_choice("Answer: C\nIt attracts iron nails.", THINGS) == 2


@pytest.mark.parametrize("label", ["0", "(0)", "0.", "F", "(F)", "6", "(9)", "Z."])
def test_a_label_outside_the_choices_names_none(label: str) -> None:
    assert extract_choice(f"Answer: {label}", FIVE) is None


@pytest.mark.parametrize("label", ["0", "(0)", "0)"])
def test_zero_never_solves_an_item_whose_last_choice_is_right(label: str) -> None:
    # An index of -1 would silently mean the last choice.
    assert not is_correct("choice", f"Answer: {label}", FIVE[-1], FIVE)


def test_the_last_answer_wins_over_the_first() -> None:
    assert extract_choice("Answer: (A) iron. Sorry, that is wrong. Answer: (C)", THINGS) == 2
    assert extract_number("Answer: 3. Let me check. Answer: 4") == 4
    assert extract_choice("Answer: B\nAnswer: mirror or magnet?", THINGS) is None


def test_words_name_a_choice_only_when_they_name_one() -> None:
    assert extract_choice("I think it is the iron.", THINGS) == 0
    assert extract_choice("Either iron or plain wood.", THINGS) is None
    assert extract_choice("Nothing of that kind.", THINGS) is None
    assert extract_choice("", THINGS) is None
    # "ironing" holds the letters of "iron", not the word.
    assert extract_choice("It is about ironing.", THINGS) is None


def test_an_exact_choice_beats_the_choices_it_contains() -> None:
    choices = ["go home", "go home and sleep"]
    assert extract_choice("Answer: go home and sleep", choices) == 1
    assert extract_choice("Answer: Go home!", choices) == 0


@settings(max_examples=50)
@given(index=st.integers(0, 4), before=st.text(alphabet="abc .\n", max_size=20))
def test_any_label_after_the_marker_is_that_choice(index: int, before: str) -> None:
    assert extract_choice(f"{before}\nAnswer: ({'ABCDE'[index]}) whatever", FIVE) == index


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Answer: 3 + 4 = 7", "7"),
        ("Answer: 7", "7"),
        ("Answer: 7.", "7"),
        ("Answer: 7.0", "7"),
        ("Answer: 1,234", "1234"),
        ("Answer: $1,234,567.50 in all", "1234567.5"),
        ("Answer: -12", "-12"),
        ("Answer: 3 - 15 = -12", "-12"),
        ("Answer:\n\n42", "42"),
        ("Answer: 24 legs, from 6 cows", "24"),
        ("**Answer:** 24", "24"),
        ("6 cows: 6 * 4 = 24. Answer: 24", "24"),
        ("6 cows make 24", "24"),
        ("3 + 4 = 7.", "7"),
        ("First 5, then 6, at last 7", "7"),
        ("Answer: 5. No. Answer: 6\nThat uses 2 steps", "6"),
    ],
)
def test_the_number_a_response_ends_up_with(text: str, number: str) -> None:
    assert extract_number(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "no number at all", "Answer:", "Answer: none", "It is 5. Answer: unknown", "-", ","]
)
def test_no_number_is_none(text: str) -> None:
    assert extract_number(text) is None


def test_text_cut_at_the_token_limit_gives_no_credit_for_the_working() -> None:
    # Cut right behind the marker: the working's numbers are not the answer.
    assert extract_number("6 cows: 6 * 4 = 24. Answer:") is None
    assert not is_correct("number", "6 cows: 6 * 4 = 24. 24 + 8 = 32. Answer:", "32", [])
    # Cut before the last step: the last number said is wrong.
    assert not is_correct("number", "6 cows: 6 * 4 = 24. 24 + ", "32", [])


def test_a_difference_without_spaces_does_not_make_its_second_term_negative() -> None:
    assert extract_number("so we are left with 50-16") == 16


@settings(max_examples=100)
@given(value=st.decimals(min_value=-(10**9), max_value=10**9, places=2), noise=st.integers(0, 999))
def test_any_number_is_read_back_with_and_without_commas(value: Decimal, noise: int) -> None:
    assert extract_number(f"I had {noise} first. Answer: {value}") == value
    assert extract_number(f"I had {noise} first. Answer: {value:,}") == value


def test_is_correct_for_numbers_compares_values_not_spelling() -> None:
    assert is_correct("number", "Answer: 7.0", "7", [])
    assert is_correct("number", "Answer: 7", "7.00", [])
    assert is_correct("number", "Answer: 1,000", "1000", [])
    assert is_correct("number", "Answer: -3", "-3", [])
    assert not is_correct("number", "Answer: 3", "-3", [])
    assert not is_correct("number", "Answer: 70", "7", [])
    assert not is_correct("number", "no idea", "7", [])


def test_is_correct_for_choices_compares_with_the_right_text() -> None:
    assert is_correct("choice", "Answer: (C) a magnet", "a magnet", THINGS)
    assert is_correct("choice", "a magnet", "a magnet", THINGS)
    assert not is_correct("choice", "a magnet", "iron", THINGS)
    assert not is_correct("choice", "Answer: A", "a magnet", THINGS)
    assert not is_correct("choice", "", "iron", THINGS)
