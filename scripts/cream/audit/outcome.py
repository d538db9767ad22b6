"""An audit's answer: for people, for programs, and as an exit status."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """`data`: what JSON can hold; `lines`: the same for a person; `status`: 0 same or sound, 1 error, 3 differs."""

    data: dict
    lines: list[str]
    status: int = 0
