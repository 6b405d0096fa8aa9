"""Moves: every entry of the result is one entry of an input, or a fill value.

All of them are linear, so each states only how an upstream gradient is carried back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backlight.errors import ShapeError
from backlight.graph.notation import function, postfix
from backlight.graph.primitive import REGISTRY, Facts, Kind, Operand, Primitive, Shape, Spec
from backlight.ops.reduce import SUM
from backlight.ops.rules import promote


def _reshape_spec(x: Spec, shape: Shape) -> Spec:
    if math.prod(shape) != math.prod(x.shape):
        raise ShapeError(
            f"reshape: {x.shape} holds {math.prod(x.shape)} entries and {shape} needs "
            f"{math.prod(shape)}."
        )
    return Spec(shape, x.dtype)


RESHAPE: Primitive = REGISTRY.add(
    Primitive(
        "reshape",
        Kind.MOVE,
        _reshape_spec,
        lambda xp, x, shape: xp.reshape(x, shape),
        transposes=(lambda upstream, y, x, shape: RESHAPE(upstream, shape=x.shape),),
        formula=function("reshape"),
        onnx="Reshape",
        to_onnx=lambda e, x, shape: e.reshape(x, shape),
        description="The same entries in row-major order, in another shape.",
    )
)


def _permute_spec(x: Spec, axes: tuple[int, ...]) -> Spec:
    if sorted(axes) != list(range(len(x.shape))):
        raise ShapeError(f"permute: {axes} is not an order of the {len(x.shape)} axes.")
    return Spec(tuple(x.shape[axis] for axis in axes), x.dtype)


def _permute_back(upstream: Operand, y: Operand, x: Operand, axes: tuple[int, ...]) -> Operand:
    inverse = tuple(sorted(range(len(axes)), key=axes.__getitem__))
    back: Operand = PERMUTE(upstream, axes=inverse)
    return back


PERMUTE = REGISTRY.add(
    Primitive(
        "permute",
        Kind.MOVE,
        _permute_spec,
        lambda xp, x, axes: xp.permute_dims(x, axes),
        transposes=(_permute_back,),
        formula=postfix("ᵀ", "^{\\mathsf{T}}"),
        onnx="Transpose",
        to_onnx=lambda e, x, axes: e.permute(x, axes),
        description="The axes in another order.",
    )
)


def _broadcast_spec(x: Spec, shape: Shape) -> Spec:
    padded = (1,) * (len(shape) - len(x.shape)) + x.shape
    if len(padded) != len(shape) or any(
        a not in (1, b) for a, b in zip(padded, shape, strict=True)
    ):
        raise ShapeError(
            f"broadcast: {x.shape} does not broadcast to {shape}; each axis, counted from the "
            f"last, must match or be 1."
        )
    return Spec(shape, x.dtype)


def _broadcast(xp: Any, x: Any, shape: Shape) -> Any:
    x = xp.asarray(x)
    if xp is not np or not x.flags.c_contiguous:
        return xp.broadcast_to(x, shape)
    # The view that numpy.broadcast_to makes, at a third of the price on small arrays.
    strides = [0 if size == 1 else step for size, step in zip(x.shape, x.strides, strict=True)]
    repeated = np.ndarray(shape, x.dtype, x, 0, (*(0,) * (len(shape) - x.ndim), *strides))
    repeated.flags.writeable = False
    return repeated


def unbroadcast(upstream: Any, shape: Shape) -> Any:
    """Add up an upstream gradient over the axes along which an operand was repeated.

    Parameters
    ----------
    upstream : tensor
        The gradient, of the broadcast shape.
    shape : tuple of int
        The shape that the operand had.

    Returns
    -------
    tensor
        The sum, of shape ``shape``.
    """
    if upstream.shape == shape:
        return upstream
    added = upstream.ndim - len(shape)
    axes = tuple(range(added)) + tuple(
        axis + added
        for axis, size in enumerate(shape)
        if size == 1 and upstream.shape[axis + added] != 1
    )
    summed = SUM(upstream, axes=axes) if axes else upstream
    return summed if summed.shape == shape else RESHAPE(summed, shape=shape)


BROADCAST = REGISTRY.add(
    Primitive(
        "broadcast",
        Kind.MOVE,
        _broadcast_spec,
        _broadcast,
        transposes=(lambda upstream, y, x, shape: unbroadcast(upstream, x.shape),),
        formula=function("broadcast"),
        onnx="Expand",
        to_onnx=lambda e, x, shape: e.expand(x, shape),
        description="The operand repeated along new axes and axes of size 1.",
    )
)


def _slice_spec(
    x: Spec, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]
) -> Spec:
    if not len(starts) == len(stops) == len(steps) == len(x.shape):
        raise ShapeError(f"slice: one start, stop and step is needed per axis of {x.shape}.")
    for start, stop, step, size in zip(starts, stops, steps, x.shape, strict=True):
        if not 0 <= start <= stop <= size or step < 1:
            raise ShapeError(f"slice: {start}:{stop}:{step} does not lie in an axis of {size}.")
    shape = tuple(len(range(*bounds)) for bounds in zip(starts, stops, steps, strict=True))
    return Spec(shape, x.dtype)


def _slice(
    xp: Any, x: Any, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]
) -> Any:
    return x[tuple(map(slice, starts, stops, steps))]


def _slice_back(
    upstream: Operand,
    y: Operand,
    x: Operand,
    starts: tuple[int, ...],
    stops: tuple[int, ...],
    steps: tuple[int, ...],
) -> Operand:
    after = tuple(
        size - start - ((count - 1) * step + 1 if count else 0)
        for size, start, count, step in zip(x.shape, starts, upstream.shape, steps, strict=True)
    )
    between = tuple(step - 1 for step in steps)
    back: Operand = PAD(upstream, before=starts, after=after, between=between)
    return back


SLICE = REGISTRY.add(
    Primitive(
        "slice",
        Kind.MOVE,
        _slice_spec,
        _slice,
        transposes=(_slice_back,),
        formula=function("slice"),
        onnx="Slice",
        to_onnx=lambda e, x, starts, stops, steps: e.slice(x, starts, stops, steps),
        description="Every step-th entry from start to stop along each axis.",
    )
)


def _pad_spec(
    x: Spec,
    before: tuple[int, ...],
    after: tuple[int, ...],
    between: tuple[int, ...],
    fill: float = 0.0,
) -> Spec:
    if not len(before) == len(after) == len(between) == len(x.shape):
        raise ShapeError(f"pad: three widths are needed per axis of {x.shape}.")
    shape = tuple(
        low + high + size + gap * max(size - 1, 0)
        for low, high, gap, size in zip(before, after, between, x.shape, strict=True)
    )
    if min((*before, *after, *between), default=0) < 0:
        raise ShapeError("pad: widths are counts and cannot be negative; slice instead.")
    return Spec(shape, x.dtype)


def _pad(
    xp: Any,
    x: Any,
    before: tuple[int, ...],
    after: tuple[int, ...],
    between: tuple[int, ...],
    fill: float = 0.0,
) -> Any:
    shape = _pad_spec(Spec(x.shape, x.dtype), before, after, between).shape
    result = xp.full(shape, fill, dtype=x.dtype)
    inside = tuple(
        slice(low, low + (size - 1) * (gap + 1) + 1 if size else low, gap + 1)
        for low, gap, size in zip(before, between, x.shape, strict=True)
    )
    result[inside] = x
    return result


def _pad_back(
    upstream: Operand,
    y: Operand,
    x: Operand,
    before: tuple[int, ...],
    after: tuple[int, ...],
    between: tuple[int, ...],
    fill: float = 0.0,
) -> Operand:
    steps = tuple(gap + 1 for gap in between)
    stops = tuple(
        low + (size - 1) * step + 1 if size else low
        for low, size, step in zip(before, x.shape, steps, strict=True)
    )
    back: Operand = SLICE(upstream, starts=before, stops=stops, steps=steps)
    return back


def _pad_nodes(
    e: Any,
    x: Any,
    before: tuple[int, ...],
    after: tuple[int, ...],
    between: tuple[int, ...],
    fill: float = 0.0,
) -> Any:
    if not before:
        return x
    if any(between):
        raise e.refuse("ONNX pads before and after entries, not between them")
    widths = e.vector((*before, *after))
    return e.node("Pad", x, widths, e.constant(x.dtype.type(fill)), mode="constant")


PAD = REGISTRY.add(
    Primitive(
        "pad",
        Kind.MOVE,
        _pad_spec,
        _pad,
        transposes=(_pad_back,),
        formula=function("pad"),
        onnx="Pad",
        to_onnx=_pad_nodes,
        description="The operand with a fill value before, after and between its entries.",
    )
)


def _flip_spec(x: Spec, axes: tuple[int, ...]) -> Spec:
    if any(not 0 <= axis < len(x.shape) for axis in axes):
        raise ShapeError(f"flip: axes {axes} are out of range for {len(x.shape)} dimensions.")
    return x


def _flip_nodes(e: Any, x: Any, axes: tuple[int, ...]) -> Any:
    if not axes:
        return x
    first, back = e.integers(*(-1,) * len(axes)), e.integers(*(-1,) * len(axes))
    stop = e.integers(*(np.iinfo(np.int64).min,) * len(axes))  # before the first entry
    return e.node("Slice", x, first, stop, e.integers(*axes), back)


FLIP: Primitive = REGISTRY.add(
    Primitive(
        "flip",
        Kind.MOVE,
        _flip_spec,
        lambda xp, x, axes: xp.flip(x, axis=axes),
        transposes=(lambda upstream, y, x, axes: FLIP(upstream, axes=axes),),
        formula=function("flip"),
        facts=Facts(involution=True),
        to_onnx=_flip_nodes,
        description="The entries in reverse order along axes.",
    )
)


def _concat_spec(*specs: Spec, axis: int) -> Spec:
    first = specs[0].shape
    if not 0 <= axis < len(first):
        raise ShapeError(f"concat: axis {axis} is out of range for {len(first)} dimensions.")
    for spec in specs[1:]:
        if len(spec.shape) != len(first) or any(
            a != b for k, (a, b) in enumerate(zip(first, spec.shape, strict=True)) if k != axis
        ):
            raise ShapeError(
                f"concat: shapes {first} and {spec.shape} differ on an axis other than {axis}."
            )
    size = sum(spec.shape[axis] for spec in specs)
    dtype = promote("concat", [spec.dtype for spec in specs])
    return Spec((*first[:axis], size, *first[axis + 1 :]), dtype)


def _concat_back(
    upstream: Operand, y: Operand, *inputs: Operand, axis: int, position: int
) -> Operand:
    start = sum(each.shape[axis] for each in inputs[:position])
    size = inputs[position].shape[axis]
    starts = tuple(start if k == axis else 0 for k in range(y.ndim))
    stops = tuple(start + size if k == axis else n for k, n in enumerate(y.shape))
    back: Operand = SLICE(upstream, starts=starts, stops=stops, steps=(1,) * y.ndim)
    return back


CONCAT = REGISTRY.add(
    Primitive(
        "concat",
        Kind.MOVE,
        _concat_spec,
        lambda xp, *values, axis: xp.concat(values, axis=axis),
        transposes=(_concat_back,),
        variadic=True,
        formula=function("concat"),
        onnx="Concat",
        to_onnx=lambda e, *values, axis: e.node("Concat", *e.alike(*values), axis=axis),
        description="The operands one after the other along an axis.",
    )
)
