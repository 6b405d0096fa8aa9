"""Indexing ``x[key]`` against NumPy on keys that Hypothesis makes up, values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backlight import functions as F  # noqa: N812
from backlight.errors import DtypeError, ShapeError, TracedValueError
from backlight.tensor import param, tensor
from backlight.trace import capture, rebuild, trace_function

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1.0, 1.0 + np.prod(shape, dtype=int)).reshape(shape)


def check(shape: tuple[int, ...], key: Any) -> None:
    """Compare value, gradient and traced value of one index with NumPy."""
    array = numbers(shape)
    expected = array[key]
    x = param(array)
    result = x[key]
    np.testing.assert_array_equal(result.value, expected)
    assert result.shape == expected.shape
    weights = np.random.default_rng(0).uniform(0.5, 1.5, expected.shape)
    if result is not x:
        result.backward(weights)
        gradient = np.zeros(shape)
        np.add.at(gradient, key, weights)
        np.testing.assert_allclose(x.grad, gradient, rtol=1e-14)
    traced = trace_function(lambda x: x[key], array)
    made = rebuild(traced.graph, [tensor(array)])
    np.testing.assert_array_equal(made[traced.graph.outputs[0]].value, expected)


@given(st.data())
@settings(max_examples=300)
def test_basic_keys(draw: st.DataObject) -> None:
    shape = draw.draw(SHAPES)
    check(shape, draw.draw(hnp.basic_indices(shape, allow_newaxis=True)))


@given(st.data())
@settings(max_examples=200)
def test_keys_with_integer_arrays(draw: st.DataObject) -> None:
    shape = draw.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    count = draw.draw(st.integers(1, len(shape)))
    shapes = draw.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=2, max_side=3)
    ).input_shapes
    axes = sorted(draw.draw(st.permutations(range(len(shape))))[:count])
    key: list[Any] = []
    for axis, size in enumerate(shape):
        if axis in axes:
            positions = st.integers(-size, size - 1)
            own = shapes[axes.index(axis)]
            key.append(draw.draw(hnp.arrays(np.int64, own, elements=positions)))
        else:
            key.append(draw.draw(st.one_of(st.slices(size), st.integers(-size, size - 1))))
    check(shape, tuple(key))
    # The same positions as tensors.
    known = tuple(tensor(each) if isinstance(each, np.ndarray) else each for each in key)
    array = numbers(shape)
    np.testing.assert_array_equal(tensor(array)[known].value, array[tuple(key)])


@given(st.data())
def test_keys_with_a_mask(draw: st.DataObject) -> None:
    shape = draw.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    covered = draw.draw(st.integers(1, len(shape)))
    mask = draw.draw(hnp.arrays(bool, shape[:covered]))
    check(shape, mask)
    np.testing.assert_array_equal(tensor(numbers(shape))[tensor(mask)].value, numbers(shape)[mask])


def test_positions_that_are_traced() -> None:
    x, i, j = numbers((3, 4)), np.array([[0], [-1]]), np.array([1, -4, 2])
    for function in (lambda x, i, j: x[i, j], lambda x, i, j: x[i], lambda x, i, j: x[:, j]):
        traced = trace_function(function, x, i, j)
        made = rebuild(traced.graph, [tensor(each) for each in (x, i, j)])
        np.testing.assert_array_equal(made[traced.graph.outputs[0]].value, function(x, i, j))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_positions_of_every_integer_dtype(dtype: str) -> None:
    x = numbers((300, 2))
    i, j = np.array([2, 100], dtype), np.array([0, 1], dtype)
    np.testing.assert_array_equal(tensor(x)[tensor(i), tensor(j)].value, x[i, j])
    np.testing.assert_array_equal(
        F.take_along_axis(tensor(x), tensor(i[:, None]), axis=0).value,
        np.take_along_axis(x, i[:, None].astype(int), axis=0),
    )


@pytest.mark.parametrize(
    "key", [3, -4, (0, 5), (0, 0, 0), [3], ([0, 3], [0, 0]), ([0, 0], [0, -5])]
)
@pytest.mark.parametrize("as_tensors", [False, True])
def test_an_index_out_of_range_is_refused(key: Any, as_tensors: bool) -> None:
    x = tensor(numbers((3, 4)))
    if as_tensors:
        key = tuple(tensor(each) for each in key) if isinstance(key, tuple) else tensor(key)
    with pytest.raises(ShapeError):
        x[key]


@pytest.mark.parametrize("index", [[[4]], [[-5]], [[0], [0], [4]]])
def test_a_position_out_of_its_row_is_refused(index: list[list[int]]) -> None:
    # Read as positions in all rows laid end to end, 4 would be a legal one.
    x = tensor(numbers((3, 4)))
    for positions in (np.array(index), tensor(index)):
        with pytest.raises(ShapeError):
            F.take_along_axis(x, positions, axis=1)


def test_other_keys_are_refused() -> None:
    x = tensor(numbers((3, 4)))
    for key in (0.5, "a", np.array([0.5]), tensor([0.5]), True):
        with pytest.raises(DtypeError):
            x[key]
    with pytest.raises(ShapeError):
        x[..., ...]


def test_a_traced_mask_is_refused() -> None:
    with pytest.raises(TracedValueError, match="where"):
        trace_function(lambda x: x[x > 2], numbers((3,)))


def test_the_steps_of_an_index_are_one_box() -> None:
    x = param(numbers((3, 4)))
    for key in ((0,), (slice(None, None, -2), 1), ([0, 1], [1, 0])):
        row = x[key]
        _, tensors = capture([row])
        recorded = [each for each in tensors if each.inputs]
        assert len(recorded) > 1
        assert {each.scope and each.scope.path for each in recorded} == {"getitem"}
        assert row.scope is not None
        assert row.scope.result == row.serial
    assert x[1:].scope is None
