"""Read the answer out of a response, and check it: the verifiers of the tasks.

A response is checked on what it ends up saying. After the last "Answer:" counts; a response
without one counts as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

_MARKER = re.compile(r"answer\s*(?:is)?\s*:", re.IGNORECASE)
# A minus between two operands is an operation, not a sign.
_NUMBER = re.compile(r"(?:(?<![\w)])-)?\d+(?:,\d{3})*(?:\.\d+)?|(?:(?<![\w)])-)?\.\d+")
# A label only counts when marked as one, "(C)", "C)", "C.", "C:", or standing alone: the word
# "a" of "a magnet" is no label.
_LABEL = re.compile(r"\(([A-Za-z]|\d)\)|([A-Za-z]|\d)(?:[).:](?!\d)|[ \t]*(?:\n|$))")
_SPACE_AND_QUOTES = " \t\n\r\"'`*"


def final_part(text: str) -> str:
    """What follows the last "Answer:" of a response, or all of it."""
    marked = list(_MARKER.finditer(text))
    return text[marked[-1].end() :] if marked else text


def extract_number(text: str) -> Decimal | None:
    """The number a response ends up with; None when it names none.

    After an "Answer:", the first number, or the one behind the last "=" of that line
    ("Answer: 3 + 4 = 7" says 7). Without one, the last number.
    """
    part = final_part(text)
    if part is not text:
        line = next((line for line in part.splitlines() if line.strip()), "")
        numbers = _NUMBER.findall(line.rsplit("=", 1)[-1])
        found = numbers[0] if numbers else None
    else:
        numbers = _NUMBER.findall(part)
        found = numbers[-1] if numbers else None
    if found is None:
        return None
    try:
        return Decimal(found.replace(",", ""))
    except InvalidOperation:
        return None


def extract_choice(text: str, choices: Sequence[str]) -> int | None:
    """Index of the choice a response names, by label (A–Z or 1–9) or by its words; else None."""
    part = final_part(text).strip(_SPACE_AND_QUOTES)
    label = _LABEL.match(part)
    if label:
        index = _label_index(label.group(1) or label.group(2))
        if 0 <= index < len(choices):
            return index
    said = _words(part)
    exact = [index for index, choice in enumerate(choices) if _words(choice) == said]
    if len(exact) == 1:
        return exact[0]
    contained = [index for index, choice in enumerate(choices) if f" {_words(choice)} " in f" {said} "]
    return contained[0] if len(contained) == 1 else None


def _label_index(label: str) -> int:
    return int(label) - 1 if label.isdigit() else ord(label.upper()) - ord("A")


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def is_correct(kind: str, text: str, answer: str, choices: Sequence[str]) -> bool:
    """Whether a response solves its item. `kind` is `number`, or `choice` (then `answer` is the
    right choice's own text); items of kind `open` have no answer to ask about."""
    if kind == "number":
        found = extract_number(text)
        return found is not None and found == Decimal(answer)
    index = extract_choice(text, choices)
    return index is not None and choices[index] == answer
