"""Where each node's value is: stored by a kernel, seen as a view, or computed where it is used.

It takes a graph and decides, without LLVM, what gets memory of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Kind, Shape
from backlight.ops.index import GATHER, SCATTER_ADD
from backlight.ops.leaf import CONSTANT
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.reduce import CUMULATIVE_SUM

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


def row_major(shape: Shape) -> tuple[int, ...]:
    """Return the strides, in entries, of an array without gaps."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def choose_storage(graph: Graph, needed: tuple[int, ...]) -> dict[int, Storage]:
    """Decide for each needed node, in order, where its value is."""
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
