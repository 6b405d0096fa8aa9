"""Kernels written with vectors: how many lanes, which places, and where that is possible.

LLVM can turn plain loops into vector instructions itself, but takes long over it.  Where what a
loop reads lies side by side in memory, kernels go forward by vectors from the start, with a mask
for the last lanes that are one too many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from llvmlite import ir

from backlight.execute.native.batch import BatchSize
from backlight.execute.native.engine import host
from backlight.execute.native.plan import Plan
from backlight.execute.native.storage import Storage
from backlight.graph.node import Node
from backlight.graph.primitive import Kind, Shape
from backlight.ops.index import GATHER
from backlight.ops.move import BROADCAST, PERMUTE, RESHAPE

I32 = ir.IntType(32)

FEWEST = 4
"""Shorter runs are not worth a vector each."""

MASKED_BITS = 256
"""Processors with narrower vectors have no masked loads and stores."""

Value: TypeAlias = Any
"""An LLVM value; llvmlite has no types of its own to check."""


@dataclass(frozen=True, slots=True)
class Run:
    """Places side by side, one for each lane of a vector.

    Attributes
    ----------
    first : Value
        Of the first lane.
    lanes : int
    mask : Value or None
        Which of the lanes count; all when None.
    """

    first: Value
    lanes: int
    mask: Value | None = None


def masked_load(builder: ir.IRBuilder, place: Value, run: Run, kind: ir.VectorType) -> Value:
    """Load a vector; lanes that do not count are 0."""
    size = _bytes(kind)
    if run.mask is None:
        return builder.load(place, align=size, typ=kind)
    name = f"llvm.masked.load.v{run.lanes}{kind.element.intrinsic_name}.p0"
    types = [ir.PointerType(), I32, run.mask.type, kind]
    function = _declared(builder.module, name, kind, types)
    return builder.call(function, [place, I32(size), run.mask, ir.Constant(kind, None)])


def masked_store(builder: ir.IRBuilder, value: Value, place: Value, run: Run, size: int) -> None:
    """Store the lanes that count, of so many bytes each."""
    if run.mask is None:
        builder.store(value, place, align=size)
        return
    name = f"llvm.masked.store.v{run.lanes}{value.type.element.intrinsic_name}.p0"
    types = [value.type, ir.PointerType(), I32, run.mask.type]
    function = _declared(builder.module, name, ir.VoidType(), types)
    builder.call(function, [value, place, I32(size), run.mask])


def _bytes(kind: ir.VectorType) -> int:
    element = kind.element
    if isinstance(element, ir.IntType):
        return int(element.width) // 8
    return 8 if isinstance(element, ir.DoubleType) else 4


def _declared(
    module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type]
) -> ir.Function:
    found = module.globals.get(name)
    return found or ir.Function(module, ir.FunctionType(result, arguments), name)


def first_lanes(builder: ir.IRBuilder, count: Value, lanes: int) -> Value | None:
    """Return the mask of the first lanes; None where they are known to be all."""
    if isinstance(count, ir.Constant):
        if count.constant >= lanes:
            return None
        return _listed(ir.IntType(1), *[int(each < count.constant) for each in range(lanes)])
    # Lanes are compared in 32 bits, which are as wide as most entries.
    limit = ir.Constant(count.type, lanes)
    fewer = builder.select(builder.icmp_unsigned("<", count, limit), count, limit)
    kind = ir.VectorType(I32, lanes)
    empty = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(empty, builder.trunc(fewer, I32), I32(0))
    every = builder.shuffle_vector(first, empty, ir.Constant(kind, None))
    return builder.icmp_unsigned("<", lane_numbers(0, lanes), every)


def lane_numbers(first: int, count: int) -> ir.Constant:
    """Return a vector of the numbers from first on."""
    return _listed(I32, *range(first, first + count))


@cache
def _listed(kind: ir.Type, *numbers: int) -> ir.Constant:
    """Return a constant vector; llvmlite takes long to make one and to put its text together."""
    return ir.Constant(ir.VectorType(kind, len(numbers)), list(numbers))


def choose_lanes(plan: Plan, nodes: tuple[int, ...], count: int, wide: int = 1) -> int:
    """Return how many lanes a loop over so many entries should have; 0 where none.

    Parameters
    ----------
    plan : Plan
    nodes : tuple of int
        What is computed in the loop.
    count : int
        How many rounds a loop over entries would have.
    wide : int
        How many registers each vector may fill, where the entries fill them.
    """
    bits = host().vector_bits
    sizes = {plan.graph.nodes[k].dtype.itemsize for each in nodes for k in _involved(plan, each)}
    if bits < MASKED_BITS or (min(sizes) < 4 and bits < 512):
        return 0
    lanes = bits // 8 // max(4, *sizes)
    while wide > 1 and not divides(lanes * wide, count):
        wide //= 2
    if isinstance(count, BatchSize) or count > lanes:
        return lanes * wide
    return smallest_vector(count)


def smallest_vector(count: int) -> int:
    """Return the lanes of the smallest vector that holds so many entries."""
    return 1 << max(count - 1, 1).bit_length()


def divides(lanes: int, count: int) -> bool:
    """Whether a size is a multiple of a number of lanes, for every batch length."""
    return int(count.factor if isinstance(count, BatchSize) else count) % lanes == 0


def _involved(plan: Plan, index: int) -> set[int]:
    """A node and all that its loop computes or reads."""
    nodes, storage = plan.graph.nodes, plan.storage
    found = {index}
    waiting = list(nodes[index].inputs)
    while waiting:
        each = waiting.pop()
        found.add(each)
        if storage[each] is Storage.INLINE:
            waiting.extend(nodes[each].inputs)
    return found


def run_axis(shape: Shape) -> int | None:
    """Return the axis along which entries lie side by side: the last that is longer than 1."""
    longer = [axis for axis, size in enumerate(shape) if size != 1]
    return longer[-1] if longer else None


def can_run(plan: Plan, index: int, axis: int, *, computed: bool = False) -> bool:
    """Whether a node can be computed for a run along an axis.

    All that it reads must lie side by side along it, or not depend on it.

    Parameters
    ----------
    plan : Plan
    index, axis : int
    computed : bool
        The node is the kernel's own: not read, but computed.
    """
    waiting = [(index, axis, computed)]
    while waiting:
        each, along, own = waiting.pop()
        node = plan.graph.nodes[each]
        if plan.is_number(each) or node.shape[along] == 1:
            continue
        if not own:
            view = plan.view(each)
            if view is not None:
                if plan.is_number(view.base) or view.strides[along] in (0, 1):
                    continue
                return False
        below = _operands_along(plan, node, along)
        if below is None:
            return False
        waiting.extend((operand, inner, False) for operand, inner in below)
    return True


def _operands_along(plan: Plan, node: Node, along: int) -> list[tuple[int, int]] | None:
    """The operands that depend on the place along an axis, and their axis; None if unknown."""
    shapes = [plan.graph.nodes[k].shape for k in node.inputs]
    if node.primitive.kind is Kind.ELEMENTWISE or node.primitive is BROADCAST:
        found = []
        for operand, shape in zip(node.inputs, shapes, strict=True):
            inner = along - (len(node.shape) - len(shape))
            if inner >= 0 and math.prod(shape) != 1:
                found.append((operand, inner))
        return found
    if node.primitive is PERMUTE:
        return [(node.inputs[0], node.attributes["axes"][along])]
    if node.primitive is RESHAPE:
        kept = [axis for axis, size in enumerate(shapes[0]) if size != 1]
        here = [axis for axis, size in enumerate(node.shape) if size != 1]
        same = [shapes[0][k] for k in kept] == [node.shape[k] for k in here]
        return [(node.inputs[0], kept[here.index(along)])] if same else None
    if node.primitive is GATHER:
        after = node.attributes["axis"] + len(shapes[1])
        return [(node.inputs[0], along - len(shapes[1]) + 1)] if along >= after else None
    return None
