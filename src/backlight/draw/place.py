"""Third step of a layered drawing: coordinates inside each layer, with straight arrows.

Every segment pulls its two ends towards one line.  One layer at a time is moved to the positions
with the least squared distance to those pulls while vertices keep their order and distance: an
isotonic regression, solved exactly by pooling adjacent violators (Ayer, Brunk, Ewing, Reid and
Silverman 1955).  Then long arrows and unbranched chains are made exactly straight by moving each
as one block, as in Brandes and Köpf (2002), "Fast and simple horizontal coordinate assignment".
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from backlight.draw.layers import Pair, topological_order

_SWEEPS = 12
_BLOCK_ROUNDS = 40
_TOLERANCES = (math.inf, 150.0, 60.0, 25.0, 8.0)
"""How far off the line a segment may be to be made straight; less when that takes much room."""
_MOST_GROWTH = 1.1


class Pull(NamedTuple):
    """A segment's wish: ``other``'s coordinate plus ``shift``.

    The segments with the highest ``straightness`` become exactly straight first; those with 0
    need not.
    """

    other: int
    shift: float
    weight: float
    straightness: int


class Wish(NamedTuple):
    """A wished position and how much it counts."""

    place: float
    weight: float


def spread(wishes: Sequence[Wish], distances: Sequence[float]) -> list[float]:
    """Return the positions with the least weighted squared distance to wished ones.

    They are in increasing order and at least given distances apart.

    Parameters
    ----------
    wishes : sequence of Wish
        One for each vertex.
    distances : sequence of float
        Between each vertex and the next.

    Examples
    --------
    >>> spread([Wish(0.0, 1.0), Wish(0.0, 1.0)], [10.0])
    [-5.0, 5.0]
    """
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, float, int]] = []
    for wish, offset in zip(wishes, offsets, strict=False):
        place, weight, size = wish.place - offset, wish.weight, 1
        while blocks and blocks[-1][0] >= place:
            other, more, members = blocks.pop()
            place = (place * weight + other * more) / (weight + more)
            weight += more
            size += members
        blocks.append((place, weight, size))
    settled = [place for place, _, size in blocks for _ in range(size)]
    return [place + offset for place, offset in zip(settled, offsets, strict=False)]


def assign_coordinates(
    layers: Sequence[Sequence[int]],
    before: Sequence[Sequence[Pull]],
    after: Sequence[Sequence[Pull]],
    distances: Sequence[Sequence[float]],
) -> list[float]:
    """Return a coordinate for each vertex.

    Parameters
    ----------
    layers : sequence of sequence of int
        The vertices of each layer, in order.
    before, after : sequence of sequence of Pull
        Of each vertex, towards the layer before and the layer after.
    distances : sequence of sequence of float
        In each layer, the least distance between each vertex and the next.
    """
    at = [0.0] * len(before)
    for layer, gaps in zip(layers, distances, strict=True):
        place = -sum(gaps) / 2
        for k, vertex in enumerate(layer):
            at[vertex] = place
            place += gaps[k] if k < len(gaps) else 0.0

    def settle(number: int, *sides: Sequence[Sequence[Pull]]) -> None:
        layer = layers[number]
        wishes = [
            _mean(at, [pull for side in sides for pull in side[vertex]], at[vertex])
            for vertex in layer
        ]
        for vertex, place in zip(layer, spread(wishes, distances[number]), strict=True):
            at[vertex] = place

    down, up = range(len(layers)), range(len(layers) - 1, -1, -1)
    for _ in range(_SWEEPS):
        for number in down:
            settle(number, before)
        for number in up:
            settle(number, after)
    for _ in range(_SWEEPS):
        for number in (*down, *up):
            settle(number, before, after)
    width = _extent(at, layers)
    for tolerance in _TOLERANCES:
        straight = _Blocks(layers, before, after, distances, at, tolerance).straighten(at)
        if _extent(straight, layers) <= _MOST_GROWTH * width:
            return straight
    return at


def _extent(at: Sequence[float], layers: Sequence[Sequence[int]]) -> float:
    """Return the distance between the outermost vertices."""
    ends = [at[layer[k]] for layer in layers for k in (0, -1) if layer]
    return max(ends, default=0.0) - min(ends, default=0.0)


def _mean(at: Sequence[float], pulls: Sequence[Pull], here: float) -> Wish:
    """Return the mean of what pulls wish; a vertex without any stays where it is."""
    total = sum(pull.weight for pull in pulls)
    if not total:
        return Wish(here, 0.01)
    return Wish(sum((at[p.other] + p.shift) * p.weight for p in pulls) / total, total)


class _Blocks:
    """Vertices that are joined by straight segments and move as one."""

    def __init__(
        self,
        layers: Sequence[Sequence[int]],
        before: Sequence[Sequence[Pull]],
        after: Sequence[Sequence[Pull]],
        distances: Sequence[Sequence[float]],
        at: Sequence[float],
        tolerance: float,
    ) -> None:
        self.block = list(range(len(before)))
        self.offset = [0.0] * len(before)
        for above, below in pairwise(layers):
            for vertex, pull in _straight_segments(above, below, before, at, tolerance):
                self.block[vertex] = self.block[pull.other]
                self.offset[vertex] = self.offset[pull.other] + pull.shift
        self.members: dict[int, list[int]] = {}
        for layer in layers:
            for vertex in layer:
                self.members.setdefault(self.block[vertex], []).append(vertex)
        self.left: dict[int, list[tuple[int, float]]] = {k: [] for k in self.members}
        self.right: dict[int, list[tuple[int, float]]] = {k: [] for k in self.members}
        for layer, gaps in zip(layers, distances, strict=True):
            for (one, other), gap in zip(pairwise(layer), gaps, strict=True):
                apart = gap + self.offset[one] - self.offset[other]
                self.right[self.block[one]].append((self.block[other], apart))
                self.left[self.block[other]].append((self.block[one], apart))
        self.pulls = [[*before[k], *after[k]] for k in range(len(before))]
        self.outward = {key: list(self._outward(key)) for key in self.members}

    def straighten(self, at: Sequence[float]) -> list[float]:
        """Return coordinates near given ones in which every block is straight.

        The blocks move to where the segments pull them and are then pushed apart, in turn; the
        best positions seen are kept.
        """
        order = self._left_to_right()
        place = self._push_apart(
            order,
            {
                key: sum(at[k] - self.offset[k] for k in members) / len(members)
                for key, members in self.members.items()
            },
        )
        best, least = place, self._tension(place)
        for _ in range(_BLOCK_ROUNDS):
            wishes = {key: (place[key] + self._wish(key, place)) / 2 for key in order}
            place = self._push_apart(order, wishes)
            tension = self._tension(place)
            if tension < least:
                best, least = place, tension
        return [best[key] + off for key, off in zip(self.block, self.offset, strict=True)]

    def _left_to_right(self) -> list[int]:
        """Return the blocks in an order in which each follows those to its left."""
        keys = sorted(self.members)
        number = {key: k for k, key in enumerate(keys)}
        pairs: list[Pair] = sorted(
            {(number[one], number[other]) for one in keys for other, _ in self.right[one]}
        )
        return [keys[k] for k in topological_order(len(keys), pairs)]

    def _push_apart(self, order: Sequence[int], wishes: dict[int, float]) -> dict[int, float]:
        """Return places near the wished ones that keep all distances.

        Pushing everything to the right keeps them, pushing to the left does, so the mean does.
        """
        right, left = dict(wishes), dict(wishes)
        for key in order:
            right[key] = max([wishes[key], *(right[k] + apart for k, apart in self.left[key])])
        for key in reversed(order):
            left[key] = min([wishes[key], *(left[k] - apart for k, apart in self.right[key])])
        return {key: (right[key] + left[key]) / 2 for key in order}

    def _outward(self, key: int) -> Iterator[tuple[int, float, float]]:
        """Yield the other block, the wished distance from it and the weight of each pull."""
        for vertex in self.members[key]:
            for pull in self.pulls[vertex]:
                other = self.block[pull.other]
                if other != key:
                    distance = self.offset[pull.other] + pull.shift - self.offset[vertex]
                    yield other, distance, pull.weight

    def _wish(self, key: int, place: Mapping[int, float]) -> float:
        """Return where the pulls from other blocks want a block."""
        total = moment = 0.0
        for other, distance, weight in self.outward[key]:
            moment += (place[other] + distance) * weight
            total += weight
        return moment / total if total else place[key]

    def _tension(self, place: Mapping[int, float]) -> float:
        """Return the weighted squared distance to all wishes."""
        return sum(
            weight * (place[other] + distance - place[key]) ** 2
            for key, pulls in self.outward.items()
            for other, distance, weight in pulls
        )


def _straight_segments(
    above: Sequence[int],
    below: Sequence[int],
    before: Sequence[Sequence[Pull]],
    at: Sequence[float],
    tolerance: float,
) -> list[tuple[int, Pull]]:
    """Choose segments between two layers that can be straight together.

    No two share an end or cross; those with the highest straightness are chosen first,
    and among equals those that are nearly straight.
    """
    place = {vertex: k for k, vertex in enumerate(above)}
    wanted = []
    for k, vertex in enumerate(below):
        for pull in before[vertex]:
            error = round(abs(at[pull.other] + pull.shift - at[vertex]), 3)
            if pull.straightness and error <= tolerance:
                wanted.append((-pull.straightness, error, k, place[pull.other], vertex, pull))
    chosen: list[Pair] = []
    found = []
    for _, _, k, source, vertex, pull in sorted(wanted, key=lambda each: each[:4]):
        spot = bisect(chosen, (source, k))
        free_left = spot == 0 or (chosen[spot - 1][0] < source and chosen[spot - 1][1] < k)
        free_right = spot == len(chosen) or (chosen[spot][0] > source and chosen[spot][1] > k)
        if free_left and free_right:
            chosen.insert(spot, (source, k))
            found.append((vertex, pull))
    return found
