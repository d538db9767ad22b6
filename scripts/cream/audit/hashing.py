"""SHA-256 of many files at once: as fast as all cores hash, or as the disk reads.

What can't be hashed, or was changed meanwhile, is a finding; the rest is hashed all the same.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cream.audit.findings import DIFFERS, UNCHECKED, Finding


def hash_files(paths: Iterable[Path]) -> dict[Path, str | Finding]:
    """SHA-256 of each file's bytes in hexadecimal, or the finding why there is none, in the order of `paths`.

    Largest first: begun last, a large file would keep one core busy after all others are done.
    """
    wanted = list(dict.fromkeys(paths))
    # hashlib lets go of Python's lock, so threads do; one more than cores hashes while another waits for the disk.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) + 1) as pool:
        by_size = sorted(wanted, key=_size, reverse=True)
        found = dict(zip(by_size, pool.map(_hash, by_size), strict=True))
    return {path: found[path] for path in wanted}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _hash(path: Path) -> str | Finding:
    try:
        # A pipe in a file's place would have us wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            return Finding(UNCHECKED, str(path), "is no file: restore the file that was made")
        with path.open("rb", buffering=0) as file:
            before = _state(os.fstat(file.fileno()))
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        changed = _state(path.stat()) != before
    except FileNotFoundError:
        return Finding(DIFFERS, str(path), "is missing: restore it or make it again")
    except OSError as problem:
        return Finding(UNCHECKED, str(path), f"can't be read ({problem.strerror})")
    return Finding(UNCHECKED, str(path), "was changed while it was read: verify again") if changed else digest


def _state(found: os.stat_result) -> tuple[int, ...]:
    """What a write or a replacement changes. The time of the last change (ctime) is one that nobody can set back."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
