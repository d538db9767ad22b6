"""What came from what, as a graph of boxes: a job or several alike in each, or files that no record tells of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import networkx

from cream.audit.grammar import family, short
from cream.audit.ledger import Ledger, Record

# Boxes beside each other that a page can still show. A study with more of them has alike ones put together.
WIDEST = 12


@dataclass(frozen=True)
class Box:
    """`stage` is empty for files without a record; `artifacts` by recorded name, in order."""

    name: str
    stage: str
    artifacts: tuple[str, ...]
    records: tuple[str, ...]


def labels(graph: networkx.DiGraph) -> dict[Box, tuple[str, ...]]:
    """What stands in each box: stage, whose it is, which artifact. A model or seed that all share goes unsaid."""
    families = [family(name) for box in graph for name in box.artifacts]
    said = [len({each[at] for each in families if each[at]}) > 1 for at in (0, 1)] + [True, True]
    return {box: _label(box, said) for box in graph}


def _label(box: Box, said: list[bool]) -> tuple[str, ...]:
    count = len(box.records) if box.records else len(box.artifacts)
    times = f" ×{count}" if count > 1 else ""
    others = f" +{len(box.artifacts) - 1}" if len(box.artifacts) > 1 else ""
    return tuple(
        filter(None, (f"{box.stage or 'no record'}{times}", _whose(box, said), f"{short(box.artifacts[0])}{others}"))
    )


def _whose(box: Box, said: list[bool]) -> str:
    """Model, seed, method and iteration, as far as all artifacts of a box share them."""
    parts = zip(*map(family, box.artifacts), strict=True)
    model, seed, method, unit = (
        values[0] if wanted and len({*values}) == 1 else "" for wanted, values in zip(said, parts, strict=True)
    )
    return " ".join(filter(None, (model, seed and f"seed{seed}", method, unit)))


def boxes(ledger: Ledger, artifacts: Iterable[str], widest: int | None = WIDEST) -> networkx.DiGraph:
    """The jobs that made some artifacts, and the files without a record among these, as a graph of `Box`es.

    Jobs are put together step by step until no layer holds more than `widest` boxes: those alike for the same
    policy, then of all seeds, of all methods, of the stage. With None each job stands alone. Jobs in one box are
    never made from one another.
    """
    wanted = set(artifacts)
    jobs = _jobs(ledger, wanted)
    generation = {job: at for at, layer in enumerate(networkx.topological_generations(jobs)) for job in layer}
    maker = {record.path: record for record in ledger.records}
    for level in range(5):
        key = {job: _key(maker.get(job), job, generation[job], level) for job in jobs}
        layers = Counter(generation[jobs_alike[0]] for jobs_alike in _by_key(key).values())
        if widest is None or max(layers.values(), default=0) <= widest:
            break
    return _quotient(jobs, _by_key(key), maker, wanted)


def _jobs(ledger: Ledger, artifacts: set[str]) -> networkx.DiGraph:
    """Jobs by the path of their record; files without one by those jobs that read them, so that they stand together."""
    readers = {
        name: tuple(sorted({ledger.maker[after].path for after in ledger.graph[name] if after in artifacts}))
        for name in artifacts
        if name not in ledger.maker
    }
    node = {name: ledger.maker[name].path if name in ledger.maker else readers[name] for name in artifacts}
    graph = networkx.DiGraph()
    for name in sorted(artifacts):
        graph.add_node(node[name])
        graph.nodes[node[name]].setdefault("artifacts", []).append(name)
    graph.add_edges_from(
        (node[before], node[after])
        for before, after in ledger.graph.subgraph(artifacts).edges
        if node[before] != node[after]
    )
    return graph


def _key(record: Record | None, job: Hashable, generation: int, level: int) -> Hashable:
    if record is None or level == 0:
        return job
    model, seed, method, unit = family(record.outputs[0])
    alike = [(model, seed, method, unit), (model, method, unit), (unit,), ()][level - 1]
    return (generation, record.stage, *alike)


def _by_key(key: dict) -> dict[Hashable, list]:
    found: dict[Hashable, list] = {}
    for job, wanted in key.items():
        found.setdefault(wanted, []).append(job)
    return found


def _quotient(jobs: networkx.DiGraph, groups: dict, maker: dict[str, Record], wanted: set[str]) -> networkx.DiGraph:
    box_of, graph = {}, networkx.DiGraph()
    for at, members in enumerate(groups.values()):
        records = [maker[job] for job in members if job in maker]
        artifacts = sorted(name for job in members for name in jobs.nodes[job]["artifacts"])
        box = Box(
            f"box{at}", records[0].stage if records else "", tuple(artifacts), tuple(record.path for record in records)
        )
        graph.add_node(box)
        box_of |= dict.fromkeys(members, box)
    graph.add_edges_from((box_of[before], box_of[after]) for before, after in jobs.edges)
    return graph


def dot(graph: networkx.DiGraph) -> str:
    """The graph of boxes as Graphviz text."""
    lines = ["digraph lineage {", '  node [shape=box, fontname="sans-serif"];']
    for box in graph:
        label = "\n".join((box.stage or "no record", *box.artifacts))
        style = "" if box.stage else ", style=dashed"
        lines.append(f"  {_quoted(box.name)} [label={_quoted(label)}{style}];")
    lines += [f"  {_quoted(before.name)} -> {_quoted(after.name)};" for before, after in graph.edges]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    """As Graphviz reads it back: backslashes would begin its own escapes, a line break in a label is \\n."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
