"""How the tests of primitives run them: evaluate, carry a gradient back, differentiate again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import backlight as bl
from backlight.differentiate.reverse import sweep
from backlight.graph.primitive import Primitive
from backlight.tensor import Tensor, literal, quiet

NOTHING: Mapping[str, Any] = {}
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 3), (1,), (0,), (2, 0))
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((1, 1), (2, 3)), ((0, 1), (1, 2)),
    ((4, 1, 3), (2, 1)),
)  # fmt: skip


def leaves(arrays: Sequence[Any]) -> list[Tensor]:
    """Make parameters of floating-point arrays and inputs of the others."""
    return [
        bl.param(each) if np.asarray(each).dtype.kind == "f" else bl.tensor(each) for each in arrays
    ]


def apply(
    primitive: Primitive, arrays: Sequence[Any], attributes: Mapping[str, Any] = NOTHING
) -> np.ndarray:
    """Evaluate a primitive on arrays, eagerly and without warnings."""
    with quiet():
        return primitive(*leaves(arrays), **attributes).value


def gradient(output: Tensor, seed: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Carry a seed back to inputs; zeros where no path leads."""
    with quiet():
        start = literal(np.asarray(seed, output.dtype))
        done = sweep([output], [start], [each for each in inputs if each.dtype.kind == "f"])
        return [
            literal(np.zeros(each.shape, each.dtype)) if found is None else found
            for each, found in ((each, done.gradient(each)) for each in inputs)
        ]


def vjp(
    primitive: Primitive, arrays: Sequence[Any], seed: Any, attributes: Mapping[str, Any] = NOTHING
) -> list[np.ndarray]:
    """Return the product of a seed with the Jacobian, one array per input."""
    inputs = leaves(arrays)
    with quiet():
        output = primitive(*inputs, **attributes)
    return [each.value for each in gradient(output, seed, inputs)]


def numpy_partials(
    primitive: Primitive, point: Sequence[Any]
) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Return an elementwise primitive's first and second partial derivatives, entry by entry."""
    inputs = leaves(point)
    with quiet():
        output = primitive(*inputs)
    firsts = gradient(output, np.ones(output.shape), inputs)
    seconds = [
        [each.value for each in gradient(first, np.ones(first.shape), inputs)] for first in firsts
    ]
    return [each.value for each in firsts], seconds


def arity(points: tuple[tuple[float, ...], ...]) -> int:
    return len(points[0])


def shapes_of(operands: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    return tuple((each,) for each in SHAPES) if operands == 1 else PAIRS


def moderate(points: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    """The points of ordinary size."""
    return tuple(p for p in points if all(1e-4 < abs(x) < 50 or x == 0 for x in p))


def filled(points: tuple[tuple[float, ...], ...], shapes: Any, dtype: Any) -> list[np.ndarray]:
    """Fill arrays with the points' numbers, column by column, cycling as long as needed."""
    return [
        np.resize(np.array([p[k] for p in points], dtype), shape)
        if np.prod(shape, dtype=int)
        else np.empty(shape, dtype)
        for k, shape in enumerate(shapes)
    ]
