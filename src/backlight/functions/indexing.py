"""Entries chosen by integer positions along an axis.

Both functions take a tensor and integer positions, negative ones counting from the end, and give
the entries there; a gradient is added up at the positions that it came from.
"""

from __future__ import annotations

import math

import numpy as np

from backlight.errors import DtypeError, ShapeError
from backlight.functions.composite import composite
from backlight.functions.operands import Value, one_axis, operand
from backlight.graph.primitive import Shape
from backlight.ops.arithmetic import ADD
from backlight.ops.compose import broadcast_to, permute, reshape, row_positions
from backlight.ops.index import GATHER
from backlight.ops.rules import broadcast
from backlight.tensor import Tensor, as_tensor, literal, record


def take(x: Value, indices: Value, /, *, axis: int | None = None) -> Tensor:
    """Return the entries at positions along an axis.

    Parameters
    ----------
    x : Tensor of shape (…, n, …)
    indices : Tensor of int
        The standard asks for one axis; any number will do, and they replace the axis of x.
    axis : int or None
        None for a tensor with one axis.

    Raises
    ------
    ShapeError
        When a position is out of range.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.take(bl.tensor([10.0, 20.0, 30.0]), bl.tensor([2, 0, 0]))
    Tensor([30., 10., 10.])
    """
    made, positions = operand("take", x), _positions("take", indices)
    if made.ndim == 0 or (axis is None and made.ndim > 1):
        raise ShapeError(f"take needs axis= and at least one axis; the shape is {made.shape}.")
    found = one_axis("take", 0 if axis is None else axis, made.ndim)
    return record(GATHER, (made, positions), {"axis": found})


@composite()
def take_along_axis(x: Value, indices: Value, /, *, axis: int = -1) -> Tensor:
    """Return, in every row along an axis, the entries at that row's own positions.

    Parameters
    ----------
    x : Tensor of shape (…, n, …)
    indices : Tensor of int
        Of as many axes as x; all but the one named broadcast with those of x.
    axis : int

    Returns
    -------
    Tensor
        Of the shape of ``indices`` after broadcasting.

    Raises
    ------
    ShapeError
        When the shapes do not fit or a position is out of range.

    Examples
    --------
    >>> import backlight as bl
    >>> x = bl.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> bl.take_along_axis(x, bl.tensor([[1], [0]]), axis=1)
    Tensor([[2.],
            [3.]])
    """
    made, positions = operand("take_along_axis", x), _positions("take_along_axis", indices)
    if made.ndim != positions.ndim:
        raise ShapeError(
            f"take_along_axis: the positions have shape {positions.shape} and the operand "
            f"{made.shape}; they need as many axes."
        )
    found = one_axis("take_along_axis", axis, made.ndim)
    if made.ndim == 1:
        return record(GATHER, (made, positions), {"axis": 0})
    size = made.shape[found]
    outside = size * math.prod(_rows(made, positions, found))
    return along_axis(made, as_tensor(row_positions(positions, size, outside)), found)


def _rows(x: Tensor, positions: Tensor, axis: int) -> Shape:
    """Return the broadcast sizes of all axes but one."""
    return broadcast(
        "take_along_axis",
        [each.shape[:axis] + each.shape[axis + 1 :] for each in (x, positions)],
    )


def along_axis(x: Tensor, positions: Tensor, axis: int) -> Tensor:
    """Gather row by row: all rows become one axis, in which positions start at their row.

    Positions count from the front; one that is not in its row must not be in any other either.
    """
    rows = _rows(x, positions, axis)
    order = (*(k for k in range(x.ndim) if k != axis), axis)
    size, count = x.shape[axis], positions.shape[axis]
    lined = broadcast_to(permute(x, order), (*rows, size))
    chosen = broadcast_to(permute(positions, order), (*rows, count))
    number = math.prod(rows)
    starts = np.arange(number).reshape((*rows, 1)) * size
    flat = record(ADD, (chosen, literal(starts)))
    found = record(GATHER, (reshape(lined, (number * size,)), flat), {"axis": 0})
    back: Shape = tuple(sorted(range(x.ndim), key=order.__getitem__))
    result: Tensor = permute(found, back)
    return result


def _positions(name: str, indices: Value) -> Tensor:
    made = operand(name, indices)
    if made.dtype.kind not in "iu":
        raise DtypeError(f"{name}: positions are integers, not {made.dtype}.")
    return made
