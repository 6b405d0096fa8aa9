"""Tensors made from nothing, from numbers and from other libraries' arrays.

What a program makes by itself (zeros, a range, an identity matrix) is a constant of the graph;
what comes from outside (``asarray``, ``from_dlpack``) is a leaf like that of `backlight.tensor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.functions.composite import composite
from backlight.functions.operands import (
    DtypeLike,
    Value,
    check_device,
    constant,
    dtype_of,
    integer,
    operand,
    shape_of,
)
from backlight.ops.compose import broadcast_to, reshape
from backlight.ops.convert import CAST
from backlight.ops.piecewise import WHERE
from backlight.tensor import FLOAT64, Tensor, literal, record, tensor


def zeros(
    shape: int | Sequence[int], *, dtype: DtypeLike = None, device: str | None = None
) -> Tensor:
    """Return a constant of zeros, float64 unless said otherwise.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.zeros((2, 3))
    Tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return full(shape, 0, dtype=FLOAT64 if dtype is None else dtype, device=device)


def ones(
    shape: int | Sequence[int], *, dtype: DtypeLike = None, device: str | None = None
) -> Tensor:
    """Return a constant of ones, float64 unless said otherwise.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.ones(3, dtype=bl.int64)
    Tensor([1, 1, 1])
    """
    return full(shape, 1, dtype=FLOAT64 if dtype is None else dtype, device=device)


def empty(
    shape: int | Sequence[int], *, dtype: DtypeLike = None, device: str | None = None
) -> Tensor:
    """Return zeros: a tensor is never written into, so that its entries may as well be defined.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.empty((2,)).shape
    (2,)
    """
    return zeros(shape, dtype=dtype, device=device)


def full(
    shape: int | Sequence[int],
    fill_value: bool | int | float,
    *,
    dtype: DtypeLike = None,
    device: str | None = None,
) -> Tensor:
    """Return a constant with one number everywhere.

    Parameters
    ----------
    shape : int or sequence of int
    fill_value : bool, int or float
        Without a dtype it decides on bool, int64 or float64.
    dtype : optional
    device : {None, "cpu"}

    Examples
    --------
    >>> import backlight as bl
    >>> bl.full((2,), 0.5)
    Tensor([0.5, 0.5])
    """
    check_device("full", device)
    found = shape_of("full", shape)
    if any(size < 0 for size in found):
        raise ShapeError(f"The shape {found} has a negative size; sizes are counts.")
    if not isinstance(fill_value, bool | int | float | np.generic):
        raise DtypeError(
            f"full takes a Python number, not a {type(fill_value).__name__}; use bl.broadcast_to "
            f"for a tensor."
        )
    return constant(np.full(found, fill_value, None if dtype is None else dtype_of(dtype)))


def zeros_like(x: Value, /, *, dtype: DtypeLike = None, device: str | None = None) -> Tensor:
    """Return zeros of the shape and dtype of a tensor.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.zeros_like(bl.tensor([1.0, 2.0]))
    Tensor([0., 0.])
    """
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: Value, /, *, dtype: DtypeLike = None, device: str | None = None) -> Tensor:
    """Return ones of the shape and dtype of a tensor.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.ones_like(bl.tensor([1.0, 2.0]))
    Tensor([1., 1.])
    """
    return full_like(x, 1, dtype=dtype, device=device)


def empty_like(x: Value, /, *, dtype: DtypeLike = None, device: str | None = None) -> Tensor:
    """Return zeros of the shape and dtype of a tensor, as `empty` does.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.empty_like(bl.tensor([1, 2])).shape
    (2,)
    """
    return zeros_like(x, dtype=dtype, device=device)


def full_like(
    x: Value,
    /,
    fill_value: bool | int | float,
    *,
    dtype: DtypeLike = None,
    device: str | None = None,
) -> Tensor:
    """Return one number everywhere, in the shape and dtype of a tensor.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.full_like(bl.tensor([1.0, 2.0]), 7)
    Tensor([7., 7.])
    """
    model = operand("full_like", x)
    return full(
        model.shape, fill_value, dtype=model.dtype if dtype is None else dtype, device=device
    )


def arange(
    start: int | float,
    /,
    stop: int | float | None = None,
    step: int | float = 1,
    *,
    dtype: DtypeLike = None,
    device: str | None = None,
) -> Tensor:
    """Return start, start + step, start + 2·step, … below stop, with one argument from 0.

    The result is int64 when all arguments are integers and float64 otherwise.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.arange(2, 10, 3)
    Tensor([2, 5, 8])
    """
    check_device("arange", device)
    if step == 0:
        raise UsageError("arange with a step of 0 has no end; give a step other than 0.")
    bounds: tuple[Any, Any] = (0, start) if stop is None else (start, stop)
    return constant(np.arange(*bounds, step, dtype=None if dtype is None else dtype_of(dtype)))


def linspace(
    start: int | float,
    stop: int | float,
    /,
    num: int,
    *,
    dtype: DtypeLike = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Tensor:
    """Return evenly spaced numbers from start to stop.

    Parameters
    ----------
    start, stop : int or float
    num : int
        How many.
    dtype : optional
        float64 unless said otherwise.
    device : {None, "cpu"}
    endpoint : bool
        Whether stop is the last number; otherwise it would be the next one.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.linspace(0, 1, 5)
    Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    check_device("linspace", device)
    count = integer("linspace", num)
    if count < 0:
        raise UsageError(f"linspace cannot give {count} numbers; num is a count.")
    chosen = FLOAT64 if dtype is None else dtype_of(dtype)
    return constant(np.linspace(start, stop, count, endpoint=endpoint, dtype=chosen))


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DtypeLike = None,
    device: str | None = None,
) -> Tensor:
    """Return a matrix with ones on the k-th diagonal and zeros elsewhere.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    check_device("eye", device)
    chosen = FLOAT64 if dtype is None else dtype_of(dtype)
    return constant(np.eye(n_rows, n_cols, k=k, dtype=chosen))


def asarray(
    obj: Any,
    /,
    *,
    dtype: DtypeLike = None,
    device: str | None = None,
    copy: bool | None = None,
) -> Tensor:
    """Return numbers, nested lists, an array or a tensor as a tensor.

    Parameters
    ----------
    obj : array_like
        A tensor stays itself, gradient and all, unless another dtype is asked for.
    dtype : optional
    device : {None, "cpu"}
    copy : bool, optional
        Everything but a tensor is copied, so that ``copy=False`` is refused for it.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.asarray([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    check_device("asarray", device)
    if isinstance(obj, Tensor):
        if dtype is None or obj.dtype == dtype_of(dtype):
            return obj
        if copy is not False:
            return record(CAST, (obj,), {"dtype": dtype_of(dtype)})
    if copy is False:
        raise UsageError("asarray copies what is not a tensor of that dtype; leave out copy=False.")
    if not isinstance(obj, list | tuple):
        return tensor(obj, dtype=None if dtype is None else dtype_of(dtype))
    return tensor(_plain(obj), dtype=None if dtype is None else dtype_of(dtype))


def _plain(obj: Any) -> Any:
    """Replace tensors inside nested lists by their values."""
    if isinstance(obj, Tensor):
        if obj.tracked:
            raise UsageError(
                "asarray of a list would lose the gradient of the tensors in it; use bl.stack."
            )
        return obj.value
    return [_plain(each) for each in obj] if isinstance(obj, list | tuple) else obj


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """Return a copy of another library's array that has ``__dlpack__``; a tensor stays itself.

    Examples
    --------
    >>> import backlight as bl
    >>> import numpy as np
    >>> bl.from_dlpack(np.array([1.0, 2.0]))
    Tensor([1., 2.])
    """
    check_device("from_dlpack", device)
    if isinstance(x, Tensor):
        return x
    if copy is False:
        raise UsageError("from_dlpack always copies, since tensors never change; drop copy=False.")
    if not hasattr(x, "__dlpack__"):
        raise DtypeError(f"A {type(x).__name__} has no __dlpack__; use bl.asarray.")
    return tensor(np.from_dlpack(x))


def tril(x: Value, /, *, k: int = 0) -> Tensor:
    """Return matrices with zeros above the k-th diagonal.

    Parameters
    ----------
    x : Tensor of shape (…, rows, columns)
    k : int
        Diagonals above the main one are positive.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.tril(bl.tensor([[1, 2], [3, 4]]))
    Tensor([[1, 0],
            [3, 4]])
    """
    return _triangle("tril", x, lower=True, k=k)


def triu(x: Value, /, *, k: int = 0) -> Tensor:
    """Return matrices with zeros below the k-th diagonal.

    Parameters
    ----------
    x : Tensor of shape (…, rows, columns)
    k : int
        Diagonals above the main one are positive.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.triu(bl.tensor([[1, 2], [3, 4]]))
    Tensor([[1, 2],
            [0, 4]])
    """
    return _triangle("triu", x, lower=False, k=k)


def _triangle(name: str, x: Value, lower: bool, k: int) -> Tensor:
    matrix = operand(name, x)
    if matrix.ndim < 2:
        raise ShapeError(f"{name} takes matrices, and the operand has shape {matrix.shape}.")
    rows, columns = matrix.shape[-2:]
    # np.tri is true where column − row ≤ k.
    inside = np.tri(rows, columns, k if lower else k - 1, dtype=bool)
    mask = literal(inside if lower else ~inside)
    return record(WHERE, (mask, matrix, literal(0, matrix.dtype)))


def meshgrid(*arrays: Value, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Return the coordinates of all points of a grid, one tensor per axis.

    Parameters
    ----------
    *arrays : Tensor of shape (n,)
        The coordinates along each axis, all of one dtype.
    indexing : {"xy", "ij"}
        ``"ij"`` puts the first array along the first axis; ``"xy"`` exchanges the first two.

    Examples
    --------
    >>> import backlight as bl
    >>> x, y = bl.meshgrid(bl.arange(3), bl.arange(2))
    >>> x
    Tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    if indexing not in ("xy", "ij"):
        raise UsageError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}.")
    axes = [operand("meshgrid", each) for each in arrays]
    if any(each.ndim != 1 for each in axes):
        raise ShapeError("meshgrid takes tensors with one axis each; use bl.reshape(x, (-1,)).")
    if len({each.dtype for each in axes}) > 1:
        raise DtypeError("meshgrid takes tensors of one dtype; convert them with bl.astype.")
    order = list(range(len(axes)))
    if indexing == "xy" and len(axes) > 1:
        order[:2] = [1, 0]
    place = {source: position for position, source in enumerate(order)}
    shape = tuple(axes[source].shape[0] for source in order)
    return tuple(_spread(each, place[k], shape) for k, each in enumerate(axes))


@composite("meshgrid")
def _spread(x: Tensor, position: int, shape: tuple[int, ...]) -> Tensor:
    """Repeat a row of coordinates along all axes of a grid but its own."""
    narrow = tuple(size if axis == position else 1 for axis, size in enumerate(shape))
    spread: Tensor = broadcast_to(reshape(x, narrow), shape)
    return spread
