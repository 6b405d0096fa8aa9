"""Arithmetic, entry by entry: sums, products, quotients, powers, remainders and absolute values.

Every function takes tensors, NumPy arrays or Python scalars that broadcast, and gives a tensor.
"""

from __future__ import annotations

from backlight.functions.composite import composite
from backlight.functions.operands import Value, call, operand
from backlight.ops.arithmetic import (
    ADD,
    DIV,
    FLOOR_DIVIDE,
    HYPOT,
    MUL,
    NEG,
    POW,
    REMAINDER,
    SUB,
)
from backlight.ops.convert import CAST
from backlight.ops.piecewise import ABS, COPYSIGN, MAXIMUM, MINIMUM, SIGN
from backlight.ops.rules import accept, promote
from backlight.tensor import Tensor, literal, record, weak_dtype


def add(x1: Value, x2: Value, /) -> Tensor:
    """Return x₁ + x₂.

    Both local derivatives are 1.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.add(bl.tensor([1.0, 2.0]), 3.0)
    Tensor([4., 5.])
    """
    return call(ADD, x1, x2)


def subtract(x1: Value, x2: Value, /) -> Tensor:
    """Return x₁ − x₂.

    The local derivatives are 1 and −1.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.subtract(bl.tensor([1.0, 2.0]), 3.0)
    Tensor([-2., -1.])
    """
    return call(SUB, x1, x2)


def multiply(x1: Value, x2: Value, /) -> Tensor:
    """Return x₁·x₂.

    The local derivatives are x₂ and x₁.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.multiply(bl.tensor([1.0, 2.0]), 3.0)
    Tensor([3., 6.])
    """
    return call(MUL, x1, x2)


def divide(x1: Value, x2: Value, /) -> Tensor:
    """Return x₁/x₂ of floating-point operands.

    The local derivatives are 1/x₂ and −x₁/x₂².

    Examples
    --------
    >>> import backlight as bl
    >>> bl.divide(bl.tensor([1.0, 2.0]), 4.0)
    Tensor([0.25, 0.5 ])
    """
    return call(DIV, x1, x2)


def floor_divide(x1: Value, x2: Value, /) -> Tensor:
    """Return ⌊x₁/x₂⌋.

    Its derivatives are 0, also where it jumps.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.floor_divide(bl.tensor([7, -7]), 2)
    Tensor([ 3, -4])
    """
    return call(FLOOR_DIVIDE, x1, x2)


def remainder(x1: Value, x2: Value, /) -> Tensor:
    """Return x₁ − x₂·⌊x₁/x₂⌋, which has the sign of x₂.

    The local derivatives are 1 and −⌊x₁/x₂⌋.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.remainder(bl.tensor([7, -7]), 4)
    Tensor([3, 1])
    """
    return call(REMAINDER, x1, x2)


def pow(x1: Value, x2: Value, /) -> Tensor:
    """Return x₁ raised to x₂.

    The local derivatives are x₂·x₁^(x₂−1) and x₁^x₂·ln x₁.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.pow(bl.tensor([2.0, 3.0]), 3.0)
    Tensor([ 8., 27.])
    """
    return call(POW, x1, x2)


power = pow
"""NumPy's name for `pow`."""


def square(x: Value, /) -> Tensor:
    """Return x².

    Its derivative is 2x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.square(bl.tensor([2.0, -3.0]))
    Tensor([4., 9.])
    """
    return call(POW, operand("square", x), 2)


def reciprocal(x: Value, /) -> Tensor:
    """Return 1/x of a floating-point operand.

    Its derivative is −1/x².

    Examples
    --------
    >>> import backlight as bl
    >>> bl.reciprocal(bl.tensor([2.0, -4.0]))
    Tensor([ 0.5 , -0.25])
    """
    return call(DIV, 1.0, operand("reciprocal", x))


def negative(x: Value, /) -> Tensor:
    """Return −x.

    Its derivative is −1.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.negative(bl.tensor([2.0, -3.0]))
    Tensor([-2.,  3.])
    """
    return call(NEG, x)


def positive(x: Value, /) -> Tensor:
    """Return x itself.

    Nothing is recorded for a tensor; the derivative is 1.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.positive(bl.tensor([2.0, -3.0]))
    Tensor([ 2., -3.])
    """
    made = operand("positive", x)
    accept("positive", made.dtype, "numeric")
    return made


def abs(x: Value, /) -> Tensor:
    """Return |x|.

    Its derivative is the sign of x, and 0 at 0.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.abs(bl.tensor([2.0, -3.0]))
    Tensor([2., 3.])
    """
    return call(ABS, x)


def sign(x: Value, /) -> Tensor:
    """Return −1, 0 or 1 by the sign of x.

    Its derivative is 0, also at 0, where it jumps.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.sign(bl.tensor([2.0, 0.0, -3.0]))
    Tensor([ 1.,  0., -1.])
    """
    return call(SIGN, x)


def copysign(x1: Value, x2: Value, /) -> Tensor:
    """Return |x₁| with the sign of x₂, −0 counting as negative.

    The local derivatives are sign(x₁)·sign(x₂) and 0.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.copysign(bl.tensor([2.0, 3.0]), bl.tensor([-1.0, 1.0]))
    Tensor([-2.,  3.])
    """
    return call(COPYSIGN, x1, x2)


def hypot(x1: Value, x2: Value, /) -> Tensor:
    """Return √(x₁² + x₂²) without overflow on the way.

    The local derivatives are x₁/y and x₂/y for the result y, and 0 at the origin.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.hypot(bl.tensor([3.0, 5.0]), bl.tensor([4.0, 12.0]))
    Tensor([ 5., 13.])
    """
    return call(HYPOT, x1, x2)


def maximum(x1: Value, x2: Value, /) -> Tensor:
    """Return the larger of x₁ and x₂, and NaN where either is.

    The local derivative is 1 for the larger one and 0 for the other; each gets ½ at a tie.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.maximum(bl.tensor([1.0, 5.0]), 3.0)
    Tensor([3., 5.])
    """
    return call(MAXIMUM, x1, x2)


def minimum(x1: Value, x2: Value, /) -> Tensor:
    """Return the smaller of x₁ and x₂, and NaN where either is.

    The local derivative is 1 for the smaller one and 0 for the other; each gets ½ at a tie.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.minimum(bl.tensor([1.0, 5.0]), 3.0)
    Tensor([1., 3.])
    """
    return call(MINIMUM, x1, x2)


@composite()
def clip(x: Value, /, min: Value | None = None, max: Value | None = None) -> Tensor:
    """Return min(max(x, lower bound), upper bound) in the dtype of x.

    Its derivative is 1 between the bounds, 0 outside, and ½ on a bound.

    Parameters
    ----------
    x : Tensor, array or Python scalar
    min, max : Tensor, array, Python scalar or None
        The bounds, which broadcast with x; None for no bound.

    Raises
    ------
    DtypeError
        When a bound is not of the kind of x: a Python float for an integer tensor.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.clip(bl.tensor([-2.0, 0.5, 7.0]), 0.0, 1.0)
    Tensor([0. , 0.5, 1. ])
    """
    result = operand("clip", x)
    if min is not None:
        result = record(MAXIMUM, (result, _bound(min, result)))
    if max is not None:
        result = record(MINIMUM, (result, _bound(max, result)))
    return result


def _bound(value: Value, x: Tensor) -> Tensor:
    """Return a bound in the dtype of what it bounds."""
    if isinstance(value, bool | int | float):
        bound = literal(value, weak_dtype(value, [x.dtype]))
    else:
        bound = operand("clip", value)
    promote("clip", [x.dtype, bound.dtype])
    return bound if bound.dtype == x.dtype else record(CAST, (bound,), {"dtype": x.dtype})
