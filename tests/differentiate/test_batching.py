"""Batching against a Python loop over the examples, for every rule."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.differentiate.batching import vectorize
from backlight.errors import ShapeError, UsageError
from backlight.graph.primitive import Kind, Primitive, Spec
from backlight.ops.contract import CONTRACT
from backlight.ops.convert import CAST
from backlight.ops.index import ARGSORT, GATHER, SCATTER_ADD
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.piecewise import WHERE
from backlight.ops.reduce import ARGMAX, CUMULATIVE_SUM, MAX, PROD, SUM
from backlight.ops.trigonometric import SIN

RNG = np.random.default_rng(5)
A = RNG.normal(size=(4, 2, 3))
B = RNG.normal(size=(4, 3))
I = RNG.integers(-3, 3, size=(4, 2, 2))  # noqa: E741
J = RNG.integers(0, 5, size=(4, 3))
SHARED = RNG.normal(size=(2, 3))

CASES = [
    (lambda a, b: SIN(a) * b + 1.0, (A, B)),
    (lambda a: a + SHARED, (B,)),
    (lambda a: WHERE(a > 0.0, a, SHARED), (B,)),
    (lambda a: CAST(a, dtype=np.dtype(np.float32)), (A,)),
    (lambda a: SUM(a, axes=(0,)), (A,)),
    (lambda a: MAX(a, axes=(0, 1)), (A,)),
    (lambda a: PROD(a, axes=(1,)), (A,)),
    (lambda a: ARGMAX(a, axes=(1,)), (A,)),
    (lambda a: CUMULATIVE_SUM(a, axis=1), (A,)),
    (lambda a, b: a @ b, (A, B)),
    (lambda a: a @ SHARED.T, (A,)),
    (lambda b: bl.tensor(SHARED) @ b, (B,)),
    (lambda b: CONTRACT(b, b, left=(0,), right=(1,), result=(0, 1)), (B,)),
    (lambda a: RESHAPE(a, shape=(3, 2)), (A,)),
    (lambda a: PERMUTE(a, axes=(1, 0)), (A,)),
    (lambda b: BROADCAST(b, shape=(5, 2, 3)), (B,)),
    (lambda a: SLICE(a, starts=(0, 0), stops=(2, 3), steps=(1, 2)), (A,)),
    (lambda a: FLIP(a, axes=(1,)), (A,)),
    (lambda a: PAD(a, before=(0, 1), after=(2, 0), between=(1, 0), fill=9.0), (A,)),
    (lambda a: CONCAT(a, SHARED, a, axis=0), (A,)),
    (lambda a: GATHER(a, np.array([2, -1]), axis=1), (A,)),
    (lambda i: GATHER(bl.tensor(SHARED), i, axis=1), (I,)),
    (lambda a, i: GATHER(a, i, axis=1), (A, I)),
    (lambda a, j: GATHER(a, j % 2, axis=0), (A, J)),
    (lambda a: SCATTER_ADD(a, np.array([1, 1, 0]), axis=1, size=4), (A,)),
    (lambda j: SCATTER_ADD(bl.tensor(SHARED), j, axis=1, size=5), (J,)),
    (lambda a, j: SCATTER_ADD(a, j, axis=1, size=5), (A, J)),
    (lambda b, j: SCATTER_ADD(b, j, axis=0, size=5), (B, J)),
    (lambda a: ARGSORT(a, axis=1, descending=True), (A,)),
    (lambda a: a[1, ::-2], (A,)),
]


@pytest.mark.parametrize(("function", "batch"), CASES)
def test_a_batch_equals_a_loop(function, batch):
    result = vectorize(function)(*batch)
    rows = [function(*(bl.tensor(each[k]) for each in batch)).value for k in range(4)]
    np.testing.assert_allclose(result.value, np.stack(rows), rtol=1e-13)
    assert result.dtype == rows[0].dtype


def test_a_position_out_of_range_is_not_taken_from_the_next_example():
    with pytest.raises(ShapeError, match="out of range"):
        vectorize(lambda b, j: GATHER(b, j, axis=0))(B, np.array([[3], [0], [0], [0]]))


def test_a_custom_operation_becomes_a_loop():
    halves = Primitive(
        "halves",
        Kind.CUSTOM,
        lambda a, b: Spec(a.shape, a.dtype),
        lambda xp, a, b: xp.sort(a) / 2 + b,
    )
    result = vectorize(lambda b: halves(b, bl.tensor(1.0)))(B)
    np.testing.assert_allclose(result.value, np.sort(B, axis=1) / 2 + 1)
    empty = vectorize(lambda b: halves(b, bl.tensor(1.0)))(B[:0])
    assert empty.shape == (0, 3)


def test_axes_containers_and_shared_arguments():
    f = vectorize(lambda p, x: {"y": p["w"] * x, "c": p["w"]}, in_axes=(None, 1))
    result = f({"w": bl.tensor(2.0)}, B)
    np.testing.assert_array_equal(result["y"].value, 2 * B.T)
    assert result["c"].value.tolist() == [2, 2, 2]


def test_mistakes_are_named():
    with pytest.raises(UsageError, match="in_axes"):
        vectorize(lambda x, y: x, in_axes=(0,))(B, B)
    with pytest.raises(UsageError, match="no argument"):
        vectorize(lambda x: x, in_axes=None)(B)
    with pytest.raises(ShapeError, match="no axis"):
        vectorize(lambda x: x, in_axes=2)(B)
    with pytest.raises(ShapeError, match=r"x \(4\) and y \(3\)"):
        vectorize(lambda x, y: x)(B, B[:3])
