"""The kernels by kind: what the loop of each kind of primitive looks like.

`Kernel.build` writes the function of one group of nodes: a map over entries, a reduction, random
numbers, a scatter, a running sum, or copies; reductions are in `reductions`, contractions in
`products`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from llvmlite import ir

from backlight.execute.native.batch import BatchSize
from backlight.execute.native.lanes import (
    choose_lanes,
)
from backlight.execute.native.number import INT64, Number
from backlight.execute.native.products import write_contraction
from backlight.execute.native.reductions import SHARED_ENTRIES, Reductions
from backlight.execute.native.storage import Storage, row_major
from backlight.execute.native.writer import I64, Index, Share, Value
from backlight.graph.node import Node
from backlight.graph.primitive import Kind
from backlight.ops.index import SCATTER_ADD
from backlight.ops.move import CONCAT, RESHAPE
from backlight.ops.reduce import CUMULATIVE_SUM


@dataclass(slots=True)
class Kernel(Reductions):
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
            self._flat(total, body)
            return

        def entry(axes: list[Value]) -> None:
            body(Index(axes), self.offset(axes, row_major(node.shape)))

        shape = node.shape
        self.share = Share(shape[0], 1) if shape and shape[0] != 1 and 0 not in shape else None
        run = self._run(shape, self.members, range(len(shape)), computed=True)
        self.plain = run is None
        self.nest(shape, entry, shared=self.share is not None, run=run)

    def _flat(self, total: int, body: Callable[[Index, Value], None]) -> None:
        """A loop that counts entries."""
        lanes = choose_lanes(self.plan, self.members, total, 2) if total not in (0, 1) else 0
        few = not isinstance(total, BatchSize) and total <= lanes
        self.share = None if few or total == 1 else Share(total, SHARED_ENTRIES)
        self.plain = not lanes
        self._load_singles()
        if lanes:
            with self.runs(total, lanes, shared=self.share is not None) as run:
                body(Index([], run), run)
            return
        with self.loop(total, shared=self.share is not None) as number:
            body(Index([], number), number)

    def _load_singles(self) -> None:
        """Load the single numbers that all entries need once, before the loop."""
        waiting = [each for member in self.members for each in self.nodes[member].inputs]
        for each in waiting:  # grows
            node = self.nodes[each]
            if self.plan.storage[each] is Storage.INLINE:
                waiting.extend(node.inputs)
            elif each not in self.members and node.shape == ():
                self.single[each] = replace(self.value(each, Index([], I64(0))), uniform=True)

    def _copy(self, node: Node) -> None:
        """A reshape that has to be stored: the operand's entries one after the other."""
        source = node.inputs[0]
        inner = self.nodes[source].shape
        strides = row_major(inner)

        def body(axes: list[Value]) -> None:
            self.store(self.value(source, Index(axes)), self.offset(axes, strides), self.index)

        run = self._run(inner, [source], range(len(inner)))
        self.plain = run is None
        self.nest(inner, body, run=run)

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
        zero = self.emitter.constant(0, node.dtype)
        total = math.prod(node.shape)
        lanes = choose_lanes(self.plan, self.members, total, 2) if total > 1 else 0
        if lanes:
            with self.runs(total, lanes) as run:
                self.store(zero, run, self.index)
        else:
            with self.loop(total) as number:
                self.store(zero, number, self.index)
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
