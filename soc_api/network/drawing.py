"""The map as boxes and lines with coordinates, in the pixels of an SVG. Pure: the same network is drawn the same way.

Each connected part hangs from one device (a firewall or router, else the one with the most links), its neighbours below
it row by row; parts stand under each other. A row that is too long is broken.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.network.topology import Edge, Node, Topology

WIDTH: Final = 168
HEIGHT: Final = 58
_GAP: Final = 26
_DROP: Final = 84
_MARGIN: Final = 16
_A_ROW: Final = 6
#: Characters that fit a box, and a port's name beside a line.
_FITS: Final = 20
_PORT_FITS: Final = 12
#: Where along the line from a box its port's name stands.
_AT: Final = 0.24


@dataclass(frozen=True)
class Box:
    """``x`` and ``y`` of its upper left corner."""

    node: Node
    label: str
    x: int
    y: int


@dataclass(frozen=True)
class Port:
    text: str
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    """Between the middles of two boxes. ``one_name`` and ``other_name`` are those of the nodes."""

    edge: Edge
    one_name: str
    other_name: str
    x1: int
    y1: int
    x2: int
    y2: int
    ports: tuple[Port, ...]


@dataclass(frozen=True)
class Drawing:
    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    #: There are more lines than these.
    cut: bool = False


def draw(topology: Topology) -> Drawing:
    nodes = {node.id: node for node in topology.nodes}
    beside: dict[str, set[str]] = {each: set() for each in nodes}
    for edge in topology.edges:
        beside[edge.one].add(edge.other)
        beside[edge.other].add(edge.one)
    rows = _rows(nodes, beside)
    widest = max((len(row) for row in rows), default=0)
    width = 2 * _MARGIN + widest * WIDTH + max(0, widest - 1) * _GAP
    boxes: dict[str, Box] = {}
    for number, row in enumerate(rows):
        taken = len(row) * WIDTH + (len(row) - 1) * _GAP
        left = (width - taken) // 2
        for place, key in enumerate(row):
            node = nodes[key]
            boxes[key] = Box(
                node,
                _short(node.name, _FITS),
                left + place * (WIDTH + _GAP),
                _MARGIN + number * (HEIGHT + _DROP),
            )
    height = 2 * _MARGIN + len(rows) * HEIGHT + max(0, len(rows) - 1) * _DROP
    lines = tuple(_line(edge, boxes[edge.one], boxes[edge.other]) for edge in topology.edges)
    return Drawing(width, height, tuple(boxes.values()), lines, topology.cut)


def _rows(nodes: Mapping[str, Node], beside: Mapping[str, set[str]]) -> list[list[str]]:
    left = dict.fromkeys(sorted(nodes, key=lambda key: (_rank(nodes[key]), -len(beside[key]), key)))
    rows: list[list[str]] = []
    alone: list[str] = []
    while left:
        root = next(iter(left))
        if not beside[root]:
            alone.append(root)
            del left[root]
            continue
        for level in _levels(root, beside, nodes):
            for key in level:
                del left[key]
            rows += [level[at : at + _A_ROW] for at in range(0, len(level), _A_ROW)]
    rows += [alone[at : at + _A_ROW] for at in range(0, len(alone), _A_ROW)]
    return rows


def _levels(root: str, beside: Mapping[str, set[str]], nodes: Mapping[str, Node]) -> list[list[str]]:
    depth = {root: 0}
    levels: list[list[str]] = [[root]]
    waiting = deque([root])
    while waiting:
        key = waiting.popleft()
        for other in sorted(beside[key] - depth.keys(), key=lambda each: (nodes[each].name, each)):
            depth[other] = depth[key] + 1
            if depth[other] == len(levels):
                levels.append([])
            levels[depth[other]].append(other)
            waiting.append(other)
    return levels


def _rank(node: Node) -> int:
    if node.up is None:
        return 3
    return {"firewall": 0, "router": 1}.get(node.kind, 2)


def _line(edge: Edge, one: Box, other: Box) -> Line:
    x1, y1 = one.x + WIDTH // 2, one.y + HEIGHT // 2
    x2, y2 = other.x + WIDTH // 2, other.y + HEIGHT // 2
    if one.y != other.y:
        # From the edges of the boxes that face each other.
        y1 += HEIGHT // 2 if one.y < other.y else -(HEIGHT // 2)
        y2 += HEIGHT // 2 if other.y < one.y else -(HEIGHT // 2)
    else:
        x1 += WIDTH // 2 if one.x < other.x else -(WIDTH // 2)
        x2 += WIDTH // 2 if other.x < one.x else -(WIDTH // 2)
    ends = ((edge.one_port, x1, y1, x2, y2), (edge.other_port, x2, y2, x1, y1))
    ports = tuple(
        Port(_short(text, _PORT_FITS), round(x + (to_x - x) * _AT), round(y + (to_y - y) * _AT))
        for text, x, y, to_x, to_y in ends
        if text
    )
    return Line(edge, one.node.name, other.node.name, x1, y1, x2, y2, ports)


def _short(text: str, fits: int) -> str:
    return text if len(text) <= fits else text[: fits - 1] + "…"
