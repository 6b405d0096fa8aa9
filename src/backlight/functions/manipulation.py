"""Moving entries: other shapes and other orders.

Every function takes tensors or arrays and gives tensors; all of them are linear, and a gradient
goes back the way the entries came.  Tensors never change, so that no function needs to copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from backlight.errors import ShapeError
from backlight.functions.operands import (
    Axis,
    Value,
    one_axis,
    operand,
    several_axes,
    shape_of,
    tuple_of,
)
from backlight.graph.primitive import Shape
from backlight.ops.compose import broadcast_to as _broadcast_to
from backlight.ops.compose import permute
from backlight.ops.compose import reshape as _reshape
from backlight.ops.move import FLIP
from backlight.ops.rules import broadcast
from backlight.tensor import Tensor, record


def reshape(x: Value, /, shape: int | Sequence[int], *, copy: bool | None = None) -> Tensor:
    """Return the same entries, in row-major order, in another shape.

    Parameters
    ----------
    x : Tensor
    shape : int or sequence of int
        One size may be −1: whatever is left.
    copy : bool, optional
        Without meaning here, since tensors never change.

    Raises
    ------
    ShapeError
        When the number of entries differs.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.reshape(bl.arange(6), (2, -1)).shape
    (2, 3)
    """
    made = operand("reshape", x)
    wanted = list(shape_of("reshape", shape))
    if any(size < -1 for size in wanted) or wanted.count(-1) > 1:
        raise ShapeError(f"reshape: {tuple(wanted)} is not a shape; at most one size can be -1.")
    if -1 in wanted:
        rest = math.prod(size for size in wanted if size != -1)
        if rest == 0 or made.size % rest:
            raise ShapeError(
                f"reshape: {made.size} entries do not fill the shape {tuple(wanted)} evenly."
            )
        wanted[wanted.index(-1)] = made.size // rest
    result: Tensor = _reshape(made, tuple(wanted))
    return result


def broadcast_to(x: Value, /, shape: int | Sequence[int]) -> Tensor:
    """Return a tensor repeated along new axes and axes of size 1.

    Its gradient is added up over these axes.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.broadcast_to(bl.tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2.],
            [1., 2.]])
    """
    result: Tensor = _broadcast_to(operand("broadcast_to", x), shape_of("broadcast_to", shape))
    return result


def broadcast_arrays(*arrays: Value) -> tuple[Tensor, ...]:
    """Return tensors repeated to the shape that they have together.

    Examples
    --------
    >>> import backlight as bl
    >>> a, b = bl.broadcast_arrays(bl.zeros((2, 1)), bl.zeros(3))
    >>> a.shape, b.shape
    ((2, 3), (2, 3))
    """
    made = [operand("broadcast_arrays", each) for each in arrays]
    shape = broadcast("broadcast_arrays", [each.shape for each in made])
    return tuple(_broadcast_to(each, shape) for each in made)


def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """Return the shape that shapes broadcast to.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    return broadcast("broadcast_shapes", [shape_of("broadcast_shapes", each) for each in shapes])


def permute_dims(x: Value, /, axes: tuple[int, ...]) -> Tensor:
    """Return a tensor with its axes in another order.

    Parameters
    ----------
    x : Tensor
    axes : tuple of int
        Axis k of the result is axis ``axes[k]`` of x.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.permute_dims(bl.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    made = operand("permute_dims", x)
    order = tuple(one_axis("permute_dims", each, made.ndim) for each in axes)
    if len(order) != made.ndim or len(set(order)) != made.ndim:
        raise ShapeError(
            f"permute_dims: {tuple(axes)} must name each of the {made.ndim} axes once."
        )
    result: Tensor = permute(made, order)
    return result


def matrix_transpose(x: Value, /) -> Tensor:
    """Return matrices with rows and columns exchanged: the last two axes.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.matrix_transpose(bl.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    made = operand("matrix_transpose", x)
    if made.ndim < 2:
        raise ShapeError(f"matrix_transpose takes matrices, and the shape is {made.shape}.")
    result: Tensor = permute(made, (*range(made.ndim - 2), made.ndim - 1, made.ndim - 2))
    return result


def moveaxis(
    x: Value, source: int | tuple[int, ...], destination: int | tuple[int, ...], /
) -> Tensor:
    """Return a tensor with axes moved to other places, the rest in order.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.moveaxis(bl.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    made = operand("moveaxis", x)
    sources, targets = (
        [one_axis("moveaxis", axis, made.ndim) for axis in tuple_of(each)]
        for each in (source, destination)
    )
    if len(sources) != len(targets) or len(set(sources)) + len(set(targets)) < 2 * len(sources):
        raise ShapeError(f"moveaxis: {source} and {destination} must name as many distinct axes.")
    order = [axis for axis in range(made.ndim) if axis not in sources]
    for target, moved in sorted(zip(targets, sources, strict=True)):
        order.insert(target, moved)
    result: Tensor = permute(made, tuple(order))
    return result


def expand_dims(x: Value, /, *, axis: int | tuple[int, ...] = 0) -> Tensor:
    """Return a tensor with a new axis of size 1, or several.

    Parameters
    ----------
    x : Tensor
    axis : int or tuple of int
        Where the new axes are in the result.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.expand_dims(bl.zeros(3), axis=-1).shape
    (3, 1)
    """
    made = operand("expand_dims", x)
    listed = tuple_of(axis)
    places = several_axes("expand_dims", listed, made.ndim + len(listed))
    sizes = iter(made.shape)
    shape = tuple(1 if k in places else next(sizes) for k in range(made.ndim + len(places)))
    result: Tensor = _reshape(made, shape)
    return result


def squeeze(x: Value, /, axis: int | tuple[int, ...]) -> Tensor:
    """Return a tensor without axes of size 1.

    Raises
    ------
    ShapeError
        When an axis named has another size.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.squeeze(bl.zeros((1, 3, 1)), axis=(0, 2)).shape
    (3,)
    """
    made = operand("squeeze", x)
    places = several_axes("squeeze", axis, made.ndim)
    for place in places:
        if made.shape[place] != 1:
            raise ShapeError(
                f"squeeze: axis {place} has size {made.shape[place]} in {made.shape}; only axes "
                f"of size 1 can go."
            )
    result: Tensor = _reshape(made, tuple(n for k, n in enumerate(made.shape) if k not in places))
    return result


def flip(x: Value, /, *, axis: Axis = None) -> Tensor:
    """Return a tensor with the entries in reverse order along axes, by default all.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.flip(bl.tensor([1, 2, 3]))
    Tensor([3, 2, 1])
    """
    made = operand("flip", x)
    return record(FLIP, (made,), {"axes": several_axes("flip", axis, made.ndim)})
