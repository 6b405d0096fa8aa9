"""The block of a matrix product with few rows or few columns: vectors along k of both operands.

`dot_block` writes a function with the parameters of a register block, for one column of op(B) or
one row of op(A) whose partner has contiguous terms too.  Each entry is a sum over the lanes of a
vector of partial sums, added up in a fixed order that does not depend on the rows and columns asked
for.
"""

from __future__ import annotations

from llvmlite import ir

from backlight.execute.native.matmul_block import PARAMETERS
from backlight.execute.native.matmul_vectors import (
    Vectors,
    carry,
    index,
    loop,
    new_function,
    round_down,
    smaller,
    stack,
)


def dot_block(vectors: Vectors, name: str, rows: int, columns: int) -> ir.Function:
    """Write the function for a block of which one side is 1."""
    function = new_function(vectors.module, name, PARAMETERS)
    v = {label: value for (label, _), value in zip(PARAMETERS, function.args, strict=True)}
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    if columns == 1:
        many, stride, single, count = v["a"], v["row_stride"], v["b"], v["rows"]
        apart = v["ldc"]
    else:
        many, stride, single, count = v["b"], v["ldb"], v["a"], v["columns"]
        apart = index(1)
    scratch = stack(builder, vectors, rows * columns)
    sums = _sums(builder, vectors, (many, stride, count), single, v["terms"], rows * columns)
    for each, value in enumerate(sums):
        vectors.store(builder, value, _slot(builder, vectors, scratch, index(each)))

    one = vectors.narrower(1)
    with loop(builder, index(0), count, 1, "entry") as each:
        total = vectors.total(
            builder, vectors.load(builder, _slot(builder, vectors, scratch, each))
        )
        c = one.address(builder, v["c"], builder.mul(each, apart))
        both = builder.fadd(one.load(builder, c), total)
        one.store(builder, builder.select(v["from_zero"], total, both), c)
    builder.ret_void()
    return function


def _slot(builder: ir.IRBuilder, vectors: Vectors, scratch: ir.Value, number: ir.Value) -> ir.Value:
    offset = builder.mul(number, index(vectors.lanes))
    return vectors.address(builder, scratch, offset)


def _sums(
    builder: ir.IRBuilder,
    vectors: Vectors,
    matrix: tuple[ir.Value, ir.Value, ir.Value],
    vector: ir.Value,
    terms: ir.Value,
    rows: int,
) -> list[ir.Value]:
    """Multiply rows of a matrix with a vector; return a vector of partial sums for each."""
    base, stride, exist = matrix
    last = builder.sub(exist, index(1))
    # Behind the last row it comes again; the result is not used.
    starts = [
        vectors.address(builder, base, builder.mul(smaller(builder, index(each), last), stride))
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
    if vectors.lanes == 1:
        return sums
    return turn(whole, sums, vectors.first_lanes(builder, builder.sub(terms, whole)))
