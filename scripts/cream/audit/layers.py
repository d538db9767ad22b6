"""Places for a layered drawing of a graph: rows from sources downwards, lines that pass between the boxes.

Sugiyama's way: a layer for each generation, order within a layer by the mean place of the neighbours, then places as
near to the neighbours as the order allows. A line over several layers has a point in each; lines that all end in one
box (or all begin in one) share their points, so that a table made from thirty files has one trunk and not thirty lines.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import pairwise

import networkx
import numpy
from scipy.optimize import linprog
from scipy.sparse import lil_array

SWEEPS = 24
NARROW = 4.0  # what a drawing's width costs, where an upright line between boxes costs 1
Node = Hashable


@dataclass(frozen=True)
class Layout:
    """`at`: node → centre x and layer; `routes`: edge → the x of its line in each layer between its ends."""

    at: dict[Node, tuple[float, int]]
    routes: dict[tuple[Node, Node], list[float]]
    width: float
    layers: int


@dataclass(frozen=True)
class _Bend:
    """A point that lines share in a layer between their ends."""

    of: Node = field(repr=False)
    layer: int
    ends: bool


def layered(graph: networkx.DiGraph, box: float, gap: float) -> Layout:
    """Places for boxes of one width, `gap` apart."""
    layers = [list(layer) for layer in networkx.topological_generations(graph)]
    layer_of = {node: at for at, layer in enumerate(layers) for node in layer}
    bends = {edge: _bends(graph, *edge, layer_of) for edge in graph.edges}
    fine = networkx.DiGraph()
    for layer in layers:
        fine.add_nodes_from(layer)
    for (before, after), between in bends.items():
        networkx.add_path(fine, [before, *between, after])
    rows: list[list[Node]] = [[] for _ in layers]
    for node in fine:
        rows[node.layer if isinstance(node, _Bend) else layer_of[node]].append(node)
    rows = _ordered(fine, rows)
    x = _placed(fine, rows, box, gap)
    left = min((x[node] for node in graph), default=0) - box / 2
    left = min([left, *(x[node] - gap for node in fine if isinstance(node, _Bend))])
    right = max([x[node] + (gap if isinstance(node, _Bend) else box / 2) for node in fine], default=0)
    return Layout(
        {node: (x[node] - left, layer_of[node]) for node in graph},
        {edge: [x[bend] - left for bend in between] for edge, between in bends.items()},
        right - left,
        len(layers),
    )


def _bends(graph: networkx.DiGraph, before: Node, after: Node, layer_of: dict[Node, int]) -> list[_Bend]:
    ends = graph.in_degree(after) >= graph.out_degree(before)
    return [_Bend(after if ends else before, at, ends) for at in range(layer_of[before] + 1, layer_of[after])]


def _ordered(fine: networkx.DiGraph, rows: list[list[Node]]) -> list[list[Node]]:
    """Rows in the order with the fewest crossings that the sweeps came by."""
    best, fewest = rows, _crossings(fine, rows)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = fine.predecessors if down else fine.successors
        for at in range(len(rows)) if down else reversed(range(len(rows))):
            rank = {node: place for row in rows for place, node in enumerate(row)}
            middle = {node: _mean([rank[other] for other in neighbours(node)], rank[node]) for node in rows[at]}
            rows = [*rows[:at], sorted(rows[at], key=middle.__getitem__), *rows[at + 1 :]]
        crossings = _crossings(fine, rows)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(fine: networkx.DiGraph, rows: list[list[Node]]) -> int:
    rank = {node: place for row in rows for place, node in enumerate(row)}
    total = 0
    for row in rows:
        ends = numpy.array([(rank[node], rank[after]) for node in row for after in fine.successors(node)]).reshape(
            -1, 2
        )
        above, below = ends[:, :1] - ends[:, 0], ends[:, 1:] - ends[:, 1]
        total += int(((above < 0) & (below > 0)).sum())
    return total


def _placed(fine: networkx.DiGraph, rows: list[list[Node]], box: float, gap: float) -> dict[Node, float]:
    """x of each node: the lines as upright as can be and the drawing narrow, the order and distances in rows kept.

    A linear program: variables are the places, the deviation of each line from upright, and the drawing's two edges.
    """
    place = {node: at for at, node in enumerate(fine)}
    left, right = len(fine) + fine.number_of_edges(), len(fine) + fine.number_of_edges() + 1
    cost = [0.0] * len(fine) + [_weight(*edge) for edge in fine.edges] + [-NARROW, NARROW]
    rules: list[tuple[dict[int, float], float]] = []  # coefficients of a sum that is at most so much
    for at, (before, after) in enumerate(fine.edges, len(fine)):
        rules.append(({place[before]: 1, place[after]: -1, at: -1}, 0))
        rules.append(({place[before]: -1, place[after]: 1, at: -1}, 0))
    for row in filter(None, rows):
        for a, b in pairwise(row):
            rules.append(({place[a]: 1, place[b]: -1}, -(_half(a, box) + _half(b, box) + gap)))
        rules.append(({left: 1, place[row[0]]: -1}, -_half(row[0], box)))
        rules.append(({place[row[-1]]: 1, right: -1}, -_half(row[-1], box)))
    sums = lil_array((len(rules), len(cost)))
    for at, (coefficients, _) in enumerate(rules):
        for variable, coefficient in coefficients.items():
            sums[at, variable] = coefficient
    found = linprog(cost, A_ub=sums.tocsr(), b_ub=[most for _, most in rules], bounds=(0, None))
    return {node: found.x[at] for node, at in place.items()}


def _half(node: Node, box: float) -> float:
    return 0.0 if isinstance(node, _Bend) else box / 2


def _weight(before: Node, after: Node) -> float:
    """How much it matters that a line is upright here: most between its own bends, where it is long."""
    return (1.0, 2.0, 8.0)[isinstance(before, _Bend) + isinstance(after, _Bend)]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
