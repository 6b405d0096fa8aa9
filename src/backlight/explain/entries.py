"""Single scalars inside tensors: which entries of a node depend on one entry of its operand.

A derivation follows one scalar through a network without building the network's scalar graph.
`uses` takes one entry of a value and returns, for each node that uses the value, the entries that
depend on it and the local derivatives.  Each kind of primitive is handled once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.errors import GradientError
from backlight.graph.node import Node
from backlight.graph.primitive import Array, Kind, Shape
from backlight.record import Edge, Trace
from backlight.tensor import literal, quiet

Entries = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One scalar: a node and the row-major position in its value."""

    node: int
    flat: int


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """The entries of one node that depend on one entry of an operand.

    Attributes
    ----------
    edge : Edge
    entries : ndarray of int
        Row-major positions in the node's value.
    locals : ndarray of float
        ∂(entry of the node)/∂(entry of the operand).
    """

    edge: Edge
    entries: Entries
    locals: Array


def value_at(trace: Trace, entry: Entry) -> float:
    """Return the forward value of one scalar."""
    return float(trace.values[entry.node].reshape(-1)[entry.flat])


def gradient_at(trace: Trace, entry: Entry) -> float | None:
    """Return the gradient of one scalar, or None when it was not computed."""
    gradient = trace.gradients[entry.node]
    return None if gradient is None else float(gradient.reshape(-1)[entry.flat])


def coordinates(flat: int, shape: Shape) -> tuple[int, ...]:
    """Return the index of a row-major position."""
    index = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        index.append(place)
    return tuple(reversed(index))


def flat_index(index: Sequence[int], shape: Shape) -> int:
    """Return the row-major position of an index."""
    flat = 0
    for place, size in zip(index, shape, strict=True):
        flat = flat * size + place
    return flat


def uses(trace: Trace, entry: Entry) -> Iterator[Use]:
    """Yield every use of one scalar, in the order in which the nodes were recorded."""
    for edge in sorted(trace.outgoing[entry.node], key=lambda each: (each.target, each.position)):
        entries, locals_ = dependents(trace, edge, entry.flat)
        yield Use(edge, entries, locals_)


def dependents(trace: Trace, edge: Edge, flat: int) -> tuple[Entries, Array]:
    """Return the entries of an edge's target that depend on one source entry, and how much."""
    node = trace.graph.nodes[edge.target]
    source = trace.graph.nodes[edge.source]
    if source.shape == () and node.shape == () and edge.local is not None:
        return np.zeros(1, np.int64), edge.local.reshape(1)
    kind = node.primitive.kind
    if kind is Kind.ELEMENTWISE:
        entries = _broadcast_entries(flat, source.shape, node.shape)
        return entries, local_array(trace, edge).reshape(-1)[entries]
    if kind is Kind.REDUCE:
        index = coordinates(flat, source.shape)
        axes = node.attributes["axes"]
        rest = tuple(k for axis, k in enumerate(index) if axis not in axes)
        entry = flat_index(rest, node.shape)
        local = 1.0 if edge.local is None else _at(edge.local, flat, source.shape)
        return np.array([entry], np.int64), np.array([local])
    if kind is Kind.CONTRACT:
        return _contracted(trace, edge, flat)
    if node.primitive.transpose(edge.position) is not None and kind is not Kind.CUSTOM:
        return _linear(trace, edge, flat)
    return _by_rows(trace, edge, flat)


def _at(local: Array, flat: int, shape: Shape) -> float:
    return float(np.broadcast_to(local, shape).reshape(-1)[flat])


def _broadcast_entries(flat: int, inner: Shape, outer: Shape) -> Entries:
    """The positions of a broadcast result that repeat one entry of an operand."""
    if inner == outer:
        return np.array([flat], np.int64)
    index = coordinates(flat, inner)
    offset = len(outer) - len(inner)
    ranges = [
        np.arange(size)
        if axis < offset or (inner[axis - offset] == 1 and size != 1)
        else np.array([index[axis - offset]])
        for axis, size in enumerate(outer)
    ]
    grid = np.meshgrid(*ranges, indexing="ij")
    found: Entries = np.ravel_multi_index([each.reshape(-1) for each in grid], outer)
    return found.astype(np.int64)


def local_array(trace: Trace, edge: Edge) -> Array:
    """Return the local derivatives of an elementwise node, one per entry of its value.

    A node that is linear in the operand (a choice by ``where``, a conversion) has none stored;
    its rule applied to ones gives them.
    """
    node = trace.graph.nodes[edge.target]
    if edge.local is not None:
        if edge.local.shape == node.shape:
            return edge.local
        return np.broadcast_to(edge.local, node.shape)
    key = ("local", edge.target, edge.position)
    if key not in trace.memo:
        rule = node.primitive.transpose(edge.position)
        assert rule is not None
        with quiet():
            inputs = [literal(trace.values[k]) for k in node.inputs]
            output = literal(trace.values[edge.target])
            ones = literal(np.ones(node.shape, node.dtype))
            result = rule(ones, output, *inputs, **node.attributes)
        trace.memo[key] = np.broadcast_to(result.value, node.shape)
    found: Array = trace.memo[key]
    return found


def _contracted(trace: Trace, edge: Edge, flat: int) -> tuple[Entries, Array]:
    """Entries of a contraction: all values of the labels that the other operand adds."""
    node = trace.graph.nodes[edge.target]
    own, other, result = contraction_labels(node, edge.position)
    fixed = dict(zip(own, coordinates(flat, trace.graph.nodes[edge.source].shape), strict=True))
    sizes = dict(zip(result, node.shape, strict=True))
    free = [label for label in result if label not in fixed]
    grid = np.meshgrid(*[np.arange(sizes[label]) for label in free], indexing="ij")
    where: dict[int, Any] = {
        label: each.reshape(-1) for label, each in zip(free, grid, strict=True)
    }
    count = where[free[0]].size if free else 1
    for label, index in fixed.items():
        where[label] = np.full(count, index)
    entries = (
        np.ravel_multi_index([where[label] for label in result], node.shape).astype(np.int64)
        if result
        else np.zeros(1, np.int64)
    )
    values = trace.values[node.inputs[1 - edge.position]]
    locals_ = values[tuple(where[label] for label in other)]
    return entries, np.asarray(locals_).reshape(-1)


def contraction_labels(
    node: Node, position: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the labels of one operand, of the other one, and of the result."""
    sides = (node.attributes["left"], node.attributes["right"])
    return sides[position], sides[1 - position], node.attributes["result"]


def source_map(trace: Trace, edge: Edge) -> Array:
    """For a node that moves entries: which source entry each of its entries is, -1 for none."""
    key = ("map", edge.target, edge.position)
    if key not in trace.memo:
        node = trace.graph.nodes[edge.target]
        source = trace.graph.nodes[edge.source]
        numbers = np.arange(1, int(np.prod(source.shape)) + 1, dtype=np.int64)
        operands = [
            numbers.reshape(source.shape)
            if k == edge.position
            else trace.values[operand]
            if trace.graph.nodes[operand].dtype.kind in "iub"
            else np.zeros(trace.graph.nodes[operand].shape, np.int64)
            for k, operand in enumerate(node.inputs)
        ]
        attributes = dict(node.attributes)
        if "fill" in attributes:
            attributes["fill"] = 0
        moved = node.primitive.evaluate(np, *operands, **attributes)
        trace.memo[key] = np.asarray(moved).reshape(-1) - 1
    found: Array = trace.memo[key]
    return found


def is_gather(node: Node) -> bool:
    """Whether each entry of the node is one entry of its first operand."""
    return node.primitive.kind is Kind.INDEX and "size" not in node.attributes


def _linear(trace: Trace, edge: Edge, flat: int) -> tuple[Entries, Array]:
    node = trace.graph.nodes[edge.target]
    if node.primitive.kind is Kind.MOVE or is_gather(node):
        entries = np.flatnonzero(source_map(trace, edge) == flat)
        return entries.astype(np.int64), np.ones(len(entries))
    # What is left is linear and rare (a running sum, scatter-add): push one unit through it.
    source = trace.graph.nodes[edge.source]
    unit = np.zeros(source.shape, source.dtype)
    unit.reshape(-1)[flat] = 1
    operands = [trace.values[k] for k in node.inputs]
    operands[edge.position] = unit
    pushed = np.asarray(node.primitive.evaluate(np, *operands, **node.attributes)).reshape(-1)
    entries = np.flatnonzero(pushed)
    return entries.astype(np.int64), pushed[entries]


MOST_ROWS = 4096


def _by_rows(trace: Trace, edge: Edge, flat: int) -> tuple[Entries, Array]:
    """Local derivatives of a user's own operation, one backward call per entry of its value."""
    node = trace.graph.nodes[edge.target]
    size = int(np.prod(node.shape))
    if size > MOST_ROWS:
        raise GradientError(
            f"{node.name} has {size} entries and its operation {node.primitive.name} tells only "
            f"whole gradients, so single entries are not followed through it; explain it as a "
            f"tensor."
        )
    key = ("rows", edge.target, edge.position)
    if key not in trace.memo:
        rule = node.primitive.transpose(edge.position)
        assert rule is not None
        rows = []
        with quiet():
            inputs = [literal(trace.values[k]) for k in node.inputs]
            output = literal(trace.values[edge.target])
            for entry in range(size):
                unit = np.zeros(node.shape, node.dtype)
                unit.reshape(-1)[entry] = 1
                result = rule(literal(unit), output, *inputs, **node.attributes)
                rows.append(result.value.reshape(-1))
        trace.memo[key] = np.stack(rows)
    column = trace.memo[key][:, flat]
    return np.arange(size, dtype=np.int64), column
