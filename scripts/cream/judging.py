"""Models as judges: what the judge is asked, and its score read from its own words alone."""

from __future__ import annotations

import re

LOWEST, HIGHEST = 0.0, 5.0
# Why a vote has no score. Empty: it has one.
NO_SCORE, OUT_OF_RANGE, CUT, TOO_LONG = "no score", "score out of range", "cut inside the score", "prompt too long"

_SLOT = re.compile(r"\{(prompt|response)\}")
_MARKER = re.compile(r"\bscore[\s*]*:", re.IGNORECASE)
# The number behind the last marker. No part of a sum, a range, a list, another scale or notation:
# behind it comes "/5" or no sign, letter or digit.
_OPENING, _CLOSING = r"[*<\[(\"'`]*", r"[*>\])\"'`]*"
_END = r"(?![\w%½]|[.,]\w|\s*[-–+=/×*^:]\s*\d)"
_NUMBER = re.compile(
    rf"[^\S\n]*+{_OPENING}[^\S\n]*+(?P<here>-?\d+(?:\.\d+)?)(?:\s*/\s*5)?{_END}"
    rf"|{_OPENING}\s*+{_OPENING}(?P<below>-?\d+(?:\.\d+)?)(?:\s*/\s*5)?{_CLOSING}\.?[^\S\n]*(?:\n|$)"
)
# What a vote cut at the token limit may have been about to say: another score.
_BEGUN = re.compile(r"\bs(?:c(?:o(?:re?)?)?)?[\s*]*$", re.IGNORECASE)


def judge_question(template: str, prompt: str, response: str) -> str:
    """The template with both texts in their slots; slots inside the texts stay words."""
    texts = {"prompt": prompt, "response": response}
    return _SLOT.sub(lambda slot: texts[slot[1]], template)


def read_vote(own_words: str, finish_reason: str) -> tuple[float | None, str]:
    """Score and failure of one vote, from what the judge wrote and nothing else.

    The last "Score: n" counts, n from 0 to 5; an earlier one may be a step of the reasoning or
    a quotation. A vote that names none, names one out of range, or was cut at the token limit
    right behind the digits (more might have followed) is missing: never a low score.
    """
    markers = list(_MARKER.finditer(own_words))
    if not markers:
        return None, NO_SCORE
    behind = own_words[markers[-1].end() :]
    number = _NUMBER.match(behind)
    cut = finish_reason == "length"
    if cut and (
        _BEGUN.search(own_words) or (number and behind[number.end() :].strip(".") == "" and behind[-1] != "\n")
    ):
        return None, CUT
    if number is None:
        return None, NO_SCORE
    score = float(number["here"] or number["below"])
    return (score, "") if LOWEST <= score <= HIGHEST else (None, OUT_OF_RANGE)
