"""A study's lineage in the words of W3C PROV-O, as JSON-LD that needs no network to read.

An entity for every artifact, every file of a folder and every input; an activity for every job; a software agent for
every version of a script. `used`, `wasGeneratedBy` and `wasDerivedFrom` are the edges of the ledger, no more.
"""

from __future__ import annotations

from urllib.parse import quote

from cream.audit.identifiers import inputs_of, job_id, script_of, shown, source_id, times
from cream.audit.ledger import Ledger, Record
from cream.audit.manifest import files_of

LINKS = ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "hadMember")
CONTEXT = {
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "label": "http://www.w3.org/2000/01/rdf-schema#label",
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
    **{name: {"@id": f"prov:{name}", "@type": "@id"} for name in LINKS},
    **{name: {"@id": f"prov:{name}", "@type": "xsd:dateTime"} for name in ("startedAtTime", "endedAtTime")},
}


def provenance(ledger: Ledger, author: str | None = None) -> dict:
    """The JSON-LD document. `author`: a person on whose behalf the jobs ran."""
    nodes: dict[str, dict] = {}
    for record in ledger.in_order:
        used = [_input(ledger, record, name, artifact, nodes) for name, artifact in inputs_of(ledger, record)]
        used = list(dict.fromkeys(used))
        agents = [_agent(record, nodes), *([_person(author, nodes)] if author else [])]
        begun, done = times(record)
        nodes[job_id(record)] = {
            "@type": "prov:Activity",
            "label": record.stage,
            "startedAtTime": begun,
            "endedAtTime": done,
            "used": used,
            "wasAssociatedWith": agents,
        }
        for output in record.outputs:
            nodes[quote(output)] = {
                **_entity(ledger, output, nodes),
                "wasGeneratedBy": job_id(record),
                "wasDerivedFrom": used,
            }
    return {"@context": CONTEXT, "@graph": [{"@id": name, **node} for name, node in nodes.items()]}


def _entity(ledger: Ledger, artifact: str, nodes: dict[str, dict]) -> dict:
    files = list(files_of(ledger, artifact))
    if "files" not in ledger.maker[artifact].data["outputs"][artifact]:
        return {"@type": "prov:Entity", "label": artifact, "sha256": files[0].sha256}
    for file in files:
        nodes[quote(file.name)] = {"@type": "prov:Entity", "label": file.name, "sha256": file.sha256}
    members = [quote(file.name) for file in files]
    return {"@type": ["prov:Entity", "prov:Collection"], "label": artifact, "hadMember": members}


def _input(ledger: Ledger, record: Record, name: str, artifact: str | None, nodes: dict[str, dict]) -> str:
    if artifact is not None:
        return quote(artifact)
    digest = record.data["inputs"][name]
    known = {"sha256": digest} if isinstance(digest, str) else {}
    nodes[source_id(name, digest)] = {"@type": "prov:Entity", "label": shown(name), **known}
    return source_id(name, digest)


def _agent(record: Record, nodes: dict[str, dict]) -> str:
    script, digest = script_of(record)
    name = f"#script/{quote(script)}/{digest[:12]}"
    nodes[name] = {"@type": ["prov:Agent", "prov:SoftwareAgent"], "label": script, "sha256": digest}
    return name


def _person(author: str, nodes: dict[str, dict]) -> str:
    nodes["#author"] = {"@type": ["prov:Agent", "prov:Person"], "label": author}
    return "#author"
