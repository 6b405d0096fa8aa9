"""Kernels written with vectors give what NumPy gives, whatever is left over after whole vectors."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.execute.native.batch import BatchSize
from backlight.execute.native.lanes import divides, run_axis, smallest_vector
from backlight.execute.native.program import NativeProgram

SIZES = (1, 3, 4, 10, 16, 33, 70, 128)


def run(function, *arrays):
    return NativeProgram(bl.trace(function, *arrays)).run(arrays)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("width", SIZES)
def test_rows_and_columns_of_any_width(width, dtype):
    rng = np.random.default_rng(width)
    x = rng.integers(-9, 9, (5, width)).astype(dtype)  # sums of these are exact
    y = rng.integers(-9, 9, width).astype(dtype)
    found = run(
        lambda x, y: (
            bl.sum(x, axis=0), bl.sum(x, axis=1), bl.max(x, axis=0), bl.min(x, axis=1), x + y,
            bl.where(x > y, x, y), bl.reshape(x + 1, (-1,)), bl.sum(x),
        ),
        x, y,
    )  # fmt: skip
    wanted = [
        x.sum(0), x.sum(1), x.max(0), x.min(1), x + y, np.maximum(x, y), x.ravel() + 1, x.sum()
    ]  # fmt: skip
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("width", SIZES)
def test_the_first_of_equal_entries_is_best_and_nan_is_better(width):
    rng = np.random.default_rng(width)
    x = rng.integers(0, 3, (40, width)).astype("float32")
    x[10:20][rng.random((10, width)) < 0.2] = np.nan
    x[20] = -np.inf
    best, worst = run(lambda x: (bl.argmax(x, axis=1), bl.argmin(x, axis=1)), x)
    assert np.array_equal(best, x.argmax(1))
    assert np.array_equal(worst, x.argmin(1))


def test_axes_and_lanes():
    assert run_axis((3, 4, 1)) == 1
    assert run_axis((1, 1)) is None
    assert [smallest_vector(each) for each in (1, 2, 3, 10, 16, 17)] == [2, 2, 4, 16, 16, 32]
    assert divides(16, 32) and not divides(16, 40)
    assert divides(16, BatchSize(32, 7)) and not divides(16, BatchSize(1, 32))
