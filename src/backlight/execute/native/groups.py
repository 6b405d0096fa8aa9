"""Which stored nodes are computed together, in one pass over memory.

Elementwise nodes of one shape share a loop when each of them needs, of the others, only the entry
at its own place: an optimizer's averages and the new parameter, a sum and its activation.  What
one of them computes, the next finds in a register.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backlight.execute.native.storage import Storage, can_lower
from backlight.graph.graph import Graph
from backlight.graph.primitive import Kind, Shape

MOST_STORES = 8
"""Nodes that one loop over an array computes at most, because registers are few."""

MOST_NUMBERS = 64
"""Single numbers that one kernel computes at most, because LLVM takes long over long functions."""

SMALL = 4096
"""Arrays of so few entries share a loop even if they share no data: it costs nothing to read."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a kernel reads stored nodes.

    Attributes
    ----------
    local : frozenset of int
        Read only at the place that is computed.
    other : frozenset of int
        Read elsewhere too, or broadcast.
    flat : bool
        Whether the loop can count entries: everything in it has the node's shape or is one number.
    """

    local: frozenset[int]
    other: frozenset[int]
    flat: bool


def reads(graph: Graph, storage: Mapping[int, Storage], index: int) -> set[int]:
    """Return the stored nodes that a node's loop reads, through inlined ones."""
    found: set[int] = set()
    waiting = list(graph.nodes[index].inputs)
    while waiting:
        each = waiting.pop()
        if storage[each] is Storage.INLINE:
            waiting.extend(graph.nodes[each].inputs)
        else:
            found.add(each)
    return found


def access(graph: Graph, storage: Mapping[int, Storage], index: int) -> Access:
    """Find out where a node's loop reads."""
    node = graph.nodes[index]
    if node.primitive.kind is not Kind.ELEMENTWISE or not can_lower(node):
        return Access(frozenset(), frozenset(reads(graph, storage, index)), False)
    local: set[int] = set()
    other: set[int] = set()
    flat = True
    waiting = list(node.inputs)
    while waiting:
        operand = waiting.pop()
        each = graph.nodes[operand]
        inline = storage[operand] is Storage.INLINE
        here = each.shape == node.shape
        if inline and here and each.primitive.kind is Kind.ELEMENTWISE:
            waiting.extend(each.inputs)
        elif inline:
            other |= reads(graph, storage, operand)
            flat = False
        elif here:
            local.add(operand)
        else:
            other.add(operand)
            flat = flat and math.prod(each.shape) == 1
    return Access(frozenset(local - other), frozenset(other), flat)


@dataclass(slots=True)
class _Open:
    """A group that more nodes can join."""

    position: int
    members: list[int]
    seen: set[int]


def group(
    graph: Graph, storage: Mapping[int, Storage], kernels: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """Divide stored nodes, given in order, into kernels that can run in the order returned."""
    groups: list[list[int]] = []
    position: dict[int, int] = {}
    latest: dict[tuple[Shape, bool], _Open] = {}
    for index in kernels:
        found = access(graph, storage, index)
        node = graph.nodes[index]
        fusable = node.primitive.kind is Kind.ELEMENTWISE and can_lower(node)
        into = _joined(graph, latest, index, found, position) if fusable else None
        if into is not None:
            into.members.append(index)
            into.seen |= found.local | {index}
            position[index] = into.position
            continue
        position[index] = len(groups)
        groups.append([index])
        if fusable:
            key = (node.shape, found.flat)
            latest[key] = _Open(len(groups) - 1, groups[-1], {index} | found.local)
    return tuple(tuple(members) for members in groups)


def _joined(
    graph: Graph,
    latest: Mapping[tuple[Shape, bool], _Open],
    index: int,
    found: Access,
    position: Mapping[int, int],
) -> _Open | None:
    """Return the group that a node joins.

    One whose loop could count entries also joins a nest of loops over axes, for the sake of data.
    """
    shape = graph.nodes[index].shape
    into = latest.get((shape, found.flat))
    if into is not None and _may_join(graph, into, index, found, position):
        return into
    nest = latest.get((shape, False)) if found.flat else None
    if nest is None or nest.seen.isdisjoint(found.local):
        return None
    return nest if _may_join(graph, nest, index, found, position) else None


def _may_join(
    graph: Graph, into: _Open, index: int, found: Access, position: Mapping[int, int]
) -> bool:
    """Whether a node can be computed in an earlier pass, and gains by it."""
    size = math.prod(graph.nodes[index].shape)
    if len(into.members) >= (MOST_NUMBERS if size == 1 else MOST_STORES):
        return False
    if any(position.get(each, -1) >= into.position for each in found.other):
        return False
    if any(position.get(each, -1) > into.position for each in found.local):
        return False
    return size <= SMALL or not into.seen.isdisjoint(found.local)


def overwritten(
    graph: Graph,
    storage: Mapping[int, Storage],
    groups: Sequence[Sequence[int]],
    carried: Sequence[tuple[int, int]],
) -> dict[int, int]:
    """Return the results that can be written over the input whose next value they are.

    Nothing may read the old value afterwards; in the same pass, only the entry at the same place.
    """
    position = {member: k for k, members in enumerate(groups) for member in members}
    last: dict[int, int] = {}
    elsewhere: dict[int, set[int]] = {}
    for k, members in enumerate(groups):
        for member in members:
            found = access(graph, storage, member)
            for each in found.local | found.other:
                last[each] = k
            for each in found.other:
                elsewhere.setdefault(each, set()).add(k)
    alias: dict[int, int] = {}
    kept = set(graph.outputs)  # an input that is also a result must keep its value
    for result, given in carried:
        if given in kept:
            continue
        node = graph.nodes[result]
        if result not in position or node.primitive.kind is not Kind.ELEMENTWISE:
            continue
        if node.spec != graph.nodes[given].spec or not can_lower(node):
            continue
        own = position[result]
        if last.get(given, -1) <= own and own not in elsewhere.get(given, set()):
            alias[result] = given
    return alias
