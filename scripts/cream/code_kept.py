"""The code that made an artifact, kept with it: each file once, under the SHA-256 of its bytes.

Months later an audit can then say which function is another, also where the commit is gone or was never made.
"""

from __future__ import annotations

from pathlib import Path

from cream.digests import file_digest
from cream.kept import results_of
from cream.machine import PROJECT

FOLDER = "audit/code"


def keep_code(files: list[Path], output: Path) -> dict[str, str]:
    """Keep the files beside the results that `output` belongs to. Project path → digest."""
    digests = {path: file_digest(path) for path in files}
    results = results_of(output)
    if results is not None:
        for path, digest in digests.items():
            _keep(path, kept_code(results, digest))
    return {_name(path): digest for path, digest in digests.items()}


def _name(path: Path) -> str:
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)


def kept_code(results: Path, digest: str) -> Path:
    return results / FOLDER / f"{digest}.txt"


def _keep(source: Path, target: Path) -> None:
    from cream.stage import whole_file

    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as path:
        path.write_bytes(source.read_bytes())
