"""What ran, in the words of the Provenance Run Crate profile: tools, their parameters, steps, and the jobs.

https://www.researchobject.org/workflow-run-crate/profiles/0.5/provenance_run_crate
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import quote

from cream.audit.identifiers import inputs_of, job_id, script_of, shown, source_id, times
from cream.audit.ledger import Ledger, Record
from cream.cards.study import portable
from cream.contents import canonical_digest

RUN, ENGINE, AUTHOR = "#run", "https://snakemake.readthedocs.io", "#author"
TYPES = {bool: "Boolean", int: "Integer", float: "Float"}
DONE = "http://schema.org/CompletedActionStatus"


class Run:
    """`entities`: by id. `tools`: id of a script → what is to be added to its entity. `examples`: id of a file
    or folder → ids of the parameters that it was a value of. `sources`: ids of what came from outside."""

    def __init__(self, ledger: Ledger, named: dict[str, str], code: dict[tuple[str, str], str], author: str | None):
        """`named`: artifact → its id in the crate. `code`: path and digest of a file of the project → the same."""
        self.ledger, self.named, self.code = ledger, named, code
        self.agent = {"agent": {"@id": AUTHOR}} if author else {}
        self.entities: dict[str, dict] = {}
        self.examples: dict[str, set[str]] = defaultdict(set)
        self.tools: dict[str, dict] = {}
        self.sources: list[str] = []
        if author:
            self.entities[AUTHOR] = {"@type": "Person", "name": author}
        for record in ledger.in_order:
            self._job(record)
        self._whole_run()
        for source in self.sources:
            self.entities[source]["exampleOfWork"] = self.example_of(source)

    def example_of(self, identifier: str) -> list[dict]:
        return references(sorted(self.examples.get(identifier, ())))

    def _job(self, record: Record) -> None:
        path, digest = script_of(record)
        tool = self.code.get((path, digest), f"#script/{quote(path)}")
        parameters = self.tools.setdefault(tool, {"name": path, "input": [], "output": [], "version": digest[:12]})
        inputs = {name: self._input(record, name, artifact) for name, artifact in inputs_of(self.ledger, record)}
        values = []
        for name, value in record.data["settings"].items():
            for item in _texts(value):
                if item in record.outputs:
                    self._parameter(parameters["output"], record, name, item)
                elif item in inputs:
                    self._parameter(parameters["input"], record, name, item)
            if value is not None and not _paths_only(value, {*inputs, *record.outputs}):
                values.append(self._value(parameters["input"], record, name, portable(value)))
        begun, done = times(record)
        step = f"#step/{quote(tool)}"
        self.entities[step] = {"@type": "HowToStep", "name": record.stage, "workExample": {"@id": tool}}
        self.entities[job_id(record)] = {
            "@type": "CreateAction",
            "name": f"{record.stage}: {', '.join(map(shown, record.outputs[:3]))}",
            "description": f"One job of {path}. Its record tells the rest: {record.path}",
            "instrument": {"@id": tool},
            "object": references([*inputs.values(), *values]),
            "result": references(self.named[output] for output in record.outputs),
            "startTime": begun,
            "endTime": done,
            "actionStatus": DONE,
            **self.agent,
        }
        self.entities[f"#scheduled/{quote(record.outputs[0])}"] = {
            "@type": "ControlAction",
            "name": f"scheduled {record.stage}",
            "instrument": {"@id": step},
            "object": {"@id": job_id(record)},
        }

    def _input(self, record: Record, name: str, artifact: str | None) -> str:
        if artifact is not None:
            return self.named[artifact]
        digest = record.data["inputs"][name]
        if isinstance(digest, str) and (name, digest) in self.code:
            return self.code[name, digest]
        entity = {"name": shown(name), "description": "read by a job, made by none; not in this crate"}
        if isinstance(digest, str):
            entity |= {"@type": "File", "sha256": digest}
        else:
            entity |= {"@type": "Dataset", "identifier": f"sha256 of its files' digests: {canonical_digest(digest)}"}
        identifier = source_id(name, digest)
        if identifier not in self.entities:
            self.sources.append(identifier)
            self.entities[identifier] = entity
        return identifier

    def _parameter(self, listed: list[str], record: Record, name: str, path: str) -> None:
        """A path that a job was given: note the parameter, and the file as a value of it."""
        identifier = f"#parameter/{record.stage}/{quote(name)}"
        artifact = self.ledger.artifact(path)
        target = self.named.get(artifact) or self._input(record, path, None)
        self.examples[target].add(identifier)
        kind = self.entities[target]["@type"] if target in self.entities else "File"
        self._formal(listed, identifier, name, "Dataset" if target.endswith("/") else kind)

    def _value(self, listed: list[str], record: Record, name: str, value: object) -> str:
        parameter = f"#parameter/{record.stage}/{quote(name)}"
        self._formal(listed, parameter, name, TYPES.get(type(value), "Text"))
        identifier = f"#value/{record.stage}/{quote(name)}/{canonical_digest(value)[:12]}"
        plain = value if isinstance(value, str | int | float | bool) else json.dumps(value, ensure_ascii=False)
        self.entities[identifier] = {
            "@type": "PropertyValue",
            "name": name,
            "value": plain,
            "exampleOfWork": {"@id": parameter},
        }
        return identifier

    def _formal(self, listed: list[str], identifier: str, name: str, kind: str) -> None:
        self.entities.setdefault(identifier, {"@type": "FormalParameter", "name": name, "additionalType": kind})
        if identifier not in listed:
            listed.append(identifier)

    def _whole_run(self) -> None:
        """The run of the workflow itself, from what came from outside to what nothing was made from."""
        ledger = self.ledger
        last = [name for name in ledger.maker if not ledger.graph.out_degree(name)]
        begun, done = zip(*map(times, ledger.records), strict=True)
        span = {"startTime": min(begun), "endTime": max(done)}
        self.entities[RUN] = {
            "@type": "CreateAction",
            "name": "Run of the workflow",
            "description": f"{len(ledger.records)} jobs, from what came from outside to what nothing was made from.",
            "instrument": {"@id": "Snakefile"},
            "object": references(self.sources),
            "result": references(self.named[name] for name in last),
            "actionStatus": DONE,
            **span,
            **self.agent,
        }
        scheduled = [name for name, entity in self.entities.items() if entity["@type"] == "ControlAction"]
        self.entities["#scheduling"] = {
            "@type": "OrganizeAction",
            "name": "Snakemake scheduled the jobs",
            "instrument": {"@id": ENGINE},
            "object": references(scheduled),
            "result": {"@id": RUN},
            **span,
            **self.agent,
        }

    @property
    def actions(self) -> list[str]:
        return [name for name, entity in self.entities.items() if entity["@type"] == "CreateAction"]

    @property
    def steps(self) -> list[str]:
        return [name for name, entity in self.entities.items() if entity["@type"] == "HowToStep"]


def _texts(value: object) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _paths_only(value: object, paths: set[str]) -> bool:
    texts = _texts(value)
    return texts == (value if isinstance(value, list) else [value]) and paths.issuperset(texts)


def references(identifiers: Iterable[str]) -> list[dict]:
    return [{"@id": identifier} for identifier in dict.fromkeys(identifiers)]
