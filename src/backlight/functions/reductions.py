"""Statistics and logic along axes: sums, means, extremes, running sums, any and all.

Every function takes a tensor and an axis, several axes or None for all, and gives a tensor without
these axes, or with size 1 there if ``keepdims``.
"""

from __future__ import annotations

import builtins
import math

from backlight.functions.composite import composite
from backlight.functions.operands import (
    Axis,
    DtypeLike,
    Value,
    accumulator,
    converted,
    operand,
    reduced,
    several_axes,
)
from backlight.graph.primitive import Dtype, Primitive
from backlight.ops.arithmetic import DIV, POW, SUB
from backlight.ops.convert import CAST
from backlight.ops.exponential import SQRT
from backlight.ops.logical import NOT_EQUAL
from backlight.ops.reduce import ALL, ANY, MAX, MIN, PROD, SUM
from backlight.ops.rules import accept
from backlight.tensor import INT64, Tensor, record


def sum(
    x: Value, /, *, axis: Axis = None, dtype: DtypeLike = None, keepdims: bool = False
) -> Tensor:
    """Return Σ xᵢ over axes.

    Its derivative by every entry is 1.

    Parameters
    ----------
    x : Tensor, array or number
    axis : int, tuple of int or None
    dtype : optional
        What to convert to first; by default small integers become int64 or uint64.
    keepdims : bool

    Examples
    --------
    >>> import backlight as bl
    >>> bl.sum(bl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([4., 6.])
    """
    return _accumulated(SUM, x, axis, dtype, keepdims)


def prod(
    x: Value, /, *, axis: Axis = None, dtype: DtypeLike = None, keepdims: bool = False
) -> Tensor:
    """Return Π xᵢ over axes.

    Its derivative by an entry is the product of all the others, right at zeros too.

    Parameters
    ----------
    x : Tensor, array or number
    axis : int, tuple of int or None
    dtype : optional
        What to convert to first; by default small integers become int64 or uint64.
    keepdims : bool

    Examples
    --------
    >>> import backlight as bl
    >>> bl.prod(bl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([3., 8.])
    """
    return _accumulated(PROD, x, axis, dtype, keepdims)


def _accumulated(
    primitive: Primitive, x: Value, axis: Axis, dtype: DtypeLike, keepdims: bool
) -> Tensor:
    made = operand(primitive.name, x)
    accept(primitive.name, made.dtype, "numeric")
    axes = several_axes(primitive.name, axis, made.ndim)
    target = accumulator(made.dtype, dtype)
    if target == made.dtype:
        return reduced(primitive, made, axes, keepdims)
    return composite(primitive.name)(_cast_and_reduced)(primitive, made, axes, keepdims, target)


def _cast_and_reduced(
    primitive: Primitive, x: Tensor, axes: tuple[int, ...], keepdims: bool, dtype: Dtype
) -> Tensor:
    return reduced(primitive, converted(x, dtype), axes, keepdims)


def max(x: Value, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest entry along axes; NaN if there is one.

    Its derivative is 1 for the largest entry and 0 for the others; ties share it equally.

    Raises
    ------
    ShapeError
        When there are no entries.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.max(bl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=-1)
    Tensor([2., 4.])
    """
    made = operand("max", x)
    return reduced(MAX, made, several_axes("max", axis, made.ndim), keepdims)


def min(x: Value, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest entry along axes; NaN if there is one.

    Its derivative is 1 for the smallest entry and 0 for the others; ties share it equally.

    Raises
    ------
    ShapeError
        When there are no entries.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.min(bl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=-1)
    Tensor([1., 3.])
    """
    made = operand("min", x)
    return reduced(MIN, made, several_axes("min", axis, made.ndim), keepdims)


@composite()
def mean(x: Value, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return Σ xᵢ / n over axes.

    Its derivative by every entry is 1/n.

    Parameters
    ----------
    x : Tensor of a floating-point dtype
    axis : int, tuple of int or None
    keepdims : bool

    Examples
    --------
    >>> import backlight as bl
    >>> bl.mean(bl.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([2., 3.])
    """
    made = operand("mean", x)
    accept("mean", made.dtype, "floating")
    axes = several_axes("mean", axis, made.ndim)
    return record(DIV, (reduced(SUM, made, axes, keepdims), float(_count(made, axes))))


def _count(x: Tensor, axes: tuple[int, ...]) -> int:
    """Return how many entries are reduced to one."""
    return math.prod(x.shape[axis] for axis in axes)


@composite()
def var(
    x: Value, /, *, axis: Axis = None, correction: int | float = 0.0, keepdims: bool = False
) -> Tensor:
    """Return Σ (xᵢ − mean)² / (n − correction) over axes.

    Its derivative by an entry is 2(xᵢ − mean)/(n − correction).

    Parameters
    ----------
    x : Tensor of a floating-point dtype
    axis : int, tuple of int or None
    correction : int or float
        1 gives the unbiased estimate from a sample.
    keepdims : bool

    Examples
    --------
    >>> import backlight as bl
    >>> bl.var(bl.tensor([1.0, 2.0, 3.0]))
    Tensor(0.666667)
    """
    return _variance("var", x, axis, correction, keepdims)


def _variance(name: str, x: Value, axis: Axis, correction: int | float, keepdims: bool) -> Tensor:
    made = operand(name, x)
    accept(name, made.dtype, "floating")
    axes = several_axes(name, axis, made.ndim)
    count = _count(made, axes)
    deviation = record(SUB, (made, mean(made, axis=axes, keepdims=True)))
    total = reduced(SUM, record(POW, (deviation, 2.0)), axes, keepdims)
    return record(DIV, (total, builtins.max(float(count - correction), 0.0)))


@composite()
def std(
    x: Value, /, *, axis: Axis = None, correction: int | float = 0.0, keepdims: bool = False
) -> Tensor:
    """Return the square root of the variance over axes.

    Its derivative by an entry is (xᵢ − mean)/((n − correction)·std).  Where all entries are equal
    the square root has no derivative and the gradient is NaN; add a small number to `var` before
    taking the root if that can happen.

    Parameters
    ----------
    x : Tensor of a floating-point dtype
    axis : int, tuple of int or None
    correction : int or float
        1 gives the square root of the unbiased variance.
    keepdims : bool

    Examples
    --------
    >>> import backlight as bl
    >>> bl.std(bl.tensor([1.0, 2.0, 3.0]), correction=1)
    Tensor(1.)
    """
    return record(SQRT, (_variance("std", x, axis, correction, keepdims),))


def any(x: Value, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return whether any entry along axes is true or other than 0.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.any(bl.tensor([[True, False], [False, False]]), axis=1)
    Tensor([ True, False])
    """
    made = operand("any", x)
    return reduced(ANY, made, several_axes("any", axis, made.ndim), keepdims)


def all(x: Value, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return whether every entry along axes is true or other than 0.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.all(bl.tensor([[True, False], [True, True]]), axis=1)
    Tensor([False,  True])
    """
    made = operand("all", x)
    return reduced(ALL, made, several_axes("all", axis, made.ndim), keepdims)


@composite()
def count_nonzero(x: Value, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return how many entries along axes are true or other than 0, as int64.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.count_nonzero(bl.tensor([0.0, 2.0, 3.0]))
    Tensor(2)
    """
    made = operand("count_nonzero", x)
    axes = several_axes("count_nonzero", axis, made.ndim)
    if made.dtype.kind != "b":
        made = record(NOT_EQUAL, (made, 0))
    return reduced(SUM, record(CAST, (made,), {"dtype": INT64}), axes, keepdims)
