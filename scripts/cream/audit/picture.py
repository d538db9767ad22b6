"""A lineage as an SVG picture: a box a job, lines from what was read to what was made of it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import networkx

from cream.audit.layers import Layout, layered
from cream.audit.lineage import Box, labels

WIDTH, HEIGHT, GAP, BETWEEN, MARGIN = 190, 56, 16, 34, 14
LETTERS = 23  # that fit into a box
STYLE = """
.lineage {
  --ink: #1a1a1a; --quiet: #595959; --paper: #ffffff; --panel: #f4f4f2; --line: #767676; background: var(--paper);
}
@media (prefers-color-scheme: dark) {
  .lineage { --ink: #ececec; --quiet: #b4b4b4; --paper: #161618; --panel: #222226; --line: #8a8a90; }
}
"""
DRAWN = """
.lineage text { fill: var(--ink); font: 12px ui-monospace, monospace; }
.lineage text.stage { font-weight: 700; }
.lineage rect { fill: var(--panel); stroke: var(--ink); }
.lineage .source rect { stroke-dasharray: 5 3; }
.lineage .asked rect { stroke-width: 3; }
.lineage circle { fill: var(--paper); stroke: var(--ink); }
.lineage text.sign { text-anchor: middle; font-weight: 700; }
.lineage path { fill: none; stroke: var(--line, currentColor); stroke-width: 1.4; }
.lineage a:focus-visible rect { stroke-width: 4; }
"""


def svg(
    graph: networkx.DiGraph,
    link: Callable[[Box], str],
    mark: Callable[[Box], tuple[str, str]] | None = None,
    asked: str | None = None,
    alone: bool = True,
) -> str:
    """The picture as an SVG element; `alone`: a file of its own, with colours for light and dark.

    `link`: where a click on a box leads; `mark`: a sign for its corner and the word for it; `asked`: the artifact
    whose box stands out. A line is left out where another way leads from the one box to the other.
    """
    lines, texts = networkx.transitive_reduction(graph), labels(graph)
    layout = layered(lines, WIDTH, GAP)
    width = layout.width + 2 * MARGIN
    height = layout.layers * (HEIGHT + BETWEEN) - BETWEEN + 2 * MARGIN
    drawn = [_line(layout, before, after) for before, after in lines.edges]
    for box in graph:
        sign, word = mark(box) if mark else ("", "")
        kinds = " ".join(
            filter(None, ("box", "" if box.stage else "source", "asked" if asked in box.artifacts else ""))
        )
        title = escape("\n".join(filter(None, (texts[box][0], word, *box.artifacts))))
        drawn.append(
            f'<a id="{box.name}" class="{kinds}" href="{escape(link(box))}"><title>{title}</title>'
            f"{_box(layout, box, texts[box], sign)}</a>"
        )
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    return (
        f'<svg{space} class="lineage" role="group" aria-label="Lineage: a box a job, read from top to bottom" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">\n'
        f"<style>{STYLE if alone else ''}{DRAWN}</style>\n" + "\n".join(drawn) + "\n</svg>\n"
    )


def _line(layout: Layout, before: Box, after: Box) -> str:
    """From the lower edge of a box to the upper of another: straight beside boxes, in curves between layers."""
    (x, top), (end, bottom) = layout.at[before], layout.at[after]
    path = f"M{x + MARGIN:.1f} {_y(top) + HEIGHT:.1f}"
    for at, through in enumerate([*layout.routes[before, after], end], top + 1):
        middle = _y(at) - BETWEEN / 2
        path += (
            f"C{x + MARGIN:.1f} {middle:.1f} {through + MARGIN:.1f} {middle:.1f} {through + MARGIN:.1f} {_y(at):.1f}"
        )
        path += f"V{_y(at) + HEIGHT:.1f}" if at < bottom else ""
        x = through
    return f'<path data-from="{before.name}" data-to="{after.name}" d="{path}"/>'


def _y(layer: int) -> float:
    return MARGIN + layer * (HEIGHT + BETWEEN)


def _box(layout: Layout, box: Box, texts: tuple[str, ...], sign: str) -> str:
    x, layer = layout.at[box]
    left, top = x - WIDTH / 2 + MARGIN, _y(layer)
    drawn = f'<rect x="{left:.1f}" y="{top:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
    for at, text in enumerate(texts):
        kind = "name" if at else "stage"
        drawn += (
            f'<text class="{kind}" x="{left + 9:.1f}" y="{top + 18 + 15.5 * at:.1f}">{escape(_fitting(text))}</text>'
        )
    if sign:
        corner = f'cx="{left + WIDTH - 4:.1f}" cy="{top + 4:.1f}"'
        drawn += (
            f'<circle {corner} r="9"/><text class="sign" x="{left + WIDTH - 4:.1f}" y="{top + 8:.1f}">{sign}</text>'
        )
    return drawn


def _fitting(text: str) -> str:
    """A name with its middle left out where the box is too narrow for it; beginning and end tell names apart."""
    if len(text) <= LETTERS:
        return text
    kept = LETTERS - 1
    return f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"
