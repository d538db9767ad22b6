"""What a check before a run found: one line each."""

from __future__ import annotations

from dataclasses import dataclass

OK, WRONG, SKIPPED = "ok", "no", "--"


@dataclass(frozen=True)
class Finding:
    """`mark` is OK, WRONG or SKIPPED; `said` is what was found, or what is wrong and what to do."""

    mark: str
    about: str
    said: str

    def __str__(self) -> str:
        return f"{self.mark}  {self.about:<14}  {' '.join(self.said.split())}"


def ok(about: str, said: str) -> Finding:
    return Finding(OK, about, said)


def wrong(about: str, said: str) -> Finding:
    return Finding(WRONG, about, said)


def skipped(about: str, said: str) -> Finding:
    return Finding(SKIPPED, about, said)


def bytes_of(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
