"""Running sums and products along an axis, and differences of neighbours.

Every function takes a tensor and an axis and gives a tensor that keeps the axis.
"""

from __future__ import annotations

from backlight.errors import ShapeError
from backlight.functions.composite import composite
from backlight.functions.operands import (
    DtypeLike,
    Value,
    accumulator,
    converted,
    integer,
    one_axis,
    operand,
    part,
)
from backlight.graph.primitive import Dtype
from backlight.ops.arithmetic import MUL, SUB
from backlight.ops.compose import broadcast_to, reshape
from backlight.ops.move import CONCAT, PAD
from backlight.ops.reduce import CUMULATIVE_SUM
from backlight.ops.rules import accept
from backlight.tensor import Tensor, literal, record, weak_dtype


def cumulative_sum(
    x: Value,
    /,
    *,
    axis: int | None = None,
    dtype: DtypeLike = None,
    include_initial: bool = False,
) -> Tensor:
    """Return x₀, x₀ + x₁, x₀ + x₁ + x₂, … along an axis.

    Parameters
    ----------
    x : Tensor
    axis : int or None
        None for a tensor with one axis.
    dtype : optional
        What to convert to first; by default small integers become int64 or uint64.
    include_initial : bool
        Put a 0 in front.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.cumulative_sum(bl.tensor([1.0, 2.0, 3.0]))
    Tensor([1., 3., 6.])
    """
    made, found, target = _scanned("cumulative_sum", x, axis, dtype)
    if made.dtype == target and not include_initial:
        return record(CUMULATIVE_SUM, (made,), {"axis": found})
    return _running_sum(made, found, target, include_initial)


@composite("cumulative_sum")
def _running_sum(x: Tensor, axis: int, dtype: Dtype, include_initial: bool) -> Tensor:
    result = record(CUMULATIVE_SUM, (converted(x, dtype),), {"axis": axis})
    return _shifted(result, axis, 1, 0.0, keep=True) if include_initial else result


@composite()
def cumulative_prod(
    x: Value,
    /,
    *,
    axis: int | None = None,
    dtype: DtypeLike = None,
    include_initial: bool = False,
) -> Tensor:
    """Return x₀, x₀·x₁, x₀·x₁·x₂, … along an axis.

    Built from products over windows that double in length (Hillis and Steele 1986), so that no
    division is needed and derivatives of every order are right at zeros too.

    Parameters
    ----------
    x : Tensor
    axis : int or None
        None for a tensor with one axis.
    dtype : optional
        What to convert to first; by default small integers become int64 or uint64.
    include_initial : bool
        Put a 1 in front.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.cumulative_prod(bl.tensor([1.0, 2.0, 3.0]))
    Tensor([1., 2., 6.])
    """
    made, found, target = _scanned("cumulative_prod", x, axis, dtype)
    product = converted(made, target)
    size = product.shape[found]
    by = 1
    while by < size:
        product = record(MUL, (product, _shifted(product, found, by, 1.0)))
        by *= 2
    return _shifted(product, found, 1, 1.0, keep=True) if include_initial else product


def _scanned(name: str, x: Value, axis: int | None, dtype: DtypeLike) -> tuple[Tensor, int, Dtype]:
    """Return the operand of a running sum or product, the axis and the dtype to work in."""
    made = operand(name, x)
    accept(name, made.dtype, "numeric")
    if made.ndim == 0:
        raise ShapeError(f"{name} needs at least one axis; this is a scalar.")
    if axis is None and made.ndim > 1:
        raise ShapeError(f"{name} needs axis= for a tensor of shape {made.shape}.")
    found = one_axis(name, 0 if axis is None else axis, made.ndim)
    return made, found, accumulator(made.dtype, dtype)


def _shifted(x: Tensor, axis: int, by: int, fill: float, keep: bool = False) -> Tensor:
    """Move entries along an axis and fill up in front; keep those that move out if asked."""
    zeros = (0,) * x.ndim
    if not keep:
        x = part(x, axis, 0, x.shape[axis] - by)
    before = tuple(by if k == axis else 0 for k in range(x.ndim))
    return record(PAD, (x,), {"before": before, "after": zeros, "between": zeros, "fill": fill})


@composite()
def diff(
    x: Value,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Value | None = None,
    append: Value | None = None,
) -> Tensor:
    """Return x₁ − x₀, x₂ − x₁, … along an axis.

    Parameters
    ----------
    x : Tensor
    axis : int
    n : int
        How often to do it.
    prepend, append : Tensor, array or number, optional
        Put before and after x along the axis first; a number is one entry everywhere.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.diff(bl.tensor([1.0, 4.0, 9.0]))
    Tensor([3., 5.])
    """
    made = operand("diff", x)
    accept("diff", made.dtype, "numeric")
    if integer("diff", n) < 0:
        raise ShapeError(f"diff cannot be applied {n} times; n is a count.")
    found = one_axis("diff", axis, made.ndim)
    if n == 0:
        return made
    parts = [_edge(prepend, made, found), made, _edge(append, made, found)]
    present = [each for each in parts if each is not None]
    if len(present) > 1:
        made = record(CONCAT, present, {"axis": found})
    for _ in range(n):
        size = made.shape[found]
        low, high = min(1, size), max(size - 1, 0)
        upper = part(made, found, low, size)
        made = record(SUB, (upper, part(made, found, 0, high)))
    return made


def _edge(value: Value | None, x: Tensor, axis: int) -> Tensor | None:
    """Return what is put before or after a tensor, with a size of its own along the axis."""
    if value is None:
        return None
    if isinstance(value, int | float):
        made = literal(value, weak_dtype(value, [x.dtype]))
    else:
        made = operand("diff", value)
    if made.ndim:
        return made
    shape = tuple(1 if k == axis else n for k, n in enumerate(x.shape))
    edge: Tensor = broadcast_to(reshape(made, (1,) * x.ndim), shape)
    return edge
