"""What the machine will do: storage for every node of a graph, and loops in order.

A plan is made from the graph alone, without LLVM.  Each node is either stored in a buffer by a
kernel of its own, shown as a view of another node's buffer, or *inlined*: computed where it is
used, inside the loop of the node that uses it.  Buffers share one arena; a buffer's place is used
again as soon as nothing reads it any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Kind, Shape
from backlight.ops.index import GATHER, SCATTER_ADD
from backlight.ops.leaf import CONSTANT
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.reduce import CUMULATIVE_SUM

ALIGNMENT = 64
DEEPEST_INLINE = 24
"""Nodes nested more deeply inside one loop body are stored instead."""


class Storage(StrEnum):
    """Where a node's value is."""

    INPUT = "input"  #: supplied by the caller
    CONSTANT = "constant"  #: fixed in the program
    BUFFER = "buffer"  #: computed by a kernel of its own
    INLINE = "inline"  #: computed where it is used


@dataclass(frozen=True, slots=True)
class View:
    """How one node's entries lie in another node's buffer: entry i at offset + Σ iₖ·strideₖ."""

    base: int
    offset: int
    strides: tuple[int, ...]


@dataclass(slots=True)
class Plan:
    """The plan of one graph.

    Attributes
    ----------
    graph : Graph
    needed : tuple of int
        The nodes that the outputs depend on, in order.
    storage : dict of int to Storage
    kernels : tuple of int
        The nodes that get a kernel, in order.
    offsets : dict of int to int
        Byte offset of each stored node in the arena.
    arena : int
        Bytes of the arena.
    alias : dict of int to int
        Results that are written over the input whose next value they are.
    """

    graph: Graph
    needed: tuple[int, ...]
    storage: dict[int, Storage]
    kernels: tuple[int, ...] = ()
    offsets: dict[int, int] = field(default_factory=dict)
    arena: int = 0
    alias: dict[int, int] = field(default_factory=dict)

    def view(self, index: int) -> View | None:
        """Return how a node lies in a buffer, following inlined moves; None when it does not."""
        return view_of(self.graph, self.storage, index)


def make_plan(graph: Graph, carried: Sequence[tuple[int, int]] = ()) -> Plan:
    """Decide what is stored and what is computed in place.

    Parameters
    ----------
    graph : Graph
    carried : sequence of (int, int)
        Pairs of nodes (result, input): the result is the input's value in the next iteration.

    Returns
    -------
    Plan
    """
    needed = _needed(graph)
    storage = _choose_storage(graph, needed)
    kernels = tuple(k for k in needed if storage[k] is Storage.BUFFER)
    plan = Plan(graph, needed, storage, kernels)
    plan.alias = {result: given for result, given in carried if _may_overwrite(plan, result, given)}
    _allocate(plan)
    return plan


def _may_overwrite(plan: Plan, result: int, given: int) -> bool:
    """Whether a result can take its input's place: it is the last reader, entry by entry."""
    nodes = plan.graph.nodes
    if result not in plan.kernels or not is_flat(plan, result):
        return False
    if nodes[result].spec != nodes[given].spec:
        return False
    later = plan.kernels[plan.kernels.index(result) + 1 :]
    return not any(given in read_buffers(plan, each) for each in later)


def is_flat(plan: Plan, index: int) -> bool:
    """Whether everything in a node's loop has the node's shape, or is one stored number."""
    node = plan.graph.nodes[index]
    if node.primitive.kind is not Kind.ELEMENTWISE:
        return False
    waiting = list(node.inputs)
    while waiting:
        operand = waiting.pop()
        each = plan.graph.nodes[operand]
        inline = plan.storage[operand] is Storage.INLINE
        if math.prod(each.shape) == 1 and not inline:
            continue
        if each.shape != node.shape:
            return False
        if inline:
            if each.primitive.kind is not Kind.ELEMENTWISE:
                return False
            waiting.extend(each.inputs)
    return True


def _needed(graph: Graph) -> tuple[int, ...]:
    wanted = set(graph.outputs)
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(graph.nodes[index].inputs)
    return tuple(sorted(wanted))


def row_major(shape: Shape) -> tuple[int, ...]:
    """Return the strides, in entries, of an array without gaps."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _choose_storage(graph: Graph, needed: tuple[int, ...]) -> dict[int, Storage]:
    outputs = set(graph.outputs)
    users: dict[int, list[int]] = {k: [] for k in needed}
    for index in needed:
        for operand in graph.nodes[index].inputs:
            users[operand].append(index)
    storage: dict[int, Storage] = {}
    depth: dict[int, int] = {}
    work: dict[int, int] = {}
    for index in needed:
        node = graph.nodes[index]
        if node.primitive is CONSTANT:
            storage[index] = Storage.CONSTANT
        elif node.is_leaf:
            storage[index] = Storage.INPUT
        elif index in outputs or not _inlinable(graph, storage, index):
            storage[index] = Storage.BUFFER
        else:
            below = [k for k in node.inputs if storage[k] is Storage.INLINE]
            deep = 1 + max((depth[k] for k in below), default=0)
            own = 0 if node.primitive.kind in (Kind.MOVE, Kind.INDEX) else 1
            effort = own + sum(work[k] for k in below)
            keep = (
                deep > DEEPEST_INLINE
                or (effort > 0 and _uses(graph, users[index], index) > 1)
                or (effort > 0 and _repeated(graph, users[index], index))
                or (
                    any(_needs_view(graph.nodes[k]) for k in users[index])
                    and view_of(graph, {**storage, index: Storage.INLINE}, index) is None
                )
            )
            storage[index] = Storage.BUFFER if keep else Storage.INLINE
            depth[index], work[index] = deep, effort
    return storage


def _uses(graph: Graph, users: Iterable[int], index: int) -> int:
    return sum(graph.nodes[user].inputs.count(index) for user in users)


def _inlinable(graph: Graph, storage: dict[int, Storage], index: int) -> bool:
    """Whether a node can be computed entry by entry inside another loop."""
    node = graph.nodes[index]
    primitive = node.primitive
    if primitive.kind is Kind.ELEMENTWISE:
        return primitive.lower is not None
    if primitive is RESHAPE:
        # Free when the operand lies in a buffer without gaps, or only axes of size 1 change.
        operand = graph.nodes[node.inputs[0]]
        if _without_ones(operand.shape) == _without_ones(node.shape):
            return True
        view = view_of(graph, storage, node.inputs[0])
        return view is not None and view.strides == row_major(operand.shape)
    return primitive in (PERMUTE, BROADCAST, SLICE, FLIP, PAD, GATHER)


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _repeated(graph: Graph, users: Iterable[int], index: int) -> bool:
    """Whether a user would compute an inlined node again for many of its entries."""
    size = math.prod(graph.nodes[index].shape)
    for user in users:
        node = graph.nodes[user]
        if node.primitive.kind in (Kind.ELEMENTWISE, Kind.MOVE, Kind.INDEX, Kind.RANDOM):
            if math.prod(node.shape) > size or node.primitive is GATHER:
                return True
        elif node.primitive.kind is not Kind.REDUCE:
            return True
    return False


def can_lower(node: Node) -> bool:
    """Whether a node's kernel can be made; otherwise Python is called back for it."""
    primitive = node.primitive
    if primitive.kind in (Kind.ELEMENTWISE, Kind.RANDOM):
        return primitive.lower is not None
    if primitive.kind is Kind.REDUCE:
        return primitive.fold is not None
    return primitive.kind in (Kind.MOVE, Kind.CONTRACT) or primitive in (
        GATHER,
        SCATTER_ADD,
        CUMULATIVE_SUM,
    )


def _needs_view(node: Node) -> bool:
    """Whether a kernel reads its operands through pointers and strides, or Python does."""
    by_entry = (Kind.ELEMENTWISE, Kind.MOVE, Kind.REDUCE)
    return not can_lower(node) or not (node.primitive.kind in by_entry or node.primitive is GATHER)


def view_of(graph: Graph, storage: dict[int, Storage], index: int) -> View | None:
    """Return how a node lies in a buffer, following inlined moves; None when it does not."""
    node = graph.nodes[index]
    if storage[index] is not Storage.INLINE:
        return View(index, 0, row_major(node.shape))
    if node.primitive.kind is not Kind.MOVE or node.primitive in (PAD, CONCAT):
        return None
    inner = view_of(graph, storage, node.inputs[0])
    if inner is None:
        return None
    source = graph.nodes[node.inputs[0]]
    if node.primitive is PERMUTE:
        order = node.attributes["axes"]
        return View(inner.base, inner.offset, tuple(inner.strides[axis] for axis in order))
    if node.primitive is BROADCAST:
        added = len(node.shape) - len(source.shape)
        strides = tuple(
            0 if size == 1 and node.shape[axis + added] != 1 else stride
            for axis, (size, stride) in enumerate(zip(source.shape, inner.strides, strict=True))
        )
        return View(inner.base, inner.offset, (0,) * added + strides)
    if node.primitive is SLICE:
        starts, steps = node.attributes["starts"], node.attributes["steps"]
        offset = sum(a * b for a, b in zip(starts, inner.strides, strict=True))
        strides = tuple(a * b for a, b in zip(steps, inner.strides, strict=True))
        return View(inner.base, inner.offset + offset, strides)
    if node.primitive is FLIP:
        axes = node.attributes["axes"]
        offset = sum((source.shape[axis] - 1) * inner.strides[axis] for axis in axes)
        strides = tuple(
            -stride if axis in axes else stride for axis, stride in enumerate(inner.strides)
        )
        return View(inner.base, inner.offset + offset, strides)
    if node.primitive is RESHAPE:
        if inner.strides == row_major(source.shape):
            return View(inner.base, inner.offset, row_major(node.shape))
        if _without_ones(source.shape) == _without_ones(node.shape):
            kept = iter(
                stride
                for size, stride in zip(source.shape, inner.strides, strict=True)
                if size != 1
            )
            strides = tuple(0 if size == 1 else next(kept) for size in node.shape)
            return View(inner.base, inner.offset, strides)
    return None


def read_buffers(plan: Plan, index: int) -> set[int]:
    """Return the stored nodes that a node's kernel reads, through inlined ones."""
    found: set[int] = set()
    waiting = list(plan.graph.nodes[index].inputs)
    while waiting:
        each = waiting.pop()
        if plan.storage[each] is Storage.INLINE:
            waiting.extend(plan.graph.nodes[each].inputs)
        else:
            found.add(each)
    return found


def _allocate(plan: Plan) -> None:
    """Give each buffer a place in the arena; outputs have memory of their own."""
    graph = plan.graph
    outputs = set(graph.outputs)
    last: dict[int, int] = {}
    for time, index in enumerate(plan.kernels):
        for each in read_buffers(plan, index):
            last[each] = time
    free: list[tuple[int, int]] = []  # (offset, size), sorted by offset
    for time, index in enumerate(plan.kernels):
        if index not in outputs:
            node = graph.nodes[index]
            size = max(math.prod(node.shape), 1) * node.dtype.itemsize
            size = -(-size // ALIGNMENT) * ALIGNMENT
            plan.offsets[index] = _take(plan, free, size)
        for each in [k for k, t in last.items() if t == time and k in plan.offsets]:
            node = graph.nodes[each]
            size = max(math.prod(node.shape), 1) * node.dtype.itemsize
            _release(free, plan.offsets[each], -(-size // ALIGNMENT) * ALIGNMENT)


def _take(plan: Plan, free: list[tuple[int, int]], size: int) -> int:
    """Take the smallest free place that is large enough, or the arena's end."""
    fitting = [k for k, (_, room) in enumerate(free) if room >= size]
    if fitting:
        best = min(fitting, key=lambda k: free[k][1])
        offset, room = free.pop(best)
        if room > size:
            free.append((offset + size, room - size))
            free.sort()
        return offset
    offset = plan.arena
    plan.arena += size
    return offset


def _release(free: list[tuple[int, int]], offset: int, size: int) -> None:
    """Give a place back and join it with its neighbours."""
    free.append((offset, size))
    free.sort()
    joined: list[tuple[int, int]] = []
    for start, room in free:
        if joined and joined[-1][0] + joined[-1][1] == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + room)
        else:
            joined.append((start, room))
    free[:] = joined
