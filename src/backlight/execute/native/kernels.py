"""The kernels by kind: what the loop of each kind of primitive looks like.

`Kernel.build` writes the function of one group of nodes: a map over entries, a reduction, random
numbers, a scatter, a running sum, or copies; contractions are in `products`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.native.number import INT64, Number
from backlight.execute.native.products import write_contraction
from backlight.execute.native.storage import Storage, row_major
from backlight.execute.native.writer import I64, Index, Share, Value, Writer, entry_alloca
from backlight.graph.node import Node
from backlight.graph.primitive import Fold, Kind, Shape
from backlight.ops.index import SCATTER_ADD
from backlight.ops.move import CONCAT, RESHAPE
from backlight.ops.reduce import CUMULATIVE_SUM

SHARED_ENTRIES = 64
"""Threads divide flat loops at multiples of so many entries: whole cache lines of any dtype."""


@dataclass(slots=True)
class Kernel(Writer):
    """Writes the function that computes one group of stored nodes."""

    def build(self) -> ir.Function:
        """Write the function and return it."""
        function = self.open()
        node = self.nodes[self.members[0]]
        if node.primitive.kind is Kind.REDUCE:
            self._reduce(node)
        elif node.primitive.kind is Kind.CONTRACT:
            self.share, self.workspace = write_contraction(self, self.members[0])
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
        self.builder.ret_void()
        return function

    @property
    def index(self) -> int:
        """The node, where there is only one."""
        return self.members[0]

    def _map(self, node: Node) -> None:
        """Everything is computed before anything is stored: results may replace operands."""

        def body(at: Index, position: Value) -> None:
            found = []
            for member in self.members:
                value = self._compute(member, at)
                self.remember(member, at, value)
                found.append(value)
            for member, value in zip(self.members, found, strict=True):
                self.store(value, position, member)

        total = math.prod(node.shape)
        if all(self.plan.is_flat(member) for member in self.members):
            self.share = Share(total, SHARED_ENTRIES) if total != 1 else None
            with self.loop(total, shared=self.share is not None) as number:
                body(Index([], number), number)
            return

        def entry(axes: list[Value]) -> None:
            body(Index(axes), self.offset(axes, row_major(node.shape)))

        self.share = Share(node.shape[0], 1) if node.shape and 0 not in node.shape else None
        self.nest(node.shape, entry, shared=self.share is not None)

    def _copy(self, node: Node) -> None:
        """A reshape that has to be stored: the operand's entries one after the other."""
        source = node.inputs[0]
        inner = self.nodes[source].shape
        strides = row_major(inner)

        def body(axes: list[Value]) -> None:
            self.store(self.value(source, Index(axes)), self.offset(axes, strides), self.index)

        self.nest(inner, body)

    def _compute(self, index: int, at: Index) -> Number:
        """The value of a node of the kernel's own, which is stored and not inlined."""
        node = self.nodes[index]
        if node.primitive.kind is Kind.ELEMENTWISE:
            return self.elementwise(node, at)
        storage = self.plan.storage
        storage[index] = Storage.INLINE
        try:
            return self.moved(index, node, at)
        finally:
            storage[index] = Storage.BUFFER

    def _reduce(self, node: Node) -> None:
        source = node.inputs[0]
        operand = self.nodes[source]
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

        if 0 not in node.shape:
            if outer:
                self.share = Share(shape[outer[0]], 1)
            elif inner_kept:
                self.share = Share(shape[-1], SHARED_ENTRIES)
        self.nest(tuple(shape[axis] for axis in outer), rows, shared=bool(outer and self.share))

    def _reduce_rows(
        self, node: Node, operand: Node, fold: Fold, start: Number, outer: Sequence[int],
        numbers: list[Value], axes: Sequence[int], last: Sequence[int],
        entry: Callable[[Sequence[int], Sequence[Value]], Number],
    ) -> None:  # fmt: skip
        """Fold whole rows at a time, so that neighbouring results advance together."""
        shape = operand.shape
        width = shape[last[0]]
        strides = row_major(node.shape)
        base = self.offset(numbers, strides[: len(numbers)])
        shared = self.share is not None and not outer
        with self.loop(width, shared=shared) as column:
            self.store(start, self.builder.add(base, column), self.index)
        if math.prod(shape[axis] for axis in axes) == 0:
            return

        def body(reduced: list[Value]) -> None:
            with self.loop(width, shared=shared) as column:
                place = self.builder.add(base, column)
                found = entry([*outer, *axes, *last], [*numbers, *reduced, column])
                old = self.read(self.outs[self.index], place, node.dtype)
                self.store(fold.combine(self.emitter, old, found), place, self.index)

        self.nest(tuple(shape[axis] for axis in axes), body)

    def _reduce_cell(
        self, node: Node, operand: Node, fold: Fold, start: Number, numbers: list[Value],
        outer: Sequence[int], axes: Sequence[int],
        entry: Callable[[Sequence[int], Sequence[Value]], Number],
    ) -> None:  # fmt: skip
        """Fold one result in a register."""
        shape = operand.shape
        builder = self.builder
        cell = entry_alloca(builder, start.value.type)
        builder.store(start.value, cell)
        if math.prod(shape[axis] for axis in axes) > 0:

            def body(reduced: list[Value]) -> None:
                found = entry([*outer, *axes], [*numbers, *reduced])
                old = self.emitter.number(builder.load(cell, typ=start.value.type), start.dtype)
                new = self.as_dtype(fold.combine(self.emitter, old, found), start.dtype)
                _reassociate(new.value)
                builder.store(new.value, cell)

            self.nest(tuple(shape[axis] for axis in axes), body, unroll=True)
        result = self.emitter.number(builder.load(cell, typ=start.value.type), start.dtype)
        self.store(result, self.offset(numbers, row_major(node.shape)), self.index)

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
            best = entry_alloca(builder, first.value.type)
            where = entry_alloca(builder, I64)
            builder.store(first.value, best)
            builder.store(I64(0), where)

            def body(reduced: list[Value]) -> None:
                found = at(reduced)
                old = builder.load(best, typ=found.value.type)
                kept_best = self.emitter.number(old, found.dtype)
                better = fold.combine(self.emitter, kept_best, found).value
                place = self.offset(reduced, row_major(sizes))
                builder.store(builder.select(better, found.value, old), best)
                before = builder.load(where, typ=I64)
                builder.store(builder.select(better, place, before), where)

            self.nest(sizes, body, unroll=True)
            result = self.emitter.number(builder.load(where, typ=I64), INT64)
            self.store(result, self.offset(numbers, row_major(node.shape)), self.index)

        self.nest(tuple(shape[axis] for axis in kept), rows)

    def _random(self, node: Node) -> None:
        rule = node.primitive.lower
        assert rule is not None
        seed, step = (self.value(each, Index([], I64(0))) for each in node.inputs)
        self.share = Share(math.prod(node.shape), SHARED_ENTRIES) if 0 not in node.shape else None
        with self.loop(math.prod(node.shape), shared=self.share is not None) as number:
            position = self.emitter.number(number, INT64)
            value = rule(self.emitter, seed, step, position, **node.attributes)
            self.store(value, number, self.index)

    def _scatter(self, node: Node) -> None:
        upstream, positions = node.inputs
        shape = self.nodes[upstream].shape
        axis, count = node.attributes["axis"], len(self.nodes[positions].shape)
        strides = row_major(node.shape)
        with self.loop(math.prod(node.shape)) as number:
            self.store(self.emitter.constant(0, node.dtype), number, self.index)
        if 0 in shape:
            return

        def body(axes: list[Value]) -> None:
            chosen = self.value(positions, Index(axes[axis : axis + count]))
            place = self.position(chosen, node.shape[axis])
            target = self.offset([*axes[:axis], place, *axes[axis + count :]], strides)
            old = self.read(self.outs[self.index], target, node.dtype)
            new = self.emitter.add(old, self.value(upstream, Index(axes)))
            self.store(new, target, self.index)

        self.nest(shape, body)

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
                self.store(self.value(source, Index(axes)), self.offset(axes, strides), self.index)

            self.nest(inner, first)
            if size == 1:
                return
            with self.loop(size - 1) as number:
                here = self.builder.add(number, I64(1))

                def cell(after: list[Value]) -> None:
                    axes = [*before, here, *after]
                    previous = self.offset([*before, number, *after], strides)
                    old = self.read(self.outs[self.index], previous, node.dtype)
                    new = self.emitter.add(old, self.value(source, Index(axes)))
                    self.store(new, self.offset(axes, strides), self.index)

                self.nest(inner, cell)

        self.nest(outer, rows)

    def _concat(self, node: Node) -> None:
        axis = node.attributes["axis"]
        start = 0
        for operand in node.inputs:
            shape = self.nodes[operand].shape
            shift = start

            def body(axes: list[Value], operand: int = operand, shift: int = shift) -> None:
                placed = list(axes)
                placed[axis] = self.builder.add(axes[axis], I64(shift))
                found = self.value(operand, Index(axes))
                self.store(found, self.offset(placed, row_major(node.shape)), self.index)

            self.nest(shape, body)
            start += shape[axis]


def _reassociate(value: Value) -> None:
    """Let LLVM split a running sum over the lanes of vectors: another order, but a fixed one."""
    if isinstance(value, ir.Instruction) and value.opname in ("fadd", "fmul"):
        value.flags = [*value.flags, "reassoc"]
