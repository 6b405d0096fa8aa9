"""Joining, taking apart and repeating: tensors made of several, or of several copies.

Every function takes tensors or arrays and gives tensors; all of them are linear, and a gradient
goes back the way the entries came.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.functions.composite import composite
from backlight.functions.operands import (
    Value,
    integer,
    known,
    one_axis,
    operand,
    part,
    shape_of,
    tuple_of,
)
from backlight.graph.primitive import Shape
from backlight.ops.compose import broadcast_to as _broadcast_to
from backlight.ops.compose import reshape as _reshape
from backlight.ops.index import GATHER
from backlight.ops.move import CONCAT
from backlight.tensor import Tensor, literal, record


def concat(arrays: Sequence[Value], /, *, axis: int | None = 0) -> Tensor:
    """Return tensors one after the other along an axis.

    Parameters
    ----------
    arrays : sequence of Tensor
        Of the same sizes along all other axes.
    axis : int or None
        None joins the entries of all of them in a row.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.concat([bl.tensor([1, 2]), bl.tensor([3])])
    Tensor([1, 2, 3])
    """
    made = _listed("concat", arrays)
    if axis is None:
        return _joined_in_a_row(made)
    return record(CONCAT, made, {"axis": one_axis("concat", axis, made[0].ndim)})


@composite("concat")
def _joined_in_a_row(arrays: list[Tensor]) -> Tensor:
    return record(CONCAT, [_reshape(each, (each.size,)) for each in arrays], {"axis": 0})


def _listed(name: str, arrays: Sequence[Value]) -> list[Tensor]:
    if isinstance(arrays, Tensor | np.ndarray):
        raise UsageError(f"{name} takes a list or tuple of tensors, not one tensor.")
    made = [operand(name, each) for each in arrays]
    if not made:
        raise UsageError(f"{name} of no tensors has no dtype; give at least one.")
    return made


@composite()
def stack(arrays: Sequence[Value], /, *, axis: int = 0) -> Tensor:
    """Return tensors of one shape side by side along a new axis.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.stack([bl.tensor([1, 2]), bl.tensor([3, 4])], axis=1)
    Tensor([[1, 3],
            [2, 4]])
    """
    made = _listed("stack", arrays)
    shapes = {each.shape for each in made}
    if len(shapes) > 1:
        listed = " and ".join(str(each) for each in sorted(shapes))
        raise ShapeError(f"stack: all tensors must have one shape, and these have {listed}.")
    found = one_axis("stack", axis, made[0].ndim + 1)
    shape = (*made[0].shape[:found], 1, *made[0].shape[found:])
    return record(CONCAT, [_reshape(each, shape) for each in made], {"axis": found})


def unstack(x: Value, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Return the parts of a tensor along an axis, without that axis.

    Examples
    --------
    >>> import backlight as bl
    >>> a, b = bl.unstack(bl.tensor([[1, 2], [3, 4]]))
    >>> b
    Tensor([3, 4])
    """
    made = operand("unstack", x)
    if made.ndim == 0:
        raise ShapeError("unstack: a scalar has no axis to take apart.")
    found = one_axis("unstack", axis, made.ndim)
    shape = made.shape[:found] + made.shape[found + 1 :]
    return tuple(_picked(made, found, k, shape) for k in range(made.shape[found]))


@composite("unstack")
def _picked(x: Tensor, axis: int, position: int, shape: Shape) -> Tensor:
    picked: Tensor = _reshape(part(x, axis, position, position + 1), shape)
    return picked


@composite()
def roll(
    x: Value, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None
) -> Tensor:
    """Return a tensor with its entries moved along axes, those that leave coming in again.

    Parameters
    ----------
    x : Tensor
    shift : int or tuple of int
        By how many places, towards the end if positive.
    axis : int, tuple of int or None
        None moves the entries in row-major order.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.roll(bl.tensor([1, 2, 3, 4]), 1)
    Tensor([4, 1, 2, 3])
    """
    made = operand("roll", x)
    if axis is None:
        if isinstance(shift, tuple | list):
            raise UsageError("roll: several shifts need as many axes; give axis=.")
        line: Tensor = _reshape(made, (made.size,))
        rolled: Tensor = _reshape(_rolled(line, integer("roll", shift), 0), made.shape)
        return rolled
    axes = tuple_of(axis)
    shifts = shift if isinstance(shift, tuple | list) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise UsageError(f"roll: {len(shifts)} shifts do not fit {len(axes)} axes.")
    for by, each in zip(shifts, axes, strict=True):
        made = _rolled(made, integer("roll", by), one_axis("roll", each, made.ndim))
    return made


def _rolled(x: Tensor, by: int, axis: int) -> Tensor:
    size = x.shape[axis]
    if size == 0 or by % size == 0:
        return x
    cut = size - by % size
    return record(CONCAT, (part(x, axis, cut, size), part(x, axis, 0, cut)), {"axis": axis})


@composite()
def repeat(x: Value, repeats: int | Value, /, *, axis: int | None = None) -> Tensor:
    """Return a tensor with every entry repeated along an axis.

    Parameters
    ----------
    x : Tensor
    repeats : int or tensor of int
        How often: each entry, or entry by entry along the axis.
    axis : int or None
        None repeats the entries in row-major order.

    Raises
    ------
    TracedValueError
        For counts that are not known while tracing, since the shape would depend on them.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.repeat(bl.tensor([1, 2]), 2)
    Tensor([1, 1, 2, 2])
    """
    made = operand("repeat", x)
    if axis is None:
        made = _reshape(made, (made.size,))
    found = one_axis("repeat", 0 if axis is None else axis, made.ndim)
    if isinstance(repeats, int) and not isinstance(repeats, bool):
        return _repeated(made, repeats, found)
    given = operand("repeat", repeats)
    if given.dtype.kind not in "iu":
        raise DtypeError(f"repeat: counts are integers, not {given.dtype}.")
    counts = known("repeat", given, "give the counts as Python integers or a NumPy array")
    if counts.size == 1:
        return _repeated(made, int(counts.reshape(())), found)
    size = made.shape[found]
    if counts.shape != (size,) or counts.min(initial=0) < 0:
        raise ShapeError(
            f"repeat: counts of shape {counts.shape} must be {size} non-negative integers, one "
            f"for each entry along axis {found}."
        )
    return record(GATHER, (made, literal(np.repeat(np.arange(size), counts))), {"axis": found})


def _repeated(x: Tensor, count: int, axis: int) -> Tensor:
    """Repeat each entry as often as the others: along a new axis, which is then merged."""
    if count < 0:
        raise ShapeError(f"repeat: {count} is not a count.")
    front, size, back = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    wide = _broadcast_to(_reshape(x, (*front, size, 1, *back)), (*front, size, count, *back))
    result: Tensor = _reshape(wide, (*front, size * count, *back))
    return result


@composite()
def tile(x: Value, repetitions: tuple[int, ...], /) -> Tensor:
    """Return a tensor laid side by side with itself along its axes.

    Parameters
    ----------
    x : Tensor
    repetitions : tuple of int
        How often along each axis, counted from the last.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.tile(bl.tensor([1, 2]), (2, 2))
    Tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    made = operand("tile", x)
    counts = shape_of("tile", repetitions)
    if any(count < 0 for count in counts):
        raise ShapeError(f"tile: {counts} are not counts.")
    ndim = max(made.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - made.ndim) + made.shape
    pairs = list(zip(counts, shape, strict=True))
    narrow = tuple(size for count, n in pairs for size in (1, n))
    wide = tuple(size for pair in pairs for size in pair)
    repeated = _broadcast_to(_reshape(made, narrow), wide)
    result: Tensor = _reshape(repeated, tuple(count * n for count, n in pairs))
    return result
