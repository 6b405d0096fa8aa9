"""Matrix products with few rows or few columns: vectors along k of both operands.

Takes a `Frame` whose op(A) has contiguous rows and whose op(B) has contiguous columns.  `dots`
gives a function, shared by all products of a module, for a few dot products with one vector; each
is a sum over the lanes of a vector of partial sums, added up in a fixed order that does not depend
on the rows and columns asked for.
"""

from __future__ import annotations

from llvmlite import ir

from backlight.execute.native.matmul_epilogue import Place
from backlight.execute.native.matmul_kernel import Frame
from backlight.execute.native.matmul_vectors import (
    INDEX,
    POINTER,
    Vectors,
    add,
    carry,
    index,
    loop,
    new_function,
    round_down,
    smaller,
)

PARAMETERS = (
    ("matrix", POINTER),
    ("stride", INDEX),
    ("rows", INDEX),
    ("vector", POINTER),
    ("terms", INDEX),
    ("out", POINTER),
)
"""Parameters of the function: out[i] = Σₚ matrix[i, p] · vector[p] for so many rows."""


def dots(vectors: Vectors, rows: int) -> ir.Function:
    """Return the function for up to so many rows at once, made on first use."""
    name = f"matmul.dots.{vectors.name}.{rows}"
    known = vectors.module.globals.get(name)
    if isinstance(known, ir.Function):
        return known
    function = new_function(vectors.module, name, PARAMETERS)
    matrix, stride, exist, vector, terms, out = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    last = builder.sub(exist, index(1))
    # Behind the last row it comes again; the result is not used.
    starts = [
        vectors.address(builder, matrix, builder.mul(smaller(builder, index(each), last), stride))
        for each in range(rows)
    ]

    def turn(position: ir.Value, sums: list[ir.Value], mask: ir.Value | None) -> list[ir.Value]:
        right = vectors.load(builder, vectors.address(builder, vector, position), mask)
        return [
            vectors.multiply_add(
                builder,
                vectors.load(builder, vectors.address(builder, start, position), mask),
                right,
                total,
            )
            for start, total in zip(starts, sums, strict=True)
        ]

    whole = round_down(builder, terms, vectors.lanes)
    zeros = [vectors.zero] * rows
    with carry(builder, index(0), whole, vectors.lanes, zeros, "k") as (position, now, sums):
        sums[:] = turn(position, now, None)
    if vectors.lanes > 1:
        sums = turn(whole, sums, vectors.first_lanes(builder, builder.sub(terms, whole)))
    one = vectors.narrower(1)
    for each, total in enumerate(sums):
        value = vectors.total(builder, total)
        one.store(builder, value, one.address(builder, out, index(each)))
    builder.ret_void()
    return function


def emit_dots(frame: Frame) -> None:
    """Emit a whole product: a few rows with one column, or one row with a few columns, at once."""
    builder, tiling = frame.builder, frame.tiling
    function = dots(frame.vectors, tiling.rows * tiling.vectors)
    with (
        loop(builder, frame.row_begin, frame.row_end, tiling.rows, "row") as row,
        loop(builder, frame.column_begin, frame.column_end, tiling.vectors, "column") as column,
    ):
        left = frame.address(frame.a, frame.lda, row, index(0))
        right = frame.address(frame.b, frame.ldb, column, index(0))
        if tiling.vectors == 1:
            many, stride, single = left, frame.lda, right
            exist = builder.sub(frame.row_end, row)
        else:
            many, stride, single = right, frame.ldb, left
            exist = builder.sub(frame.column_end, column)
        exist = smaller(builder, exist, index(tiling.rows * tiling.vectors))
        builder.call(function, [many, stride, exist, single, frame.k, frame.scratch])
        one = frame.vectors.narrower(1)
        with loop(builder, index(0), exist, 1, "finished") as each:
            value = one.load(builder, one.address(builder, frame.scratch, each))
            at = (add(builder, row, each), column)
            if tiling.vectors > 1:
                at = (row, add(builder, column, each))
            if frame.spec.accumulate:
                held = one.load(builder, frame.address(frame.c, frame.ldc, *at))
                value = builder.fadd(held, value)
            frame.finish(value, Place(one, *at, None, frame.extra))
