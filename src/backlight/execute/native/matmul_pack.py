"""Packing of a few columns of op(B) into a contiguous panel, transposing on the way if need be.

`packing` writes a function, shared by all products, that takes a stretch of k and a
block of columns and writes a panel whose row p holds op(B)[p, columns], padded to whole vectors.
The register block reads it straight through, without masks and without cache lines that fight for
the same place.
"""

from __future__ import annotations

from llvmlite import ir

from backlight.execute.native.matmul_vectors import (
    INDEX,
    POINTER,
    Vectors,
    index,
    loop,
    new_function,
    smaller,
)

CHUNK_BYTES = 16
"""A transposing load takes so many bytes of each row: the width that every vector unit can load
into any quarter or half of a register."""

GROUP_BYTES = 32
"""So many bytes of a column are transposed at a time; wider ones would need more rows of B at
once than there are registers for their addresses."""

STRETCH = 64
"""Terms transposed for all columns before the next ones: their part of the panel, and the cache
lines that their part of B shares, are then still in the first-level cache."""

PARAMETERS = (
    ("source", POINTER),
    ("stride", INDEX),
    ("terms", INDEX),
    ("columns", INDEX),
    ("panel", POINTER),
    ("width", INDEX),
)
"""Parameters of a packing function: where op(B)'s block begins, B's leading stride, how many rows
and columns of op(B) to pack, where to, and the width of the panel, a multiple of the lanes."""


def packing(vectors: Vectors, name: str, *, transposed: bool) -> ir.Function:
    """Write the function that packs a panel.

    Parameters
    ----------
    transposed
        Whether B is stored as (n, k): a column of op(B) is then contiguous.
    """
    function = new_function(vectors.module, name, PARAMETERS)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    if transposed:
        group = min(vectors.lanes, GROUP_BYTES // vectors.size)
        _transpose(builder, vectors.narrower(group), function)
    else:
        _copy(builder, vectors, function)
    builder.ret_void()
    return function


STRIP_PARAMETERS = (
    ("source", POINTER),
    ("stride", INDEX),
    ("terms", INDEX),
    ("rows", INDEX),
    ("strips", POINTER),
)
"""Parameters of a strip-packing function: where the rows of op(A) begin in the transposed A, its
leading stride, how many terms and rows to pack, and where to."""


def strip_packing(vectors: Vectors, name: str, height: int) -> ir.Function:
    """Write the function that packs rows of a transposed A into strips.

    Strip s holds rows s·height onwards, term by term, and takes height·terms elements.
    """
    lanes = 1 << (height - 1).bit_length()
    wide = vectors.narrower(lanes)
    function = new_function(vectors.module, name, STRIP_PARAMETERS)
    source, stride, terms, rows, strips = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    with loop(builder, index(0), terms, 1, "term") as term:
        line = wide.address(builder, source, builder.mul(term, stride))
        to = wide.address(builder, strips, builder.mul(term, index(height)))
        with loop(builder, index(0), rows, height, "strip") as row:
            exist = smaller(builder, builder.sub(rows, row), index(height))
            mask = wide.first_lanes(builder, exist)
            value = wide.load(builder, wide.address(builder, line, row), mask)
            place = wide.address(builder, to, builder.mul(row, terms))
            wide.store(builder, value, place, mask)
    builder.ret_void()
    return function


def _copy(builder: ir.IRBuilder, vectors: Vectors, function: ir.Function) -> None:
    source, stride, terms, columns, panel, width = function.args
    with (
        loop(builder, index(0), terms, 1, "row") as position,
        loop(builder, index(0), width, vectors.lanes, "vector") as first,
    ):
        row = builder.add(builder.mul(position, stride), first)
        mask = vectors.first_lanes(builder, builder.sub(columns, first))
        value = vectors.load(builder, vectors.address(builder, source, row), mask)
        offset = builder.add(builder.mul(position, width), first)
        vectors.store(builder, value, vectors.address(builder, panel, offset))


def _transpose(builder: ir.IRBuilder, vectors: Vectors, function: ir.Function) -> None:
    """Transpose a stretch of terms at a time, so that its part of the panel stays in the cache."""
    source, stride, terms, columns, panel, width = function.args
    with (
        loop(builder, index(0), terms, STRETCH, "stretch") as begin,
        loop(builder, index(0), width, vectors.lanes, "vector") as first,
    ):
        row = builder.add(builder.mul(first, stride), begin)
        to = builder.add(builder.mul(begin, width), first)
        _transpose_group(
            builder,
            vectors,
            (vectors.address(builder, source, row), stride),
            (vectors.address(builder, panel, to), width),
            # Behind the last row it comes again, for the lanes of the panel that pad it.
            builder.sub(builder.sub(columns, first), index(1)),
            smaller(builder, builder.sub(terms, begin), index(STRETCH)),
        )


def _transpose_group(
    builder: ir.IRBuilder,
    vectors: Vectors,
    source: tuple[ir.Value, ir.Value],
    target: tuple[ir.Value, ir.Value],
    last: ir.Value,
    terms: ir.Value,
) -> None:
    """Write as many rows of B as a vector has lanes as columns of the panel."""
    lanes, chunk = vectors.lanes, CHUNK_BYTES // vectors.size
    one = vectors.narrower(1)
    whole = builder.and_(terms, index(-chunk)) if lanes >= chunk else index(0)
    if lanes >= chunk:
        rows = [
            builder.mul(smaller(builder, index(lane), last), source[1]) for lane in range(lanes)
        ]
        starts = [vectors.address(builder, source[0], row) for row in rows]
        with loop(builder, index(0), whole, chunk, "chunk") as position:
            for each, value in enumerate(_transposed_chunk(builder, vectors, starts, position)):
                offset = builder.mul(builder.add(position, index(each)), target[1])
                vectors.store(builder, value, vectors.address(builder, target[0], offset))
    with (
        loop(builder, index(0), index(lanes), 1, "lane") as lane,
        loop(builder, whole, terms, 1, "rest") as position,
    ):
        row = builder.mul(smaller(builder, lane, last), source[1])
        entry = one.address(builder, source[0], builder.add(row, position))
        offset = builder.add(builder.mul(position, target[1]), lane)
        one.store(builder, one.load(builder, entry), one.address(builder, target[0], offset))


def _transposed_chunk(
    builder: ir.IRBuilder, vectors: Vectors, starts: list[ir.Value], position: ir.Value
) -> list[ir.Value]:
    """Load the same few columns of many rows; return one vector for each column.

    Chunks of rows that lie `chunk` apart are joined while loading, so that what is left is a
    small transposition inside each quarter of a register.
    """
    chunk = CHUNK_BYTES // vectors.size
    narrow = vectors.narrower(chunk)
    pieces = [narrow.load(builder, vectors.address(builder, start, position)) for start in starts]
    joined = [_join(builder, vectors, pieces[each::chunk]) for each in range(chunk)]
    if chunk == 2:
        return _pairs(builder, vectors, joined)
    low, high = _interleave(builder, vectors, joined[0], joined[1])
    low_next, high_next = _interleave(builder, vectors, joined[2], joined[3])
    return [*_halves(builder, vectors, low, low_next), *_halves(builder, vectors, high, high_next)]


def _join(builder: ir.IRBuilder, vectors: Vectors, pieces: list[ir.Value]) -> ir.Value:
    """Lay vectors end to end."""
    while len(pieces) > 1:
        lanes = 2 * pieces[0].type.count
        pieces = [
            vectors.shuffle(builder, left, right, range(lanes))
            for left, right in zip(pieces[::2], pieces[1::2], strict=True)
        ]
    return pieces[0]


def _pairs(builder: ir.IRBuilder, vectors: Vectors, joined: list[ir.Value]) -> list[ir.Value]:
    """Transpose 2 × 2 inside each pair of lanes."""
    left, right = joined
    lanes = vectors.lanes
    picks = [
        [pair + each + side for pair in range(0, lanes, 2) for side in (0, lanes)]
        for each in (0, 1)
    ]
    return [vectors.shuffle(builder, left, right, pick) for pick in picks]


def _interleave(
    builder: ir.IRBuilder, vectors: Vectors, left: ir.Value, right: ir.Value
) -> list[ir.Value]:
    """Interleave the lower, then the upper halves of each group of four lanes."""
    lanes = vectors.lanes
    return [
        vectors.shuffle(
            builder,
            left,
            right,
            [
                group + half + each + side
                for group in range(0, lanes, 4)
                for each in (0, 1)
                for side in (0, lanes)
            ],
        )
        for half in (0, 2)
    ]


def _halves(
    builder: ir.IRBuilder, vectors: Vectors, left: ir.Value, right: ir.Value
) -> list[ir.Value]:
    """Join the lower, then the upper halves of each group of four lanes."""
    lanes = vectors.lanes
    return [
        vectors.shuffle(
            builder,
            left,
            right,
            [
                group + half + each + side
                for group in range(0, lanes, 4)
                for side in (0, lanes)
                for each in (0, 1)
            ],
        )
        for half in (0, 2)
    ]
