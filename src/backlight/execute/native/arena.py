"""Memory for what is computed on the way: one arena, in which places are used again.

A buffer has a place from the kernel that fills it to the last one that reads it.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence

from backlight.execute.native.groups import reads
from backlight.execute.native.storage import Storage
from backlight.graph.graph import Graph

ALIGNMENT = 64


def allocate(
    graph: Graph, storage: Mapping[int, Storage], groups: Sequence[Sequence[int]]
) -> tuple[dict[int, int], int]:
    """Give each buffer a place; outputs have memory of their own.

    Returns
    -------
    offsets : dict of int to int
        In bytes, for each buffer.
    size : int
        Of the arena, in bytes.
    """
    outputs = set(graph.outputs)
    last: dict[int, int] = {}
    for time, members in enumerate(groups):
        for member in members:
            for each in reads(graph, storage, member):
                last[each] = time
    dying: dict[int, list[int]] = {}
    for each, time in last.items():
        dying.setdefault(time, []).append(each)
    offsets: dict[int, int] = {}
    arena = _Arena()
    for time, members in enumerate(groups):
        for member in members:
            if member not in outputs:
                offsets[member] = arena.take(_bytes(graph, member))
        for each in dying.get(time, ()):
            if each in offsets:
                arena.release(offsets[each], _bytes(graph, each))
    return offsets, arena.size


def _bytes(graph: Graph, index: int) -> int:
    node = graph.nodes[index]
    size = max(int(math.prod(node.shape)), 1) * node.dtype.itemsize
    return -(-size // ALIGNMENT) * ALIGNMENT


class _Arena:
    """Free places, and how far the arena reaches."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []  # (offset, size), sorted by offset

    def take(self, size: int) -> int:
        """Take the smallest free place that is large enough, or the arena's end."""
        fitting = [k for k, (_, room) in enumerate(self._free) if room >= size]
        if fitting:
            best = min(fitting, key=lambda k: self._free[k][1])
            offset, room = self._free.pop(best)
            if room > size:
                bisect.insort(self._free, (offset + size, room - size))
            return offset
        offset = self.size
        self.size += size
        return offset

    def release(self, offset: int, size: int) -> None:
        """Give a place back and join it with its neighbours."""
        at = bisect.bisect(self._free, (offset, 0))
        if at < len(self._free) and offset + size == self._free[at][0]:
            size += self._free.pop(at)[1]
        if at > 0 and sum(self._free[at - 1]) == offset:
            start, room = self._free.pop(at - 1)
            offset, size, at = start, room + size, at - 1
        self._free.insert(at, (offset, size))
