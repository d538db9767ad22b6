"""Whether a disk is to blame for an error: full, over its quota, read-only or broken."""

from __future__ import annotations

import errno
import os

TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)
# safetensors says the number; torch, writing a checkpoint, only that it failed.
FAILED_WRITE = ("PytorchStreamWriter failed writing", "inline_container.cc")


def disk_trouble(problem: BaseException) -> str | None:
    """What the system says is wrong with the disk; None where the error is about something else.

    Libraries that write files themselves raise errors of their own kinds, with the system's words in them.
    """
    if isinstance(problem, OSError) and problem.errno in TROUBLE:
        return os.strerror(problem.errno)
    text = str(problem)
    for number in TROUBLE:
        if f"os error {number})" in text or f"Errno {number}]" in text or os.strerror(number) in text:
            return os.strerror(number)
    if any(words in text for words in FAILED_WRITE):
        return "a file can't be written, probably for want of room"
    return None
