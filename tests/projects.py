"""A project folder with the tiny study in it, and Snakemake run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CODE = [
    "Snakefile",
    "config.yaml",
    "rules",
    "scripts",
    "schemas",
    "studies",
    "envs",
    "report",
    "slurm",
    "tests/tiny.py",
]


class Study:
    """A project folder with a tiny study in it."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def with_code(cls, folder: Path) -> Study:
        """A folder with the project's code alone, as a fresh clone has it."""
        for name in CODE:
            source, target = PROJECT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        return cls(folder)

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run snakemake on the tiny study. Config values are given last, after --config."""
        before, config = _split_config(arguments)
        command = ["-m", "snakemake", *before, "--cores", "2", "--nocolor", "--configfile", "studies/tiny.yaml"]
        if (self.folder / "change.yaml").exists():
            command.append("change.yaml")
        return self.python(*command, *config, **environment)

    def run(self, *arguments: str, **environment: str) -> str:
        done = self.snakemake(*arguments, **environment)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def planned(self, *arguments: str, **environment: str) -> dict[str, int]:
        """Jobs that a run would do now, by rule; the target rule itself left out."""
        output = self.run(*arguments, "--dry-run", **environment)
        stats = re.search(r"Job stats:\n(.*?)\n\n", output, re.DOTALL)
        if stats is None:
            assert "Nothing to be done" in output, output[-2000:]
            return {}
        counts = dict(re.findall(r"^(\w+) +(\d+)$", stats[1], re.MULTILINE))
        return {rule: int(count) for rule, count in counts.items() if rule not in ("total", "all", "data")}

    def change(self, text: str) -> None:
        """Lay further settings over the tiny study."""
        (self.folder / "change.yaml").write_text(text, encoding="utf-8")

    def copy(self, folder: Path) -> Study:
        shutil.copytree(self.folder, folder, copy_function=shutil.copy2, symlinks=True)
        return Study(folder)


def _split_config(arguments: tuple[str, ...]) -> tuple[list[str], list[str]]:
    at = arguments.index("--config") if "--config" in arguments else len(arguments)
    return list(arguments[:at]), list(arguments[at:])
