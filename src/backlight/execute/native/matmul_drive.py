"""The loops of a matrix product around its inner functions: column blocks, pieces of the sum, rows.

`driver` writes one function for all products of an element type.  It knows nothing of
vectors: what it packs with and multiplies with are functions that it is handed, because a nest of
loops takes LLVM longer than the few instructions that differ.  The arrangement
is that of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (ACM TOMS
34(3), 2008).
"""

from __future__ import annotations

from collections.abc import Mapping

from llvmlite import ir

from backlight.execute.native.matmul_block import PARAMETERS as BLOCK_PARAMETERS
from backlight.execute.native.matmul_pack import PARAMETERS as PACK_PARAMETERS
from backlight.execute.native.matmul_pack import STRIP_PARAMETERS
from backlight.execute.native.matmul_vectors import (
    INDEX,
    POINTER,
    Vectors,
    call_pointer,
    index,
    larger,
    loop,
    new_function,
    smaller,
)

PARAMETERS = (
    ("a", POINTER),
    ("a_row", INDEX),
    ("a_term", INDEX),
    ("b", POINTER),
    ("b_term", INDEX),
    ("b_column", INDEX),
    ("c", POINTER),
    ("ldc", INDEX),
    ("k", INDEX),
    ("row_begin", INDEX),
    ("row_end", INDEX),
    ("column_begin", INDEX),
    ("column_end", INDEX),
    ("panel", POINTER),
    ("strips", POINTER),
    ("way", POINTER),
)

WAY = (
    ("rows", INDEX),
    ("tail_rows", INDEX),
    ("columns", INDEX),
    ("k_block", INDEX),
    ("row_block", INDEX),
    ("accumulate", INDEX),
    ("block", POINTER),
    ("tail", POINTER),
    ("pack", POINTER),
    ("pack_strips", POINTER),
)
"""What is fixed about a product: the sizes of its register blocks, how it is cut, and the functions
that compute a block and one of the last rows, pack a panel of op(B) and pack strips of A (null for
none)."""


def way(module: ir.Module, values: Mapping[str, int | ir.Function | None]) -> ir.GlobalVariable:
    """Return a constant with the fields of `WAY`."""
    kind = ir.LiteralStructType([each for _, each in WAY])
    fields = []
    for name, type_ in WAY:
        value = values[name]
        if isinstance(value, ir.Function):
            fields.append(ir.FormattedConstant(POINTER, value.get_reference()))
        else:
            fields.append(ir.Constant(type_, value))
    held = ir.GlobalVariable(module, kind, module.get_unique_name("matmul.way"))
    held.initializer = ir.Constant(kind, fields)
    held.global_constant = True
    held.linkage = "internal"
    return held


def driver(vectors: Vectors, name: str) -> ir.Function:
    """Write the function that runs any product of an element type."""
    one = vectors.narrower(1)
    function = new_function(vectors.module, name, PARAMETERS)
    function.attributes.add("optsize")  # its loops turn seldom, and LLVM is done sooner
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    values = {label: value for (label, _), value in zip(PARAMETERS, function.args, strict=True)}
    kind = ir.LiteralStructType([each for _, each in WAY])
    for number, (label, type_) in enumerate(WAY):
        place = [ir.Constant(ir.IntType(32), each) for each in (0, number)]
        field = builder.gep(values["way"], place, source_etype=kind)
        values[label] = builder.load(field, name=label, typ=type_)
    _rows(builder, one, values)
    builder.ret_void()
    return function


def _rows(builder: ir.IRBuilder, one: Vectors, v: dict[str, ir.Value]) -> None:
    """Go over the blocks of rows, pack the strips of each, and over its columns."""
    null = ir.Constant(POINTER, None)
    packed = builder.icmp_unsigned("!=", v["pack_strips"], null)
    v["packs"] = builder.icmp_unsigned("!=", v["pack"], null)
    v["replaces"] = builder.icmp_signed("==", v["accumulate"], index(0))
    v["row_stride"] = builder.select(packed, index(1), v["a_row"])
    v["row_step"] = builder.select(packed, v["k"], v["a_row"])
    v["term_stride"] = builder.select(packed, v["rows"], v["a_term"])
    v["tail_begin"] = _tail_begin(builder, v)
    v["last_term"] = builder.select(builder.icmp_signed(">", v["k"], index(1)), v["k"], index(1))
    with loop(builder, v["row_begin"], v["row_end"], v["row_block"], "rows") as begin:
        end = smaller(builder, builder.add(begin, v["row_block"]), v["row_end"])
        with builder.if_then(packed):
            source = one.address(builder, v["a"], builder.mul(begin, v["a_row"]))
            given = [source, v["a_term"], v["k"], builder.sub(end, begin), v["strips"]]
            call_pointer(builder, v["pack_strips"], STRIP_PARAMETERS, given)
        # Strips are counted from the first row of the block, A from its own first row.
        origin = builder.mul(begin, v["k"])
        strips = one.address(builder, v["strips"], builder.neg(origin))
        v["left"] = builder.select(packed, strips, v["a"])
        with loop(builder, v["column_begin"], v["column_end"], v["columns"], "column") as column:
            _terms(builder, one, v, column, (begin, end))


def _tail_begin(builder: ir.IRBuilder, v: dict[str, ir.Value]) -> ir.Value:
    """Return the first row of the smaller blocks.

    A smaller block in place of a whole one leaves fewer rows empty, by the difference of both: as
    many are smaller as that many rows would be empty.
    """
    length = builder.sub(v["row_end"], v["row_begin"])
    above = builder.add(length, builder.sub(v["rows"], index(1)))
    blocks = builder.udiv(above, v["rows"])
    empty = builder.sub(builder.mul(blocks, v["rows"]), length)
    smaller_blocks = builder.udiv(empty, builder.sub(v["rows"], v["tail_rows"]))
    whole = builder.sub(blocks, smaller(builder, smaller_blocks, blocks))
    return builder.add(v["row_begin"], builder.mul(whole, v["rows"]))


def _terms(
    builder: ir.IRBuilder,
    one: Vectors,
    v: dict[str, ir.Value],
    column: ir.Value,
    rows: tuple[ir.Value, ir.Value],
) -> None:
    """Go over the pieces of the sum, pack the panel of each, and over the rows."""
    columns = smaller(builder, builder.sub(v["column_end"], column), v["columns"])
    # An empty sum is one piece too: C is set to zero.
    with loop(builder, index(0), v["last_term"], v["k_block"], "term") as term:
        terms = smaller(builder, builder.sub(v["k"], term), v["k_block"])
        offset = builder.add(builder.mul(term, v["b_term"]), builder.mul(column, v["b_column"]))
        source = one.address(builder, v["b"], offset)
        ldb = builder.select(
            builder.icmp_signed("==", v["b_column"], index(1)), v["b_term"], v["b_column"]
        )
        with builder.if_then(v["packs"]):
            given = [source, ldb, terms, columns, v["panel"], v["columns"]]
            call_pointer(builder, v["pack"], PACK_PARAMETERS, given)
        piece = {
            "column": column,
            "columns": columns,
            "term": term,
            "terms": terms,
            "panel": builder.select(v["packs"], v["panel"], source),
            "stride": builder.select(v["packs"], v["columns"], ldb),
        }
        first = builder.icmp_signed("==", term, index(0))
        piece["from_zero"] = builder.and_(v["replaces"], first)
        begin, end = rows
        turn = smaller(builder, end, larger(builder, begin, v["tail_begin"]))
        with loop(builder, begin, turn, v["rows"], "row") as row:
            _block(builder, one, v, piece, (row, end, v["rows"], v["block"]))
        with loop(builder, turn, end, v["tail_rows"], "tail") as row:
            _block(builder, one, v, piece, (row, end, v["tail_rows"], v["tail"]))


def _block(
    builder: ir.IRBuilder,
    one: Vectors,
    v: dict[str, ir.Value],
    piece: dict[str, ir.Value],
    place: tuple[ir.Value, ir.Value, ir.Value, ir.Value],
) -> None:
    """Compute one block of C.

    Given are its first row, where rows end, how many it has and the function for so many.
    """
    row, end, most, function = place
    rows = smaller(builder, builder.sub(end, row), most)
    offset = builder.add(
        builder.mul(row, v["row_step"]), builder.mul(piece["term"], v["term_stride"])
    )
    left = one.address(builder, v["left"], offset)
    start = builder.add(builder.mul(row, v["ldc"]), piece["column"])
    c = one.address(builder, v["c"], start)
    given = [
        *(left, v["row_stride"], v["term_stride"], piece["panel"], piece["stride"]),
        *(c, v["ldc"], piece["terms"], rows, piece["columns"], piece["from_zero"]),
    ]
    call_pointer(builder, function, BLOCK_PARAMETERS, given)
