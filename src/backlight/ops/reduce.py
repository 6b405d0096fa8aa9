"""Reductions: each entry of the result is made from all entries along some axes.

The reduced axes leave the shape.  A local derivative has the shape of the input: it says how much
the reduced entry changes with each entry that went into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backlight.errors import ShapeError
from backlight.graph.notation import Form, function
from backlight.graph.primitive import (
    NO_FACTS,
    REGISTRY,
    Array,
    Dtype,
    Facts,
    Fold,
    Kind,
    Kink,
    Operand,
    Partial,
    Primitive,
    Shape,
    Spec,
    Transpose,
    always,
)
from backlight.ops.convert import CAST
from backlight.ops.exponential import EXP
from backlight.ops.logical import EQUAL
from backlight.ops.rules import BOOL, Category, accept

INDEX = np.dtype(np.int64)


def kept_shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """Return a shape with the reduced axes kept as size 1."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def expand(reduced: Operand, shape: Shape, axes: tuple[int, ...]) -> Any:
    """Repeat a reduced tensor along the axes that were reduced, to a given shape."""
    from backlight.ops.move import BROADCAST, RESHAPE  # import here: a move back is a reduction

    kept = kept_shape(shape, axes)
    widened = reduced if reduced.shape == kept else RESHAPE(reduced, shape=kept)
    return widened if kept == shape else BROADCAST(widened, shape=shape)


def _reduction(
    name: str,
    evaluate: Callable[..., Array],
    *,
    takes: Category,
    gives: np.dtype[Any] | None = None,
    needs_entries: bool = False,
    partial: Partial | None = None,
    transpose: Transpose | None = None,
    formula: Form,
    symbol: str = "v",
    special: tuple[tuple[tuple[float, ...], float], ...] = (),
    kink: Kink | None = None,
    overflows: bool = False,
    stops_gradient: str = "",
    facts: Facts = NO_FACTS,
    onnx: str | None = None,
    to_onnx: Callable[..., Any] | None = None,
    fold: Fold | None = None,
    description: str = "",
) -> Primitive:
    def specify(x: Spec, axes: tuple[int, ...]) -> Spec:
        accept(name, x.dtype, takes)
        if any(not 0 <= axis < len(x.shape) for axis in axes) or len(set(axes)) != len(axes):
            raise ShapeError(f"{name}: axes {axes} do not fit the shape {x.shape}.")
        if needs_entries and 0 in (x.shape[axis] for axis in axes):
            raise ShapeError(
                f"{name}: the shape {x.shape} has no entries along axes {axes}, and {name} of "
                f"nothing has no value."
            )
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        return Spec(shape, gives or x.dtype)

    return REGISTRY.add(
        Primitive(
            name,
            Kind.REDUCE,
            specify,
            evaluate,
            partials=None if partial is None else (partial,),
            transposes=None if transpose is None else (transpose,),
            formula=formula,
            symbol=symbol,
            special=special,
            kink=kink,
            careful=always if overflows else None,
            stops_gradient=stops_gradient,
            facts=facts,
            onnx=onnx,
            to_onnx=to_onnx or (lambda e, x, axes: e.reduce(onnx, x, axes)),
            fold=fold,
            description=description,
        )
    )


def _lowest(dtype: Dtype) -> float | int:
    return -math.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _highest(dtype: Dtype) -> float | int:
    return math.inf if dtype.kind == "f" else int(np.iinfo(dtype).max)


def _better(sign: str) -> Callable[..., Any]:
    """Whether an entry beats the best so far; the first NaN beats everything and stays."""

    def combine(e: Any, best: Any, entry: Any) -> Any:
        wins = e.greater(entry, best) if sign == ">" else e.less(entry, best)
        if entry.dtype.kind != "f":
            return wins
        fresh = e.bitwise_and(e.isnan(entry), e.bitwise_invert(e.isnan(best)))
        return e.bitwise_or(wins, fresh)

    return combine


def _true(e: Any, entry: Any) -> Any:
    return entry if entry.dtype.kind == "b" else e.not_equal(entry, 0)


def _sum(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    if xp is np:  # what numpy.sum calls in the end, at a third of the price on small arrays
        return np.add.reduce(x, axis=axes, dtype=x.dtype)
    return xp.sum(x, axis=axes, dtype=x.dtype)


SUM = _reduction(
    "sum",
    _sum,
    takes="numeric",
    transpose=lambda upstream, y, x, axes: expand(upstream, x.shape, axes),
    formula=function("Σ", r"\sum"),
    overflows=True,
    symbol="s",
    onnx="ReduceSum",
    fold=Fold(lambda dtype: 0, lambda e, total, entry: e.add(total, entry)),
    description="The sum of the entries along axes.",
)


def _prod(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return xp.prod(x, axis=axes, dtype=x.dtype)


def _running_product(x: Operand, reverse: bool) -> Operand:
    """Product of the entries before each one along the last axis (after it, when reversed).

    Built by doubling the stride (Hillis and Steele 1986), so that no division is needed and the
    derivatives of every order are right where entries are zero.
    """
    from backlight.ops.move import PAD, SLICE  # import here: a move back is a reduction

    def shifted(value: Operand, by: int) -> Operand:
        rest, size = value.shape[:-1], value.shape[-1]
        start, stop = (by, size) if reverse else (0, size - by)
        zeros = (0,) * len(rest)
        part = SLICE(value, starts=(*zeros, start), stops=(*rest, stop), steps=(1,) * value.ndim)
        low, high = (0, by) if reverse else (by, 0)
        padded: Operand = PAD(
            part, before=(*zeros, low), after=(*zeros, high), between=(0,) * value.ndim, fill=1.0
        )
        return padded

    size = x.shape[-1]
    product = shifted(x, 1)
    by = 1
    while by < size:
        product = product * shifted(product, by)
        by *= 2
    return product


def _prod_partial(y: Operand, x: Operand, axes: tuple[int, ...]) -> Any:
    """The product of all the other entries: those before times those after."""
    from backlight.ops.move import PERMUTE, RESHAPE  # import here: a move back is a reduction

    if not axes or 0 in x.shape:
        return 1.0
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    order = (*rest, *axes)
    front = PERMUTE(x, axes=order)
    count = math.prod(x.shape[axis] for axis in axes)
    lined = RESHAPE(front, shape=(*(x.shape[axis] for axis in rest), count))
    others = _running_product(lined, False) * _running_product(lined, True)
    back = tuple(sorted(range(x.ndim), key=order.__getitem__))
    return PERMUTE(RESHAPE(others, shape=front.shape), axes=back)


PROD = _reduction(
    "prod",
    _prod,
    takes="numeric",
    partial=_prod_partial,
    formula=function("Π", r"\prod"),
    overflows=True,
    symbol="p",
    onnx="ReduceProd",
    fold=Fold(lambda dtype: 1, lambda e, product, entry: e.mul(product, entry)),
    description="The product of the entries along axes.",
)


def _extreme_partial(y: Operand, x: Operand, axes: tuple[int, ...]) -> Any:
    chosen = CAST(EQUAL(x, expand(y, x.shape, axes)), dtype=x.dtype)
    return chosen / expand(SUM(chosen, axes=axes), x.shape, axes)


def _tied(extreme: str) -> Callable[..., Array]:
    def at(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
        chosen = x == getattr(xp, extreme)(x, axis=axes, keepdims=True)
        several = xp.sum(xp.astype(chosen, np.int64), axis=axes, keepdims=True) > 1
        return xp.logical_and(chosen, several)

    return at


MAX = _reduction(
    "max",
    lambda xp, x, axes: xp.max(x, axis=axes),
    takes="numeric",
    needs_entries=True,
    partial=_extreme_partial,
    formula=function("max", r"\max"),
    kink=Kink(_tied("max"), "entries that tie for the maximum share the gradient equally"),
    facts=Facts(idempotent=True),
    onnx="ReduceMax",
    fold=Fold(_lowest, lambda e, best, entry: e.maximum(best, entry)),
    description="The largest entry along axes.",
)

MIN = _reduction(
    "min",
    lambda xp, x, axes: xp.min(x, axis=axes),
    takes="numeric",
    needs_entries=True,
    partial=_extreme_partial,
    formula=function("min", r"\min"),
    kink=Kink(_tied("min"), "entries that tie for the minimum share the gradient equally"),
    facts=Facts(idempotent=True),
    onnx="ReduceMin",
    fold=Fold(_highest, lambda e, best, entry: e.minimum(best, entry)),
    description="The smallest entry along axes.",
)


def _logsumexp(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """max + ln Σ exp(x − max); the shift keeps the exponentials from overflowing."""
    if any(x.shape[axis] == 0 for axis in axes):
        return xp.log(xp.sum(x, axis=axes, dtype=x.dtype))
    top = xp.max(x, axis=axes, keepdims=True)
    shift = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.log(xp.sum(xp.exp(x - shift), axis=axes, dtype=x.dtype))
    return total + xp.reshape(shift, total.shape)


LOGSUMEXP = _reduction(
    "logsumexp",
    _logsumexp,
    takes="floating",
    partial=lambda y, x, axes: EXP(x - expand(y, x.shape, axes)),
    formula=function("logsumexp"),
    overflows=True,
    symbol="ℓ",
    special=(((-math.inf,), -math.inf), ((math.inf,), math.inf), ((math.nan,), math.nan)),
    onnx="ReduceLogSumExp",
    description="ln Σ exp(x) along axes without overflow; its derivative is the softmax.",
)


def _count_nodes(e: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """How many entries along axes are true."""
    return e.reduce("ReduceSum", e.cast(e.cast(x, BOOL), INDEX), axes)


def _all_nodes(e: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return _count_nodes(e, e.node("Not", e.cast(x, BOOL)), axes).equals(0)


ANY = _reduction(
    "any",
    lambda xp, x, axes: xp.any(x, axis=axes),
    takes="any",
    gives=BOOL,
    formula=function("any"),
    stops_gradient="its result is true or false",
    to_onnx=lambda e, x, axes: e.cast(_count_nodes(e, x, axes), BOOL),
    fold=Fold(lambda dtype: False, lambda e, found, entry: e.bitwise_or(found, _true(e, entry))),
    description="Whether any entry along axes is true.",
)

ALL = _reduction(
    "all",
    lambda xp, x, axes: xp.all(x, axis=axes),
    takes="any",
    gives=BOOL,
    formula=function("all"),
    stops_gradient="its result is true or false",
    to_onnx=_all_nodes,
    fold=Fold(lambda dtype: True, lambda e, held, entry: e.bitwise_and(held, _true(e, entry))),
    description="Whether every entry along axes is true.",
)


def _position_of(extreme: str) -> Callable[..., Array]:
    def evaluate(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
        rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
        front = xp.permute_dims(x, (*rest, *axes))
        count = math.prod(x.shape[axis] for axis in axes)
        lined = xp.reshape(front, (*front.shape[: len(rest)], count))
        return xp.astype(xp.asarray(getattr(xp, extreme)(lined, axis=-1)), np.int64)

    return evaluate


def _position_nodes(operator: str) -> Callable[..., Any]:
    def write(e: Any, x: Any, axes: tuple[int, ...]) -> Any:
        rest = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
        front = x if (*rest, *axes) == tuple(range(len(x.shape))) else e.permute(x, (*rest, *axes))
        if len(axes) != 1:  # their positions count as one axis
            count = math.prod(x.shape[axis] for axis in axes)
            front = e.reshape(front, (*(x.shape[axis] for axis in rest), count))
        return e.node(operator, front, gives=INDEX, axis=len(rest), keepdims=0)

    return write


ARGMAX = _reduction(
    "argmax",
    _position_of("argmax"),
    takes="numeric",
    gives=INDEX,
    needs_entries=True,
    formula=function("argmax", r"\operatorname{argmax}"),
    stops_gradient="its result is a position",
    onnx="ArgMax",
    to_onnx=_position_nodes("ArgMax"),
    fold=Fold(_lowest, _better(">"), position=True),
    description="The position of the first largest entry along axes, in row-major order.",
)

ARGMIN = _reduction(
    "argmin",
    _position_of("argmin"),
    takes="numeric",
    gives=INDEX,
    needs_entries=True,
    formula=function("argmin", r"\operatorname{argmin}"),
    stops_gradient="its result is a position",
    onnx="ArgMin",
    to_onnx=_position_nodes("ArgMin"),
    fold=Fold(_highest, _better("<"), position=True),
    description="The position of the first smallest entry along axes, in row-major order.",
)


def _cumulative_spec(x: Spec, axis: int) -> Spec:
    accept("cumulative_sum", x.dtype, "numeric")
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"cumulative_sum: axis {axis} does not fit the shape {x.shape}.")
    return x


def _cumulative_back(upstream: Operand, y: Operand, x: Operand, axis: int) -> Any:
    from backlight.ops.move import FLIP  # import here: a move back is a reduction

    turned = CUMULATIVE_SUM(FLIP(upstream, axes=(axis,)), axis=axis)
    return FLIP(turned, axes=(axis,))


CUMULATIVE_SUM = REGISTRY.add(
    Primitive(
        "cumulative_sum",
        Kind.SCAN,
        _cumulative_spec,
        lambda xp, x, axis: xp.cumulative_sum(x, axis=axis, dtype=x.dtype),
        transposes=(_cumulative_back,),
        formula=function("cumsum"),
        careful=always,
        onnx="CumSum",
        to_onnx=lambda e, x, axis: e.node("CumSum", x, e.constant(INDEX.type(axis))),
        description="The sum of the entries up to each one along an axis.",
    )
)
