"""Shape and dtype rules shared by the families, and the helpers that declare a record.

The dtype categories are those of the Array API standard: Boolean, integer and floating.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from backlight.errors import DtypeError, ShapeError
from backlight.graph.notation import Form
from backlight.graph.primitive import (
    NO_FACTS,
    REGISTRY,
    Array,
    Dtype,
    Facts,
    Kind,
    Kink,
    Partial,
    Primitive,
    Shape,
    Spec,
    Transpose,
    always,
)

Category = Literal["floating", "integer", "numeric", "boolean", "bits", "any"]
_KINDS: dict[Category, str] = {
    "floating": "f",
    "integer": "iu",
    "numeric": "iuf",
    "boolean": "b",
    "bits": "biu",
    "any": "biuf",
}
_WORDS: dict[Category, str] = {
    "floating": "floating-point",
    "integer": "integer",
    "numeric": "numeric",
    "boolean": "Boolean",
    "bits": "integer or Boolean",
    "any": "numeric or Boolean",
}
BOOL = np.dtype(bool)


def broadcast(name: str, shapes: list[Shape]) -> Shape:
    """Return the shape that NumPy's broadcasting gives, or raise with the operation's name."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(shape) for shape in shapes)
        raise ShapeError(
            f"{name}: shapes {listed} do not broadcast; each axis, counted from the last, must "
            f"match or be 1."
        ) from None


def accept(name: str, dtype: Dtype, category: Category) -> None:
    """Raise unless a dtype is of a category."""
    if dtype.kind not in _KINDS[category]:
        raise DtypeError(
            f"{name} takes {_WORDS[category]} operands, not {dtype}; convert with "
            f"bl.astype(x, …) first."
        )


def promote(name: str, dtypes: list[Dtype]) -> Dtype:
    """Return the common dtype by the Array API's promotion rules, or raise.

    Floating with integer, and Boolean with anything else, are not mixed silently.
    """
    kinds = {"f" if each.kind == "f" else "b" if each.kind == "b" else "i" for each in dtypes}
    if len(kinds) > 1:
        listed = " and ".join(str(each) for each in dict.fromkeys(dtypes))
        raise DtypeError(
            f"{name}: {listed} do not mix; convert one side with bl.astype(x, …) first."
        )
    result = np.result_type(*dtypes)
    if result.kind == "f" and kinds == {"i"}:
        raise DtypeError(f"{name}: no integer type holds both {dtypes[0]} and {dtypes[1]}.")
    return result


def axes_of(name: str, axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Return axes as a sorted tuple of distinct non-negative integers, or raise."""
    if axis is None:
        return tuple(range(ndim))
    listed = axis if isinstance(axis, tuple) else (axis,)
    found = []
    for each in listed:
        if not -ndim <= each < ndim:
            raise ShapeError(
                f"{name}: axis {each} is out of range for {ndim} dimension{'s'[: ndim != 1]}; "
                f"axes run from {-ndim} to {ndim - 1}."
                if ndim
                else f"{name}: axis {each} is out of range, because the operand has no axes."
            )
        found.append(each % ndim)
    if len(set(found)) != len(found):
        raise ShapeError(f"{name}: axis {axis} names an axis twice.")
    return tuple(sorted(found))


def elementwise(
    name: str,
    evaluate: Callable[..., Array],
    *partials: Partial | None,
    takes: Category = "floating",
    gives: Dtype | None = None,
    arity: int | None = None,
    transposes: tuple[Transpose | None, ...] | None = None,
    formula: Form | None = None,
    symbol: str = "v",
    domain: str = "",
    special: tuple[tuple[tuple[float, ...], float], ...] = (),
    kink: Kink | None = None,
    facts: Facts = NO_FACTS,
    overflows: bool = False,
    careful: Callable[..., bool] | None = None,
    stops_gradient: str = "",
    onnx: str | None = None,
    to_onnx: Callable[..., Any] | None = None,
    lower: Callable[..., Any] | None = None,
    description: str = "",
) -> Primitive:
    """Declare and register an elementwise primitive.

    ``takes`` is the category of its operands, ``gives`` the dtype of its result when that is not
    the operands' common one, and ``overflows`` says that finite operands can give an infinite
    result.  The number of operands is that of ``partials`` unless ``arity`` says otherwise.
    """
    operands = arity or len(partials) or len(transposes or ())

    def specify(*specs: Spec, **attributes: Any) -> Spec:
        if len(specs) != operands:
            raise ShapeError(f"{name} takes {operands} operands, not {len(specs)}.")
        dtype = specs[0].dtype
        accept(name, dtype, takes)
        if len(specs) == 1:
            return Spec(specs[0].shape, gives or dtype)
        if len(specs) == 2 and specs[0] == specs[1] and dtype.isnative:  # nearly always
            return Spec(specs[0].shape, gives or dtype)
        shapes = []
        for spec in specs:
            accept(name, spec.dtype, takes)
            shapes.append(spec.shape)
        dtype = promote(name, [spec.dtype for spec in specs])
        return Spec(broadcast(name, shapes), gives or dtype)

    return REGISTRY.add(
        Primitive(
            name,
            Kind.ELEMENTWISE,
            specify,
            evaluate,
            partials=partials or None,
            transposes=transposes,
            formula=formula,
            symbol=symbol,
            domain=domain,
            special=special,
            kink=kink,
            facts=facts,
            careful=careful or (always if overflows or domain else None),
            stops_gradient=stops_gradient,
            onnx=onnx,
            to_onnx=to_onnx,
            lower=lower,
            description=description,
        )
    )
