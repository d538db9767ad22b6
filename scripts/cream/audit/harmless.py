"""The one list of files that may differ, or have no record, without anything being wrong: each with the reason.

Whoever checks or compares a results folder counts and names them; nothing is skipped in silence.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

# The only thing that a rule makes and no record tells of.
AUDIT_PAGE = "results/report/audit.html"
# Pattern → why. One without a slash is about a file's name, wherever it lies; else about the whole path.
HARMLESS = {
    ".snakemake_timestamp": "Snakemake's mark of when it saw the folder made",
    "results/README.md": "tells of the folder, comes with the code",
    "results/logs/*": "what a job printed: times, progress, warnings",
    "results/benchmarks/*": "times and memory that Snakemake measured",
    "results/scratch/*": "unfinished work, which no stage reads as input",
    "results/.running": "says which Snakemake is at work",
    "results/audit/*": "audits' own: the code kept with the records, what was hashed when, verdicts, statements",
    "results/report/index.html": "tells how long the jobs took",
    AUDIT_PAGE: "tells when what was checked",
    "results/export/*/README.md": "names the commit and the machine of the making",
    "results/*/judged/*.jsonl": "an endpoint's answers as they came; its verdicts are in the table beside it",
}


# These mustn't differ where a record tells of them; without one, nothing was made from them.
UNREAD = {"results/assets/*": "put there by hand, and read by no job"}


def harmless(path: str) -> str | None:
    """Why a file (`results/…`, or relative to any folder) may differ or have no record; None if it mustn't."""
    name = PurePosixPath(path).name
    return next(
        (why for pattern, why in HARMLESS.items() if fnmatchcase(path if "/" in pattern else name, pattern)), None
    )


def unrecorded(path: str) -> str | None:
    """Why no record tells of a file in the results; None if one should."""
    return harmless(path) or next((why for pattern, why in UNREAD.items() if fnmatchcase(path, pattern)), None)
