"""How long work shows that it is alive: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 20.0


class Progress:
    """Counts towards `total`. Use as a context manager and call `update` as units finish."""

    def __init__(self, doing: str, total: int, unit: str):
        self.doing, self.total, self.unit = doing, total, unit
        self.done = 0
        self.started = self.last_line = time.monotonic()
        on_terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=doing, unit=unit, dynamic_ncols=True) if on_terminal else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, finished: int) -> None:
        self.done += finished
        if self.bar is not None:
            self.bar.update(finished)
            return
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self.last_line = now
            print(f"{self.doing}: {self.done}/{self.total} {self.unit}, {now - self.started:.0f} s", flush=True)
