"""`audit.py lineage`: kin in order, as Graphviz text and as a picture in which nothing lies on anything."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import networkx
import pytest
from audited import HOSTILE, JOBS, M0, POOL, TABLES, TRAINED, audit, evaluation
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.audit.layers import Layout, layered
from cream.audit.ledger import Ledger, Record
from cream.audit.lineage import Box, boxes, dot
from cream.audit.picture import HEIGHT, WIDTH, svg

CREAM = TRAINED["cream"]


def made_from(artifact: str) -> set[str]:
    """Ancestors by following the list of jobs that the study was made from."""
    read = {output: inputs for _, inputs, made, _ in JOBS for output in made}
    found = {name.removesuffix(".json") if name.startswith("results/toy") else name for name in read.get(artifact, [])}
    return found.union(*map(made_from, found))


def outputs(said: str) -> list[str]:
    return [word for line in said.splitlines() for word in line.split() if re.match(r"results/|questions", word)]


def test_ancestors_come_in_the_order_of_making(audited_study: Path) -> None:
    said = audit(audited_study, "lineage", TABLES[0])
    listed = outputs(said.stdout)
    assert set(listed) == made_from(TABLES[0]) | {TABLES[0]} and TABLES[1] not in listed
    for artifact in listed:
        assert all(listed.index(source) < listed.index(artifact) for source in made_from(artifact))
    assert "beta=0.25" in said.stdout and "seed=7" in said.stdout and "read=" not in said.stdout
    assert said.stdout.endswith("9 jobs, 1 files without a record\n")


def test_descendants(audited_study: Path) -> None:
    listed = outputs(audit(audited_study, "lineage", CREAM, "--down").stdout)
    assert listed == [CREAM, evaluation(CREAM), *TABLES]
    answer = json.loads(audit(audited_study, "lineage", M0, "--down", "--json").stdout)
    every = {output for _, _, made, _ in JOBS for output in made}
    assert {output for job in answer["jobs"] for output in job["outputs"]} == every - {POOL}


def read_dot(text: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """Labels and edges, read as Graphviz does: in quotes a backslash takes the next character with it."""
    quoted = r'"((?:[^"\\]|\\.)*)"'
    statement = rf"  {quoted}(?: \[label={quoted}(?:, style=dashed)?\]| -> {quoted});"
    first, second, *statements, last = text.strip().splitlines()
    assert (first, second[:6], last) == ("digraph lineage {", "  node", "}")
    assert all(re.fullmatch(statement, line) for line in statements)

    def plain(label: str) -> str:
        return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], label)

    nodes = {name: plain(label) for name, label in re.findall(rf"  {quoted} \[label={quoted}", text)}
    return nodes, set(re.findall(rf"  {quoted} -> {quoted};", text))


def test_dot_has_every_job_and_every_line(audited_study: Path) -> None:
    nodes, edges = read_dot(audit(audited_study, "lineage", TABLES[0], "--dot").stdout)
    artifacts = {name: set(label.split("\n")[1:]) for name, label in nodes.items()}
    assert len(nodes) == 10
    drawn = {(a, b) for before, after in edges for a in artifacts[before] for b in artifacts[after]}
    direct = {(a, b) for b in made_from(TABLES[0]) | {TABLES[0]} for a in made_from(b)}
    assert drawn < direct
    assert set(networkx.transitive_closure(networkx.DiGraph(drawn)).edges) == direct


def test_dot_is_quoted() -> None:
    name = 'results/a "b" \\n \\ c;}\n] -> x'
    graph = networkx.DiGraph()
    graph.add_edge(Box("box0", "stage", (name,), ("r",)), Box("box1", "", (HOSTILE,), ()))
    nodes, edges = read_dot(dot(graph))
    assert nodes == {"box0": f"stage\n{name}", "box1": f"no record\n{HOSTILE}"} and edges == {("box0", "box1")}


def ledger_of(jobs: list[tuple[str, list[str], list[str]]], folder: Path) -> Ledger:
    """A ledger with jobs of (stage, inputs, outputs) in place of those it read: what the drawing needs of records."""
    ledger = Ledger(folder)
    ledger.records = [
        Record(
            f"{made[0]}.record.json",
            "",
            True,
            {"stage": stage, "inputs": dict.fromkeys(read), "outputs": dict.fromkeys(made)},
        )
        for stage, read, made in jobs
    ]
    ledger.maker = {output: record for record in ledger.records for output in record.outputs}
    ledger.graph = ledger._graph()
    return ledger


def wide_study(seeds: int, methods: int) -> list[tuple[str, list[str], list[str]]]:
    start = [("convert_model", ["model.gguf"], ["results/m/base/M0/model"])]
    for seed in range(seeds):
        start.append(("train_sft", ["results/m/base/M0/model"], [f"results/m/seed{seed}/sft/M1/model"]))
        for method in range(methods):
            folder = f"results/m/seed{seed}/method{method}"
            start.append(("build_pairs", [f"results/m/seed{seed}/sft/M1/model"], [f"{folder}/iter1/pairs.parquet"]))
            start.append(("train_policy", [f"{folder}/iter1/pairs.parquet"], [f"{folder}/M2/model"]))
    last = [made[0] for stage, _, made in start if stage == "train_policy"]
    return [*start, ("make_tables", last, ["results/tables/accuracy.csv"])]


@pytest.mark.parametrize(("seeds", "methods", "widest"), [(1, 2, 2), (2, 6, 12), (5, 3, 3), (9, 20, 1)])
def test_a_wide_study_is_put_together(audited_study: Path, seeds: int, methods: int, widest: int) -> None:
    ledger = ledger_of(wide_study(seeds, methods), audited_study / "results")
    graph = boxes(ledger, ledger.graph)
    assert max(map(len, networkx.topological_generations(graph))) == widest
    held = [name for box in graph for name in box.artifacts]
    assert sorted(held) == sorted(ledger.graph)
    box_of = {name: box for box in graph for name in box.artifacts}
    for before, after in ledger.graph.edges:
        assert graph.has_edge(box_of[before], box_of[after])
    for box in graph:
        kin = set().union(*(ledger.below(name) for name in box.artifacts))
        assert not kin & set(box.artifacts), "no job in a box is made from another in it"


def drawn(graph: networkx.DiGraph) -> ElementTree.Element:
    return ElementTree.fromstring(svg(graph, lambda box: f"#{box.artifacts[0]}"))


def rectangles(root: ElementTree.Element) -> dict[str, tuple[float, float]]:
    space = "{http://www.w3.org/2000/svg}"
    return {
        link.attrib["id"]: (float(rect.attrib["x"]), float(rect.attrib["y"]))
        for link in root.iter(f"{space}a")
        for rect in link.iter(f"{space}rect")
    }


def test_the_picture_has_all_of_it_within_its_frame(audited_study: Path) -> None:
    ledger = Ledger(audited_study / "results")
    graph = boxes(ledger, ledger.graph)
    root = drawn(graph)
    places = rectangles(root)
    assert places.keys() == {box.name for box in graph}
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(0 < x < width - WIDTH and 0 < y < height - HEIGHT for x, y in places.values())
    for (x, y), (other_x, other_y) in combinations(places.values(), 2):
        assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT, "boxes don't lie on each other"
    lines = networkx.DiGraph(
        (path.attrib["data-from"], path.attrib["data-to"]) for path in root.iter() if "d" in path.attrib
    )
    assert all(places[before][1] < places[after][1] for before, after in lines.edges)
    named = networkx.relabel_nodes(graph, {box: box.name for box in graph})
    assert set(networkx.transitive_closure(lines).edges) == set(networkx.transitive_closure(named).edges)


def test_hostile_names_stay_text_in_the_picture() -> None:
    graph = networkx.DiGraph()
    graph.add_node(Box("box0", "stage<b>", (HOSTILE.replace("\x1b", ""),), ("r",)))
    root = drawn(graph)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "style", "a", "title", "rect", "text"}
    assert HOSTILE.replace("\x1b", "") in "".join(root.itertext())


def test_a_picture_in_a_file_links_to_the_records(audited_study: Path) -> None:
    done = audit(audited_study, "lineage", CREAM, "--svg", "lineage.svg")
    assert done.returncode == 0, done.stderr
    root = ElementTree.parse(audited_study / "lineage.svg").getroot()
    links = [each.attrib["href"] for each in root.iter() if "href" in each.attrib]
    assert f"{CREAM}.record.json" in links
    assert all((audited_study / link).is_file() for link in links if link.startswith("results/"))
    assert audit(audited_study, "lineage", CREAM, "--dot", "--svg").returncode == 1


@st.composite
def graphs(draw: st.DrawFn) -> networkx.DiGraph:
    count = draw(st.integers(1, 14))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else [])
    return networkx.transitive_reduction(graph)


@settings(max_examples=60)
@given(graphs())
def test_any_graph_is_drawn_without_overlap(graph: networkx.DiGraph) -> None:
    box, gap = 10.0, 2.0
    layout: Layout = layered(graph, box, gap)
    rows: dict[int, list[float]] = {}
    for x, layer in layout.at.values():
        rows.setdefault(layer, []).append(x)
        assert box / 2 - 1e-6 <= x <= layout.width - box / 2 + 1e-6
    for xs in rows.values():
        assert all(abs(a - b) >= box + gap - 1e-6 for a, b in combinations(xs, 2))
    assert layout.routes.keys() == set(graph.edges)
    for (before, after), route in layout.routes.items():
        first, last = layout.at[before][1], layout.at[after][1]
        assert len(route) == last - first - 1
        for layer, x in enumerate(route, first + 1):
            assert all(abs(x - other) >= box / 2 + gap - 1e-6 for other in rows[layer]), "a line runs through a box"
            assert -1e-6 <= x <= layout.width + 1e-6
