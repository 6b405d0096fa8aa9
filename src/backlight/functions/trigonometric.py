"""Trigonometric and hyperbolic functions and their inverses, entry by entry; angles in radians.

Every function takes floating-point tensors or arrays, or Python floats, and gives a tensor.
"""

from __future__ import annotations

from backlight.functions.operands import Value, call
from backlight.ops.trigonometric import (
    ACOS,
    ACOSH,
    ASIN,
    ASINH,
    ATAN,
    ATAN2,
    ATANH,
    COS,
    COSH,
    SIN,
    SINH,
    TAN,
    TANH,
)
from backlight.tensor import Tensor


def sin(x: Value, /) -> Tensor:
    """Return sin x.

    Its derivative is cos x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.sin(bl.tensor([0.0, bl.pi / 2]))
    Tensor([0., 1.])
    """
    return call(SIN, x)


def cos(x: Value, /) -> Tensor:
    """Return cos x.

    Its derivative is −sin x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.cos(bl.tensor([0.0, bl.pi]))
    Tensor([ 1., -1.])
    """
    return call(COS, x)


def tan(x: Value, /) -> Tensor:
    """Return tan x.

    Its derivative is 1 + tan² x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.tan(bl.tensor([0.0, 1.0]))
    Tensor([0.      , 1.557408])
    """
    return call(TAN, x)


def asin(x: Value, /) -> Tensor:
    """Return arcsin x, between −π/2 and π/2.

    Its derivative is 1/√(1 − x²).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.asin(bl.tensor([0.0, 1.0]))
    Tensor([0.      , 1.570796])
    """
    return call(ASIN, x)


def acos(x: Value, /) -> Tensor:
    """Return arccos x, between 0 and π.

    Its derivative is −1/√(1 − x²).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.acos(bl.tensor([0.0, 1.0]))
    Tensor([1.570796, 0.      ])
    """
    return call(ACOS, x)


def atan(x: Value, /) -> Tensor:
    """Return arctan x, between −π/2 and π/2.

    Its derivative is 1/(1 + x²).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.atan(bl.tensor([0.0, 1.0]))
    Tensor([0.      , 0.785398])
    """
    return call(ATAN, x)


def atan2(x1: Value, x2: Value, /) -> Tensor:
    """Return the angle of the point with ordinate x₁ and abscissa x₂, between −π and π.

    The local derivatives are x₂/(x₁² + x₂²) and −x₁/(x₁² + x₂²).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.atan2(bl.tensor([0.0, 1.0]), bl.tensor([-1.0, 0.0]))
    Tensor([3.141593, 1.570796])
    """
    return call(ATAN2, x1, x2)


def sinh(x: Value, /) -> Tensor:
    """Return sinh x = (eˣ − e⁻ˣ)/2.

    Its derivative is cosh x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.sinh(bl.tensor([0.0, 1.0]))
    Tensor([0.      , 1.175201])
    """
    return call(SINH, x)


def cosh(x: Value, /) -> Tensor:
    """Return cosh x = (eˣ + e⁻ˣ)/2.

    Its derivative is sinh x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.cosh(bl.tensor([0.0, 1.0]))
    Tensor([1.      , 1.543081])
    """
    return call(COSH, x)


def tanh(x: Value, /) -> Tensor:
    """Return tanh x = sinh x / cosh x.

    Its derivative is 1 − tanh² x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.tanh(bl.tensor([0.0, 1.0]))
    Tensor([0.      , 0.761594])
    """
    return call(TANH, x)


def asinh(x: Value, /) -> Tensor:
    """Return arsinh x, the inverse of sinh.

    Its derivative is 1/√(x² + 1).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.asinh(bl.tensor([0.0, 1.0]))
    Tensor([0.      , 0.881374])
    """
    return call(ASINH, x)


def acosh(x: Value, /) -> Tensor:
    """Return arcosh x, the inverse of cosh for x ≥ 1.

    Its derivative is 1/√(x² − 1).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.acosh(bl.tensor([1.0, 2.0]))
    Tensor([0.      , 1.316958])
    """
    return call(ACOSH, x)


def atanh(x: Value, /) -> Tensor:
    """Return artanh x, the inverse of tanh.

    Its derivative is 1/(1 − x²).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.atanh(bl.tensor([0.0, 0.5]))
    Tensor([0.      , 0.549306])
    """
    return call(ATANH, x)
