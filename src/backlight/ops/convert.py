"""Conversions that keep every entry in its place: dtype, identity and detachment."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY, Dtype, Facts, Kind, Operand, Primitive, Spec, always
from backlight.ops.rules import accept


def _cast_spec(x: Spec, dtype: Dtype) -> Spec:
    accept("cast", np.dtype(dtype), "any")
    return Spec(x.shape, np.dtype(dtype))


def _cast(xp: Any, x: Any, dtype: Dtype) -> Any:
    return xp.astype(xp.asarray(x), dtype)


def _cast_back(upstream: Operand, y: Operand, x: Operand, dtype: Dtype) -> Operand:
    back: Operand = CAST(upstream, dtype=x.dtype)
    return back


CAST = REGISTRY.add(
    Primitive(
        "cast",
        Kind.ELEMENTWISE,
        _cast_spec,
        _cast,
        transposes=(_cast_back,),
        formula=function("cast"),
        careful=always,
        onnx="Cast",
        to_onnx=lambda e, x, dtype: e.cast(x, np.dtype(dtype)),
        lower=lambda e, x, dtype: e.cast(x, dtype),
        description="The operand in another dtype.",
    )
)


def _same(x: Spec) -> Spec:
    return x


IDENTITY = REGISTRY.add(
    Primitive(
        "identity",
        Kind.ELEMENTWISE,
        _same,
        lambda xp, x: x,
        transposes=(lambda upstream, y, x: upstream,),
        formula=function("id"),
        facts=Facts(idempotent=True, transparent=True),
        onnx="Identity",
        lower=lambda e, x: x,
        description="The operand itself, as a node of its own.",
    )
)


def _detach_spec(x: Spec, reason: str = "") -> Spec:
    return x


DETACH = REGISTRY.add(
    Primitive(
        "detach",
        Kind.ELEMENTWISE,
        _detach_spec,
        lambda xp, x, reason="": x,
        formula=function("detach"),
        facts=Facts(idempotent=True, transparent=True),
        stops_gradient="detach cuts the gradient on purpose",
        onnx="Identity",
        to_onnx=lambda e, x, reason="": x,
        lower=lambda e, x, reason="": x,
        description="The operand as a constant: no gradient flows through.",
    )
)
