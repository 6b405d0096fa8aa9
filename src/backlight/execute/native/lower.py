"""From a plan to LLVM: one function per kernel, and one that calls them in order.

Each kernel writes one node's value.  It reads stored nodes through pointers that do not overlap
with what it writes, and computes inlined nodes inside its loop body.  The main function takes the
addresses of inputs, constants and outputs, an arena for everything between, and calls the kernels
one after the other: no Python and no allocation inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llvmlite import ir

from backlight.errors import MissingRuleError
from backlight.execute.iteration import Iteration
from backlight.execute.native.emit import Emitter
from backlight.execute.native.emit import lower as lower_scalar
from backlight.execute.native.loop import write_loop
from backlight.execute.native.matmul import emit_matmul
from backlight.execute.native.matmul_choose import choose
from backlight.execute.native.matmul_spec import MatmulSpec
from backlight.execute.native.number import BOOL, INT64, Number, memory_type
from backlight.execute.native.plan import (
    Plan,
    Storage,
    View,
    can_lower,
    is_flat,
    read_buffers,
    row_major,
)
from backlight.graph.node import Node
from backlight.graph.primitive import Dtype, Fold, Kind, Shape
from backlight.ops.index import GATHER, SCATTER_ADD
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.reduce import CUMULATIVE_SUM

I64 = ir.IntType(64)
I32 = ir.IntType(32)
PTR = ir.PointerType()
VOID = ir.VoidType()
MAIN = "backlight_main"

Value: TypeAlias = Any
"""An LLVM value; llvmlite has no types of its own to check."""


@dataclass(slots=True)
class Index:
    """Where in a value: one number per axis, and the row-major position when it is known."""

    axes: list[Value]
    flat: Value | None = None


@dataclass(slots=True)
class Lowered:
    """LLVM code for a plan.

    Attributes
    ----------
    module : ir.Module
    arguments : tuple of int
        The nodes whose addresses the main function takes, in order: inputs, constants, outputs.
    callbacks : tuple of int
        Nodes that Python evaluates, because their record has no lowering.
    workspace : int
        Bytes behind the arena that matrix products copy parts of their operands to.
    """

    module: ir.Module
    arguments: tuple[int, ...]
    callbacks: tuple[int, ...] = ()
    workspace: int = 0


def lower(plan: Plan, iteration: Iteration | None = None) -> Lowered:
    """Write the LLVM module of a plan.

    Parameters
    ----------
    plan : Plan
    iteration : Iteration, optional
        Also write the function that runs the graph over and over.

    Returns
    -------
    Lowered
    """
    module = ir.Module(name="backlight")
    graph = plan.graph
    given = [k for k in plan.needed if plan.storage[k] is Storage.INPUT]
    fixed = [
        k for k in plan.needed if plan.storage[k] is Storage.CONSTANT and graph.nodes[k].shape != ()
    ]
    results = [k for k in plan.kernels if k in set(graph.outputs)]
    if iteration is not None:
        # What only an iteration looks at has a place in the table too.
        given = [k for k in graph.inputs if k not in given] + given
    arguments = (*given, *fixed, *results)
    callbacks = []
    workspace = 0
    calls: list[tuple[int, ir.Function | None, list[int]]] = []
    for index in plan.kernels:
        if not can_lower(graph.nodes[index]):
            callbacks.append(index)
            calls.append((index, None, []))
            continue
        reads = sorted(
            k
            for k in read_buffers(plan, index)
            if not (plan.storage[k] is Storage.CONSTANT and graph.nodes[k].shape == ())
            and k != plan.alias.get(index)
        )
        kernel = Kernel(module, plan, index, reads)
        calls.append((index, kernel.build(), reads))
        workspace = max(workspace, kernel.workspace)
    main = _main(module, plan, arguments, calls)
    if iteration is not None:
        write_loop(module, main, graph, arguments, plan.alias, iteration)
    return Lowered(module, arguments, tuple(callbacks), workspace)


def _main(
    module: ir.Module,
    plan: Plan,
    arguments: Sequence[int],
    calls: Sequence[tuple[int, ir.Function | None, list[int]]],
) -> ir.Function:
    kind = ir.FunctionType(I32, [PTR, PTR, PTR])
    main = ir.Function(module, kind, MAIN)
    builder = ir.IRBuilder(main.append_basic_block("entry"))
    table, arena, callback = main.args
    status = builder.alloca(I32, name="status")
    builder.store(I32(0), status)
    pointers: dict[int, Value] = {}
    for place, index in enumerate(arguments):
        slot = builder.gep(table, [I64(place)], source_etype=PTR)
        pointers[index] = builder.load(slot, typ=PTR)
    for index, offset in plan.offsets.items():
        pointers[index] = builder.gep(arena, [I64(offset)], source_etype=ir.IntType(8))
    scratch = builder.gep(arena, [I64(plan.arena)], source_etype=ir.IntType(8))
    number = 0
    back = ir.FunctionType(VOID, [I32])
    for index, function, reads in calls:
        if function is None:
            builder.call(_Callee(callback, back), [I32(number)])
            number += 1
        else:
            builder.call(
                function, [pointers[index], status, scratch, *[pointers[k] for k in reads]]
            )
    builder.ret(builder.load(status, typ=I32))
    return main


class _Callee(ir.Value):  # type: ignore[misc]  # llvmlite is not typed
    """A pointer that is known to be a function of a given type."""

    def __init__(self, pointer: Value, kind: ir.FunctionType) -> None:
        self.pointer = pointer
        self.type = pointer.type
        self.function_type = kind

    def get_reference(self) -> str:
        """Write it as LLVM does."""
        return str(self.pointer.get_reference())


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix in memory: its rows are ``stride`` apart, or its columns when it is ``turned``."""

    pointer: Value
    stride: int
    turned: bool


@dataclass(slots=True)
class Kernel:
    """Writes the function that computes one stored node."""

    module: ir.Module
    plan: Plan
    index: int
    reads: list[int]
    builder: ir.IRBuilder = field(init=False)
    emitter: Emitter = field(init=False)
    out: Value = field(init=False)
    status: Value = field(init=False)
    pointers: dict[int, Value] = field(init=False)
    memo: dict[tuple[int, ...], tuple[Number, Index]] = field(init=False)
    scratch: Value = field(init=False)
    workspace: int = 0

    def build(self) -> ir.Function:
        """Write the function and return it."""
        kind = ir.FunctionType(VOID, [PTR, PTR, PTR, *[PTR] * len(self.reads)])
        function = ir.Function(self.module, kind, f"kernel_{self.index}")
        function.linkage = "internal"
        for argument in function.args:
            argument.add_attribute("noalias")
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.emitter = Emitter(self.builder)
        self.out, self.status, self.scratch, *rest = function.args
        self.pointers = dict(zip(self.reads, rest, strict=True))
        if self.index in self.plan.alias:
            self.pointers[self.plan.alias[self.index]] = self.out
        self.memo = {}
        self._body()
        self.builder.ret_void()
        return function

    @property
    def node(self) -> Node:
        """The node that is computed."""
        return self.plan.graph.nodes[self.index]

    def _body(self) -> None:
        node = self.node
        if node.primitive.kind is Kind.REDUCE:
            self._reduce(node)
        elif node.primitive.kind is Kind.CONTRACT:
            self._contract(node)
        elif node.primitive.kind is Kind.RANDOM:
            self._random(node)
        elif node.primitive is SCATTER_ADD:
            self._scatter(node)
        elif node.primitive is CUMULATIVE_SUM:
            self._scan(node)
        elif node.primitive is CONCAT:
            self._concat(node)
        elif node.primitive is RESHAPE:
            self._copy(node)
        else:
            self._map(node)

    # ── loops ────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _loop(self, count: int) -> Iterator[Value]:
        """A counted loop; its body may open further blocks."""
        builder = self.builder
        if count == 1:
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
        builder.branch(head)
        builder.position_at_end(head)
        number = builder.phi(I64)
        number.add_incoming(I64(0), before)
        memo, self.memo = self.memo, {}
        yield number
        self.memo = memo
        following = builder.add(number, I64(1), flags=["nuw", "nsw"])
        number.add_incoming(following, builder.block)
        more = builder.icmp_unsigned("<", following, I64(count))
        builder.cbranch(more, head, after)
        builder.position_at_end(after)

    def _nest(self, shape: Shape, body: Callable[[list[Value]], None]) -> None:
        """Loops over all entries of a shape, the last axis innermost."""

        def level(axis: int, axes: list[Value]) -> None:
            if axis == len(shape):
                body(axes)
                return
            with self._loop(shape[axis]) as number:
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

    def _value(self, index: int, at: Index) -> Number:
        plan = self.plan
        node = plan.graph.nodes[index]
        storage = plan.storage[index]
        if storage is Storage.CONSTANT and node.shape == ():
            return self.emitter.constant(node.attributes["value"].array[()], node.dtype)
        if storage is not Storage.INLINE:
            if at.flat is not None:
                return self._load(index, node, at.flat)
            return self._load(index, node, self._offset(at.axes, row_major(node.shape)))
        if node.primitive.kind is Kind.ELEMENTWISE:
            return self._elementwise(node, at)
        return self._moved(index, node, at)

    def _load(self, index: int, node: Node, position: Value) -> Number:
        return self._read(self.pointers[index], position, node.dtype)

    def _read(self, pointer: Value, position: Value, dtype: Dtype) -> Number:
        """Load one entry; a Boolean takes a byte in memory and one bit in a register."""
        kind = memory_type(dtype)
        place = self.builder.gep(pointer, [position], inbounds=True, source_etype=kind)
        found = self.builder.load(place, typ=kind)
        if dtype == BOOL:
            found = self.builder.icmp_unsigned("!=", found, kind(0))
        return self.emitter.number(found, dtype)

    def _store(self, value: Number, position: Value, node: Node) -> None:
        kind = memory_type(node.dtype)
        place = self.builder.gep(self.out, [position], inbounds=True, source_etype=kind)
        found = self._as(value, node.dtype).value
        if node.dtype == BOOL:
            found = self.builder.zext(found, kind)
        self.builder.store(found, place)

    def _as(self, value: Number, dtype: Dtype) -> Number:
        return value if value.dtype == dtype else self.emitter.cast(value, dtype)

    def _elementwise(self, node: Node, at: Index) -> Number:
        graph = self.plan.graph
        operands = []
        for operand in node.inputs:
            shape = graph.nodes[operand].shape
            operands.append(self.value(operand, self._broadcast(at, node.shape, shape)))
        result = lower_scalar(self.emitter, node.primitive, operands, node.attributes)
        return self._as(result, node.dtype)

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

    def _moved(self, index: int, node: Node, at: Index) -> Number:
        view = self.plan.view(index)
        if view is not None and at.axes:
            return self._load_view(view, at.axes)
        source = node.inputs[0]
        inner = self.plan.graph.nodes[source].shape
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
            placed = [
                builder.sub(I64(inner[axis] - 1), each) if axis in node.attributes["axes"] else each
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
        base = self.plan.graph.nodes[view.base]
        if self.plan.storage[view.base] is Storage.CONSTANT and base.shape == ():
            return self.value(view.base, Index([], I64(0)))
        position = self.builder.add(self._offset(axes, view.strides), I64(view.offset))
        return self._load(view.base, base, position)

    def _reshaped(self, source: int, node: Node, at: Index) -> Number:
        inner = self.plan.graph.nodes[source].shape
        if at.flat is not None:
            return self.value(source, self._unravel(at.flat, inner))
        kept = iter(each for each, size in zip(at.axes, node.shape, strict=True) if size != 1)
        return self.value(source, Index([I64(0) if size == 1 else next(kept) for size in inner]))

    def _unravel(self, flat: Value, shape: Shape) -> Index:
        axes = []
        for size, stride in zip(shape, row_major(shape), strict=True):
            number = self.builder.udiv(flat, I64(stride)) if stride != 1 else flat
            axes.append(self.builder.urem(number, I64(size)))
        return Index(axes, flat)

    def _padded(self, source: int, node: Node, axes: list[Value]) -> Number:
        builder = self.builder
        inner = self.plan.graph.nodes[source].shape
        inside: Value = ir.IntType(1)(1)
        placed = []
        for each, low, gap, size in zip(
            axes, node.attributes["before"], node.attributes["between"], inner, strict=True
        ):
            moved = builder.sub(each, I64(low))
            step = gap + 1
            number = builder.sdiv(moved, I64(step)) if step > 1 else moved
            good = builder.icmp_signed(">=", moved, I64(0))
            good = builder.and_(good, builder.icmp_signed("<", number, I64(size)))
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
        graph = self.plan.graph
        source, positions = node.inputs
        axis = node.attributes["axis"]
        count = len(graph.nodes[positions].shape)
        chosen = self.value(positions, Index(axes[axis : axis + count]))
        place = self._position(chosen, graph.nodes[source].shape[axis])
        return self.value(source, Index([*axes[:axis], place, *axes[axis + count :]]))

    def _position(self, chosen: Number, size: int) -> Value:
        builder = self.builder
        signed = chosen.dtype.kind == "i"
        wide = self._as(chosen, INT64).value
        negative = builder.icmp_signed("<", wide, I64(0))
        if signed:
            wide = builder.select(negative, builder.add(wide, I64(size)), wide)
        bad = builder.icmp_unsigned(">=", wide, I64(size))
        old = builder.load(self.status, typ=I32)
        builder.store(builder.select(bad, I32(1), old), self.status)
        return builder.select(bad, I64(0), wide)

    def _offset(self, axes: Sequence[Value], strides: Sequence[int]) -> Value:
        total: Value = I64(0)
        for each, stride in zip(axes, strides, strict=True):
            if stride == 0 or (isinstance(each, ir.Constant) and each.constant == 0):
                continue
            part = each if stride == 1 else self.builder.mul(each, I64(stride))
            zero = isinstance(total, ir.Constant) and total.constant == 0
            total = part if zero else self.builder.add(total, part)
        return total

    # ── kernels by kind ──────────────────────────────────────────────────────────────────────

    def _map(self, node: Node) -> None:
        if is_flat(self.plan, self.index):
            with self._loop(math.prod(node.shape)) as number:
                self._store(self._compute(Index([], number)), number, node)
            return

        def body(axes: list[Value]) -> None:
            position = self._offset(axes, row_major(node.shape))
            self._store(self._compute(Index(axes)), position, node)

        self._nest(node.shape, body)

    def _copy(self, node: Node) -> None:
        """A reshape that has to be stored: the operand's entries one after the other."""
        source = node.inputs[0]
        inner = self.plan.graph.nodes[source].shape
        strides = row_major(inner)

        def body(axes: list[Value]) -> None:
            self._store(self.value(source, Index(axes)), self._offset(axes, strides), node)

        self._nest(inner, body)

    def _compute(self, at: Index) -> Number:
        """The value of the kernel's own node, which is stored and not inlined."""
        node = self.node
        if node.primitive.kind is Kind.ELEMENTWISE:
            return self._elementwise(node, at)
        storage = self.plan.storage
        storage[self.index] = Storage.INLINE
        try:
            return self._moved(self.index, node, at)
        finally:
            storage[self.index] = Storage.BUFFER

    def _reduce(self, node: Node) -> None:
        source = node.inputs[0]
        operand = self.plan.graph.nodes[source]
        axes = node.attributes["axes"]
        shape = operand.shape
        fold = node.primitive.fold
        assert fold is not None
        kept = [axis for axis in range(len(shape)) if axis not in axes]
        if fold.position:
            self._reduce_position(node, operand.shape, kept, axes, fold, source)
            return
        start = self.emitter.constant(fold.start(operand.dtype), operand.dtype)

        def entry(order: Sequence[int], numbers: Sequence[Value]) -> Number:
            placed: list[Value] = [I64(0)] * len(shape)
            for axis, number in zip(order, numbers, strict=True):
                placed[axis] = number
            return self.value(source, Index(placed))

        inner_kept = bool(kept) and kept[-1] == len(shape) - 1 and shape[-1] > 1
        outer = kept[:-1] if inner_kept else kept
        last = kept[-1:] if inner_kept else []

        def rows(numbers: list[Value]) -> None:
            if inner_kept:
                self._reduce_rows(node, operand, fold, start, outer, numbers, axes, last, entry)
            else:
                self._reduce_cell(node, operand, fold, start, numbers, outer, axes, entry)

        self._nest(tuple(shape[axis] for axis in outer), rows)

    def _reduce_rows(
        self, node: Node, operand: Node, fold: Fold, start: Number, outer: Sequence[int],
        numbers: list[Value], axes: Sequence[int], last: Sequence[int],
        entry: Callable[[Sequence[int], Sequence[Value]], Number],
    ) -> None:  # fmt: skip
        """Fold whole rows at a time, so that neighbouring results advance together."""
        shape = operand.shape
        width = shape[last[0]]
        strides = row_major(node.shape)
        base = self._offset(numbers, strides[: len(numbers)])
        with self._loop(width) as column:
            self._store(start, self.builder.add(base, column), node)
        if math.prod(shape[axis] for axis in axes) == 0:
            return

        def body(reduced: list[Value]) -> None:
            with self._loop(width) as column:
                place = self.builder.add(base, column)
                found = entry([*outer, *axes, *last], [*numbers, *reduced, column])
                old = self._read(self.out, place, node.dtype)
                self._store(fold.combine(self.emitter, old, found), place, node)

        self._nest(tuple(shape[axis] for axis in axes), body)

    def _reduce_cell(
        self, node: Node, operand: Node, fold: Fold, start: Number, numbers: list[Value],
        outer: Sequence[int], axes: Sequence[int],
        entry: Callable[[Sequence[int], Sequence[Value]], Number],
    ) -> None:  # fmt: skip
        """Fold one result in a register."""
        shape = operand.shape
        builder = self.builder
        cell = _entry_alloca(builder, start.value.type)
        builder.store(start.value, cell)
        if math.prod(shape[axis] for axis in axes) > 0:

            def body(reduced: list[Value]) -> None:
                found = entry([*outer, *axes], [*numbers, *reduced])
                old = self.emitter.number(builder.load(cell, typ=start.value.type), start.dtype)
                new = self._as(fold.combine(self.emitter, old, found), start.dtype)
                _reassociate(new.value)
                builder.store(new.value, cell)

            self._nest(tuple(shape[axis] for axis in axes), body)
        result = self.emitter.number(builder.load(cell, typ=start.value.type), start.dtype)
        self._store(result, self._offset(numbers, row_major(node.shape)), node)

    def _reduce_position(
        self, node: Node, shape: Shape, kept: Sequence[int], axes: Sequence[int], fold: Fold,
        source: int,
    ) -> None:  # fmt: skip
        """The row-major position of the first best entry; NaN counts as best, as in NumPy."""
        builder = self.builder
        sizes = tuple(shape[axis] for axis in axes)

        def rows(numbers: list[Value]) -> None:
            def at(reduced: Sequence[Value]) -> Number:
                placed: list[Value] = [I64(0)] * len(shape)
                for axis, number in zip((*kept, *axes), (*numbers, *reduced), strict=True):
                    placed[axis] = number
                return self.value(source, Index(placed))

            first = at([I64(0)] * len(axes))
            best = _entry_alloca(builder, first.value.type)
            where = _entry_alloca(builder, I64)
            builder.store(first.value, best)
            builder.store(I64(0), where)

            def body(reduced: list[Value]) -> None:
                found = at(reduced)
                old = builder.load(best, typ=found.value.type)
                kept_best = self.emitter.number(old, found.dtype)
                better = fold.combine(self.emitter, kept_best, found).value
                place = self._offset(reduced, row_major(sizes))
                builder.store(builder.select(better, found.value, old), best)
                before = builder.load(where, typ=I64)
                builder.store(builder.select(better, place, before), where)

            self._nest(sizes, body)
            result = self.emitter.number(builder.load(where, typ=I64), INT64)
            self._store(result, self._offset(numbers, row_major(node.shape)), node)

        self._nest(tuple(shape[axis] for axis in kept), rows)

    def _contract(self, node: Node) -> None:
        """Sums of products: a matrix product where it is one, and else row by row of the result."""
        if self._matrix_product(node):
            return
        graph = self.plan.graph
        left, right = node.inputs
        labels = (node.attributes["left"], node.attributes["right"])
        result = node.attributes["result"]
        sizes = dict(zip(labels[0], graph.nodes[left].shape, strict=True))
        sizes |= dict(zip(labels[1], graph.nodes[right].shape, strict=True))
        summed = [label for label in labels[0] if label not in result]
        zero = self.emitter.constant(0, node.dtype)
        outer, inner = result[:-1], result[-1:]
        width = sizes[inner[0]] if inner else 1

        def rows(numbers: list[Value]) -> None:
            at = dict(zip(outer, numbers, strict=True))
            base = self._offset(numbers, row_major(node.shape)[: len(numbers)])
            with self._loop(width) as column:
                self._store(zero, self.builder.add(base, column), node)
            if any(sizes[label] == 0 for label in summed):
                return

            def body(reduced: list[Value]) -> None:
                inside = at | dict(zip(summed, reduced, strict=True))
                with self._loop(width) as column:
                    full = inside | dict.fromkeys(inner, column)
                    operands = []
                    for operand, own in zip((left, right), labels, strict=True):
                        found = self.value(operand, Index([full[label] for label in own]))
                        operands.append(found)
                    a, b = (self._as(each, node.dtype) for each in operands)
                    place = self.builder.add(base, column)
                    old = self._read(self.out, place, node.dtype)
                    self._store(self.emitter.add(old, self.emitter.mul(a, b)), place, node)

            self._nest(tuple(sizes[label] for label in summed), body)

        self._nest(tuple(sizes[label] for label in outer), rows)

    def _matrix_product(self, node: Node) -> bool:
        """Call a kernel made for the shape; False when this contraction is no plain product."""
        result = node.attributes["result"]
        sides = [
            (node.attributes["left"], node.inputs[0]),
            (node.attributes["right"], node.inputs[1]),
        ]
        if len(result) != 2 or any(len(labels) != 2 for labels, _ in sides):
            return False
        if result[0] not in sides[0][0]:
            sides.reverse()
        (labels_a, a), (labels_b, b) = sides
        if node.dtype.kind != "f" or 0 in node.shape or result[0] not in labels_a:
            return False
        nodes = self.plan.graph.nodes
        if result[1] not in labels_b or {nodes[a].dtype, nodes[b].dtype} != {node.dtype}:
            return False
        summed = next(label for label in labels_a if label != result[0])
        left = self._matrix(a, labels_a, result[0], summed)
        right = self._matrix(b, labels_b, summed, result[1])
        k = dict(zip(labels_a, nodes[a].shape, strict=True))[summed]
        if left is None or right is None or k == 0:
            return False
        m, n = node.shape
        spec = MatmulSpec(
            str(node.dtype), left.turned, right.turned, m, n, k, left.stride, right.stride, n
        )
        tiling = choose(spec, m, n, k)
        function = emit_matmul(self.module, spec, tiling)
        self.workspace = tiling.workspace_bytes(spec, k)
        sizes = [I64(each) for each in (n, n, k, 0, m, 0, n)]
        self.builder.call(
            function,
            [left.pointer, I64(left.stride), right.pointer, I64(right.stride), self.out,
             *sizes, self.scratch],
        )  # fmt: skip
        return True

    def _matrix(self, index: int, labels: Sequence[int], row: int, column: int) -> _Matrix | None:
        """How an operand lies in memory as a matrix, or None when neither axis is contiguous."""
        view = self.plan.view(index)
        if view is None:
            return None
        base = self.plan.graph.nodes[view.base]
        if self.plan.storage[view.base] is Storage.CONSTANT and base.shape == ():
            return None
        sizes = dict(zip(labels, self.plan.graph.nodes[index].shape, strict=True))
        strides = dict(zip(labels, view.strides, strict=True))
        down, across = strides[row], strides[column]
        kind = memory_type(base.dtype)
        pointer = self.builder.gep(
            self.pointers[view.base], [I64(view.offset)], inbounds=True, source_etype=kind
        )
        if across == 1 and (down >= sizes[column] or sizes[row] == 1):
            return _Matrix(pointer, max(down, sizes[column]), False)
        if down == 1 and (across >= sizes[row] or sizes[column] == 1):
            return _Matrix(pointer, max(across, sizes[row]), True)
        return None

    def _random(self, node: Node) -> None:
        rule = node.primitive.lower
        assert rule is not None
        seed, step = (self.value(each, Index([], I64(0))) for each in node.inputs)
        with self._loop(math.prod(node.shape)) as number:
            position = self.emitter.number(number, INT64)
            value = rule(self.emitter, seed, step, position, **node.attributes)
            self._store(value, number, node)

    def _scatter(self, node: Node) -> None:
        graph = self.plan.graph
        upstream, positions = node.inputs
        shape = graph.nodes[upstream].shape
        axis, count = node.attributes["axis"], len(graph.nodes[positions].shape)
        strides = row_major(node.shape)
        with self._loop(math.prod(node.shape)) as number:
            self._store(self.emitter.constant(0, node.dtype), number, node)
        if 0 in shape:
            return

        def body(axes: list[Value]) -> None:
            chosen = self.value(positions, Index(axes[axis : axis + count]))
            place = self._position(chosen, node.shape[axis])
            target = self._offset([*axes[:axis], place, *axes[axis + count :]], strides)
            old = self._read(self.out, target, node.dtype)
            new = self.emitter.add(old, self.value(upstream, Index(axes)))
            self._store(new, target, node)

        self._nest(shape, body)

    def _scan(self, node: Node) -> None:
        source = node.inputs[0]
        axis = node.attributes["axis"]
        strides = row_major(node.shape)
        outer, size, inner = node.shape[:axis], node.shape[axis], node.shape[axis + 1 :]
        if 0 in node.shape:
            return

        def rows(before: list[Value]) -> None:
            def first(after: list[Value]) -> None:
                axes = [*before, I64(0), *after]
                self._store(self.value(source, Index(axes)), self._offset(axes, strides), node)

            self._nest(inner, first)
            if size == 1:
                return
            with self._loop(size - 1) as number:
                here = self.builder.add(number, I64(1))

                def cell(after: list[Value]) -> None:
                    axes = [*before, here, *after]
                    previous = self._offset([*before, number, *after], strides)
                    old = self._read(self.out, previous, node.dtype)
                    new = self.emitter.add(old, self.value(source, Index(axes)))
                    self._store(new, self._offset(axes, strides), node)

                self._nest(inner, cell)

        self._nest(outer, rows)

    def _concat(self, node: Node) -> None:
        axis = node.attributes["axis"]
        start = 0
        for operand in node.inputs:
            shape = self.plan.graph.nodes[operand].shape
            shift = start

            def body(axes: list[Value], operand: int = operand, shift: int = shift) -> None:
                placed = list(axes)
                placed[axis] = self.builder.add(axes[axis], I64(shift))
                found = self.value(operand, Index(axes))
                self._store(found, self._offset(placed, row_major(node.shape)), node)

            self._nest(shape, body)
            start += shape[axis]


def _reassociate(value: Value) -> None:
    """Let LLVM split a running sum over the lanes of vectors: another order, but a fixed one."""
    if isinstance(value, ir.Instruction) and value.opname in ("fadd", "fmul"):
        value.flags = [*value.flags, "reassoc"]


def _entry_alloca(builder: ir.IRBuilder, kind: ir.Type) -> Value:
    """A stack slot in the function's first block, so that loops do not grow the stack."""
    with builder.goto_entry_block():
        return builder.alloca(kind)
