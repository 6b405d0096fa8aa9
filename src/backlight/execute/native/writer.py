"""Loops and values: the vocabulary in which kernels are written.

A `Writer` writes one function that computes one or more stored nodes.  It reads stored nodes
through pointers that do not overlap with what it writes, and computes inlined nodes inside its
loop body.  Sizes that depend on the batch length are read from an argument.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from llvmlite import ir

from backlight.errors import MissingRuleError
from backlight.execute.native.batch import BatchSize
from backlight.execute.native.emit import Emitter
from backlight.execute.native.emit import lower as lower_scalar
from backlight.execute.native.lanes import Run, divides, first_lanes, masked_load, masked_store
from backlight.execute.native.number import BOOL, INT64, Number, memory_type
from backlight.execute.native.plan import Plan
from backlight.execute.native.storage import Storage, View, row_major
from backlight.graph.node import Node
from backlight.graph.primitive import Dtype, Kind, Shape
from backlight.ops.index import GATHER
from backlight.ops.move import BROADCAST, FLIP, PAD, PERMUTE, RESHAPE, SLICE

I64 = ir.IntType(64)
I32 = ir.IntType(32)
PTR = ir.PointerType()
VOID = ir.VoidType()

UNROLLED = 16
"""Loops of so few rounds are written out, where that lets the loop around them be vectorised."""

Value: TypeAlias = Any
"""An LLVM value; llvmlite has no types of its own to check."""


@dataclass(slots=True)
class Index:
    """Where in a value: one number per axis, and the row-major position when it is known."""

    axes: list[Value]
    flat: Value | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """How a kernel can be divided among threads.

    Attributes
    ----------
    total : int
        What is divided: entries, rows, columns.
    unit : int
        Parts are multiples of it.
    """

    total: int
    unit: int


@dataclass(slots=True)
class Writer:
    """Writes the function of one kernel.

    Attributes
    ----------
    module : ir.Module
    plan : Plan
    members : tuple of int
        The nodes that are computed.
    reads : list of int
        The stored nodes that are read through pointers.
    share : Share or None
        Set while writing: how threads can divide the work; None when one of them does it all.
    workspace : int
        Set while writing: bytes that a matrix product copies parts of its operands to.
    plain : bool
        Set while writing: whether its loops go from entry to entry, so that LLVM should turn them
        into vector instructions.
    """

    module: ir.Module
    plan: Plan
    members: tuple[int, ...]
    reads: list[int]
    builder: ir.IRBuilder = field(init=False)
    emitter: Emitter = field(init=False)
    outs: dict[int, Value] = field(init=False)
    status: Value = field(init=False)
    scratch: Value = field(init=False)
    batch: Value = field(init=False)
    begin: Value = field(init=False)
    end: Value = field(init=False)
    pointers: dict[int, Value] = field(init=False)
    memo: dict[tuple[int, ...], tuple[Number, Index]] = field(init=False)
    share: Share | None = None
    workspace: int = 0
    plain: bool = True
    single: dict[int, Number] = field(default_factory=dict)

    def open(self) -> ir.Function:
        """Begin the function and return it."""
        kind = ir.FunctionType(
            VOID, [PTR] * (len(self.members) + len(self.reads) + 2) + [I64, I64, I64]
        )
        function = ir.Function(self.module, kind, f"kernel_{self.members[0]}")
        function.linkage = "internal"
        for argument in function.args[:-3]:
            argument.add_attribute("noalias")
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.emitter = Emitter(self.builder)
        count = len(self.members)
        self.outs = dict(zip(self.members, function.args[:count], strict=True))
        self.pointers = dict(zip(self.reads, function.args[count:-5], strict=True))
        self.status, self.scratch, self.batch, self.begin, self.end = function.args[-5:]
        for member in self.members:
            if member in self.plan.alias:
                self.pointers[self.plan.alias[member]] = self.outs[member]
        self.memo = {}
        return function

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The graph's nodes."""
        return self.plan.graph.nodes

    def size(self, number: int) -> Value:
        """A size as a value: fixed, or a multiple of the batch length."""
        if not isinstance(number, BatchSize):
            return I64(number)
        if number.factor == 1:
            return self.batch
        return self.builder.mul(self.batch, I64(number.factor), flags=["nuw", "nsw"])

    # ── loops ────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def loop(self, count: int, *, shared: bool = False, step: int = 1) -> Iterator[Value]:
        """A counted loop, of this thread's share alone with ``shared``; bodies may have blocks."""
        builder = self.builder
        if count == 1 and not shared:
            yield I64(0)
            return
        before = builder.block
        head = builder.append_basic_block("loop")
        after = builder.append_basic_block("done")
        if count == 0:  # the body is written all the same, where nothing leads
            builder.branch(after)
            builder.position_at_end(head)
            yield I64(0)
            builder.branch(after)
            builder.position_at_end(after)
            return
        start = self.begin if shared else I64(0)
        end = self.end if shared else self.size(count)
        if shared:
            builder.cbranch(builder.icmp_unsigned("<", start, end), head, after)
        else:
            builder.branch(head)
        builder.position_at_end(head)
        number = builder.phi(I64)
        number.add_incoming(start, before)
        memo, self.memo = self.memo, {}
        yield number
        self.memo = memo
        following = builder.add(number, I64(step), flags=["nuw", "nsw"])
        number.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_unsigned("<", following, end), head, after)
        builder.position_at_end(after)

    @contextmanager
    def runs(self, count: int, lanes: int, *, shared: bool = False) -> Iterator[Run]:
        """A loop that goes forward by vectors; in the last round some lanes may not count."""
        if not isinstance(count, BatchSize) and count <= lanes and not shared:
            yield Run(I64(0), lanes, first_lanes(self.builder, I64(count), lanes))
            return
        with self.loop(count, shared=shared, step=lanes) as first:
            if divides(lanes, count):
                yield Run(first, lanes)
                return
            end = self.end if shared else self.size(count)
            rest = self.builder.sub(end, first)
            yield Run(first, lanes, first_lanes(self.builder, rest, lanes))

    def nest(
        self,
        shape: Shape,
        body: Callable[[list[Value]], None],
        *,
        shared: bool = False,
        unroll: bool = False,
        run: tuple[int, int] | None = None,
    ) -> None:
        """Loops over all entries of a shape, the last axis innermost.

        The first may be shared among threads; or short ones written out with ``unroll``; or one
        axis, with no longer ones inside it, goes forward by runs of so many lanes.
        """
        if unroll and 1 < math.prod(shape) <= UNROLLED and not _depends_on_batch(shape):
            for place in itertools.product(*(range(size) for size in shape)):
                body([I64(number) for number in place])
            return

        def level(axis: int, axes: list[Value]) -> None:
            if axis == len(shape):
                body(axes)
                return
            split = shared and axis == 0
            if run is not None and axis == run[0]:
                with self.runs(shape[axis], run[1], shared=split) as found:
                    level(axis + 1, [*axes, found])
                return
            with self.loop(shape[axis], shared=split) as number:
                level(axis + 1, [*axes, number])

        level(0, [])

    # ── values ───────────────────────────────────────────────────────────────────────────────

    def value(self, index: int, at: Index) -> Number:
        """Compute or load one entry of a node."""
        key = (index, id(at.flat), *[id(each) for each in at.axes])
        if key not in self.memo:
            # The index is kept beside the value: an identity is only good while it is alive.
            self.memo[key] = (self._value(index, at), at)
        return self.memo[key][0]

    def remember(self, index: int, at: Index, value: Number) -> None:
        """Let what follows use a value that has just been computed."""
        key = (index, id(at.flat), *[id(each) for each in at.axes])
        self.memo[key] = (self.as_dtype(value, self.nodes[index].dtype), at)

    def _value(self, index: int, at: Index) -> Number:
        plan = self.plan
        node = self.nodes[index]
        storage = plan.storage[index]
        if plan.is_number(index):
            return self.emitter.constant(node.attributes["value"].array[()], node.dtype)
        if storage is not Storage.INLINE:
            if at.flat is not None:
                return self._load(index, node, at.flat)
            return self._load(index, node, self.offset(at.axes, row_major(node.shape)))
        if node.primitive.kind is Kind.ELEMENTWISE:
            return self.elementwise(node, at)
        return self.moved(index, node, at)

    def _load(self, index: int, node: Node, position: Value) -> Number:
        return self.read(self.pointers[index], position, node.dtype)

    def read(self, pointer: Value, position: Value, dtype: Dtype) -> Number:
        """Load one entry, or a run; a Boolean takes a byte in memory and one bit in a register."""
        kind = memory_type(dtype)
        if isinstance(position, Run):
            place = self._place(pointer, position.first, kind)
            found = masked_load(self.builder, place, position, memory_type(dtype, position.lanes))
        else:
            found = self.builder.load(self._place(pointer, position, kind), typ=kind)
        if dtype == BOOL:
            found = self.builder.icmp_unsigned("!=", found, ir.Constant(found.type, None))
        return self.emitter.number(found, dtype)

    def store(self, value: Number, position: Value, index: int) -> None:
        """Store one entry of a node that this kernel computes, or a run of them."""
        dtype = self.nodes[index].dtype
        kind = memory_type(dtype)
        lanes = position.lanes if isinstance(position, Run) else 0
        found = self.emitter.spread(self.as_dtype(value, dtype), lanes).value
        if dtype == BOOL:
            found = self.builder.zext(found, memory_type(dtype, lanes))
        if isinstance(position, Run):
            place = self._place(self.outs[index], position.first, kind)
            masked_store(self.builder, found, place, position, dtype.itemsize)
        else:
            self.builder.store(found, self._place(self.outs[index], position, kind))

    def _place(self, pointer: Value, position: Value, kind: ir.Type) -> Value:
        if isinstance(position, ir.Constant) and position.constant == 0:
            return pointer
        return self.builder.gep(pointer, [position], inbounds=True, source_etype=kind)

    def as_dtype(self, value: Number, dtype: Dtype) -> Number:
        return value if value.dtype == dtype else self.emitter.cast(value, dtype)

    def elementwise(self, node: Node, at: Index) -> Number:
        operands = []
        for operand in node.inputs:
            shape = self.nodes[operand].shape
            if operand in self.single:
                operands.append(self.single[operand])
                continue
            found = self.value(operand, self._broadcast(at, node.shape, shape))
            if math.prod(shape) == 1 and math.prod(node.shape) != 1:
                found = replace(found, uniform=True)
            operands.append(found)
        result = lower_scalar(self.emitter, node.primitive, operands, node.attributes)
        return self.as_dtype(result, node.dtype)

    def _broadcast(self, at: Index, outer: Shape, inner: Shape) -> Index:
        """The place in an operand that broadcasting pairs with a place in the result."""
        if inner == outer:
            return at
        if math.prod(inner) == 1:
            return Index([I64(0)] * len(inner), I64(0))
        added = len(outer) - len(inner)
        return Index(
            [
                I64(0) if size == 1 else each
                for size, each in zip(inner, at.axes[added:], strict=True)
            ]
        )

    def moved(self, index: int, node: Node, at: Index) -> Number:
        view = self.plan.view(index)
        if view is not None and at.axes:
            return self._load_view(view, at.axes)
        source = node.inputs[0]
        inner = self.nodes[source].shape
        axes = at.axes
        builder = self.builder
        if node.primitive is PERMUTE:
            order = node.attributes["axes"]
            placed: list[Value] = [I64(0)] * len(axes)
            for axis, each in zip(order, axes, strict=True):
                placed[axis] = each
            return self.value(source, Index(placed))
        if node.primitive is BROADCAST:
            return self.value(source, self._broadcast(at, node.shape, inner))
        if node.primitive is SLICE:
            placed = [
                builder.add(builder.mul(each, I64(step)), I64(start))
                for each, start, step in zip(
                    axes, node.attributes["starts"], node.attributes["steps"], strict=True
                )
            ]
            return self.value(source, Index(placed))
        if node.primitive is FLIP:
            turned = node.attributes["axes"]
            placed = [
                builder.sub(builder.sub(self.size(inner[axis]), I64(1)), each)
                if axis in turned
                else each
                for axis, each in enumerate(axes)
            ]
            return self.value(source, Index(placed))
        if node.primitive is RESHAPE:
            return self._reshaped(source, node, at)
        if node.primitive is PAD:
            return self._padded(source, node, axes)
        if node.primitive is GATHER:
            return self._gathered(node, axes)
        raise MissingRuleError(f"The primitive {node.primitive.name} has no lowering rule.")

    def _load_view(self, view: View, axes: list[Value]) -> Number:
        base = self.nodes[view.base]
        if self.plan.is_number(view.base):
            return self.value(view.base, Index([], I64(0)))
        position = self.offset(axes, view.strides, view.offset)
        return self._load(view.base, base, position)

    def _reshaped(self, source: int, node: Node, at: Index) -> Number:
        inner = self.nodes[source].shape
        if at.flat is not None:
            return self.value(source, self._unravel(at.flat, inner))
        kept = iter(each for each, size in zip(at.axes, node.shape, strict=True) if size != 1)
        return self.value(source, Index([I64(0) if size == 1 else next(kept) for size in inner]))

    def _unravel(self, flat: Value, shape: Shape) -> Index:
        axes = []
        for size, stride in zip(shape, row_major(shape), strict=True):
            number = self.builder.udiv(flat, self.size(stride)) if stride != 1 else flat
            axes.append(self.builder.urem(number, self.size(size)))
        return Index(axes, flat)

    def _padded(self, source: int, node: Node, axes: list[Value]) -> Number:
        builder = self.builder
        inner = self.nodes[source].shape
        inside: Value = ir.IntType(1)(1)
        placed = []
        for each, low, gap, size in zip(
            axes, node.attributes["before"], node.attributes["between"], inner, strict=True
        ):
            moved = builder.sub(each, I64(low))
            step = gap + 1
            number = builder.sdiv(moved, I64(step)) if step > 1 else moved
            good = builder.icmp_signed(">=", moved, I64(0))
            good = builder.and_(good, builder.icmp_signed("<", number, self.size(size)))
            if step > 1:
                whole = builder.icmp_signed("==", builder.srem(moved, I64(step)), I64(0))
                good = builder.and_(good, whole)
            inside = builder.and_(inside, good)
            placed.append(builder.select(good, number, I64(0)))
        fill = self.emitter.constant(node.attributes.get("fill", 0.0), node.dtype)
        if 0 in inner:
            return fill
        found = self.value(source, Index(placed))
        return self.emitter.select(self.emitter.number(inside, BOOL), found, fill)

    def _gathered(self, node: Node, axes: list[Value]) -> Number:
        """An entry chosen by a position; one out of range reads entry 0 and is reported."""
        source, positions = node.inputs
        axis = node.attributes["axis"]
        count = len(self.nodes[positions].shape)
        chosen = self.value(positions, Index(axes[axis : axis + count]))
        place = self.position(chosen, self.nodes[source].shape[axis])
        return self.value(source, Index([*axes[:axis], place, *axes[axis + count :]]))

    def position(self, chosen: Number, size: int) -> Value:
        builder = self.builder
        signed = chosen.dtype.kind == "i"
        wide = self.as_dtype(chosen, INT64).value
        negative = builder.icmp_signed("<", wide, I64(0))
        if signed:
            wide = builder.select(negative, builder.add(wide, self.size(size)), wide)
        bad = builder.icmp_unsigned(">=", wide, self.size(size))
        old = builder.load(self.status, typ=I32)
        builder.store(builder.select(bad, I32(1), old), self.status)
        return builder.select(bad, I64(0), wide)

    def offset(self, axes: Sequence[Value], strides: Sequence[int], start: int = 0) -> Value:
        """Where an entry is in memory; a run, where the place along one of the axes is a run."""
        total = self.size(start)
        run: Run | None = None
        for each, stride in zip(axes, strides, strict=True):
            if stride == 0:
                continue
            if isinstance(each, Run):
                assert stride == 1, "a run is of neighbours in memory"
                run = each
                each = each.first
            if isinstance(each, ir.Constant) and each.constant == 0:
                continue
            part = each if stride == 1 else self.builder.mul(each, self.size(stride))
            zero = isinstance(total, ir.Constant) and total.constant == 0
            total = part if zero else self.builder.add(total, part)
        return total if run is None else replace(run, first=total)


def _depends_on_batch(shape: Shape) -> bool:
    return any(isinstance(size, BatchSize) for size in shape)


def entry_alloca(builder: ir.IRBuilder, kind: ir.Type) -> Value:
    """A stack slot in the function's first block, so that loops do not grow the stack."""
    with builder.goto_entry_block():
        return builder.alloca(kind)
