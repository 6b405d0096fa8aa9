"""Gather and its transpose, scatter-add: entries chosen by integer positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backlight.errors import DtypeError, ShapeError
from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY, Kind, Operand, Primitive, Shape, Spec


def _check_index(name: str, index: Spec) -> None:
    if index.dtype.kind not in "iu":
        raise DtypeError(f"{name}: positions must be integers, not {index.dtype}.")


def _gather_spec(x: Spec, index: Spec, axis: int) -> Spec:
    _check_index("gather", index)
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"gather: axis {axis} does not fit the shape {x.shape}.")
    return Spec((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)


def _check_range(name: str, xp: Any, index: Any, axis: int, size: int) -> None:
    if not index.size:
        return
    ends = int(xp.max(index)), int(xp.min(index))
    if ends[0] >= size or ends[1] < -size:
        worst = max(ends, key=lambda k: abs(k + 0.5))
        raise ShapeError(
            f"{name}: position {worst} is out of range for axis {axis} with {size} entries."
        )


def _gather(xp: Any, x: Any, index: Any, axis: int) -> Any:
    size = x.shape[axis]
    _check_range("gather", xp, index, axis, size)
    positions = xp.reshape(xp.asarray(index), (-1,))
    taken = xp.take(x, xp.where(positions < 0, positions + size, positions), axis=axis)
    return xp.reshape(taken, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _gather_back(upstream: Operand, y: Operand, x: Operand, index: Operand, axis: int) -> Any:
    return SCATTER_ADD(upstream, index, axis=axis, size=x.shape[axis])


def _positions(e: Any, index: Any) -> Any:
    """Positions as ONNX takes them: of 64 bits."""
    return e.cast(index, np.dtype(np.int64))


GATHER = REGISTRY.add(
    Primitive(
        "gather",
        Kind.INDEX,
        _gather_spec,
        _gather,
        transposes=(_gather_back, None),
        formula=function("take"),
        onnx="Gather",
        to_onnx=lambda e, x, index, axis: e.node("Gather", x, _positions(e, index), axis=axis),
        description="The entries at integer positions along an axis; negative ones from the end.",
    )
)


def _scatter_shape(upstream: Shape, index: Shape, axis: int, size: int) -> Shape:
    if axis < 0 or upstream[axis : axis + len(index)] != index:
        raise ShapeError(
            f"scatter_add: the shape {upstream} does not hold the positions {index} at {axis}."
        )
    return (*upstream[:axis], size, *upstream[axis + len(index) :])


def _scatter_spec(upstream: Spec, index: Spec, axis: int, size: int) -> Spec:
    _check_index("scatter_add", index)
    return Spec(_scatter_shape(upstream.shape, index.shape, axis, size), upstream.dtype)


def _scatter(xp: Any, upstream: Any, index: Any, axis: int, size: int) -> Any:
    shape = _scatter_shape(upstream.shape, index.shape, axis, size)
    _check_range("scatter_add", xp, index, axis, size)
    lined = np.reshape(upstream, (*shape[:axis], index.size, *shape[axis + 1 :]))
    result = np.zeros(shape, dtype=upstream.dtype)
    # The standard has no scatter; NumPy's unbuffered addition counts repeated positions in order.
    np.add.at(np.moveaxis(result, axis, 0), np.reshape(index, (-1,)), np.moveaxis(lined, axis, 0))
    return xp.asarray(result)


def _scatter_back(
    upstream: Operand, y: Operand, x: Operand, index: Operand, axis: int, size: int
) -> Any:
    return GATHER(upstream, index, axis=axis)


def _scatter_nodes(e: Any, upstream: Any, index: Any, axis: int, size: int) -> Any:
    before, after = upstream.shape[:axis], upstream.shape[axis + len(index.shape) :]
    count = math.prod(index.shape)
    zeros = e.expand(e.constant(upstream.dtype.type(0)), (*before, size, *after))
    if 0 in upstream.shape:
        return zeros
    entries = e.reshape(upstream, (*before, count, *after))
    one_axis = e.reshape(_positions(e, index), (*(1,) * axis, count, *(1,) * len(after)))
    places = e.node("Expand", one_axis, e.vector((*before, count, *after)))
    return e.node("ScatterElements", zeros, places, entries, axis=axis, reduction="add")


SCATTER_ADD = REGISTRY.add(
    Primitive(
        "scatter_add",
        Kind.INDEX,
        _scatter_spec,
        _scatter,
        transposes=(_scatter_back, None),
        formula=function("scatter_add"),
        onnx="ScatterElements",
        to_onnx=_scatter_nodes,
        description="Entries added up at integer positions along an axis of zeros.",
    )
)


def _argsort_spec(x: Spec, axis: int, descending: bool) -> Spec:
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"argsort: axis {axis} does not fit the shape {x.shape}.")
    return Spec(x.shape, np.dtype(np.int64))


def _argsort(xp: Any, x: Any, axis: int, descending: bool) -> Any:
    if not descending:
        return np.argsort(x, axis=axis, stable=True)
    # Reversing both the input and the order keeps equal entries in their first order.
    turned = np.argsort(np.flip(x, axis=axis), axis=axis, stable=True)
    return x.shape[axis] - 1 - np.flip(turned, axis=axis)


def _argsort_nodes(e: Any, x: Any, axis: int, descending: bool) -> Any:
    """The positions of the n largest or smallest of n entries; of equal ones the first is first."""
    count = e.vector((x.shape[axis],))
    options = {"axis": axis, "largest": int(descending), "sorted": 1}
    return e.node("TopK", x, count, gives=np.dtype(np.int64), result=1, **options)


ARGSORT = REGISTRY.add(
    Primitive(
        "argsort",
        Kind.INDEX,
        _argsort_spec,
        _argsort,
        formula=function("argsort"),
        stops_gradient="its result is an order",
        to_onnx=_argsort_nodes,
        description="The positions that put the entries in order along an axis; stable.",
    )
)
