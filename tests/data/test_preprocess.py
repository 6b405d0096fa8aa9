"""The standardizer against closed forms, at extremes, and through its dictionary."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backlight.data import Standardizer, load
from backlight.errors import DataError


def test_by_hand():
    X = np.array([[1, 10], [2, 10], [3, 10], [6, 10]], np.float32)
    fitted = Standardizer.fit(X)
    np.testing.assert_array_equal(fitted.mean, [3, 10])
    np.testing.assert_allclose(fitted.scale, [math.sqrt(3.5), 1], rtol=1e-15)
    result = fitted.apply(X)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[:, 0], np.array([-2, -1, 0, 3]) / math.sqrt(3.5), rtol=1e-6)
    np.testing.assert_array_equal(result[:, 1], 0)


def test_other_rows_use_what_was_learnt():
    fitted = Standardizer.fit(np.array([[0.0], [2.0]]))
    np.testing.assert_array_equal(fitted.apply(np.array([[5.0]])), [[4.0]])


def test_scikit_learn_agrees():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    for name in ("digits", "penguins"):
        X = load(name).X.astype(np.float64)
        theirs = preprocessing.StandardScaler().fit_transform(X)
        np.testing.assert_allclose(Standardizer.fit(X).apply(X), theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("factor", [1e-320, 1e-300, 1e-160, 1e160, 1e300])
def test_extreme_scales(factor):
    X = np.array([[-1.0], [1.0], [1.0], [-1.0]]) * factor
    np.testing.assert_allclose(Standardizer.fit(X).apply(X), np.sign(X), rtol=1e-3)


def test_a_constant_becomes_exactly_zero():
    X = np.full((1000, 1), 0.1)
    np.testing.assert_array_equal(Standardizer.fit(X).apply(X), 0)


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=8),
        # Means and deviations of the very smallest numbers have no digits left.
        elements=st.floats(-1e6, 1e6).map(lambda each: each if abs(each) > 1e-290 else 0.0),
    )
)
def test_moments_and_round_trip(X):
    fitted = Standardizer.fit(X)
    result = fitted.apply(X)
    assert result.shape == X.shape
    assert np.isfinite(result).all()
    constant = X.min(axis=0) == X.max(axis=0)
    with np.errstate(over="ignore"):  # columns may be as narrow as the smallest numbers
        tolerance = 1e-9 * (1 + np.abs(X).max() / np.where(constant, 1, fitted.scale))
    assert (np.abs(result.mean(axis=0)) <= tolerance).all()
    assert (np.abs(result.std(axis=0) - ~constant) <= tolerance).all()
    stored = Standardizer.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(stored.mean, fitted.mean, strict=True)
    np.testing.assert_array_equal(stored.scale, fitted.scale, strict=True)


@pytest.mark.parametrize(
    ("X", "part"),
    [
        (np.array([[1.0], [np.nan]]), "row 1, column 0, is nan"),
        (np.zeros((0, 2)), "holds no numbers"),
        (np.array([[-1.7e308], [1.7e308]]), "beyond float64"),
    ],
)
def test_bad_features(X, part):
    with pytest.raises(DataError, match=part):
        Standardizer.fit(X)


def test_other_features_are_refused():
    fitted = Standardizer.fit(np.eye(3))
    with pytest.raises(DataError, match=r"rows of shape \(3,\)"):
        fitted.apply(np.eye(2))


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"mean": [0.0]},
        {"mean": [0.0], "scale": "x"},
        {"mean": [0.0], "scale": [0.0]},
        {"mean": [0.0], "scale": [-1.0]},
        {"mean": [0.0, 1.0], "scale": [1.0]},
        {"mean": [float("nan")], "scale": [1.0]},
        {"mean": [[0.0], [0.0, 1.0]], "scale": [1.0]},
    ],
)
def test_damaged_dictionaries(stored):
    with pytest.raises(DataError, match="fit it anew"):
        Standardizer.from_dict(stored)
