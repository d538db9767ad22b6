"""All records of a study, read and put in order: which job made which artifact from which.

Artifacts go by the path in the records (`results/…`), wherever the folder lies today.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from itertools import product
from pathlib import Path

import networkx

from cream.audit.findings import UNCHECKED, Finding
from cream.errors import UserError
from cream.kept import SCRATCH
from cream.machine import PROJECT
from cream.paths import RESULTS
from cream.records import RECORD_VERSION, essence, record_text, seal

SUFFIX = ".record.json"
# What every record holds, with its type.
FIELDS = {
    "command": list,
    "stage": str,
    "settings": dict,
    "inputs": dict,
    "outputs": dict,
    "code": str,
    "packages": dict,
    "parents": dict,
    "code_files": dict,
    "seeds": dict,
    "git": dict,
    "lock": dict,
    "observed": dict,
    "gpus": list,
    "python": str,
    "host": str,
    "started": str,
    "seconds": int | float,
    "peak_memory_mb": int,
    "processes": int,
    "determinism": str,
    "seal": str,
}


@dataclass(frozen=True)
class Record:
    """One job's record. `path`: as artifacts are named (`results/….record.json`); `digest`: SHA-256 of its bytes;
    `as_written`: whether these are the bytes that a job writes of such a record."""

    path: str
    digest: str
    as_written: bool
    data: dict = field(repr=False)

    @property
    def stage(self) -> str:
        return self.data["stage"]

    @property
    def inputs(self) -> list[str]:
        return list(self.data["inputs"])

    @property
    def outputs(self) -> list[str]:
        return list(self.data["outputs"])

    @cached_property
    def essence(self) -> str:
        return essence(self.data)

    @cached_property
    def sealed(self) -> bool:
        return self.as_written and self.data["seal"] == seal(self.data)


class Ledger:
    """The records below a results folder. `problems`: files that are no records of this project.

    `maker`: artifact → the record of the job that made it. `graph`: a directed edge from each input to each output.
    """

    def __init__(self, results: Path):
        if not results.is_dir():
            raise UserError(f"{results} is no folder: name the results folder of a study with --results")
        self.results = results
        self.records: list[Record] = []
        self.problems: list[Finding] = []
        for path in sorted(results.rglob(f"*{SUFFIX}")):
            if path.relative_to(results).parts[0] != SCRATCH:
                self._read(path)
        if not self.records and not self.problems:
            raise UserError(f"{results} holds no records (*{SUFFIX}): no job of this workflow has written here")
        self.maker = {output: record for record in self.records for output in record.outputs}
        self.graph = self._graph()

    def place(self, artifact: str) -> Path:
        """Where an artifact lies today. What isn't of the results is of the project's folder, or wherever it says."""
        named = Path(artifact)
        if named.parts[0] == RESULTS:
            return self.results.joinpath(*named.parts[1:])
        return named if named.is_absolute() else PROJECT / named

    def artifact(self, source: str) -> str:
        """What an input is or stands for: a model's manifest (`model.json`) stands for the model."""
        folder = source.removesuffix(".json")
        return folder if source not in self.maker and folder in self.maker else source

    def name(self, path: str | Path) -> str:
        """The artifact that somebody means by a path: as recorded, or as it lies in the results folder today.

        Raises `UserError` if no record made it.
        """
        absolute, results = Path(path).absolute(), self.results.absolute()
        moved = str(Path(RESULTS, absolute.relative_to(results))) if absolute.is_relative_to(results) else None
        for name in filter(None, (str(path).rstrip("/"), moved)):
            for form in (name, name.removesuffix(SUFFIX), name.removesuffix(".json")):
                if form in self.maker:
                    return form
            inside = next((str(parent) for parent in Path(name).parents if str(parent) in self.maker), None)
            if inside:
                return inside
        near = get_close_matches(str(path), self.maker, n=3)
        advice = (
            f"nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else "`audit.py list` names them"
        )
        raise UserError(f"no record tells of {path}; of the artifacts that have one, {advice}")

    def below(self, artifact: str) -> set[str]:
        """Everything that an artifact was made from, inputs without records included."""
        return networkx.ancestors(self.graph, artifact)

    def above(self, artifact: str) -> set[str]:
        """Everything that was made from an artifact."""
        return networkx.descendants(self.graph, artifact)

    def makers(self, artifacts: Iterator[str] | set[str]) -> list[Record]:
        """The records of the jobs that made some artifacts, each once, inputs before what was made from them."""
        wanted = {self.maker[name].path for name in artifacts if name in self.maker}
        return [record for record in self.in_order if record.path in wanted]

    @cached_property
    def in_order(self) -> list[Record]:
        """All records, inputs before what was made from them, else by path."""
        order = {name: at for at, name in enumerate(networkx.lexicographical_topological_sort(self.graph))}
        return sorted(self.records, key=lambda record: (min(map(order.get, record.outputs)), record.path))

    def _graph(self) -> networkx.DiGraph:
        graph = networkx.DiGraph()
        for record in self.records:
            graph.add_nodes_from(record.outputs)
            sources = map(self.artifact, record.inputs)
            graph.add_edges_from((source, target) for source, target in product(sources, record.outputs))
        if not networkx.is_directed_acyclic_graph(graph):
            around = " → ".join(source for source, _ in networkx.find_cycle(graph))
            raise UserError(f"the records tell of artifacts made from themselves ({around}): they were edited")
        return graph

    def _read(self, path: Path) -> None:
        name = str(Path(RESULTS, path.relative_to(self.results)))
        try:
            content = path.read_bytes()
            data = json.loads(content)
        except OSError as problem:
            return self._problem(name, f"can't be read ({problem.strerror})")
        except ValueError:
            return self._problem(name, "is half-written or no JSON: make what it tells of again, or restore it")
        if not isinstance(data, dict) or "version" not in data:
            return self._problem(name, "is no record of this project: remove it or restore the right one")
        if data["version"] != RECORD_VERSION:
            newer = isinstance(data["version"], int) and data["version"] > RECORD_VERSION
            fix = "audit it with the code that wrote it, or a later one" if newer else "make what it tells of again"
            return self._problem(name, f"is of version {data['version']}, this code knows {RECORD_VERSION}: {fix}")
        wrong = [key for key, kind in FIELDS.items() if not isinstance(data.get(key), kind)] or _wrong_entries(data)
        if wrong:
            return self._problem(name, f"has no proper {', '.join(wrong)}: it is no whole record of this project")
        as_written = content == record_text(data).encode()
        self.records.append(Record(name, hashlib.sha256(content).hexdigest(), as_written, data))
        return None

    def _problem(self, name: str, said: str) -> None:
        self.problems.append(Finding(UNCHECKED, name, said))


def _wrong_entries(data: dict) -> list[str]:
    """Which of a record's entries hold something else than they should."""
    proper = {
        "outputs": lambda entry: _is_file(entry) or _is_folder(entry),
        "parents": lambda entry: isinstance(entry, dict) and {"record", "digest", "essence"} <= entry.keys(),
        "code_files": lambda entry: isinstance(entry, str),
        "packages": lambda entry: isinstance(entry, str),
        "inputs": lambda entry: isinstance(entry, str | dict),
    }
    wrong = [name for name, holds in proper.items() if not all(map(holds, data[name].values()))]
    wrong += [] if _is_time(data["started"]) else ["started"]
    wrong += [] if 0 <= data["seconds"] < math.inf else ["seconds"]  # NaN neither
    return wrong if data["outputs"] else [*wrong, "outputs"]


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_file(entry: object) -> bool:
    return isinstance(entry, dict) and {"file", "content"} <= entry.keys()


def _is_folder(entry: object) -> bool:
    files = entry.get("files") if isinstance(entry, dict) else None
    return isinstance(files, dict) and all(map(_is_file, files.values()))
