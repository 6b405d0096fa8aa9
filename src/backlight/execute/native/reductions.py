"""Reductions: each result folded from many entries, in a register.

Where entries lie side by side, a vector of them is folded at a time: of the results next to each
other when the last axis stays, of one result's entries, and then its lanes, when it is reduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llvmlite import ir

from backlight.execute.native.batch import BatchSize
from backlight.execute.native.lanes import (
    FEWEST,
    Run,
    can_run,
    choose_lanes,
    first_lanes,
    lane_numbers,
    run_axis,
    smallest_vector,
)
from backlight.execute.native.number import BOOL, INT32, INT64, Number
from backlight.execute.native.storage import row_major
from backlight.execute.native.writer import I32, I64, Index, Share, Value, Writer, entry_alloca
from backlight.graph.node import Node
from backlight.graph.primitive import Fold, Shape

LONGEST = 64
"""The first best of so many entries is found in one vector."""

SHARED_ENTRIES = 64
"""Threads divide flat loops at multiples of so many entries: whole cache lines of any dtype."""


@dataclass(slots=True)
class Reductions(Writer):
    """Writes the loops of reductions."""

    @property
    def index(self) -> int:
        """The node, where there is only one."""
        return self.members[0]

    def _run(
        self, sizes: Shape, nodes: Sequence[int], axes: Sequence[int], wide: int = 2,
        *, computed: bool = False,
    ) -> tuple[int, int] | None:  # fmt: skip
        """Which of the loops over some axes of nodes goes forward by vectors, and their lanes."""
        place = run_axis(sizes)
        if place is None or sizes[place] < FEWEST or 0 in sizes:
            return None
        if not all(can_run(self.plan, each, axes[place], computed=computed) for each in nodes):
            return None
        lanes = choose_lanes(self.plan, self.members, sizes[place], wide)
        return (place, lanes) if lanes else None

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
        sizes = tuple(shape[axis] for axis in axes)
        lanes = 0
        if width >= FEWEST and can_run(self.plan, node.inputs[0], last[0]):
            lanes = choose_lanes(self.plan, self.members, width, 4)
        if lanes:
            self.plain = False
            with self.runs(width, lanes, shared=shared) as run:
                total = self._fold(
                    fold, start, lanes, sizes,
                    lambda reduced: entry([*outer, *axes, *last], [*numbers, *reduced, run]),
                )  # fmt: skip
                self.store(total, replace(run, first=self.builder.add(base, run.first)), self.index)
            return
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
        sizes = tuple(operand.shape[axis] for axis in axes)
        run = self._run(sizes, [node.inputs[0]], axes, 4)
        self.plain = run is None

        def found(reduced: list[Value]) -> Number:
            return entry([*outer, *axes], [*numbers, *reduced])

        result = self._fold(fold, start, 0 if run is None else run[1], sizes, found, run)
        if run is not None:
            result = self._fold_lanes(fold, result)
        self.store(result, self.offset(numbers, row_major(node.shape)), self.index)

    def _fold(
        self, fold: Fold, start: Number, lanes: int, sizes: Shape,
        entry: Callable[[list[Value]], Number], run: tuple[int, int] | None = None,
    ) -> Number:  # fmt: skip
        """Fold entries in a register; lanes that do not count leave theirs as it is."""
        builder = self.builder
        start = self.emitter.spread(start, lanes)
        kind = start.value.type
        cell = entry_alloca(builder, kind)
        builder.store(start.value, cell)

        def body(reduced: list[Value]) -> None:
            found = entry(reduced)
            old = self.emitter.number(builder.load(cell, typ=kind), start.dtype)
            new = self.as_dtype(fold.combine(self.emitter, old, found), start.dtype)
            new = self.emitter.spread(new, lanes)
            mask = next((each.mask for each in reduced if isinstance(each, Run)), None)
            if mask is not None:
                new = self.emitter.select(self.emitter.number(mask, BOOL), new, old)
            elif not lanes:
                _reassociate(new.value)
            builder.store(new.value, cell)

        if 0 not in sizes:
            self.nest(sizes, body, run=run, unroll=run is None)
        return self.emitter.number(builder.load(cell, typ=kind), start.dtype)

    def _fold_lanes(self, fold: Fold, result: Number) -> Number:
        """Fold the lanes of a vector: the upper half into the lower until one is left."""
        lanes = result.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (
                self.emitter.number(_lanes_from(self.builder, result.value, first, lanes),
                                    result.dtype)
                for first in (0, lanes)
            )  # fmt: skip
            result = self.as_dtype(fold.combine(self.emitter, low, high), result.dtype)
        value = self.builder.extract_element(result.value, I32(0))
        return self.emitter.number(value, result.dtype)

    def _reduce_position(
        self, node: Node, shape: Shape, kept: Sequence[int], axes: Sequence[int], fold: Fold,
        source: int,
    ) -> None:  # fmt: skip
        """The row-major position of the first best entry; NaN counts as best, as in NumPy."""
        builder = self.builder
        sizes = tuple(shape[axis] for axis in axes)
        run = self._run(sizes, [source], axes)
        count = 0 if run is None else sizes[run[0]]
        short = (
            run is not None and not isinstance(count, BatchSize) and count == math.prod(sizes)
            and count <= LONGEST
        )  # fmt: skip

        def row(numbers: list[Value]) -> None:
            assert run is not None
            lanes = smallest_vector(count)
            place = Run(I64(0), lanes, first_lanes(builder, I64(count), lanes))
            placed: list[Value] = [I64(0)] * len(shape)
            for axis, number in zip(kept, numbers, strict=True):
                placed[axis] = number
            placed[axes[run[0]]] = place
            result = self._best_lane(fold, self.value(source, Index(placed)), place)
            self.store(result, self.offset(numbers, row_major(node.shape)), self.index)

        if short:
            self.plain = False
            self.nest(tuple(shape[axis] for axis in kept), row)
            return

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

    def _best_lane(self, fold: Fold, value: Number, run: Run) -> Number:
        """The number of the first best lane: of two, the upper if it is better, or as good and
        of a lower number."""
        emitter, builder, lanes = self.emitter, self.builder, run.lanes
        if run.mask is not None:
            start = emitter.constant(fold.start(value.dtype), value.dtype, lanes)
            value = emitter.select(emitter.number(run.mask, BOOL), value, start)
        where = emitter.number(lane_numbers(0, lanes), INT32)
        while lanes > 1:
            lanes //= 2
            (low, high), (low_where, high_where) = (
                [emitter.number(_lanes_from(builder, each.value, first, lanes), each.dtype)
                 for first in (0, lanes)]
                for each in (value, where)
            )  # fmt: skip
            better = fold.combine(emitter, low, high)
            worse = fold.combine(emitter, high, low)
            better = better | (~worse & (high_where < low_where))
            value = emitter.select(better, high, low)
            where = emitter.select(better, high_where, low_where)
        best = builder.extract_element(where.value, I32(0))
        return emitter.cast(emitter.number(best, INT32), INT64)


def _lanes_from(builder: ir.IRBuilder, value: Value, first: int, count: int) -> Value:
    """Some of a vector's lanes."""
    empty = ir.Constant(value.type, ir.Undefined)
    return builder.shuffle_vector(value, empty, lane_numbers(first, count))


def _reassociate(value: Value) -> None:
    """Let LLVM split a running sum over the lanes of vectors: another order, but a fixed one."""
    if isinstance(value, ir.Instruction) and value.opname in ("fadd", "fmul"):
        value.flags = [*value.flags, "reassoc"]
