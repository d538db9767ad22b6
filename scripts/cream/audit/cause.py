"""What a recorded difference of two jobs is."""

from __future__ import annotations

from dataclasses import dataclass, field

from cream.audit.ledger import Ledger, Record

# The order in which causes are named where nothing else tells them apart.
CODE, SETTINGS, SEED, DATA, ENVIRONMENT, HARDWARE, NONE = KINDS = (
    "code",
    "settings",
    "seed",
    "data",
    "environment",
    "hardware",
    "none recorded",
)


@dataclass(frozen=True)
class Cause:
    """`said`: in a few words; `lines`: the difference itself, where it is text."""

    kind: str
    said: str
    lines: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.kind}: {self.said}"


@dataclass(frozen=True)
class Job:
    """A record, and the ledger of the run that it belongs to."""

    ledger: Ledger
    record: Record

    @property
    def data(self) -> dict:
        return self.record.data
