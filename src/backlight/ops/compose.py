"""Matrix products and indexing, put together from primitives.

These stand behind the operators ``@`` and ``x[…]``; they work on anything that records.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from backlight.errors import DtypeError, ShapeError, TracedValueError
from backlight.graph.primitive import Shape
from backlight.graph.scope import open_scope
from backlight.ops.arithmetic import ADD, MUL
from backlight.ops.contract import CONTRACT
from backlight.ops.convert import CAST
from backlight.ops.index import GATHER
from backlight.ops.leaf import CONSTANT
from backlight.ops.logical import GREATER_EQUAL, LESS, LOGICAL_OR
from backlight.ops.move import BROADCAST, FLIP, PERMUTE, RESHAPE, SLICE
from backlight.ops.piecewise import WHERE


def reshape(x: Any, shape: tuple[int, ...]) -> Any:
    """Reshape, or return the operand when it has the shape already."""
    return x if x.shape == shape else RESHAPE(x, shape=shape)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast, or return the operand when it has the shape already."""
    return x if x.shape == shape else BROADCAST(x, shape=shape)


def permute(x: Any, axes: tuple[int, ...]) -> Any:
    """Permute axes, or return the operand when they are in order already."""
    return x if axes == tuple(range(x.ndim)) else PERMUTE(x, axes=axes)


def matmul(a: Any, b: Any) -> Any:
    """The matrix product over the last two axes, earlier ones broadcast.

    An axis of size 1 that meets a longer one is dropped from its operand's labels instead of
    being repeated.
    """
    shape_a, shape_b = a.shape, b.shape
    if not shape_a or not shape_b:
        raise ShapeError(
            f"matmul: the operands {a.shape} and {b.shape} need at least one axis each; "
            f"multiply scalars with *."
        )
    inner_a, inner_b = shape_a[-1], shape_b[-2 if len(shape_b) > 1 else -1]
    if inner_a != inner_b:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: the last axis of the first "
            f"({inner_a}) must equal the {'second-last' if b.ndim > 1 else 'only'} axis of the "
            f"second ({inner_b})."
        )
    labels = _MATRIX_LABELS.get((len(shape_a), len(shape_b)))
    if labels is not None:
        if hasattr(a, "record"):
            return a.record(CONTRACT, (a, b), labels)
        return CONTRACT(a, b, **labels)
    batch_a = a.shape[:-2] if a.ndim > 1 else ()
    batch_b = b.shape[:-2] if b.ndim > 1 else ()
    try:
        batch = np.broadcast_shapes(batch_a, batch_b)
    except ValueError:
        raise ShapeError(
            f"matmul: the leading axes of {a.shape} and {b.shape} do not broadcast."
        ) from None
    if 1 in (*batch_a, *batch_b):
        return _boxed("matmul", lambda: _matmul(a, b, batch_a, batch_b, batch))
    return _matmul(a, b, batch_a, batch_b, batch)


_MATRIX_LABELS: dict[tuple[int, int], dict[str, Shape]] = {
    (1, 1): {"left": (2,), "right": (2,), "result": ()},
    (1, 2): {"left": (2,), "right": (2, 1), "result": (1,)},
    (2, 1): {"left": (0, 2), "right": (2,), "result": (0,)},
    (2, 2): {"left": (0, 2), "right": (2, 1), "result": (0, 1)},
}
"""How the products of vectors (1) and matrices (2) are labelled: row 0, column 1, summed 2."""


def _boxed(name: str, function: Callable[[], Any]) -> Any:
    """Record several operations as one composite, so that only the last has the user's name."""
    with open_scope(name, "composite") as scope:
        result = function()
    scope.result = getattr(result, "serial", -1)
    return result


def _matmul(a: Any, b: Any, batch_a: Shape, batch_b: Shape, batch: Shape) -> Any:
    count = len(batch)
    row, column, summed = count, count + 1, count + 2
    a, labels_a = _drop_ones(a, batch_a, batch)
    b, labels_b = _drop_ones(b, batch_b, batch)
    left = (*labels_a, *((row,) if len(a.shape) > len(labels_a) + 1 else ()), summed)
    right = (*labels_b, summed, *((column,) if len(b.shape) > len(labels_b) + 1 else ()))
    made = tuple(label for label in (*range(count), row, column) if label in left or label in right)
    product = CONTRACT(a, b, left=left, right=right, result=made)
    rows = (product.shape[made.index(row)],) if row in made else ()
    columns = (product.shape[made.index(column)],) if column in made else ()
    return reshape(product, (*batch, *rows, *columns))


def _drop_ones(x: Any, own: tuple[int, ...], batch: tuple[int, ...]) -> tuple[Any, list[int]]:
    """Remove the leading axes of size 1 and return the labels of those that stay."""
    offset = len(batch) - len(own)
    labels = [offset + axis for axis, size in enumerate(own) if size != 1]
    kept = tuple(size for size in own if size != 1)
    return reshape(x, (*kept, *x.shape[len(own) :])), labels


def take(x: Any, indices: Any, axis: int) -> Any:
    """The entries at integer positions along an axis."""
    return GATHER(x, indices, axis=axis)


def getitem(x: Any, key: Any) -> Any:
    """Basic and advanced indexing as in NumPy, from slices, flips, reshapes and one gather.

    Raises
    ------
    ShapeError
        For an index out of range or too many indices.
    TracedValueError
        For a Boolean mask whose value is not known while tracing, since the result's shape would
        depend on it.
    """
    keys = _expand_keys(x, key if isinstance(key, tuple) else (key,))
    starts, stops, steps, flips = [], [], [], []
    shape: list[int] = []
    gathers: list[tuple[int, Any]] = []  # position in ``shape`` and the integer positions
    axis = 0
    for each in keys:
        if each is None:
            shape.append(1)
            continue
        size = x.shape[axis]
        if isinstance(each, slice):
            start, count, step, flipped = _slice_bounds(each, size)
            stop = start + (count - 1) * step + 1 if count else start
            if flipped:
                flips.append(axis)
            shape.append(count)
        elif isinstance(each, int):
            if not -size <= each < size:
                raise ShapeError(
                    f"index {each} is out of range for axis {axis} with {size} entries of a "
                    f"tensor of shape {x.shape}."
                )
            start, step = each % size, 1
            stop = start + 1
        else:
            start, stop, step = 0, size, 1
            gathers.append((len(shape), each))
            shape.append(size)
        starts.append(start)
        stops.append(stop)
        steps.append(step)
        axis += 1
    bounds = (tuple(starts), tuple(stops), tuple(steps))
    triples = tuple(zip(*bounds, strict=True))
    cut = any(each != (0, size, 1) for each, size in zip(triples, x.shape, strict=True))
    left = tuple(len(range(*each)) for each in triples)
    # A basic index is one to three operations, one with positions at least one more.
    number = cut + bool(flips) + (left != tuple(shape)) + min(len(gathers), 2)
    number += bool(gathers) and not _adjacent(keys)

    def pick() -> Any:
        part = SLICE(x, starts=bounds[0], stops=bounds[1], steps=bounds[2]) if cut else x
        part = FLIP(part, axes=tuple(flips)) if flips else part
        part = reshape(part, tuple(shape))
        return _gather_many(part, gathers, keys) if gathers else part

    return _boxed("getitem", pick) if number > 1 else pick()


def _slice_bounds(key: slice, size: int) -> tuple[int, int, int, bool]:
    """Return the start, count and positive step of a slice, and whether it runs backwards."""
    positions = range(*key.indices(size))
    if not positions:
        return 0, 0, 1, False
    if positions.step > 0:
        return positions[0], len(positions), positions.step, False
    return positions[-1], len(positions), -positions.step, True


def _expand_keys(x: Any, keys: tuple[Any, ...]) -> list[Any]:
    """Replace ellipses and Boolean masks and fill up with full slices."""
    found: list[Any] = []
    for each in keys:
        if each is None or each is Ellipsis or isinstance(each, slice):
            found.append(each)
        elif isinstance(each, (bool, np.bool_)):
            raise DtypeError("A tensor cannot be indexed by one True or False; use bl.where.")
        elif isinstance(each, (int, np.integer)):
            found.append(int(each))
        else:
            found.extend(_index_arrays(x, each))
    if sum(each is Ellipsis for each in found) > 1:
        raise ShapeError("An index can hold only one ellipsis (…).")
    used = sum(each is not None and each is not Ellipsis for each in found)
    if used > x.ndim:
        raise ShapeError(f"{used} indices are too many for a tensor of shape {x.shape}.")
    missing = [slice(None)] * (x.ndim - used)
    if any(each is Ellipsis for each in found):
        at = next(k for k, each in enumerate(found) if each is Ellipsis)
        return [*found[:at], *missing, *found[at + 1 :]]
    return [*found, *missing]


def _index_arrays(x: Any, key: Any) -> list[Any]:
    """Return a key that is not basic as integer position arrays, one per axis that it covers."""
    if hasattr(key, "record"):
        value = key.known_value
        if key.dtype.kind == "b":
            if value is None:
                raise TracedValueError(
                    "A Boolean mask chooses a number of entries that is not known while tracing; "
                    "use bl.where(mask, x, 0) instead."
                )
            return [*np.nonzero(np.asarray(value))]
        if key.dtype.kind not in "iu":
            raise DtypeError(f"Positions must be integers or Booleans, not {key.dtype}.")
        if value is not None and key.ndim == 0:
            return [operator.index(np.asarray(value).item())]
        return [key]
    array = np.asarray(key)
    if array.dtype.kind == "b":
        return [*np.nonzero(array)]
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DtypeError(
            f"A tensor is indexed by integers, slices, None, … or integer arrays, not "
            f"{type(key).__name__}."
        )
    return [array]


def _gather_many(x: Any, gathers: list[tuple[int, Any]], keys: list[Any]) -> Any:
    """Gather along one or several axes at once with positions that broadcast together."""
    axes = [axis for axis, _ in gathers]
    if len(gathers) == 1:
        positions = gathers[0][1]
        found = GATHER(x, positions, axis=axes[0])
        if _adjacent(keys):
            return found
        # As in NumPy, integers count as positions here: if they stand apart, their axes go first.
        moved = range(axes[0], axes[0] + positions.ndim)
        others = (axis for axis in range(found.ndim) if axis not in moved)
        return permute(found, (*moved, *others))
    # Several position arrays: make their axes one and compute row-major positions in it.
    together = axes == list(range(axes[0], axes[0] + len(axes))) and _adjacent(keys)
    front = axes[0] if together else 0
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    order = (*rest[:front], *axes, *rest[front:])
    sizes = [x.shape[axis] for axis in axes]
    x = permute(x, order)
    merged = reshape(x, (*x.shape[:front], math.prod(sizes), *x.shape[front + len(axes) :]))
    flat: Any = None
    for size, (_, positions) in zip(sizes, gathers, strict=True):
        checked = row_positions(positions, size, math.prod(sizes))
        flat = checked if flat is None else _plus(_times(flat, size), checked)
    return GATHER(merged, flat, axis=front)


def _adjacent(keys: list[Any]) -> bool:
    """Whether the position arrays stand side by side in the key, None and integers counted."""
    places = [k for k, each in enumerate(keys) if each is not None and not isinstance(each, slice)]
    return places == list(range(places[0], places[0] + len(places)))


def row_positions(positions: Any, size: int, outside: int) -> Any:
    """Positions along one axis, counted from the front, for use inside a longer axis.

    Parameters
    ----------
    positions : tensor or array of int
        Negative ones count from the end.
    size : int
        The size of the axis.
    outside : int
        What a position that is out of range becomes where its value is not a constant: the size
        of the longer axis, so that the gather refuses it instead of reading another row.

    Raises
    ------
    ShapeError
        When a constant position is out of range.
    """
    if hasattr(positions, "record") and positions.primitive is not CONSTANT:
        if positions.dtype != np.int64:
            positions = CAST(positions, dtype=np.dtype(np.int64))
        wrapped = WHERE(LESS(positions, 0), ADD(positions, size), positions)
        wrong = LOGICAL_OR(LESS(wrapped, 0), GREATER_EQUAL(wrapped, size))
        return WHERE(wrong, outside, wrapped)
    known = positions.value if hasattr(positions, "record") else positions
    array = np.asarray(known).astype(np.int64)
    if array.size and (array.max() >= size or array.min() < -size):
        raise ShapeError(
            f"Position {array.max() if array.max() >= size else array.min()} is out of range for "
            f"an axis with {size} entries."
        )
    return np.where(array < 0, array + size, array)


def _plus(a: Any, b: Any) -> Any:
    return ADD(a, b) if hasattr(a, "record") or hasattr(b, "record") else a + b


def _times(a: Any, size: int) -> Any:
    return MUL(a, size) if hasattr(a, "record") else a * size
