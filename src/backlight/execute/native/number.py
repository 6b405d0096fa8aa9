"""Numbers inside generated code: an LLVM value together with the dtype that it has in NumPy.

LLVM's integers have no sign and its Booleans no storage, so arithmetic needs to know more than the
value's type.  A `Number` may also be a vector of several numbers; every rule treats both alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir

from backlight.errors import DtypeError
from backlight.graph.primitive import Dtype

if TYPE_CHECKING:
    from backlight.execute.native.arithmetic import Arithmetic

BOOL = np.dtype(bool)
INT32 = np.dtype(np.int32)
INT64 = np.dtype(np.int64)
UINT64 = np.dtype(np.uint64)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Format:
    """The layout of an IEEE floating-point format.

    Attributes
    ----------
    dtype, integer : dtype
        The format, and the signed integer of the same width.
    fraction : int
        Stored bits of the significand.
    bias : int
        Of the exponent; also the largest exponent.
    """

    dtype: Dtype
    integer: Dtype
    fraction: int
    bias: int

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return float(np.finfo(self.dtype).max)

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with full precision."""
        return float(np.finfo(self.dtype).smallest_normal)


FORMATS = {
    FLOAT32: Format(FLOAT32, INT32, 23, 127),
    FLOAT64: Format(FLOAT64, INT64, 52, 1023),
}


@cache
def register_type(dtype: Dtype, lanes: int = 0) -> ir.Type:
    """Return the LLVM type of a value while it is computed with: Booleans are single bits."""
    if dtype == BOOL:
        element: ir.Type = ir.IntType(1)
    elif dtype.kind in "iu":
        element = ir.IntType(8 * dtype.itemsize)
    elif dtype == FLOAT32:
        element = ir.FloatType()
    elif dtype == FLOAT64:
        element = ir.DoubleType()
    else:
        raise DtypeError(
            f"Native code has no {dtype} numbers; convert with bl.astype(x, …) or use "
            f"executor='reference'."
        )
    return ir.VectorType(element, lanes) if lanes else element


@cache
def memory_type(dtype: Dtype, lanes: int = 0) -> ir.Type:
    """Return the LLVM type of a value in memory, where a Boolean takes a byte."""
    if dtype == BOOL:
        return ir.VectorType(ir.IntType(8), lanes) if lanes else ir.IntType(8)
    return register_type(dtype, lanes)


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A value in generated code, with the operators of arithmetic.

    Attributes
    ----------
    emitter : Arithmetic
        What appends instructions for the operators.
    value : llvmlite.ir.Value
        The LLVM value.
    dtype : dtype
        What it is in NumPy.
    constant : bool, int, float or None
        The value itself, where it is known while compiling.
    uniform : bool
        Whether it is the same number for all entries that the loop around it computes.
    """

    emitter: Arithmetic
    value: Any
    dtype: Dtype
    constant: bool | int | float | None = None
    uniform: bool = False

    @property
    def lanes(self) -> int:
        """How many numbers the vector has, or 0 for a single number."""
        kind = self.value.type
        return int(kind.count) if isinstance(kind, ir.VectorType) else 0

    @property
    def format(self) -> Format:
        """The layout of the floating-point format."""
        return FORMATS[self.dtype]

    def __add__(self, other: Number | float) -> Number:
        return self.emitter.add(self, other)

    def __radd__(self, other: float) -> Number:
        return self.emitter.add(other, self)

    def __sub__(self, other: Number | float) -> Number:
        return self.emitter.sub(self, other)

    def __rsub__(self, other: float) -> Number:
        return self.emitter.sub(other, self)

    def __mul__(self, other: Number | float) -> Number:
        return self.emitter.mul(self, other)

    def __rmul__(self, other: float) -> Number:
        return self.emitter.mul(other, self)

    def __truediv__(self, other: Number | float) -> Number:
        return self.emitter.div(self, other)

    def __rtruediv__(self, other: float) -> Number:
        return self.emitter.div(other, self)

    def __neg__(self) -> Number:
        return self.emitter.neg(self)

    def __lt__(self, other: Number | float) -> Number:
        return self.emitter.less(self, other)

    def __le__(self, other: Number | float) -> Number:
        return self.emitter.less_equal(self, other)

    def __gt__(self, other: Number | float) -> Number:
        return self.emitter.greater(self, other)

    def __ge__(self, other: Number | float) -> Number:
        return self.emitter.greater_equal(self, other)

    def __and__(self, other: Number | int) -> Number:
        return self.emitter.bitwise_and(self, other)

    def __or__(self, other: Number | int) -> Number:
        return self.emitter.bitwise_or(self, other)

    def __xor__(self, other: Number | int) -> Number:
        return self.emitter.bitwise_xor(self, other)

    def __invert__(self) -> Number:
        return self.emitter.bitwise_invert(self)
