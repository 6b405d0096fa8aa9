"""The register block: the few rows by few vectors of C that a matrix product keeps in registers.

`register_block` writes a function that multiplies a strip of op(A) with a panel of op(B).  All
products share it, whatever their sizes and transpositions.  Every entry is one chain of fused
multiply-adds over k in increasing order, which is why no choice of blocks changes a bit of the
result.
"""

from __future__ import annotations

from llvmlite import ir

from backlight.execute.native.matmul_vectors import (
    INDEX,
    POINTER,
    Vectors,
    carry,
    index,
    new_function,
    smaller,
)

PARAMETERS = (
    ("a", POINTER),
    ("row_stride", INDEX),
    ("term_stride", INDEX),
    ("b", POINTER),
    ("ldb", INDEX),
    ("c", POINTER),
    ("ldc", INDEX),
    ("terms", INDEX),
    ("rows", INDEX),
    ("columns", INDEX),
    ("from_zero", ir.IntType(1)),
)
"""Parameters of the function: c = (from_zero ? 0 : c) + Σ over `terms` of a · b.

Element (i, p) of op(A) is at a + i·row_stride + p·term_stride.  Of the block, `rows` rows and
`columns` columns exist; what is outside is neither read nor written."""


def register_block(
    vectors: Vectors, name: str, rows: int, count: int, *, masked: bool
) -> ir.Function:
    """Write the function for a block of so many rows by so many vectors.

    Parameters
    ----------
    masked
        Whether rows of op(B) may end inside the block; a packed panel has whole vectors.
    """
    function = new_function(vectors.module, name, PARAMETERS)
    a, row_stride, term_stride, b, ldb, c, ldc, terms, exist, columns, from_zero = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    last = builder.sub(exist, index(1))
    numbers = [smaller(builder, index(each), last) for each in range(rows)]
    starts = [vectors.address(builder, a, builder.mul(number, row_stride)) for number in numbers]
    masks = [
        vectors.first_lanes(builder, builder.sub(columns, index(v * vectors.lanes)))
        for v in range(count)
    ]

    begun = _start(builder, vectors, (c, ldc, from_zero), numbers, masks)
    one = vectors.narrower(1)
    with carry(builder, index(0), terms, 1, begun, "k") as (position, sums, results):
        source = vectors.address(builder, b, builder.mul(position, ldb))
        along = builder.mul(position, term_stride)
        right = [
            vectors.load(
                builder,
                vectors.address(builder, source, index(v * vectors.lanes)),
                mask if masked else None,
            )
            for v, mask in enumerate(masks)
        ]
        for each, start in enumerate(starts):
            scalar = one.load(builder, one.address(builder, start, along))
            left = vectors.splat(builder, scalar)
            for v in range(count):
                number = each * count + v
                results[number] = vectors.multiply_add(builder, left, right[v], sums[number])

    for each in range(rows):
        with builder.if_then(builder.icmp_signed("<", index(each), exist), likely=True):
            target = vectors.address(builder, c, builder.mul(index(each), ldc))
            for v, mask in enumerate(masks):
                place = vectors.address(builder, target, index(v * vectors.lanes))
                vectors.store(builder, results[each * count + v], place, mask)
    builder.ret_void()
    return function


def _start(
    builder: ir.IRBuilder,
    vectors: Vectors,
    source: tuple[ir.Value, ir.Value, ir.Value],
    rows: list[ir.Value],
    masks: list[ir.Value | None],
) -> list[ir.Value]:
    """Return what the sums begin with: zeros, or what C holds."""
    c, ldc, from_zero = source
    before = builder.block
    load, begun = builder.append_basic_block("held"), builder.append_basic_block("begun")
    builder.cbranch(from_zero, begun, load)
    builder.position_at_end(load)
    held = []
    for row in rows:
        start = vectors.address(builder, c, builder.mul(row, ldc))
        for v, mask in enumerate(masks):
            address = vectors.address(builder, start, index(v * vectors.lanes))
            held.append(vectors.load(builder, address, mask))
    builder.branch(begun)
    builder.position_at_end(begun)
    values = []
    for value in held:
        phi = builder.phi(value.type)
        phi.add_incoming(vectors.zero, before)
        phi.add_incoming(value, load)
        values.append(phi)
    return values
