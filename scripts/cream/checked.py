"""Which model folders were hashed and found whole, so that not each of fifty jobs hashes the same weights again.

A file counts as the same while its size, its place on the disk and its times are: that of the last change too, which
nobody sets back. Damage that leaves all those as they were is for audits to find, which hash everything.
"""

from __future__ import annotations

import json
from pathlib import Path

from cream.kept import results_of

FOLDER = "audit/checked"  # below the results


def state_of(folder: Path, manifest: Path) -> dict[str, list[int]]:
    """Size, inode and times of every file below a folder and of its manifest, by relative path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {str(path.relative_to(folder)): path.stat() for path in sorted(files)} | {"": manifest.stat()}
    return {name: [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns] for name, stat in found.items()}


def was_checked(folder: Path, state: dict[str, list[int]]) -> bool:
    place = _place(folder)
    try:
        return place is not None and json.loads(place.read_text(encoding="utf-8")) == state
    except (OSError, ValueError):
        return False


def keep_checked(folder: Path, state: dict[str, list[int]]) -> None:
    """Note the state that a folder had before it was hashed, where it lies in results that can be written."""
    from cream.stage import whole_file

    place = _place(folder)
    if place is None:
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place) as path:
            path.write_text(json.dumps(state), encoding="utf-8")
    except OSError:
        return


def _place(folder: Path) -> Path | None:
    results = results_of(folder)
    return results and results / FOLDER / f"{folder.relative_to(results)}.json"
