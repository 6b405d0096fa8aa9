"""The user's own arrays: what is accepted, and what is said of what is not."""

from __future__ import annotations

import numpy as np
import pytest

from backlight.data import as_dataset
from backlight.errors import DataError, UsageError

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


def test_classes_are_coded_in_sorted_order():
    data = as_dataset(X, ["b", "a", "c", "a"])
    np.testing.assert_array_equal(data.X, X.astype(np.float32), strict=True)
    np.testing.assert_array_equal(data.y, np.array([1, 0, 2, 0], np.int64), strict=True)
    assert data.class_names == ("a", "b", "c")
    assert data.feature_names == ("x0", "x1")
    data = as_dataset(X, [10, 9, 10, 9])
    assert data.class_names == ("9", "10")
    assert data.y.tolist() == [1, 0, 1, 0]


def test_large_labels_stay_apart():
    data = as_dataset(X, np.array([2**62, 2**62 + 1] * 2), task="classification")
    assert data.class_names == (str(2**62), str(2**62 + 1))


def test_given_classes_keep_their_codes():
    data = as_dataset(X, [7, 3, 7, 7], classes=range(10))
    assert data.y.tolist() == [7, 3, 7, 7]
    assert len(data.class_names) == 10
    data = as_dataset(X, np.array(["no", "yes", "no", "no"]), classes=["yes", "no"])
    assert data.y.tolist() == [1, 0, 1, 1]
    # One class only is no mistake here: a test set may lack the others.
    assert as_dataset(X[:1], [1.0], classes=np.array([0.0, 1.0])).y.tolist() == [1]
    with pytest.raises(DataError, match="y, row 1, holds '10', which is none of the classes '0'"):
        as_dataset(X, [7, 10, 7, 7], classes=range(10))
    with pytest.raises(UsageError, match="at least two values"):
        as_dataset(X, [1, 1, 1, 1], classes=[1])
    with pytest.raises(UsageError, match="task='regression'"):
        as_dataset(X, [1, 0, 1, 1], classes=[0, 1], task="regression")


def test_regression_keeps_the_shape_of_its_target():
    for shape in ((4,), (4, 1), (4, 3)):
        y = np.ones(shape, np.float64)
        data = as_dataset(X, y)
        assert data.task == "regression"
        np.testing.assert_array_equal(data.y, y.astype(np.float32), strict=True)
    assert as_dataset(X, np.ones(4), dtype="float64").y.dtype == np.float64


def test_more_dimensions_and_one_row():
    data = as_dataset(np.zeros((1, 2, 3, 4), np.uint8), [0.5])
    assert data.X.shape == (1, 2, 3, 4)
    assert len(data.feature_names) == 24


def test_inputs_are_not_changed():
    x, y = X.copy(), np.array([3, 4, 3, 4])
    as_dataset(x, y)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, [3, 4, 3, 4])


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        (X[:, 0], [0, 1, 0, 1], "X has shape (4,)"),
        (X[:0], [], "holds no numbers"),
        (X[:, :0], [0, 1, 0, 1], "holds no numbers"),
        (X, [0, 1, 0], "X has 4 rows and y has shape (3,)"),
        (X, 1, "shape ()"),
        ([[1, 2], [3]], [0, 1], "rows may differ in length"),
        ([[1, None], [3, 4]], [0, 1], "dtype object"),
        ([["a"], ["b"]], [0, 1], "not numeric"),
        (np.where(X > 5, np.nan, X), [0, 1, 0, 1], "X, row 2, column 1, is nan (3 values in all"),
        (np.full((2, 2, 2), np.inf), [0, 1], "row 0, column 0, 0, is inf"),
        (X * 1e300, [0, 1, 0, 1], "row 0, column 0, holds a number that is too large for float32"),
        (X, [0.0, np.inf, 1.0, np.nan], "y, row 1 is NaN or infinite (2 such rows)"),
        (X, [1e300, 0.0, 1.0, 2.0], "y, row 0 holds a number that is too large"),
        (X, [1, 1, 1, 1], "single class, '1'"),
        (X, [True] * 4, "single class, 'True'"),
        (X, [None, 1, 2, 3], "dtype object"),
        (X, np.eye(4) > 0, "argmax"),
    ],
)
def test_bad_arrays_are_named(x, y, part):
    with pytest.raises(DataError) as caught:
        as_dataset(x, y)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_is_no_regression_target():
    with pytest.raises(DataError, match="text"):
        as_dataset(X, list("abab"), task="regression")
    with pytest.raises(UsageError, match="task='other'"):
        as_dataset(X, list("abab"), task="other")
