"""Second step of a layered drawing: an order inside each layer with few crossings.

Layers are swept forwards and backwards; each vertex moves to the barycentre (Sugiyama et al.
1981) or the median (Eades and Wormald 1994) of its neighbours, and then adjacent vertices are
exchanged while that helps (Gansner, Koutsofios, North and Vo 1993).  The best order seen is kept,
so the result is never worse than the start.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from itertools import pairwise

from backlight.draw.layers import Network

_SWEEPS = 16
_MOST_ROUNDS = 8
_MOST_NEIGHBOURS = 20_000
"""Layers with more segments than this on one side are not improved by exchanges."""

Neighbours = Sequence[Sequence[int]]


def inversions(numbers: Sequence[int]) -> int:
    """Count the pairs that are out of order.

    Examples
    --------
    >>> inversions([0, 2, 1, 1]), inversions([3, 2, 1])
    (2, 3)
    """
    seen: list[int] = []
    total = 0
    for number in numbers:
        total += len(seen) - bisect_right(seen, number)
        insort(seen, number)
    return total


def crossings(layers: Sequence[Sequence[int]], after: Neighbours) -> int:
    """Count the crossings between all neighbouring layers.

    Parameters
    ----------
    layers : sequence of sequence of int
        The vertices of each layer, in order.
    after : sequence of sequence of int
        The vertices in the next layer that each vertex is joined to.
    """
    total = 0
    for above, below in pairwise(layers):
        place = {vertex: k for k, vertex in enumerate(below)}
        total += inversions([each for v in above for each in sorted(place[w] for w in after[v])])
    return total


def reduce_crossings(network: Network) -> Network:
    """Return the network with its layers in an order with few crossings."""
    before, after = network.neighbours()
    given = [list(layer) for layer in network.layers]
    best, fewest = given, crossings(given, after)
    for start in (given, _depth_first(network, before, after)):
        layers = [list(layer) for layer in start]
        for sweep in range(_SWEEPS):
            if not fewest:
                break
            centre = _median if sweep % 4 >= 2 else _barycentre
            _sweep(layers, before if sweep % 2 == 0 else after, sweep % 2 == 0, centre)
            _exchange(layers, before, after)
            found = crossings(layers, after)
            if found < fewest:
                best, fewest = [list(layer) for layer in layers], found
    return Network(network.boxes, network.layer, best, network.segments, network.routes)


def _depth_first(network: Network, before: Neighbours, after: Neighbours) -> list[list[int]]:
    """Order each layer as a depth-first walk from the results backwards meets its vertices."""
    met: dict[int, None] = {}
    waiting = [k for k in range(network.boxes) if not after[k]][::-1]
    while waiting:
        vertex = waiting.pop()
        if vertex not in met:
            met[vertex] = None
            waiting.extend(reversed(before[vertex]))
    place = {vertex: k for k, vertex in enumerate(met)}
    return [sorted(layer, key=place.__getitem__) for layer in network.layers]


def _barycentre(places: Sequence[int]) -> float:
    return sum(places) / len(places)


def _median(places: Sequence[int]) -> float:
    ordered = sorted(places)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _sweep(
    layers: list[list[int]],
    neighbours: Neighbours,
    forwards: bool,
    centre: Callable[[Sequence[int]], float],
) -> None:
    """Sort each layer by the centres of its neighbours in the layer swept before it."""
    numbers = range(1, len(layers)) if forwards else range(len(layers) - 2, -1, -1)
    for number in numbers:
        fixed = layers[number - 1 if forwards else number + 1]
        place = {vertex: k for k, vertex in enumerate(fixed)}
        wish = {
            vertex: centre([place[each] for each in neighbours[vertex]])
            if neighbours[vertex]
            else float(k)
            for k, vertex in enumerate(layers[number])
        }
        layers[number].sort(key=wish.__getitem__)


def _exchange(layers: list[list[int]], before: Neighbours, after: Neighbours) -> None:
    """Exchange adjacent vertices while that removes crossings."""
    for number, layer in enumerate(layers):
        sides = []
        for neighbours, other in ((before, number - 1), (after, number + 1)):
            if 0 <= other < len(layers):
                place = {vertex: k for k, vertex in enumerate(layers[other])}
                sides.append({v: sorted(place[w] for w in neighbours[v]) for v in layer})
        if sum(len(each) for side in sides for each in side.values()) > _MOST_NEIGHBOURS:
            continue
        for _ in range(_MOST_ROUNDS):
            improved = False
            for k in range(len(layer) - 1):
                left, right = layer[k], layer[k + 1]
                gain = sum(
                    _pair_crossings(side[left], side[right])
                    - _pair_crossings(side[right], side[left])
                    for side in sides
                )
                if gain > 0:
                    layer[k], layer[k + 1] = right, left
                    improved = True
            if not improved:
                break


def _pair_crossings(left: Sequence[int], right: Sequence[int]) -> int:
    """Count the crossings between the edges of two vertices, neighbours in sorted order."""
    total = 0
    passed = 0
    for place in left:
        while passed < len(right) and right[passed] < place:
            passed += 1
        total += passed
    return total
