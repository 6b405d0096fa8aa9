"""Contractions: sums of products over shared axes, as matrix products where they are that.

A plain product of two matrices calls a function generated for its shape; every other contraction
is written as loops, row by row of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backlight.execute.native.batch import BatchSize
from backlight.execute.native.matmul import emit_matmul
from backlight.execute.native.matmul_choose import choose, split
from backlight.execute.native.matmul_spec import MatmulSpec
from backlight.execute.native.number import memory_type
from backlight.execute.native.storage import row_major
from backlight.execute.native.writer import I64, Index, Share, Value, Writer, entry_alloca
from backlight.graph.node import Node


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix in memory: its rows are ``stride`` apart, or its columns when it is ``turned``."""

    pointer: Value
    stride: int
    turned: bool


TINY = 512
"""Products of so few multiplications cost less than the call of a function for any shape."""


def write_contraction(writer: Writer, index: int) -> tuple[Share | None, int]:
    """Write a contraction; return how threads can divide it and the bytes of workspace it needs."""
    node = writer.nodes[index]
    return _matrix_product(writer, node, index) or (_loops(writer, node, index), 0)


def _loops(writer: Writer, node: Node, index: int) -> Share | None:
    left, right = node.inputs
    labels = (node.attributes["left"], node.attributes["right"])
    result = node.attributes["result"]
    sizes = dict(zip(labels[0], writer.nodes[left].shape, strict=True))
    sizes |= dict(zip(labels[1], writer.nodes[right].shape, strict=True))
    summed = [label for label in labels[0] if label not in result]
    zero = writer.emitter.constant(0, node.dtype)
    outer, inner = result[:-1], result[-1:]
    width = sizes[inner[0]] if inner else 1

    def rows(numbers: list[Value]) -> None:
        at = dict(zip(outer, numbers, strict=True))
        base = writer.offset(numbers, row_major(node.shape)[: len(numbers)])
        with writer.loop(width) as column:
            writer.store(zero, writer.builder.add(base, column), index)
        if any(sizes[label] == 0 for label in summed):
            return

        def body(reduced: list[Value]) -> None:
            inside = at | dict(zip(summed, reduced, strict=True))
            with writer.loop(width) as column:
                full = inside | dict.fromkeys(inner, column)
                operands = []
                for operand, own in zip((left, right), labels, strict=True):
                    found = writer.value(operand, Index([full[label] for label in own]))
                    operands.append(found)
                a, b = (writer.as_dtype(each, node.dtype) for each in operands)
                place = writer.builder.add(base, column)
                old = writer.read(writer.outs[index], place, node.dtype)
                new = writer.emitter.add(old, writer.emitter.mul(a, b))
                writer.store(new, place, index)

        writer.nest(tuple(sizes[label] for label in summed), body)

    over = tuple(sizes[label] for label in outer)
    share = Share(over[0], 1) if over and 0 not in node.shape else None
    writer.nest(over, rows, shared=share is not None)
    return share


def _matrix_product(writer: Writer, node: Node, index: int) -> tuple[Share | None, int] | None:
    """Call a function made for the shape; None when this contraction is no plain product."""
    result = node.attributes["result"]
    sides = [
        (node.attributes["left"], node.inputs[0]),
        (node.attributes["right"], node.inputs[1]),
    ]
    if len(result) != 2 or any(len(labels) != 2 for labels, _ in sides):
        return None
    if result[0] not in sides[0][0]:
        sides.reverse()
    (labels_a, a), (labels_b, b) = sides
    if node.dtype.kind != "f" or 0 in node.shape or result[0] not in labels_a:
        return None
    nodes = writer.nodes
    if result[1] not in labels_b or {nodes[a].dtype, nodes[b].dtype} != {node.dtype}:
        return None
    summed = next(label for label in labels_a if label != result[0])
    left = _matrix(writer, a, labels_a, result[0], summed)
    right = _matrix(writer, b, labels_b, summed, result[1])
    k = dict(zip(labels_a, nodes[a].shape, strict=True))[summed]
    if left is None or right is None or k == 0:
        return None
    m, n = node.shape
    if int(m) * int(n) * int(k) <= TINY:
        _write_tiny(writer, index, (a, labels_a), (b, labels_b), (result, summed), k)
        return None, 0
    writer.plain = False
    spec = MatmulSpec(
        str(node.dtype),
        left.turned,
        right.turned,
        m=_fixed(m),
        n=_fixed(n),
        k=_fixed(k),
        lda=_fixed(left.stride),
        ldb=_fixed(right.stride),
        ldc=_fixed(n),
    )
    tiling = choose(spec, int(m), int(n), int(k))
    function = emit_matmul(writer.module, spec, tiling)
    function.attributes.add("alwaysinline")
    # Which of the two sizes is divided is the same for every number of threads.
    by_rows = split(tiling, int(m), int(n), 2)[0].column_end == n
    share = Share(m, tiling.rows) if by_rows else Share(n, tiling.columns)
    rows = (writer.begin, writer.end) if by_rows else (I64(0), writer.size(m))
    columns = (I64(0), writer.size(n)) if by_rows else (writer.begin, writer.end)
    strides = [writer.size(each) for each in (left.stride, right.stride, n)]
    builder = writer.builder
    with builder.if_then(builder.icmp_unsigned("<", writer.begin, writer.end)):
        builder.call(
            function,
            [left.pointer, strides[0], right.pointer, strides[1], writer.outs[index], strides[2],
             writer.size(n), writer.size(k), *rows, *columns, writer.scratch],
        )  # fmt: skip
    return share, tiling.workspace_bytes(spec, int(k))


def _write_tiny(
    writer: Writer,
    index: int,
    left: tuple[int, Sequence[int]],
    right: tuple[int, Sequence[int]],
    labels: tuple[Sequence[int], int],
    length: int,
) -> None:
    """Write a small product as plain loops, each sum in a register."""
    node = writer.nodes[index]
    result, summed = labels
    builder, emitter = writer.builder, writer.emitter

    def entry(axes: list[Value]) -> None:
        zero = emitter.constant(0, node.dtype)
        cell = entry_alloca(builder, zero.value.type)
        builder.store(zero.value, cell)

        def term(place: list[Value]) -> None:
            at = {result[0]: axes[0], result[1]: axes[1], summed: place[0]}
            factors = [
                writer.value(operand, Index([at[label] for label in own]))
                for operand, own in (left, right)
            ]
            old = emitter.number(builder.load(cell, typ=zero.value.type), node.dtype)
            new = emitter.add(old, emitter.mul(*factors))
            builder.store(new.value, cell)

        writer.nest((length,), term, unroll=True)
        total = emitter.number(builder.load(cell, typ=zero.value.type), node.dtype)
        writer.store(total, writer.offset(axes, row_major(node.shape)), index)

    writer.nest(node.shape, entry)


def _matrix(
    writer: Writer, index: int, labels: Sequence[int], row: int, column: int
) -> _Matrix | None:
    """How an operand lies in memory as a matrix, or None when neither axis is contiguous."""
    view = writer.plan.view(index)
    if view is None or writer.plan.is_number(view.base):
        return None
    sizes = dict(zip(labels, writer.nodes[index].shape, strict=True))
    strides = dict(zip(labels, view.strides, strict=True))
    down, across = strides[row], strides[column]
    kind = memory_type(writer.nodes[view.base].dtype)
    pointer = writer.builder.gep(
        writer.pointers[view.base], [writer.size(view.offset)], inbounds=True, source_etype=kind
    )
    if across == 1 and (down >= sizes[column] or sizes[row] == 1):
        return _Matrix(pointer, _larger(down, sizes[column]), False)
    if down == 1 and (across >= sizes[row] or sizes[column] == 1):
        return _Matrix(pointer, _larger(across, sizes[row]), True)
    return None


def _fixed(size: int) -> int | None:
    """A size that does not depend on the batch length."""
    return None if isinstance(size, BatchSize) else size


def _larger(a: int, b: int) -> int:
    """The larger number; `max` compares with >, which is the same for a multiple and a number."""
    return a if a >= b else b
