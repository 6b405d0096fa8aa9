"""Starting values of weights: deterministic functions of shape, seed and stream.

Every function takes a shape (outputs first, then inputs, then any kernel axes), a seed and the
number of a stream of random numbers, and returns a NumPy array.  The numbers come from the
counter-based generator of `backlight.ops.random`, so they are the same on every machine but for
the last bits of logarithm and cosine.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.graph.primitive import Array, Dtype, Shape
from backlight.ops import random


class Initializer(Protocol):
    """A function that makes starting values."""

    def __call__(
        self, shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32"
    ) -> Array: ...


def floating(dtype: DTypeLike) -> Dtype:
    """Return a floating-point dtype that parameters may have, or raise."""
    found = np.dtype(dtype)
    if found not in (np.float32, np.float64):
        raise DtypeError(f"Parameters are float32 or float64, not {found}.")
    return found


def fans(shape: Shape) -> tuple[int, int]:
    """Return how many inputs feed an output and how many outputs an input feeds.

    Parameters
    ----------
    shape : tuple of int
        Outputs, inputs, then kernel axes, each of which multiplies both numbers.  A vector counts
        as fed by, and feeding, as many units as it has entries.

    Examples
    --------
    >>> fans((10, 64)), fans((8, 3, 5, 5))
    ((64, 10), (75, 200))
    """
    if len(shape) < 2:
        count = max(1, math.prod(shape))
        return count, count
    kernel = math.prod(shape[2:])
    return max(1, shape[1] * kernel), max(1, shape[0] * kernel)


def zeros(shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32") -> Array:
    """Return zeros, the usual start of biases.

    Examples
    --------
    >>> zeros((2,))
    array([0., 0.], dtype=float32)
    """
    return np.zeros(shape, floating(dtype))


def constant(
    shape: Shape,
    seed: int = 0,
    stream: int = 0,
    dtype: DTypeLike = "float32",
    *,
    value: float = 1.0,
) -> Array:
    """Return one number everywhere.

    Examples
    --------
    >>> constant((2,), value=0.1, dtype="float64")
    array([0.1, 0.1])
    """
    return np.full(shape, value, floating(dtype))


def uniform(
    shape: Shape,
    seed: int = 0,
    stream: int = 0,
    dtype: DTypeLike = "float32",
    *,
    low: float = -1.0,
    high: float = 1.0,
) -> Array:
    """Return numbers spread evenly from ``low`` up to ``high``.

    Mean (low + high)/2, variance (high − low)²/12.

    Raises
    ------
    UsageError
        When ``low`` is above ``high`` or one of them is not finite.

    Examples
    --------
    >>> values = uniform((1000,), seed=1, low=0.0, high=2.0)
    >>> bool(0 <= values.min() and values.max() <= 2)
    True
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise UsageError(f"uniform needs finite low ≤ high, not {low} and {high}.")
    kind = floating(dtype)
    numbers = random.uniform(seed, stream, 0, shape, kind)
    return np.asarray(low + (high - low) * numbers, kind)


def normal(
    shape: Shape,
    seed: int = 0,
    stream: int = 0,
    dtype: DTypeLike = "float32",
    *,
    mean: float = 0.0,
    std: float = 1.0,
) -> Array:
    """Return normally distributed numbers.

    Two uniform numbers u, v give √(−2 ln u)·cos 2πv and √(−2 ln u)·sin 2πv (G. E. P. Box and
    M. E. Muller, "A note on the generation of random normal deviates", 1958).

    Raises
    ------
    UsageError
        When ``std`` is negative or one of the two is not finite.

    Examples
    --------
    >>> normal((2, 3), seed=1).shape
    (2, 3)
    """
    if not (math.isfinite(mean) and math.isfinite(std) and std >= 0):
        raise UsageError(f"normal needs a finite mean and std ≥ 0, not {mean} and {std}.")
    kind = floating(dtype)
    return np.asarray(mean + std * _standard_normal(shape, seed, stream, 0), kind)


def _standard_normal(shape: Shape, seed: int, stream: int, step: int) -> Array:
    count = math.prod(shape)
    pairs = (count + 1) // 2
    numbers = random.uniform(seed, stream, step, (2, pairs), np.dtype(np.float64))
    radius = np.sqrt(-2.0 * np.log1p(-numbers[0]))  # 1 − u is never 0
    angle = 2.0 * math.pi * numbers[1]
    both: Array = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return both[:count].reshape(shape)


def truncated_normal(
    shape: Shape,
    seed: int = 0,
    stream: int = 0,
    dtype: DTypeLike = "float32",
    *,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
) -> Array:
    """Return normal numbers of which those outside of ``mean + std·[low, high]`` are drawn again.

    With the default bounds the standard deviation is about 0.88·std.

    Raises
    ------
    UsageError
        When the interval holds less than a thousandth of the distribution.

    Examples
    --------
    >>> values = truncated_normal((1000,), seed=1)
    >>> bool(abs(values).max() <= 2)
    True
    """
    if not 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) > 1e-3:
        raise UsageError(
            f"truncated_normal would draw almost forever between {low} and {high} standard "
            f"deviations; widen the bounds."
        )
    kind = floating(dtype)
    numbers = _standard_normal(shape, seed, stream, 0)
    step = 0
    while np.any(outside := (numbers < low) | (numbers > high)):
        step += 1
        numbers = np.where(outside, _standard_normal(shape, seed, stream, step), numbers)
    return np.asarray(mean + std * numbers, kind)


def glorot_uniform(
    shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32"
) -> Array:
    """Return uniform numbers of variance 2/(fan_in + fan_out).

    The limits are ±√(6/(fan_in + fan_out)).  X. Glorot and Y. Bengio, "Understanding the
    difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> bool(abs(glorot_uniform((2, 4))).max() <= 1)
    True
    """
    limit = math.sqrt(6.0 / sum(fans(shape)))
    return uniform(shape, seed, stream, dtype, low=-limit, high=limit)


def glorot_normal(
    shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32"
) -> Array:
    """Return normal numbers of variance 2/(fan_in + fan_out) (Glorot and Bengio 2010).

    Examples
    --------
    >>> glorot_normal((2, 4)).shape
    (2, 4)
    """
    return normal(shape, seed, stream, dtype, std=math.sqrt(2.0 / sum(fans(shape))))


def he_uniform(shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32") -> Array:
    """Return uniform numbers of variance 2/fan_in, for layers before a ReLU.

    The limits are ±√(6/fan_in).  K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into
    rectifiers", ICCV 2015.

    Examples
    --------
    >>> bool(abs(he_uniform((2, 6))).max() <= 1)
    True
    """
    limit = math.sqrt(6.0 / fans(shape)[0])
    return uniform(shape, seed, stream, dtype, low=-limit, high=limit)


def he_normal(shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32") -> Array:
    """Return normal numbers of variance 2/fan_in (He et al. 2015).

    Examples
    --------
    >>> he_normal((2, 4)).shape
    (2, 4)
    """
    return normal(shape, seed, stream, dtype, std=math.sqrt(2.0 / fans(shape)[0]))


def lecun_uniform(
    shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32"
) -> Array:
    """Return uniform numbers of variance 1/fan_in.

    The limits are ±√(3/fan_in).  Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller, "Efficient
    BackProp", 1998.

    Examples
    --------
    >>> bool(abs(lecun_uniform((2, 3))).max() <= 1)
    True
    """
    limit = math.sqrt(3.0 / fans(shape)[0])
    return uniform(shape, seed, stream, dtype, low=-limit, high=limit)


def lecun_normal(
    shape: Shape, seed: int = 0, stream: int = 0, dtype: DTypeLike = "float32"
) -> Array:
    """Return normal numbers of variance 1/fan_in (LeCun et al. 1998).

    Examples
    --------
    >>> lecun_normal((2, 4)).shape
    (2, 4)
    """
    return normal(shape, seed, stream, dtype, std=math.sqrt(1.0 / fans(shape)[0]))


def orthogonal(
    shape: Shape,
    seed: int = 0,
    stream: int = 0,
    dtype: DTypeLike = "float32",
    *,
    gain: float = 1.0,
) -> Array:
    """Return a random matrix whose rows or columns, whichever are fewer, are orthonormal.

    It is the Q of the QR decomposition of a normal matrix, with the signs that make the diagonal
    of R positive, times ``gain``; axes after the first count as one.  A. M. Saxe, J. L. McClelland
    and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014.

    Raises
    ------
    ShapeError
        For fewer than two axes.

    Examples
    --------
    >>> import numpy as np
    >>> q = orthogonal((3, 3), dtype="float64")
    >>> bool(np.allclose(q @ q.T, np.eye(3)))
    True
    """
    if len(shape) < 2:
        raise ShapeError(f"orthogonal needs at least two axes, and the shape is {shape}.")
    kind = floating(dtype)
    rows, columns = shape[0], math.prod(shape[1:])
    tall = (max(rows, columns), min(rows, columns))
    q, r = np.linalg.qr(_standard_normal(tall, seed, stream, 0))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.asarray(gain * (q if rows >= columns else q.T), kind).reshape(shape)
