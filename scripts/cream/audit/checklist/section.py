"""One answer of the checklist, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cream.audit.ledger import Ledger, Record
from cream.audit.telling import in_a_line
from cream.cards.markdown import cell
from cream.digests import file_digest


@dataclass(frozen=True)
class Section:
    """`asks`: the question in a line; `parts`: paragraphs and tables; `told_by`: the records that say so."""

    title: str
    asks: str
    parts: list[str]
    told_by: str

    def markdown(self) -> str:
        return "\n\n".join([f"## {self.title}", f"*{self.asks}*", *filter(None, self.parts), f"From: {self.told_by}."])


def of_stages(ledger: Ledger, *stages: str) -> list[Record]:
    """The records of some stages, in the order of making."""
    return [record for record in ledger.in_order if record.stage in stages]


def as_recorded(ledger: Ledger, artifact: str) -> bool:
    """Whether a file is there and is what its record says."""
    place = ledger.place(artifact)
    return place.is_file() and file_digest(place) == ledger.maker[artifact].data["outputs"][artifact].get("file")


def counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(values: Iterable[object], most: int = 12) -> str:
    """Values in a line, cut where there are many."""
    shown = [in_a_line(value, 300) for value in values]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "") or "none"


def inline(values: Iterable[object], most: int = 12) -> str:
    """The same for a paragraph, where it can't become Markdown or HTML. Tables see to that themselves."""
    return cell(listed(values, most))
