"""Exponentials, logarithms, roots and what is made of them, entry by entry.

Every function takes floating-point tensors or arrays, or Python floats, and gives a tensor.
"""

from __future__ import annotations

from backlight.functions.operands import Value, call
from backlight.ops.exponential import (
    ERF,
    EXP,
    EXPM1,
    LOG,
    LOG1P,
    LOG2,
    LOG10,
    LOGADDEXP,
    RSQRT,
    SIGMOID,
    SQRT,
)
from backlight.ops.piecewise import RELU
from backlight.tensor import Tensor


def exp(x: Value, /) -> Tensor:
    """Return eˣ.

    Its derivative is eˣ.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.exp(bl.tensor([0.0, 1.0]))
    Tensor([1.      , 2.718282])
    """
    return call(EXP, x)


def expm1(x: Value, /) -> Tensor:
    """Return eˣ − 1, accurate near 0.

    Its derivative is eˣ.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.expm1(bl.tensor([0.0, 1e-20]))
    Tensor([0.e+00, 1.e-20])
    """
    return call(EXPM1, x)


def log(x: Value, /) -> Tensor:
    """Return ln x.

    Its derivative is 1/x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.log(bl.tensor([1.0, bl.e]))
    Tensor([0., 1.])
    """
    return call(LOG, x)


def log1p(x: Value, /) -> Tensor:
    """Return ln(1 + x), accurate near 0.

    Its derivative is 1/(1 + x).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.log1p(bl.tensor([0.0, 1e-20]))
    Tensor([0.e+00, 1.e-20])
    """
    return call(LOG1P, x)


def log2(x: Value, /) -> Tensor:
    """Return log₂ x.

    Its derivative is 1/(x ln 2).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.log2(bl.tensor([1.0, 8.0]))
    Tensor([0., 3.])
    """
    return call(LOG2, x)


def log10(x: Value, /) -> Tensor:
    """Return log₁₀ x.

    Its derivative is 1/(x ln 10).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.log10(bl.tensor([1.0, 1000.0]))
    Tensor([0., 3.])
    """
    return call(LOG10, x)


def logaddexp(x1: Value, x2: Value, /) -> Tensor:
    """Return ln(eˣ¹ + eˣ²) without overflow.

    The local derivatives are σ(x₁ − x₂) and σ(x₂ − x₁), with the logistic function σ.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.logaddexp(bl.tensor([0.0, 10.0]), 0.0)
    Tensor([ 0.693147, 10.000045])
    """
    return call(LOGADDEXP, x1, x2)


def sqrt(x: Value, /) -> Tensor:
    """Return √x.

    Its derivative is 1/(2√x), infinite at 0.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.sqrt(bl.tensor([4.0, 9.0]))
    Tensor([2., 3.])
    """
    return call(SQRT, x)


def rsqrt(x: Value, /) -> Tensor:
    """Return 1/√x; not part of the standard.

    Its derivative is −1/(2x√x).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.rsqrt(bl.tensor([4.0, 16.0]))
    Tensor([0.5 , 0.25])
    """
    return call(RSQRT, x)


def sigmoid(x: Value, /) -> Tensor:
    """Return the logistic function σ(x) = 1/(1 + e⁻ˣ); not part of the standard.

    Its derivative is σ(x)(1 − σ(x)).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.sigmoid(bl.tensor([0.0, -1000.0]))
    Tensor([0.5, 0. ])
    """
    return call(SIGMOID, x)


def relu(x: Value, /) -> Tensor:
    """Return max(x, 0); not part of the standard.

    Its derivative is 1 for x > 0 and 0 for x ≤ 0.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.relu(bl.tensor([2.0, -3.0]))
    Tensor([2., 0.])
    """
    return call(RELU, x)


def erf(x: Value, /) -> Tensor:
    """Return the error function 2/√π·∫₀ˣ exp(−t²) dt; not part of the standard.

    Its derivative is 2/√π·exp(−x²).

    Examples
    --------
    >>> import backlight as bl
    >>> bl.erf(bl.tensor([0.0, 1.0]))
    Tensor([0.      , 0.842701])
    """
    return call(ERF, x)
