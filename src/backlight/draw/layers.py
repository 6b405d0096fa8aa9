"""First step of a layered drawing: every box gets a layer, and long arrows get way-points.

The method is that of Sugiyama, Tagawa and Toda (1981), "Methods for visual understanding of
hierarchical system structures": layers, then the order inside each layer (`order`), then
coordinates (`place`).  A computation graph has no cycles, so none have to be removed.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from backlight.errors import GraphError

_TIGHTENING_ROUNDS = 8

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Network:
    """Vertices in layers, joined only from one layer to the next.

    Attributes
    ----------
    boxes : int
        Vertices ``0 … boxes − 1`` are boxes; those after them are way-points of long arrows.
    layer : list of int
        The layer of each vertex.
    layers : list of list of int
        The vertices of each layer, in order.
    segments : list of pair of int
        From a vertex to one in the next layer.  Arrows from the same box share way-points.
    routes : list of list of int
        The vertices along each arrow, its two boxes included.
    """

    boxes: int
    layer: list[int]
    layers: list[list[int]]
    segments: list[Pair]
    routes: list[list[int]]

    def neighbours(self) -> tuple[list[list[int]], list[list[int]]]:
        """Return the vertices before and after each vertex."""
        before: list[list[int]] = [[] for _ in self.layer]
        after: list[list[int]] = [[] for _ in self.layer]
        for source, target in self.segments:
            before[target].append(source)
            after[source].append(target)
        return before, after


def adjacency(count: int, edges: Sequence[Pair]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the predecessors and successors of each of ``count`` vertices."""
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    return before, after


def topological_order(count: int, edges: Sequence[Pair]) -> list[int]:
    """Return the vertices, sources first, the smallest free number next (Kahn 1962).

    Vertices on a cycle, and those that only a cycle leads to, are left out.

    Examples
    --------
    >>> topological_order(3, [(2, 0), (0, 1)])
    [2, 0, 1]
    """
    before, after = adjacency(count, edges)
    missing = [len(each) for each in before]
    free = [k for k in range(count) if not missing[k]]
    found = []
    while free:
        vertex = heapq.heappop(free)
        found.append(vertex)
        for following in after[vertex]:
            missing[following] -= 1
            if not missing[following]:
                heapq.heappush(free, following)
    return found


def assign_layers(count: int, edges: Sequence[Pair]) -> list[int]:
    """Give every vertex a layer, so that every edge goes to a later one.

    Each vertex starts at the end of the longest path to it and then moves towards the side where
    it has more edges, which shortens them; leaves end up beside their first use.

    Parameters
    ----------
    count : int
    edges : sequence of pair of int

    Returns
    -------
    list of int
        The layer of each vertex, from 0.

    Raises
    ------
    GraphError
        When the edges form a cycle.

    Examples
    --------
    >>> assign_layers(4, [(0, 1), (1, 2), (3, 2)])
    [0, 1, 2, 1]
    """
    order = topological_order(count, edges)
    if len(order) != count:
        raise GraphError("The boxes of the picture form a cycle, so they have no layers.")
    before, after = adjacency(count, edges)
    layer = [0] * count
    for vertex in order:
        layer[vertex] = max((layer[k] + 1 for k in before[vertex]), default=0)
    for _ in range(_TIGHTENING_ROUNDS):
        moved = False
        for vertex in reversed(order):
            earliest = max((layer[k] + 1 for k in before[vertex]), default=0)
            latest = min((layer[k] - 1 for k in after[vertex]), default=earliest)
            wanted = latest if len(after[vertex]) > len(before[vertex]) else earliest
            if wanted != layer[vertex]:
                layer[vertex] = wanted
                moved = True
        if not moved:
            break
    lowest = min(layer, default=0)
    return [each - lowest for each in layer]


def build_network(count: int, edges: Sequence[Pair]) -> Network:
    """Put vertices into layers and way-points on every layer that an arrow passes.

    Arrows that leave the same box share their way-points, so that a value that is used in many
    places runs as one trunk with branches.
    """
    layer = assign_layers(count, edges)
    segments: dict[Pair, None] = {}
    way_points: dict[Pair, int] = {}
    routes = []
    for source, target in edges:
        route = [source]
        for passed in range(layer[source] + 1, layer[target]):
            key = (source, passed)
            if key not in way_points:
                way_points[key] = len(layer)
                layer.append(passed)
            route.append(way_points[key])
        route.append(target)
        routes.append(route)
        segments.update(dict.fromkeys(pairwise(route)))
    layers: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for vertex, number in enumerate(layer):
        layers[number].append(vertex)
    return Network(count, layer, layers, list(segments), routes)
