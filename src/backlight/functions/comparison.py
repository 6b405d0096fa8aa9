"""Comparisons, logic, bit operations, rounding and tests for special values, entry by entry.

Every function takes tensors, NumPy arrays or Python scalars that broadcast, and gives a tensor.
No gradient passes through any of them except rounding, whose derivative is 0.
"""

from __future__ import annotations

from backlight.functions.operands import Value, call, operand
from backlight.graph.primitive import Primitive
from backlight.ops.logical import (
    BITWISE_AND,
    BITWISE_INVERT,
    BITWISE_LEFT_SHIFT,
    BITWISE_OR,
    BITWISE_RIGHT_SHIFT,
    BITWISE_XOR,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    ISFINITE,
    ISINF,
    ISNAN,
    LESS,
    LESS_EQUAL,
    LOGICAL_AND,
    LOGICAL_NOT,
    LOGICAL_OR,
    LOGICAL_XOR,
    NEXTAFTER,
    NOT_EQUAL,
    SIGNBIT,
)
from backlight.ops.piecewise import CEIL, FLOOR, ROUND, TRUNC
from backlight.tensor import Tensor, record


def equal(x1: Value, x2: Value, /) -> Tensor:
    """Return whether x₁ = x₂.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.equal(bl.tensor([1.0, 2.0]), 1.0)
    Tensor([ True, False])
    """
    return call(EQUAL, x1, x2)


def not_equal(x1: Value, x2: Value, /) -> Tensor:
    """Return whether x₁ ≠ x₂.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.not_equal(bl.tensor([1.0, 2.0]), 1.0)
    Tensor([False,  True])
    """
    return call(NOT_EQUAL, x1, x2)


def less(x1: Value, x2: Value, /) -> Tensor:
    """Return whether x₁ < x₂.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.less(bl.tensor([1.0, 2.0]), 2.0)
    Tensor([ True, False])
    """
    return call(LESS, x1, x2)


def less_equal(x1: Value, x2: Value, /) -> Tensor:
    """Return whether x₁ ≤ x₂.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.less_equal(bl.tensor([1.0, 2.0]), 1.0)
    Tensor([ True, False])
    """
    return call(LESS_EQUAL, x1, x2)


def greater(x1: Value, x2: Value, /) -> Tensor:
    """Return whether x₁ > x₂.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.greater(bl.tensor([1.0, 2.0]), 1.0)
    Tensor([False,  True])
    """
    return call(GREATER, x1, x2)


def greater_equal(x1: Value, x2: Value, /) -> Tensor:
    """Return whether x₁ ≥ x₂.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.greater_equal(bl.tensor([1.0, 2.0]), 2.0)
    Tensor([False,  True])
    """
    return call(GREATER_EQUAL, x1, x2)


def logical_and(x1: Value, x2: Value, /) -> Tensor:
    """Return whether both Boolean operands are true.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.logical_and(bl.tensor([True, False]), True)
    Tensor([ True, False])
    """
    return call(LOGICAL_AND, x1, x2)


def logical_or(x1: Value, x2: Value, /) -> Tensor:
    """Return whether one Boolean operand is true, or both.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.logical_or(bl.tensor([True, False]), False)
    Tensor([ True, False])
    """
    return call(LOGICAL_OR, x1, x2)


def logical_xor(x1: Value, x2: Value, /) -> Tensor:
    """Return whether exactly one Boolean operand is true.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.logical_xor(bl.tensor([True, False]), True)
    Tensor([False,  True])
    """
    return call(LOGICAL_XOR, x1, x2)


def bitwise_and(x1: Value, x2: Value, /) -> Tensor:
    """Return the bits that both integers or Booleans have.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.bitwise_and(bl.tensor([6, 7]), 3)
    Tensor([2, 3])
    """
    return call(BITWISE_AND, x1, x2)


def bitwise_or(x1: Value, x2: Value, /) -> Tensor:
    """Return the bits that either integer or Boolean has.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.bitwise_or(bl.tensor([6, 8]), 3)
    Tensor([ 7, 11])
    """
    return call(BITWISE_OR, x1, x2)


def bitwise_xor(x1: Value, x2: Value, /) -> Tensor:
    """Return the bits in which two integers or Booleans differ.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.bitwise_xor(bl.tensor([6, 7]), 3)
    Tensor([5, 4])
    """
    return call(BITWISE_XOR, x1, x2)


def bitwise_left_shift(x1: Value, x2: Value, /) -> Tensor:
    """Return x₁·2^x₂: the bits of an integer, moved up by x₂ places.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.bitwise_left_shift(bl.tensor([1, 3]), 2)
    Tensor([ 4, 12])
    """
    return call(BITWISE_LEFT_SHIFT, x1, x2)


def bitwise_right_shift(x1: Value, x2: Value, /) -> Tensor:
    """Return ⌊x₁/2^x₂⌋: the bits of an integer, moved down by x₂ places.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.bitwise_right_shift(bl.tensor([8, -3]), 1)
    Tensor([ 4, -2])
    """
    return call(BITWISE_RIGHT_SHIFT, x1, x2)


def nextafter(x1: Value, x2: Value, /) -> Tensor:
    """Return the next floating-point number after x₁ in the direction of x₂.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.nextafter(bl.tensor([1.0, 0.0]), 2.0)
    Tensor([1.e+000, 5.e-324])
    """
    return call(NEXTAFTER, x1, x2)


def logical_not(x: Value, /) -> Tensor:
    """Return whether a Boolean operand is false.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.logical_not(bl.tensor([True, False]))
    Tensor([False,  True])
    """
    return call(LOGICAL_NOT, x)


def bitwise_invert(x: Value, /) -> Tensor:
    """Return the integer or Boolean with every bit turned.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.bitwise_invert(bl.tensor([0, 5]))
    Tensor([-1, -6])
    """
    return call(BITWISE_INVERT, x)


def isnan(x: Value, /) -> Tensor:
    """Return whether x is NaN.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.isnan(bl.tensor([1.0, bl.nan]))
    Tensor([False,  True])
    """
    return call(ISNAN, x)


def isinf(x: Value, /) -> Tensor:
    """Return whether x is infinite.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.isinf(bl.tensor([1.0, -bl.inf]))
    Tensor([False,  True])
    """
    return call(ISINF, x)


def isfinite(x: Value, /) -> Tensor:
    """Return whether x is neither infinite nor NaN.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.isfinite(bl.tensor([1.0, bl.inf]))
    Tensor([ True, False])
    """
    return call(ISFINITE, x)


def signbit(x: Value, /) -> Tensor:
    """Return whether the sign bit of x is set, as it is for −0.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.signbit(bl.tensor([1.0, -0.0]))
    Tensor([False,  True])
    """
    return call(SIGNBIT, x)


def floor(x: Value, /) -> Tensor:
    """Return ⌊x⌋, the largest integer not above x.

    Its derivative is 0, also where it jumps; integers stay as they are.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.floor(bl.tensor([1.5, -1.5]))
    Tensor([ 1., -2.])
    """
    return _rounded(FLOOR, x)


def ceil(x: Value, /) -> Tensor:
    """Return ⌈x⌉, the smallest integer not below x.

    Its derivative is 0, also where it jumps; integers stay as they are.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.ceil(bl.tensor([1.5, -1.5]))
    Tensor([ 2., -1.])
    """
    return _rounded(CEIL, x)


def trunc(x: Value, /) -> Tensor:
    """Return x without its fraction.

    Its derivative is 0, also where it jumps; integers stay as they are.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.trunc(bl.tensor([1.5, -1.5]))
    Tensor([ 1., -1.])
    """
    return _rounded(TRUNC, x)


def round(x: Value, /) -> Tensor:
    """Return the integer nearest to x; halves go to the even one.

    Its derivative is 0, also where it jumps; integers stay as they are.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.round(bl.tensor([0.5, 1.5, 1.7]))
    Tensor([0., 2., 2.])
    """
    return _rounded(ROUND, x)


def _rounded(primitive: Primitive, x: Value) -> Tensor:
    """Round a floating-point operand; an integer is round already."""
    made = operand(primitive.name, x)
    return made if made.dtype.kind in "iu" else record(primitive, (made,))
