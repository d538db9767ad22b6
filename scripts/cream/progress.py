"""How long work shows that it is alive."""

from __future__ import annotations

import sys


def progress_options() -> dict:
    """Settings for a tqdm bar: live on a terminal, one plain line now and then in a log."""
    if sys.stderr.isatty():
        return {"dynamic_ncols": True}
    return {"mininterval": 15.0, "maxinterval": 60.0, "ascii": True, "ncols": 80}
