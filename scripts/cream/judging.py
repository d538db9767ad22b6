"""Models as judges: what the judge is asked, and its score read from its own words alone."""

from __future__ import annotations

import re

LOWEST, HIGHEST = 0.0, 5.0
# Why a vote has no score. Empty: it has one.
NO_SCORE, OUT_OF_RANGE, CUT, TOO_LONG = "no score", "score out of range", "cut inside the score", "prompt too long"

_SLOT = re.compile(r"\{(prompt|response)\}")
_SCORE = re.compile(r"score\s*\**\s*:\s*[*<\[(\"'`]*\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)


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
    found = list(_SCORE.finditer(own_words))
    if not found:
        return None, NO_SCORE
    if finish_reason == "length" and found[-1].end() == len(own_words):
        return None, CUT
    score = float(found[-1][1])
    return (score, "") if LOWEST <= score <= HIGHEST else (None, OUT_OF_RANGE)
