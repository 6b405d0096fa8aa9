"""What happens to a finished value of a matrix product before it is stored.

The caller gives a function that is handed each value while it is still in a register, together
with the `Place` it belongs to; bias, activation or an optimizer's update then cost no pass over
memory of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.native.matmul_vectors import Vectors, add, multiply


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
