"""Leaves: the values that come from outside the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlight.errors import MissingRuleError
from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY, Array, Dtype, Kind, Primitive, Shape, Spec


def _no_value(name: str) -> Any:
    def evaluate(xp: Any, **attributes: Any) -> Any:
        raise MissingRuleError(f"A leaf of kind {name!r} has no value of its own; supply one.")

    return evaluate


def _declared(shape: Shape, dtype: Dtype) -> Spec:
    return Spec(shape, dtype)


def _leaf(name: str, what: str) -> Primitive:
    return REGISTRY.add(
        Primitive(
            name,
            Kind.LEAF,
            _declared,
            _no_value(name),
            formula=function(name),
            description=what,
        )
    )


PARAMETER = _leaf("parameter", "A value that gradients flow to and training changes.")
INPUT = _leaf("input", "A value that is given from outside, such as data.")


class Literal:
    """A fixed number or array inside a graph, compared by identity, so that it hashes."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    @property
    def array(self) -> Array:
        """The value as a read-only array."""
        array = np.asarray(self._value)
        array.flags.writeable = False
        return array

    def __repr__(self) -> str:
        array = self.array
        if array.ndim == 0:
            return repr(array.item())
        return f"<literal {array.dtype}{list(array.shape)}>"


def _literal_spec(value: Literal) -> Spec:
    return Spec(value.array.shape, value.array.dtype)


CONSTANT = REGISTRY.add(
    Primitive(
        "constant",
        Kind.LEAF,
        _literal_spec,
        lambda xp, value: value.array,
        formula=function("constant"),
        onnx="Constant",
        description="A number or array written in the program.",
    )
)
