"""Activations as functions.

Each takes a floating-point tensor and keeps its dtype; all but softmax work entry by entry.  The
ones made of several primitives are recorded as one composite.
"""

from __future__ import annotations

import math
from typing import Literal

from numpy.typing import ArrayLike

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.functions.composite import composite
from backlight.ops.convert import DETACH
from backlight.ops.exponential import ERF, EXP, EXPM1, LOG, LOGADDEXP, SIGMOID
from backlight.ops.logical import GREATER
from backlight.ops.piecewise import MAXIMUM, MINIMUM, RELU, WHERE
from backlight.ops.reduce import MAX, SUM, expand
from backlight.ops.rules import axes_of
from backlight.ops.trigonometric import TANH
from backlight.tensor import Tensor, as_tensor, literal

__all__ = [
    "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh", "softmax",
    "log_softmax",
]  # fmt: skip

SHIFT = "the shift cancels exactly"


def _operand(name: str, x: Tensor | ArrayLike) -> Tensor:
    """Return the operand as a floating-point tensor, or raise."""
    made = as_tensor(x)
    if made.dtype.kind != "f":
        raise DtypeError(
            f"{name} takes a floating-point tensor, not {made.dtype}; convert with "
            f"bl.astype(x, …) first."
        )
    return made


def relu(x: Tensor | ArrayLike, /) -> Tensor:
    """Return max(x, 0); the derivative at 0 is taken as 0.

    Examples
    --------
    >>> relu([-1.0, 2.0])
    Tensor([0., 2.])
    """
    result: Tensor = RELU(_operand("relu", x))
    return result


def sigmoid(x: Tensor | ArrayLike, /) -> Tensor:
    """Return σ(x) = 1/(1 + e⁻ˣ), whose derivative is σ(1 − σ).

    Examples
    --------
    >>> sigmoid(0.0)
    Tensor(0.5)
    """
    result: Tensor = SIGMOID(_operand("sigmoid", x))
    return result


def tanh(x: Tensor | ArrayLike, /) -> Tensor:
    """Return the hyperbolic tangent, whose derivative is 1 − tanh².

    Examples
    --------
    >>> tanh(0.0)
    Tensor(0.)
    """
    result: Tensor = TANH(_operand("tanh", x))
    return result


@composite()
def leaky_relu(x: Tensor | ArrayLike, /, slope: float = 0.01) -> Tensor:
    """Return x where x > 0 and slope·x elsewhere.

    A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier nonlinearities improve neural network
    acoustic models", ICML 2013.  The derivative at 0 is the slope.

    Examples
    --------
    >>> leaky_relu([-1.0, 2.0], slope=0.1)
    Tensor([-0.1,  2. ])
    """
    x = _operand("leaky_relu", x)
    # The factor is a function of the sign only, so the product's derivative is the factor itself.
    one, small = literal(1.0, x.dtype), literal(slope, x.dtype)
    result: Tensor = x * WHERE(GREATER(x, 0.0), one, small)
    return result


@composite()
def elu(x: Tensor | ArrayLike, /, alpha: float = 1.0) -> Tensor:
    """Return x where x > 0 and alpha·(eˣ − 1) elsewhere.

    D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", ICLR 2016.  The derivative at 0 is (1 + alpha)/2, which is 1, the
    true one, for the default alpha.

    Examples
    --------
    >>> elu([0.0, 2.0])
    Tensor([0., 2.])
    """
    x = _operand("elu", x)
    # The exponential sees no positive number, so it cannot overflow.
    result: Tensor = MAXIMUM(x, 0.0) + alpha * EXPM1(MINIMUM(x, 0.0))
    return result


@composite()
def gelu(x: Tensor | ArrayLike, /, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """Return x·Φ(x), where Φ is the standard normal distribution function.

    D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Parameters
    ----------
    x : Tensor
    approximate : {"none", "tanh"}
        ``"none"``: x·½(1 + erf(x/√2)).  ``"tanh"``: x·½(1 + tanh(√(2/π)·(x + 0.044715·x³))), the
        paper's approximation.

    Raises
    ------
    UsageError
        For another ``approximate``.

    Examples
    --------
    >>> gelu([0.0, 100.0])
    Tensor([  0., 100.])
    """
    x = _operand("gelu", x)
    if approximate == "none":
        chance: Tensor = 0.5 * (1.0 + ERF(x * math.sqrt(0.5)))
        return x * chance
    if approximate == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
        chance = 0.5 * (1.0 + TANH(inner))
        return x * chance
    raise UsageError(f"gelu has approximate='none' or 'tanh', not {approximate!r}.")


@composite()
def silu(x: Tensor | ArrayLike, /) -> Tensor:
    """Return x·σ(x).

    Hendrycks and Gimpel 2016; S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units",
    Neural Networks 107, 2018.

    Examples
    --------
    >>> silu([0.0, 100.0])
    Tensor([  0., 100.])
    """
    x = _operand("silu", x)
    return x * sigmoid(x)


@composite()
def softplus(x: Tensor | ArrayLike, /) -> Tensor:
    """Return ln(1 + eˣ) without overflow, whose derivative is σ(x).

    Examples
    --------
    >>> softplus([-1e4, 1e4])
    Tensor([    0., 10000.])
    """
    result: Tensor = LOGADDEXP(_operand("softplus", x), 0.0)
    return result


def _shifted(name: str, x: Tensor, axis: int) -> tuple[Tensor, tuple[int, ...]]:
    """x minus its largest entry along the axis, which keeps the exponentials at most 1."""
    if not isinstance(axis, int):
        raise UsageError(f"{name} works along one axis, not {axis!r}.")
    axes = axes_of(name, axis, x.ndim)
    if x.shape[axes[0]] == 0:
        raise ShapeError(f"{name}: the shape {x.shape} has no entries along axis {axis}.")
    # The result is the same for every shift, so the shift's own derivative may be left out.
    shift = DETACH(MAX(x, axes=axes), reason=SHIFT)
    return x - expand(shift, x.shape, axes), axes


@composite()
def softmax(x: Tensor | ArrayLike, /, axis: int = -1) -> Tensor:
    """Return exp(xᵢ)/Σⱼ exp(xⱼ) along an axis: positive numbers that add up to 1.

    Parameters
    ----------
    x : Tensor
        Logits.
    axis : int
        The axis of the classes; the last one by default.

    Raises
    ------
    ShapeError
        When the axis does not exist or has no entries.

    Notes
    -----
    The largest entry is subtracted first, so that nothing overflows (I. Goodfellow, Y. Bengio and
    A. Courville, "Deep Learning", 2016, section 4.1).

    Examples
    --------
    >>> softmax([1000.0, 1000.0])
    Tensor([0.5, 0.5])
    """
    x = _operand("softmax", x)
    shifted, axes = _shifted("softmax", x, axis)
    powers: Tensor = EXP(shifted)
    result: Tensor = powers / expand(SUM(powers, axes=axes), x.shape, axes)
    return result


@composite()
def log_softmax(x: Tensor | ArrayLike, /, axis: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, exact also where softmax is too small for a number.

    Examples
    --------
    >>> log_softmax([0.0, 1e4])
    Tensor([-10000.,      0.])
    """
    x = _operand("log_softmax", x)
    shifted, axes = _shifted("log_softmax", x, axis)
    result: Tensor = shifted - expand(LOG(SUM(EXP(shifted), axes=axes)), x.shape, axes)
    return result
