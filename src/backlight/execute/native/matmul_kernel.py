"""The loops of a matrix product around the register block: column blocks, pieces of the sum, rows.

Takes the frame of a function (`Frame`) and emits the layouts that hold vectors along n.  Each
block of columns is packed if the tiling says so, and multiplied with all rows; the arrangement is
that of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (ACM TOMS 34(3),
2008).
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.native.matmul_block import register_block
from backlight.execute.native.matmul_epilogue import Epilogue, Place
from backlight.execute.native.matmul_pack import packing, strip_packing
from backlight.execute.native.matmul_spec import LINE, Layout, MatmulSpec, Tiling
from backlight.execute.native.matmul_vectors import (
    INDEX,
    POINTER,
    Vectors,
    add,
    fixed,
    index,
    loop,
    multiply,
    smaller,
)

_BIT = ir.IntType(1)


@dataclass(frozen=True)
class Frame:
    """One product while it is being emitted: what is asked for and the values it works on."""

    builder: ir.IRBuilder
    spec: MatmulSpec
    tiling: Tiling
    vectors: Vectors
    a: ir.Value
    lda: ir.Value
    b: ir.Value
    ldb: ir.Value
    c: ir.Value
    ldc: ir.Value
    n: ir.Value
    k: ir.Value
    row_begin: ir.Value
    row_end: ir.Value
    column_begin: ir.Value
    column_end: ir.Value
    workspace: ir.Value
    scratch: ir.Value
    epilogue: Epilogue | None
    extra: tuple[ir.Value, ...]

    def address(
        self, base: ir.Value, stride: ir.Value, row: ir.Value, column: ir.Value
    ) -> ir.Value:
        """Return the address of an entry of a matrix."""
        offset = add(self.builder, multiply(self.builder, row, stride), column)
        return self.vectors.address(self.builder, base, offset)

    def finish(self, value: ir.Value, place: Place) -> None:
        """Send a finished value through the epilogue and store what it gives into C."""
        result: ir.Value | None = value
        if self.epilogue is not None:
            result = self.epilogue.emit(self.builder, value, place)
        if result is not None:
            address = self.address(self.c, self.ldc, place.row, place.column)
            place.vectors.store(self.builder, result, address, place.mask)


@dataclass(frozen=True)
class Piece:
    """A block of columns and a stretch of the sum, with the panel of op(B) that belongs to it."""

    column: ir.Value
    columns: ir.Value
    term: ir.Value
    terms: ir.Value
    panel: ir.Value
    panel_stride: ir.Value
    is_last: ir.Value


def reserve_scratch(builder: ir.IRBuilder, element: ir.Type, tiling: Tiling) -> ir.Value:
    """Reserve the stack for one register block; call it in the entry block."""
    size = tiling.rows * tiling.columns
    reserved = builder.alloca(element, ir.Constant(INDEX, size), "scratch")
    reserved.align = LINE
    reserved.type = POINTER  # llvmlite still gives it the type of its element
    return reserved


def emit_rows_of_vectors(frame: Frame) -> None:
    """Emit a whole product whose vectors lie along n."""
    builder, tiling = frame.builder, frame.tiling
    if not tiling.row_block:
        _columns(frame, frame.row_begin, frame.row_end)
        return
    with loop(builder, frame.row_begin, frame.row_end, tiling.row_block, "rows") as begin:
        end = smaller(builder, builder.add(begin, index(tiling.row_block)), frame.row_end)
        if tiling.pack_a:
            source = frame.vectors.address(builder, frame.a, begin)
            pack = strip_packing(frame.vectors, tiling.rows)
            rows = builder.sub(end, begin)
            builder.call(pack, [source, frame.lda, frame.k, rows, _strips(frame)])
        _columns(frame, begin, end)


def _strips(frame: Frame) -> ir.Value:
    """Return where in the workspace the strips of A lie: behind the panel of op(B)."""
    builder, tiling = frame.builder, frame.tiling
    if tiling.layout is not Layout.PANEL:
        return frame.workspace
    depth = frame.k
    if tiling.k_block:
        depth = smaller(builder, depth, index(tiling.k_block))
    return frame.vectors.address(
        builder, frame.workspace, multiply(builder, depth, index(tiling.columns))
    )


def _columns(frame: Frame, row_begin: ir.Value, row_end: ir.Value) -> None:
    builder, tiling = frame.builder, frame.tiling
    with loop(builder, frame.column_begin, frame.column_end, tiling.columns, "column") as column:
        columns = smaller(builder, builder.sub(frame.column_end, column), index(tiling.columns))
        _terms(frame, (column, columns), (row_begin, row_end))


def _terms(frame: Frame, block: tuple[ir.Value, ir.Value], rows: tuple[ir.Value, ir.Value]) -> None:
    """Go over the sum, in pieces if the tiling says so and it is long enough."""
    builder, step, known = frame.builder, frame.tiling.k_block, fixed(frame.k)
    if not step or (known is not None and known <= step):
        _piece(frame, block, (index(0), frame.k), rows)
        return
    # An empty sum is one piece too: C is set to zero.
    end = builder.select(builder.icmp_signed(">", frame.k, index(1)), frame.k, index(1))
    with loop(builder, index(0), end, step, "term") as term:
        left = builder.sub(frame.k, term)
        _piece(frame, block, (term, smaller(builder, left, index(step))), rows)


def _piece(
    frame: Frame,
    block: tuple[ir.Value, ir.Value],
    span: tuple[ir.Value, ir.Value],
    rows: tuple[ir.Value, ir.Value],
) -> None:
    """Pack a panel if the tiling says so and multiply all rows with it."""
    builder, tiling, spec = frame.builder, frame.tiling, frame.spec
    row, column = (block[0], span[0]) if spec.transpose_b else (span[0], block[0])
    source = frame.address(frame.b, frame.ldb, row, column)
    panel, stride = source, frame.ldb
    if tiling.layout is Layout.PANEL:
        pack = packing(frame.vectors, tiling.vectors, transposed=spec.transpose_b)
        builder.call(pack, [source, frame.ldb, span[1], block[1], frame.workspace])
        panel, stride = frame.workspace, index(tiling.columns)
    end = builder.add(span[0], span[1])
    is_last = builder.icmp_signed("==", end, frame.k)
    piece = Piece(*block, *span, panel, stride, is_last)
    with loop(builder, rows[0], rows[1], tiling.rows, "row") as first:
        _register_block(frame, piece, rows, first)


def _register_block(
    frame: Frame, piece: Piece, block: tuple[ir.Value, ir.Value], row: ir.Value
) -> None:
    """Compute one block of C and store it, through the epilogue when its sum is complete."""
    builder, tiling, spec = frame.builder, frame.tiling, frame.spec
    rows = smaller(builder, builder.sub(block[1], row), index(tiling.rows))
    strides = [frame.lda, index(1)]
    place = [row, piece.term]
    if spec.transpose_a:
        strides.reverse()
        place.reverse()
    left_panel = frame.address(frame.a, frame.lda, *place)
    if tiling.pack_a:
        # A strip holds its few rows term by term.
        begin = builder.add(
            builder.mul(builder.sub(row, block[0]), frame.k),
            builder.mul(piece.term, index(tiling.rows)),
        )
        left_panel = frame.vectors.address(builder, _strips(frame), begin)
        strides = [index(1), index(tiling.rows)]
    c = frame.address(frame.c, frame.ldc, row, piece.column)
    out, ldo = c, frame.ldc
    if frame.epilogue is not None:
        out = builder.select(piece.is_last, frame.scratch, c)
        ldo = builder.select(piece.is_last, index(tiling.columns), frame.ldc)
    from_zero = (
        ir.Constant(_BIT, 0) if spec.accumulate else builder.icmp_signed("==", piece.term, index(0))
    )
    known = fixed(frame.n)
    masked = tiling.layout is Layout.DIRECT and (known is None or known % tiling.columns != 0)
    function = register_block(frame.vectors, tiling.rows, tiling.vectors, masked=masked)
    builder.call(
        function,
        [
            *(left_panel, *strides),
            *(piece.panel, piece.panel_stride),
            *(c, frame.ldc, out, ldo),
            *(piece.terms, rows, piece.columns, from_zero),
        ],
    )
    if frame.epilogue is not None:
        with builder.if_then(piece.is_last):
            _finish_block(frame, piece, row, rows)


def _finish_block(frame: Frame, piece: Piece, row: ir.Value, rows: ir.Value) -> None:
    """Send a block from the stack through the epilogue, vector by vector.

    This is a loop so that the code of the epilogue exists once in a product.
    """
    builder, vectors, known = frame.builder, frame.vectors, fixed(frame.n)
    whole = known is not None and known % vectors.lanes == 0
    with (
        loop(builder, index(0), rows, 1, "finished") as i,
        loop(builder, index(0), piece.columns, vectors.lanes, "vector") as j,
    ):
        offset = builder.add(builder.mul(i, index(frame.tiling.columns)), j)
        value = vectors.load(builder, vectors.address(builder, frame.scratch, offset))
        mask = None if whole else vectors.first_lanes(builder, builder.sub(piece.columns, j))
        position = (builder.add(row, i), builder.add(piece.column, j))
        frame.finish(value, Place(vectors, *position, mask, frame.extra))
