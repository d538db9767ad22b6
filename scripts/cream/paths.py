"""The path grammar: where every artifact lies, and what a path says it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

RESULTS = "results"
# M0 and M1 belong to no preference method: every method shares them.
BASE, SFT = "base", "sft"

_MODEL_PATH = re.compile(
    r"(?:.*/)?(?P<model>[^/]+)/(?:base/M0|seed(?P<seed>\d+)/(?P<method>[^/]+)/(?:M|iter)(?P<t>\d+))(?:/.*|$)"
)


def policy(model: str, seed: str | int, method: str, t: int) -> str:
    """Folder of everything about M{t} of a method: base/M0, sft/M1, then the method's own."""
    if t == 0:
        return f"{RESULTS}/{model}/{BASE}/M0"
    return f"{RESULTS}/{model}/seed{seed}/{SFT if t == 1 else method}/M{t}"


@dataclass(frozen=True)
class Owner:
    """Whose artifact a path is: `seed` is None for M0, which no seed has touched."""

    model: str
    seed: int | None
    method: str
    iteration: int


def owner(path: PurePath | str) -> Owner:
    """Read model, seed, method and iteration off an artifact's path."""
    found = _MODEL_PATH.fullmatch(str(path))
    if found is None:
        raise ValueError(f"{path} does not follow the path grammar")
    if found["method"] is None:
        return Owner(found["model"], None, BASE, 0)
    return Owner(found["model"], int(found["seed"]), found["method"], int(found["t"]))
