"""A small stage of a test's own, `copy_text.py`, in a process of its own as every stage has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
NAME = "copy_text.py"


def laid_out(folder: Path, script: str) -> Path:
    """The folder, with the stage and a text to copy."""
    (folder / NAME).write_text(script)
    (folder / "text.txt").write_text("hello")
    return folder


def ran(folder: Path, *flags: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**_how(folder, flags, {}), timeout=60, check=False)


def started(folder: Path, *flags: object, **environment: str) -> subprocess.Popen[str]:
    """The stage under way."""
    return subprocess.Popen(**_how(folder, flags, environment))


def _how(folder: Path, flags: tuple[object, ...], environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "args": [sys.executable, NAME, *map(str, flags)],
        "cwd": folder,
        "env": {**os.environ, "PYTHONPATH": str(PROJECT / "scripts"), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
