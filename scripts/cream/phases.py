"""Where a job's seconds go: Python's start, imports, loading a model, its record (inputs checked, outputs hashed), and
the rest, which is the work."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator

_spent: dict[str, float] = {}


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Count the seconds of a block as `name`; blocks of one name add up."""
    started = time.perf_counter()
    try:
        yield
    finally:
        _spent[name] = _spent.get(name, 0.0) + time.perf_counter() - started


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Count the seconds of a block of imports. The garbage collector rests meanwhile: it would look
    through every new module again and again, a fifth of the time, and find nothing."""
    gc.disable()
    try:
        with phase("import"):
            yield
    finally:
        gc.enable()


def phases(started: float) -> dict[str, float]:
    """Seconds by phase of a job whose own work began at `started` (Unix time)."""
    import psutil

    begun = psutil.Process().create_time()
    found = {"start": started - begun, **_spent}
    found["work"] = time.time() - begun - sum(found.values())
    return {name: round(seconds, 3) for name, seconds in found.items()}
