"""Which problem builds on which, laid out as a picture: columns from left to right, what is built on to the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..scoring.points import Status
from ..scoring.rubric import ProblemKind
from . import words
from .model import ProblemReport, Report

_FAILING = (Status.FAIL, Status.PARTIAL, Status.ERROR)
_LETTERS = 16
"""After so many, a name goes on in a second line, if it has a place to break."""
_LETTER, _LINE, _MARGIN = 6.7, 14, 14  # of 11 px letters, all of one width
_GAP, _SPACE = 34, 8  # between columns, between nodes of one
_APART = 24
_WIDTH = 940
"""Parts of the graph that do not hang together stand side by side as far as this is enough."""

Needs = Mapping[str, Sequence[str]]
"""{problem: those that it builds on}."""


@dataclass(frozen=True)
class Node:
    """One problem. x, y, width, height: its box, in pixels; lines: its name, in one line or two; score: under them.

    is_root: whether it fails by itself, so that mending begins there.
    """

    problem: ProblemReport
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    score: str
    is_root: bool

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True)
class Edge:
    """From what is built on to what builds on it; fails: whether a failure goes this way."""

    source: Node
    target: Node
    fails: bool

    @property
    def path(self) -> str:
        """A curve, in the words of SVG."""
        x, end = self.source.x + self.source.width, self.target.x
        half = (end - x) / 2
        return (
            f"M{x:.0f} {self.source.middle:.0f}C{x + half:.0f} {self.source.middle:.0f} "
            f"{end - half:.0f} {self.target.middle:.0f} {end:.0f} {self.target.middle:.0f}"
        )


@dataclass(frozen=True)
class Graph:
    """All nodes and edges, and how large the picture is."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float


def lay_out(report: Report) -> Graph | None:
    """The problems of a report that build on one another; None where none does. Races are left out."""
    shown = {
        p.problem.id: p for p in (*report.looked_at, *report.listed) if p.problem.kind is not ProblemKind.PERFORMANCE
    }
    needs = {id: _nearest(id, shown) for id in shown}
    connected = {id for id in shown if needs[id] or any(id in below for below in needs.values())}
    order = [problem.problem.id for problem in (*report.listed, *report.looked_at) if problem.problem.id in connected]
    nodes: dict[str, Node] = {}
    left = top = bottom = width = 0.0
    for part in _parts(order, needs):
        placed = _placed(part, needs, shown)
        size = max(node.x + node.width for node in placed)
        if left and left + size > _WIDTH:
            left, top = 0.0, bottom + _APART
        for node in placed:
            nodes[node.problem.problem.id] = _moved(node, left, top)
        left += size + _APART
        width = max(width, left - _APART)
        bottom = max(bottom, *(node.y + node.height for node in nodes.values()))
    edges = [Edge(nodes[below], nodes[id], _fails(shown[below], shown[id])) for id in order for below in needs[id]]
    return Graph(tuple(nodes.values()), tuple(edges), width, bottom) if nodes else None


def _nearest(problem: str, shown: Mapping[str, ProblemReport]) -> list[str]:
    """What a problem builds on by itself, less what it builds on by way of another."""
    direct = [below for below in shown[problem].problem.needs if below in shown]
    through = {deeper for below in direct for deeper in _all_below(below, shown)}
    return [below for below in direct if below not in through]


def _all_below(problem: str, shown: Mapping[str, ProblemReport]) -> set[str]:
    direct = {below for below in shown[problem].problem.needs if below in shown}
    return direct.union(*(_all_below(below, shown) for below in direct))


def _fails(source: ProblemReport, target: ProblemReport) -> bool:
    """Whether the target is known to fail because of the source, or of what the source itself fails because of."""
    causes = {source.problem.id, *source.blocked_by} if source.blocked_by or _is_failing(source) else set()
    return bool(causes.intersection(target.blocked_by))


def _is_failing(problem: ProblemReport) -> bool:
    return problem.score.status in _FAILING


def _parts(order: Sequence[str], needs: Needs) -> list[list[str]]:
    """The ids of each part that hangs together, the largest part first."""
    part = {id: {id} for id in order}
    for id in order:
        for below in needs[id]:
            if part[id] is not part[below]:
                joined = part[id] | part[below]
                part.update(dict.fromkeys(joined, joined))
    distinct = dict.fromkeys(frozenset(members) for members in part.values())
    return sorted(([id for id in order if id in members] for members in distinct), key=len, reverse=True)


def _columns(part: Sequence[str], needs: Needs) -> list[list[str]]:
    """Each problem right before the first that builds on it; what nothing builds on, as far left as it can be."""
    depth: dict[str, int] = {}

    def depth_of(id: str) -> int:
        if id not in depth:
            depth[id] = max((depth_of(below) + 1 for below in needs[id]), default=0)
        return depth[id]

    for id in sorted(part, key=depth_of, reverse=True):
        above = [depth[other] for other in part if id in needs[other]]
        depth[id] = min(above) - 1 if above else depth[id]
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for id in part:
        columns[depth[id]].append(id)
    return columns


def _placed(part: Sequence[str], needs: Needs, shown: Mapping[str, ProblemReport]) -> list[Node]:
    """The nodes of one part, from (0, 0) on; in each column in the order of what they are joined to."""
    columns = _columns(part, needs)
    lines = {id: _lines(id) for id in part}
    height = {id: _LINE * (len(lines[id]) + 1) + 8 for id in part}
    tallest = max(sum(height[id] + _SPACE for id in column) for column in columns) - _SPACE
    joined = {id: [*needs[id], *(other for other in part if id in needs[other])] for id in part}
    middle = {id: tallest * (i + 0.5) / len(column) for column in columns for i, id in enumerate(column)}
    for sweep in (columns[::-1], columns) * 3:
        for column in sweep:
            wanted = {id: sum(middle[other] for other in joined[id]) / len(joined[id]) for id in column}
            column.sort(key=wanted.__getitem__)
            middle.update(_settled({id: (wanted[id], height[id]) for id in column}, tallest))
    nodes, x = [], 1.0
    for column in columns:
        width = max(len(text) for id in column for text in (*lines[id], _score(shown[id]))) * _LETTER + 2 * _MARGIN
        for id in column:
            problem = shown[id]
            root = _is_failing(problem) and not problem.blocked_by
            y = middle[id] - height[id] / 2 + 1
            nodes.append(Node(problem, x, y, width, height[id], lines[id], _score(problem), root))
        x += width + _GAP
    return nodes


def _settled(column: Mapping[str, tuple[float, float]], tallest: float) -> dict[str, float]:
    """The middles of a column's nodes, in their order: each as near as there is room to where it wants to be.

    Args:
        column: {node: (the middle that it wants, its height)}, from above; tallest: the height of all columns.
    """
    tops: dict[str, float] = {}
    free = 0.0
    for name, (wanted, height) in column.items():
        tops[name] = max(free, wanted - height / 2)
        free = tops[name] + height + _SPACE
    limit = tallest
    for name, (_, height) in reversed(list(column.items())):
        tops[name] = min(tops[name], limit - height)
        limit = tops[name] - _SPACE
    return {name: top + column[name][1] / 2 for name, top in tops.items()}


def _moved(node: Node, x: float, y: float) -> Node:
    return replace(node, x=node.x + x, y=node.y + y)


def _score(problem: ProblemReport) -> str:
    """The mark of a status, and points: `◐ 1.4 / 2`."""
    said = words.STATUS[problem.score.status]
    return said if problem.score.status is Status.NOT_ASSESSED else f"{said[0]} {problem.points}"


def _lines(name: str) -> tuple[str, ...]:
    """A name in one line, or in two that are about as long."""
    breaks = [i for i, letter in enumerate(name) if letter == "_" and i]
    if len(name) <= _LETTERS or not breaks:
        return (name,)
    at = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return name[:at], name[at:]
