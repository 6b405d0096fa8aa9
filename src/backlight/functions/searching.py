"""Choosing and finding: conditions, positions of extremes, order, and the distinct values.

What has a shape that depends on values (`nonzero`, the ``unique_`` functions) works on tensors
whose value is known, not while a function is being traced.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.functions.composite import composite
from backlight.functions.indexing import along_axis
from backlight.functions.operands import (
    Value,
    check_operand,
    known,
    one_axis,
    operand,
    reduced,
    several_axes,
)
from backlight.graph.primitive import Array, Primitive
from backlight.ops.index import ARGSORT, GATHER
from backlight.ops.piecewise import WHERE
from backlight.ops.reduce import ARGMAX, ARGMIN
from backlight.ops.rules import accept
from backlight.tensor import INT64, Tensor, literal, record


def where(condition: Value, x1: Value, x2: Value, /) -> Tensor:
    """Return x₁ where a condition is true and x₂ elsewhere.

    The branch that is not chosen gets a gradient of exactly 0, even if it is infinite or NaN there.

    Parameters
    ----------
    condition : Tensor of bool
    x1, x2 : Tensor, array or Python scalar
        All three broadcast.

    Examples
    --------
    >>> import backlight as bl
    >>> x = bl.tensor([1.0, -2.0])
    >>> bl.where(x > 0, x, 0.0)
    Tensor([1., 0.])
    """
    for each in (condition, x1, x2):
        check_operand("where", each)
    if isinstance(x1, int | float) and isinstance(x2, int | float):
        # Two weak scalars: an integer beside a float is a float.
        pair = np.asarray([x1, x2])
        if isinstance(x1, bool) is not isinstance(x2, bool):
            raise DtypeError("where: a Boolean and a number do not mix; write 1 or 0.")
        x1, x2 = literal(x1, pair.dtype), literal(x2, pair.dtype)
    return record(WHERE, (condition, x1, x2))


def argmax(x: Value, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the position of the first largest entry along an axis, as int64.

    Parameters
    ----------
    x : Tensor
    axis : int or None
        None counts through all entries in row-major order.
    keepdims : bool

    Examples
    --------
    >>> import backlight as bl
    >>> bl.argmax(bl.tensor([[1.0, 5.0], [7.0, 3.0]]), axis=1)
    Tensor([1, 0])
    """
    return _position(ARGMAX, x, axis, keepdims)


def argmin(x: Value, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the position of the first smallest entry along an axis, as int64.

    Parameters
    ----------
    x : Tensor
    axis : int or None
        None counts through all entries in row-major order.
    keepdims : bool

    Examples
    --------
    >>> import backlight as bl
    >>> bl.argmin(bl.tensor([[1.0, 5.0], [7.0, 3.0]]), axis=1)
    Tensor([0, 1])
    """
    return _position(ARGMIN, x, axis, keepdims)


def _position(primitive: Primitive, x: Value, axis: int | None, keepdims: bool) -> Tensor:
    made = operand(primitive.name, x)
    return reduced(primitive, made, several_axes(primitive.name, axis, made.ndim), keepdims)


def argsort(
    x: Value, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """Return the positions that put the entries along an axis in order, as int64.

    Parameters
    ----------
    x : Tensor
    axis : int
    descending : bool
        Largest first.
    stable : bool
        The order of equal entries is always kept; the argument is there for the standard's sake.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.argsort(bl.tensor([3.0, 1.0, 2.0]))
    Tensor([1, 2, 0])
    """
    made = operand("argsort", x)
    accept("argsort", made.dtype, "numeric")
    found = one_axis("argsort", axis, made.ndim)
    return record(ARGSORT, (made,), {"axis": found, "descending": bool(descending)})


@composite()
def sort(x: Value, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the entries along an axis in order.

    They are gathered by their order, so that each gradient goes back to where the entry was.

    Parameters
    ----------
    x : Tensor
    axis : int
    descending : bool
        Largest first.
    stable : bool
        The order of equal entries is always kept; the argument is there for the standard's sake.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.sort(bl.tensor([3.0, 1.0, 2.0]), descending=True)
    Tensor([3., 2., 1.])
    """
    made = operand("sort", x)
    found = one_axis("sort", axis, made.ndim)
    order = argsort(made, axis=found, descending=descending)
    if made.ndim == 1:
        return record(GATHER, (made, order), {"axis": 0})
    return along_axis(made, order, found)


def searchsorted(
    x1: Value, x2: Value, /, *, side: str = "left", sorter: Value | None = None
) -> Tensor:
    """Return where values would have to go so that a sorted tensor stays sorted, as int64.

    Parameters
    ----------
    x1 : Tensor of shape (n,)
        In ascending order, or put in order by ``sorter``.
    x2 : Tensor
        The values to place.
    side : {"left", "right"}
        Before or after entries that are equal.
    sorter : Tensor of int, optional
        The positions that put x1 in order.

    Raises
    ------
    TracedValueError
        While a function is being traced.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.searchsorted(bl.tensor([1.0, 2.0, 4.0]), bl.tensor([2.0, 3.0]))
    Tensor([1, 2])
    """
    if side not in ("left", "right"):
        raise UsageError(f"searchsorted: side is 'left' or 'right', not {side!r}.")
    edges, values = operand("searchsorted", x1), operand("searchsorted", x2)
    if edges.ndim != 1:
        raise ShapeError(f"searchsorted: the sorted tensor has one axis, not {edges.shape}.")
    instead = "count the smaller ones with bl.sum(bl.astype(edges < x, bl.int64))"
    row, looked_up = known("searchsorted", edges, instead), known("searchsorted", values, instead)
    if sorter is not None:
        row = row[known("searchsorted", operand("searchsorted", sorter), instead)]
    return literal(np.searchsorted(row, looked_up, "right" if side == "right" else "left"), INT64)


_MASK = "use bl.where with a condition, which keeps the shape"


def nonzero(x: Value, /) -> tuple[Tensor, ...]:
    """Return the positions of the entries other than 0, one int64 tensor per axis.

    Raises
    ------
    TracedValueError
        While a function is being traced, since the shape depends on the values.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.nonzero(bl.tensor([0.0, 2.0, 3.0]))
    (Tensor([1, 2]),)
    """
    made = operand("nonzero", x)
    if made.ndim == 0:
        raise ShapeError("nonzero: a scalar has no positions; compare it with 0 instead.")
    return tuple(literal(each, INT64) for each in np.nonzero(known("nonzero", made, _MASK)))


class UniqueAll(NamedTuple):
    """The distinct values, where each stands first, which one each entry is, and how often."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The distinct values and how often each occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The distinct values and which one each entry is."""

    values: Tensor
    inverse_indices: Tensor


def _distinct(name: str, x: Value) -> tuple[Array, Array, Array, Array]:
    """Return the sorted distinct values; each NaN is a value of its own."""
    value = known(name, operand(name, x), "choose the values outside the traced function")
    found, first, inverse, counts = np.unique(
        value, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    return found, first, np.reshape(inverse, value.shape), counts


def unique_all(x: Value, /) -> UniqueAll:
    """Return the distinct values in order, with positions, inverse positions and counts.

    Raises
    ------
    TracedValueError
        While a function is being traced, since the shape depends on the values.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.unique_all(bl.tensor([3, 1, 3])).inverse_indices
    Tensor([1, 0, 1])
    """
    values, *positions = _distinct("unique_all", x)
    first, inverse, counts = (literal(each, INT64) for each in positions)
    return UniqueAll(literal(values), first, inverse, counts)


def unique_counts(x: Value, /) -> UniqueCounts:
    """Return the distinct values in order and how often each occurs.

    Raises
    ------
    TracedValueError
        While a function is being traced, since the shape depends on the values.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.unique_counts(bl.tensor([3, 1, 3])).counts
    Tensor([1, 2])
    """
    values, _, _, counts = _distinct("unique_counts", x)
    return UniqueCounts(literal(values), literal(counts, INT64))


def unique_inverse(x: Value, /) -> UniqueInverse:
    """Return the distinct values in order and the position among them of every entry.

    Raises
    ------
    TracedValueError
        While a function is being traced, since the shape depends on the values.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.unique_inverse(bl.tensor([3, 1, 3])).inverse_indices
    Tensor([1, 0, 1])
    """
    values, _, inverse, _ = _distinct("unique_inverse", x)
    return UniqueInverse(literal(values), literal(inverse, INT64))


def unique_values(x: Value, /) -> Tensor:
    """Return the distinct values in order.

    Raises
    ------
    TracedValueError
        While a function is being traced, since the shape depends on the values.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.unique_values(bl.tensor([3, 1, 3]))
    Tensor([1, 3])
    """
    return literal(_distinct("unique_values", x)[0])
