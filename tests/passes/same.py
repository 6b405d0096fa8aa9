"""Two graphs, one meaning: run both by the reference and compare every bit of the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import backlight as bl
from backlight.execute.reference import Program
from backlight.graph.check import check

SPECIAL = (
    0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e300, -1e300, 1e-300, 5e-324, -5e-324, 1.5e-310,
    np.inf, -np.inf, np.nan,
)  # fmt: skip
"""Numbers at which careless algebra goes wrong: both zeros, denormals, infinities, NaN."""


def special(dtype: Any = "float64") -> np.ndarray:
    """The special numbers in a dtype; integers and Booleans have their own."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        with np.errstate(all="ignore"):
            numbers = np.array(SPECIAL).astype(kind)
        info = np.finfo(kind)
        return np.concatenate([numbers, np.array([info.tiny, info.max, info.smallest_subnormal])])
    if kind.kind == "b":
        return np.array([False, True])
    info = np.iinfo(kind)
    return np.array([info.min, info.max, 0, 1, 2, 3, 7, 100], dtype=kind)


def same_bits(a: np.ndarray, b: np.ndarray) -> None:
    """Raise unless two arrays hold the same numbers, both zeros told apart."""
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        numbers = ~np.isnan(a)
        np.testing.assert_array_equal(np.signbit(a)[numbers], np.signbit(b)[numbers])


def same_meaning(before: bl.Graph, after: bl.Graph, values: Sequence[Any]) -> None:
    """Raise unless two graphs take the same inputs and give the same bits."""
    check(after)
    assert len(before.inputs) == len(after.inputs)
    assert len(before.outputs) == len(after.outputs)
    for one, two in zip(before.inputs, after.inputs, strict=True):
        assert before.nodes[one] is after.nodes[two]
    wanted, found = Program(before).run(values), Program(after).run(values)
    for a, b in zip(found, wanted, strict=True):
        same_bits(a, b)


def operations(graph: bl.Graph) -> list[str]:
    """The names of the primitives that are not leaves, in order."""
    return [node.primitive.name for node in graph.nodes if not node.is_leaf]
