"""What happens to the finished values of a matrix product before they are stored.

An `Epilogue` is handed vector after vector, with the `Place` it belongs to; a `BlockEpilogue` is
handed whole register blocks, which are in the first-level cache, and writes its own loops.  Bias,
activation or an optimizer's update then cost no pass over memory of their own, and the inner
functions of the product are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.native.matmul_vectors import (
    INDEX,
    POINTER,
    Vectors,
    add,
    index,
    loop,
    multiply,
    new_function,
)

FINISH_PARAMETERS = (
    ("context", POINTER),
    ("block", POINTER),
    ("row", INDEX),
    ("column", INDEX),
    ("rows", INDEX),
    ("columns", INDEX),
)
"""Parameters of a finishing function: the context, the finished block, and where it belongs."""


@dataclass(frozen=True)
class Place:
    """Where in C a vector of values belongs.

    Parameters
    ----------
    vectors
        The vector type of the value: `vectors.lanes` neighbouring columns of one row.
    row, column
        The position of the first lane.
    mask
        The lanes that exist, None for all; the others hold meaningless numbers.
    arguments
        The values of the epilogue's own parameters.
    """

    vectors: Vectors
    row: ir.Value
    column: ir.Value
    mask: ir.Value | None
    arguments: tuple[ir.Value, ...]

    def load_row(self, builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
        """Load from a row vector of length n, such as a bias."""
        return self.vectors.load(
            builder, self.vectors.address(builder, pointer, self.column), self.mask
        )

    def load_column(self, builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
        """Load from a column vector of length m: the same number in all lanes."""
        one = self.vectors.narrower(1)
        return self.vectors.splat(
            builder, one.load(builder, one.address(builder, pointer, self.row))
        )

    def load(self, builder: ir.IRBuilder, pointer: ir.Value, stride: ir.Value) -> ir.Value:
        """Load from a matrix of C's shape with a leading stride in elements."""
        return self.vectors.load(builder, self._address(builder, pointer, stride), self.mask)

    def store(
        self, builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, stride: ir.Value
    ) -> None:
        """Store into a matrix of C's shape with a leading stride in elements."""
        self.vectors.store(builder, value, self._address(builder, pointer, stride), self.mask)

    def _address(self, builder: ir.IRBuilder, pointer: ir.Value, stride: ir.Value) -> ir.Value:
        offset = add(builder, multiply(builder, self.row, stride), self.column)
        return self.vectors.address(builder, pointer, offset)


@dataclass(frozen=True)
class Epilogue:
    """Code to emit for each finished value.

    Parameters
    ----------
    emit
        Gets the builder, the value (an LLVM vector of `place.vectors.lanes` elements, or a plain
        number when that is 1) and its place; returns the value to store, or None when nothing is
        to be stored into C.
    parameters
        Types of further parameters of the product's function, after its own; their values arrive
        as `place.arguments`.
    """

    emit: Callable[[ir.IRBuilder, ir.Value, Place], ir.Value | None]
    parameters: tuple[ir.Type, ...] = ()


@dataclass(frozen=True)
class Block:
    """A finished register block of C, not yet stored.

    Attributes
    ----------
    pointer
        Its first value; entry (i, j) is at i·stride + j.  It may be written to.
    stride : int
        Its columns, existing or not.
    row, column
        Its place in C.
    rows, columns
        How many of its rows and columns exist; the rest holds meaningless numbers.
    c, ldc
        C and its leading stride.
    arguments
        The values of the epilogue's own parameters.
    """

    pointer: ir.Value
    stride: int
    row: ir.Value
    column: ir.Value
    rows: ir.Value
    columns: ir.Value
    c: ir.Value
    ldc: ir.Value
    arguments: tuple[ir.Value, ...]


@dataclass(frozen=True)
class BlockEpilogue:
    """Code to emit once, which is run for every finished register block.

    Parameters
    ----------
    emit
        Gets a builder, at the place where the code goes, and a `Block`; it leaves the builder where
        the code ends.  It stores what is to be stored, into C or elsewhere.  C must be there all
        the same where the sum is taken in pieces (`Tiling.k_block`): it holds the earlier ones.
    parameters
        Types of further parameters of the product's function, after its own.  Memory behind one
        of the pointers among them is not reached through another, nor through C, where any of it
        is written.
    """

    emit: Callable[[ir.IRBuilder, Block], None]
    parameters: tuple[ir.Type, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a product's function hands to its finishing function: C and the epilogue's arguments."""

    epilogue: Epilogue | BlockEpilogue

    @property
    def type(self) -> ir.LiteralStructType:
        """The LLVM type: C, its leading stride, the arguments."""
        return ir.LiteralStructType([POINTER, INDEX, *self.epilogue.parameters])

    def _field(self, builder: ir.IRBuilder, pointer: ir.Value, number: int) -> ir.Value:
        place = [ir.Constant(ir.IntType(32), each) for each in (0, number)]
        return builder.gep(pointer, place, source_etype=self.type)

    def make(self, builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
        """Put values on the stack; call it in the entry block."""
        held = builder.alloca(self.type, name="context")
        held.type = POINTER  # llvmlite still gives it the type of its element
        for number, value in enumerate(values):
            builder.store(value, self._field(builder, held, number))
        return held

    def read(self, builder: ir.IRBuilder, pointer: ir.Value) -> list[ir.Value]:
        """Return the values."""
        return [
            builder.load(self._field(builder, pointer, number), typ=each)
            for number, each in enumerate(self.type.elements)
        ]


def finishing(
    vectors: Vectors, epilogue: Epilogue, width: int, name: str, ldc: int | None
) -> ir.Function:
    """Add the function that sends a block through an epilogue and stores it into C.

    Parameters
    ----------
    width
        Columns of the block, existing or not: a multiple of the lanes.
    ldc
        C's leading stride where it is known when compiling.
    """
    function = new_function(vectors.module, name, FINISH_PARAMETERS, "internal")
    given, block, row, column, rows, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    c, stride, *arguments = Context(epilogue).read(builder, given)
    if ldc is not None:
        stride = index(ldc)
    # One loop over all vectors, so that the code of the epilogue exists once in a product and
    # costs no second loop; vectors outside C have empty masks.
    end = builder.mul(rows, index(width))
    with loop(builder, index(0), end, vectors.lanes, "finished") as position:
        i = builder.udiv(position, index(width))
        j = builder.urem(position, index(width))
        # A single lane has no mask, but it may lie outside all the same.
        single = builder.icmp_signed("<", j, columns) if vectors.lanes == 1 else None
        with builder.if_then(single) if single is not None else nullcontext():
            mask = vectors.first_lanes(builder, builder.sub(columns, j))
            value = vectors.load(builder, vectors.address(builder, block, position))
            at = (builder.add(row, i), builder.add(column, j))
            place = Place(vectors, *at, mask, tuple(arguments))
            result = epilogue.emit(builder, value, place)
            if result is not None:
                place.store(builder, result, c, stride)
    builder.ret_void()
    return function


def block_finishing(
    module: ir.Module, epilogue: BlockEpilogue, width: int, name: str, ldc: int | None
) -> ir.Function:
    """Add the function that hands a block to a `BlockEpilogue`; see `finishing`."""
    context = Context(epilogue)
    shape = [each for _, each in FINISH_PARAMETERS[1:]]
    kind = ir.FunctionType(ir.VoidType(), [*shape, *context.type.elements])
    body = ir.Function(module, kind, f"{name}.body")
    body.linkage = "internal"
    body.attributes.add("alwaysinline")
    body.attributes.add("nounwind")
    for argument in body.args:
        if argument.type == POINTER:
            argument.add_attribute("noalias")
    builder = ir.IRBuilder(body.append_basic_block("entry"))
    pointer, row, column, rows, columns, c, stride, *arguments = body.args
    known = stride if ldc is None else index(ldc)
    epilogue.emit(
        builder,
        Block(pointer, width, row, column, rows, columns, c, known, tuple(arguments)),
    )
    builder.ret_void()
    function = new_function(module, name, FINISH_PARAMETERS, "internal")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder.call(body, [*function.args[1:], *context.read(builder, function.args[0])])
    builder.ret_void()
    return function
