"""Which files of a study go into a crate, and what is said of each."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from urllib.parse import quote

from cream.audit.ledger import Ledger
from cream.audit.manifest import RecordedFile
from cream.code_kept import FOLDER as KEPT
from cream.contents import files_below
from cream.machine import PROJECT
from cream.paths import RESULTS

# What the workflow needs to run. Neither tests and documents nor slurm/, which is one cluster's.
WORKFLOW = (
    "Snakefile",
    "config.yaml",
    "rules",
    "scripts",
    "schemas",
    "studies",
    "envs",
    "report",
    "README.md",
    "LICENSE",
    "CITATION.cff",
)
FETCHED = f"{RESULTS}/assets/"
FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".smk": "text/x-python",
    ".py": "text/x-python",
    ".jsonld": "application/ld+json",
    ".safetensors": "application/octet-stream",
}


def workflow_files() -> list[str]:
    """Project paths of the workflow's code as it is today."""
    places = [PROJECT / name for name in WORKFLOW]
    found = [path for place in places for path in (files_below(place) if place.is_dir() else [place])]
    names = [path.relative_to(PROJECT) for path in found if path.is_file()]
    return [str(name) for name in names if "__pycache__" not in name.parts and not any(p[0] == "." for p in name.parts)]


def kept_code_files(ledger: Ledger) -> dict[str, str]:
    """Project path of code that ran → its name, for every version that some record tells of, under its kept name."""
    versions = {
        digest: path for record in ledger.in_order for path, digest in sorted(record.data["code_files"].items())
    }
    return {f"{RESULTS}/{KEPT}/{digest}.txt": path for digest, path in versions.items()}


def comes_along(file: RecordedFile, with_data: bool) -> bool:
    """Whether a file of an artifact is copied. Models and fetched packages are large and often under licences of
    others: without `with_data` their digests stand for them."""
    in_folder = file.name not in (file.artifact, f"{file.artifact}.json")
    return with_data or not (in_folder or file.name.startswith(FETCHED))


def described(name: str, sha256: str, size: int | None) -> dict:
    """Properties of a file, for the crate."""
    kind = FORMATS.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    length = {} if size is None else {"contentSize": str(size)}
    return {"name": name, "encodingFormat": kind, "sha256": sha256, **length}


def folder_id(artifact: str, copied: bool) -> str:
    return f"{'' if copied else '#'}{quote(artifact)}/"


def file_id(name: str, copied: bool) -> str:
    return f"{'' if copied else '#'}{quote(name)}"


def machine_paths(text: str) -> list[str]:
    """What looks like a path of somebody's machine in settings, as JSON or YAML, each once."""
    from cream.cards.study import is_machine_path

    words = re.split(r"[\s'\"=,\[\]{}]+", text)
    return list(dict.fromkeys(word for word in words if len(word) > 2 and is_machine_path(word)))
