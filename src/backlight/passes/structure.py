"""Rules about where entries go: moves, reductions and contractions.

All but `multiply_repeated` and `sum_against_ones` give the same bits; those two add up in another
order.  A contraction that reads or writes transposed adds the same products; in which order is the
matrix product's own business.
"""

from __future__ import annotations

import numpy as np

from backlight.graph.node import Node
from backlight.graph.primitive import Shape
from backlight.ops.arithmetic import ADD, MUL
from backlight.ops.contract import CONTRACT
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.reduce import SUM
from backlight.passes.rewrite import Rewriter, Varying

# ── moves ────────────────────────────────────────────────────────────────────────────────────────


def drop_idle_move(rewriter: Rewriter, node: Node) -> int | None:
    """A move that moves nothing: the same shape, order or part."""
    source = node.inputs[0]
    primitive, attributes = node.primitive, node.attributes
    if node.shape != rewriter.nodes[source].shape:
        return None
    if primitive is PERMUTE:
        idle = attributes["axes"] == tuple(range(len(node.shape)))
    elif primitive is FLIP:
        idle = all(node.shape[axis] <= 1 for axis in attributes["axes"])
    elif primitive is CONCAT:
        idle = len(node.inputs) == 1
    else:  # with its shape, a reshape, a repetition, a slice and a pad keep everything in place
        idle = primitive in (RESHAPE, BROADCAST, SLICE, PAD)
    return source if idle else None


def move_constant(rewriter: Rewriter, node: Node) -> Node | None:
    """However one repeated number is moved, it stays that number, repeated."""
    if node.primitive in (BROADCAST, CONCAT, PAD):
        return None
    one = rewriter.repeated_constant(node.inputs[0])
    if one is None:
        return None
    return rewriter.become(node, BROADCAST, (one,), {"shape": node.shape})


def reshape_once(rewriter: Rewriter, node: Node) -> Node | None:
    """A reshape of a reshape is one reshape."""
    inner = rewriter.nodes[node.inputs[0]]
    if inner.primitive is RESHAPE:
        return rewriter.become(node, RESHAPE, inner.inputs, node.attributes)
    return None


def permute_once(rewriter: Rewriter, node: Node) -> Node | None:
    """A transposition of a transposition is one transposition."""
    inner = rewriter.nodes[node.inputs[0]]
    if inner.primitive is not PERMUTE:
        return None
    first = inner.attributes["axes"]
    axes = tuple(first[axis] for axis in node.attributes["axes"])
    return rewriter.become(node, PERMUTE, inner.inputs, {"axes": axes})


def repeat_once(rewriter: Rewriter, node: Node) -> Node | None:
    """A repetition of a repetition, or of a reshape that adds axes in front, is one repetition."""
    inner = rewriter.nodes[node.inputs[0]]
    if inner.primitive is BROADCAST:
        return rewriter.become(node, BROADCAST, inner.inputs, node.attributes)
    if inner.primitive is RESHAPE:
        shape = rewriter.nodes[inner.inputs[0]].shape
        if len(inner.shape) > len(shape) and _padded(shape, len(inner.shape)) == inner.shape:
            return rewriter.become(node, BROADCAST, inner.inputs, node.attributes)
    return None


def _padded(shape: Shape, ndim: int) -> Shape:
    return (1,) * (ndim - len(shape)) + shape


def slice_once(rewriter: Rewriter, node: Node) -> Node | None:
    """A slice of a slice is one slice."""
    inner = rewriter.nodes[node.inputs[0]]
    if inner.primitive is not SLICE or 0 in node.shape:
        return None
    a, b = inner.attributes, node.attributes
    starts = tuple(
        low + step * start
        for low, step, start in zip(a["starts"], a["steps"], b["starts"], strict=True)
    )
    steps = tuple(one * two for one, two in zip(a["steps"], b["steps"], strict=True))
    stops = tuple(
        start + (size - 1) * step + 1
        for start, size, step in zip(starts, node.shape, steps, strict=True)
    )
    attributes = {"starts": starts, "stops": stops, "steps": steps}
    return rewriter.become(node, SLICE, inner.inputs, attributes)


def slice_one_part(rewriter: Rewriter, node: Node) -> Node | None:
    """A slice that lies in one part of a concatenation is a slice of that part."""
    inner = rewriter.nodes[node.inputs[0]]
    if inner.primitive is not CONCAT:
        return None
    axis = inner.attributes["axis"]
    low, high = node.attributes["starts"][axis], node.attributes["stops"][axis]
    start = 0
    for part in inner.inputs:
        found = rewriter.nodes[part]
        size = found.shape[axis]
        if start <= low and high <= start + size:
            if found.dtype != node.dtype:
                return None
            attributes = dict(node.attributes)
            for key in ("starts", "stops"):
                bounds = list(attributes[key])
                bounds[axis] -= start
                attributes[key] = tuple(bounds)
            return rewriter.become(node, SLICE, (part,), attributes)
        start += size
    return None


# ── reductions ───────────────────────────────────────────────────────────────────────────────────


def reduce_nothing(rewriter: Rewriter, node: Node) -> Node | None:
    """A reduction of single entries is a reshape; a sum of one entry also turns −0 into 0."""
    source = rewriter.nodes[node.inputs[0]]
    if source.dtype != node.dtype or any(source.shape[k] != 1 for k in node.attributes["axes"]):
        return None
    if node.primitive.facts.idempotent:
        return rewriter.become(node, RESHAPE, node.inputs, {"shape": node.shape})
    if node.primitive is SUM and node.attributes["axes"]:
        moved = rewriter.make(node, RESHAPE, node.inputs, {"shape": node.shape})
        return rewriter.become(node, ADD, (moved, rewriter.number(node, 0, node.dtype)))
    return None


def _repeated_axes(rewriter: Rewriter, node: Node) -> tuple[int, Shape, set[int]] | None:
    """Return what the operand of a reduction repeats, its shape with all axes, and along which."""
    operand = rewriter.nodes[node.inputs[0]]
    if operand.primitive is not BROADCAST or 0 in operand.shape:
        return None
    source = operand.inputs[0]
    inner = _padded(rewriter.nodes[source].shape, len(operand.shape))
    added = len(inner) - len(rewriter.nodes[source].shape)
    repeated = {
        axis
        for axis, (size, wide) in enumerate(zip(inner, operand.shape, strict=True))
        if size != wide or axis < added
    }
    return source, inner, repeated


def reduce_repeated_once(rewriter: Rewriter, node: Node) -> Node | int | None:
    """The maximum over equal entries is the entry."""
    return _reduce_narrow(rewriter, node) if node.primitive.facts.idempotent else None


def multiply_repeated(rewriter: Rewriter, node: Node) -> Node | int | None:
    """The sum of n equal numbers is n times the number, rounded once instead of n − 1 times."""
    return _reduce_narrow(rewriter, node) if node.primitive is SUM else None


def _reduce_narrow(rewriter: Rewriter, node: Node) -> Node | int | None:
    """Reduce what is repeated, once, and repeat the result."""
    found = _repeated_axes(rewriter, node)
    if found is None:
        return None
    source, inner, repeated = found
    axes = node.attributes["axes"]
    wide = rewriter.nodes[node.inputs[0]].shape
    added = len(inner) - len(rewriter.nodes[source].shape)
    count = 1
    for axis in axes:
        if axis in repeated:
            count *= wide[axis]
    narrow = tuple(axis - added for axis in axes if axis not in repeated)
    made = rewriter.make(node, node.primitive, (source,), {"axes": narrow}) if narrow else source
    # The kept axes, size 1 where they are repeated, in a shape that repeats to the result's.
    kept = tuple(size for axis, size in enumerate(inner) if axis not in axes)
    if rewriter.nodes[made].shape != kept:
        made = rewriter.make(node, RESHAPE, (made,), {"shape": kept})
    if count > 1 and node.primitive is SUM:
        # The count may be that of a batch, which is another one in the shorter batch's graph.
        number = rewriter.make_constant(node, np.asarray(count).astype(node.dtype), Varying)
        made = rewriter.make(node, MUL, (made, number))
    if kept == node.shape:
        return made
    return rewriter.become(node, BROADCAST, (made,), {"shape": node.shape})


# ── contractions ─────────────────────────────────────────────────────────────────────────────────


def contract_transposed(rewriter: Rewriter, node: Node) -> Node | None:
    """A contraction reads its operands in any order of axes: no transposition before it."""
    nodes = rewriter.nodes
    if all(nodes[each].primitive is not PERMUTE for each in node.inputs):
        return None
    inputs, attributes = list(node.inputs), dict(node.attributes)
    for position, side in enumerate(("left", "right")):
        inner = nodes[inputs[position]]
        if inner.primitive is PERMUTE:
            labels = [0] * len(inner.shape)
            for label, axis in zip(attributes[side], inner.attributes["axes"], strict=True):
                labels[axis] = label
            attributes[side] = tuple(labels)
            inputs[position] = inner.inputs[0]
    return rewriter.become(node, CONTRACT, inputs, attributes)


def contract_into_order(rewriter: Rewriter, node: Node) -> Node | None:
    """A contraction writes its result in any order of axes: no transposition after it."""
    inner = rewriter.nodes[node.inputs[0]]
    if inner.primitive is not CONTRACT or rewriter.uses_of_operand(0) > 1:
        return None
    labels = inner.attributes["result"]
    result = tuple(labels[axis] for axis in node.attributes["axes"])
    return rewriter.become(node, CONTRACT, inner.inputs, {**inner.attributes, "result": result})


def sum_against_ones(rewriter: Rewriter, node: Node) -> Node | int | None:
    """A product with ones adds up; it is a sum, added up in another order."""
    for ones, other in ((0, "right"), (1, "left")):
        one = rewriter.repeated_constant(node.inputs[ones])
        value = None if one is None else rewriter.constant(one)
        if value is None or value != 1:
            continue
        labels, attributes = node.attributes[other], node.attributes
        operand = node.inputs[1 - ones]
        if rewriter.nodes[operand].dtype != node.dtype or 0 in rewriter.nodes[operand].shape:
            return None
        kept = tuple(label for label in labels if label in attributes["result"])
        axes = tuple(k for k, label in enumerate(labels) if label not in kept)
        made = rewriter.make(node, SUM, (operand,), {"axes": axes}) if axes else operand
        order = tuple(kept.index(label) for label in attributes["result"] if label in kept)
        if order != tuple(range(len(order))):
            made = rewriter.make(node, PERMUTE, (made,), {"axes": order})
        shape = tuple(
            size if label in kept else 1
            for size, label in zip(node.shape, attributes["result"], strict=True)
        )
        return rewriter.become(
            node, BROADCAST, (_shaped(rewriter, node, made, shape),), {"shape": node.shape}
        )
    return None


def _shaped(rewriter: Rewriter, near: Node, index: int, shape: Shape) -> int:
    if rewriter.nodes[index].shape == shape:
        return index
    return rewriter.make(near, RESHAPE, (index,), {"shape": shape})
