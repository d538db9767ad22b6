"""What the comparisons of all kinds have in common: their answer, when numbers agree, how a value is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cream.plain_text import visible
from cream.promises import Tolerance

NOTHING = Tolerance()
SHOWN = 80  # characters of a value in a sentence
LISTED = 3  # differences of a kind that are named one by one


@dataclass(frozen=True)
class Difference:
    """`within`: no further than the tolerance allows; `said`: sentences, the weightiest first; `data`: as JSON."""

    within: bool
    said: list[str]
    data: dict


def agree(ours: float, theirs: float, tolerance: Tolerance) -> bool:
    """Whether two numbers lie within the tolerance. NaN agrees with NaN alone, infinity with itself."""
    if ours == theirs or (math.isnan(ours) and math.isnan(theirs)):
        return True
    size = abs(ours - theirs)
    return math.isfinite(size) and size <= tolerance.absolute + tolerance.relative * abs(theirs)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: object) -> str:
    """A value as a sentence has it: on one line, short, without control characters."""
    text = visible(repr(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def first_apart(ours: str | list, theirs: str | list) -> int:
    """The first place where two texts or lists differ; where one ends, if the other goes on."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((at for at, (a, b) in pairs if repr(a) != repr(b)), min(len(ours), len(theirs)))
