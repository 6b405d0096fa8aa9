"""Errors of elementary functions in units of the last place, against wider arithmetic.

float32 results are compared with NumPy in float64, float64 results with the C library's 80-bit or
128-bit functions where there are any, and with mpmath everywhere at fewer points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special

WIDE = np.longdouble if np.finfo(np.longdouble).nmant >= 60 else None


@dataclass(frozen=True)
class Truth:
    """A function in wide arithmetic, and where it is sampled besides all exponents.

    Attributes
    ----------
    wide
        The function on NumPy arrays of float64 or long double.
    low, high
        An interval in which the function does something, sampled evenly.
    """

    wide: Callable[..., np.ndarray]
    low: float
    high: float


def sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(x), small) / (1 + small)


def spacing(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the distance between neighbouring numbers of a dtype around wide values."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(np.abs(values))
    exponent = np.maximum(exponent, info.minexp + 1)
    return np.ldexp(np.ones_like(values), exponent - 1 - info.nmant)


def errors(result: np.ndarray, exact: np.ndarray, larger: np.ndarray | None = None) -> np.ndarray:
    """Return the error of each result in ulps of the exact value, or of ``larger`` where it is.

    NaN where only one of both is NaN counts as infinitely wrong.  An infinite result counts as
    the power of two behind the largest number, so overflow is judged like any rounding.
    """
    dtype, wide = result.dtype, exact.dtype
    info = np.finfo(dtype)
    top = wide.type(2) ** info.maxexp
    with np.errstate(all="ignore"):
        clipped = np.clip(exact, -top, top)
        given = np.clip(result.astype(wide), -top, top)
        size = np.abs(clipped) if larger is None else np.maximum(np.abs(clipped), larger)
        found = np.abs(given - clipped) / spacing(np.minimum(size, top), dtype)
    found = np.where(np.isnan(result) & np.isnan(exact), wide.type(0), found)
    return np.where(np.isnan(found), wide.type(np.inf), found)


def boundaries(dtype: np.dtype) -> np.ndarray:
    """Return 0, infinities, NaN, the ends of the format and every power of two with neighbours."""
    info = np.finfo(dtype)
    powers = np.ldexp(np.ones(1, dtype), np.arange(info.minexp - info.nmant, info.maxexp))
    powers = powers.astype(dtype)
    sides = [powers, np.nextafter(powers, dtype.type(np.inf)), np.nextafter(powers, dtype.type(0))]
    ends = np.array([0.0, np.inf, np.nan, info.max, info.tiny, info.smallest_subnormal], dtype)
    positive = np.concatenate([*sides, ends])
    return np.concatenate([positive, -positive])


def samples(truth: Truth, dtype: np.dtype, count: int, seed: int) -> np.ndarray:
    """Return all boundaries, numbers of every exponent, and numbers where the function lives."""
    rng = np.random.default_rng(seed)
    anywhere = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype)
    lively = rng.uniform(truth.low, truth.high, count).astype(dtype)
    return np.concatenate([boundaries(dtype), anywhere, lively])


UNARY: dict[str, Truth] = {
    "exp": Truth(np.exp, -110.0, 90.0),
    "expm1": Truth(np.expm1, -5.0, 5.0),
    "log": Truth(np.log, 0.0, 4.0),
    "log1p": Truth(np.log1p, -1.0, 4.0),
    "log2": Truth(np.log2, 0.0, 4.0),
    "log10": Truth(np.log10, 0.0, 4.0),
    "sqrt": Truth(np.sqrt, 0.0, 4.0),
    "rsqrt": Truth(lambda x: 1 / np.sqrt(x), 0.0, 4.0),
    "sigmoid": Truth(sigmoid, -20.0, 20.0),
    "tanh": Truth(np.tanh, -10.0, 10.0),
    "sinh": Truth(np.sinh, -10.0, 10.0),
    "cosh": Truth(np.cosh, -10.0, 10.0),
    "asinh": Truth(np.arcsinh, -4.0, 4.0),
    "acosh": Truth(np.arccosh, 1.0, 4.0),
    "atanh": Truth(np.arctanh, -1.0, 1.0),
    "sin": Truth(np.sin, -100.0, 100.0),
    "cos": Truth(np.cos, -100.0, 100.0),
    "tan": Truth(np.tan, -100.0, 100.0),
    "asin": Truth(np.arcsin, -1.0, 1.0),
    "acos": Truth(np.arccos, -1.0, 1.0),
    "atan": Truth(np.arctan, -4.0, 4.0),
    # SciPy has it in float64 only; float64 results are compared with mpmath.
    "erf": Truth(scipy.special.erf, -4.0, 4.0),
}

BINARY: dict[str, Truth] = {
    "pow": Truth(np.power, 0.0, 10.0),
    "hypot": Truth(np.hypot, -4.0, 4.0),
    "atan2": Truth(np.arctan2, -4.0, 4.0),
    "logaddexp": Truth(np.logaddexp, -4.0, 4.0),
}
