"""Tables become features: by hand, against scikit-learn, and through plain data."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from backlight.data import Column, Preprocessor, preprocessing_from_dict
from backlight.data.encode import MOST_OUTPUTS, missing_columns
from backlight.data.rows import RowWriter
from backlight.errors import DataError

NAN = math.nan
COLUMNS = (
    Column("age"),
    Column("town", "category", ("Ulm", "Bonn", "Kiel")),
    Column("height", missing=1),
)
TRAIN = np.array([[1, 0, 10], [3, 1, NAN], [5, 0, 30], [7, NAN, 20]], np.float32)


def test_by_hand():
    learnt = Preprocessor.fit(TRAIN, COLUMNS)
    assert learnt.feature_names == (
        "age", "town=Bonn", "town=Ulm", "town is missing", "height", "height is missing",
    )  # fmt: skip
    age, height = math.sqrt(5), math.sqrt(200 / 3)
    expected = [
        [-3 / age, 0, 1, 0, -10 / height, 0],
        [-1 / age, 1, 0, 0, 0, 1],
        [1 / age, 0, 1, 0, 10 / height, 0],
        [3 / age, 0, 0, 1, 0, 0],
    ]
    found = learnt.apply(TRAIN)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_training_did_not_see():
    learnt = Preprocessor.fit(TRAIN, COLUMNS)
    # Kiel is a category of the table but of no training row; −1 is no category of the table.
    for code in (2, -1, 99):
        row = learnt.apply(np.array([[4.0, code, 20.0]]))
        np.testing.assert_array_equal(row, [[0, 0, 0, 0, 0, 0]])
    complete = Preprocessor.fit(TRAIN[[0, 2]], COLUMNS)
    assert complete.feature_names == ("age", "town=Ulm", "height")
    np.testing.assert_array_equal(complete.apply(np.array([[NAN, NAN, NAN]])), [[0, 0, 0]])


def test_without_scaling_gaps_are_still_filled():
    learnt = Preprocessor.fit(TRAIN, COLUMNS, scale=False)
    np.testing.assert_array_equal(
        learnt.apply(TRAIN)[:, [0, 4, 5]], [[1, 10, 0], [3, 20, 1], [5, 30, 0], [7, 20, 0]]
    )


def test_rare_categories_share_a_feature():
    names = tuple(f"c{k:03}" for k in range(MOST_OUTPUTS + 20))
    codes = np.concatenate([np.arange(len(names)), np.arange(MOST_OUTPUTS)])[:, None]
    learnt = Preprocessor.fit(codes.astype(np.float64), (Column("c", "category", names),))
    assert len(learnt.feature_names) == MOST_OUTPUTS + 1
    assert learnt.feature_names[-1] == "c=other"
    found = learnt.apply(np.array([[0.0], [MOST_OUTPUTS + 3], [-1.0]]))
    np.testing.assert_array_equal(found.argmax(axis=1), [0, MOST_OUTPUTS, MOST_OUTPUTS])
    np.testing.assert_array_equal(found.sum(axis=1), 1)


def test_scikit_learn_agrees():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    impute = pytest.importorskip("sklearn.impute")
    rng = np.random.default_rng(0)
    numbers = rng.normal(5, 3, size=(200, 4))
    numbers[rng.random(numbers.shape) < 0.2] = NAN
    codes = rng.integers(0, 4, size=(200, 1)).astype(float)
    columns = (*(Column(f"n{k}") for k in range(4)), Column("c", "category", tuple("wxyz")))
    found = Preprocessor.fit(np.hstack([numbers, codes]), columns).apply(
        np.hstack([numbers, codes])
    )
    filled = impute.SimpleImputer(add_indicator=True).fit_transform(numbers)
    # The scale is that of the values there are, which is not that of the filled column.
    scaled = preprocessing.StandardScaler().fit_transform(numbers)
    scaled = np.where(np.isnan(scaled), 0.0, scaled)
    for k in range(4):
        np.testing.assert_allclose(found[:, 2 * k], scaled[:, k], rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(found[:, 2 * k + 1], filled[:, 4 + k])
    onehot = preprocessing.OneHotEncoder(sparse_output=False).fit_transform(codes)
    np.testing.assert_array_equal(found[:, 8:], onehot)


def test_rows_in_a_file_give_the_same(monkeypatch):
    monkeypatch.setattr("backlight.data.rows.PIECE_BYTES", 5 * 12)
    rng = np.random.default_rng(1)
    X = np.column_stack(
        [rng.normal(size=83), rng.integers(-1, 3, 83), rng.normal(1e6, 1, 83)]
    ).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = NAN
    with RowWriter((3,), X.dtype) as writer:
        writer.write(X)
    held = writer.rows()
    here, there = Preprocessor.fit(X, COLUMNS), Preprocessor.fit(held, COLUMNS)
    assert here.to_dict() == there.to_dict()
    np.testing.assert_array_equal(np.asarray(there.apply(held)), here.apply(X))


def test_plain_data_brings_it_back():
    learnt = Preprocessor.fit(TRAIN, COLUMNS)
    again = preprocessing_from_dict(json.loads(json.dumps(learnt.to_dict())))
    assert isinstance(again, Preprocessor)
    assert again.feature_names == learnt.feature_names
    np.testing.assert_array_equal(again.apply(TRAIN), learnt.apply(TRAIN))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("mean", "x"), ("scale", 0.0), ("scale", None), ("fill", math.inf), ("kept", [7]),
        ("kept", 3), ("kind", "thing"), ("categories", 5),
    ],
)  # fmt: skip
def test_damaged_plain_data_is_refused(place, value):
    stored = json.loads(json.dumps(Preprocessor.fit(TRAIN, COLUMNS).to_dict()))
    stored["columns"][1][place] = value
    with pytest.raises(DataError, match="train the run again"):
        preprocessing_from_dict(stored)
    for other in (
        {"kind": "table"},
        {"kind": "table", "columns": 3},
        {"kind": "table", "columns": [1]},
    ):
        with pytest.raises(DataError, match="damaged"):
            preprocessing_from_dict(other)


def test_other_columns_are_refused():
    learnt = Preprocessor.fit(TRAIN, COLUMNS)
    with pytest.raises(DataError, match="3 columns were learnt from"):
        learnt.apply(TRAIN[:, :2])
    with pytest.raises(DataError, match="No column has a value"):
        Preprocessor.fit(np.array([[-1.0]]), (Column("c", "category", ("a",)),))


def test_missing_columns_are_all_named():
    error = missing_columns(["age", "town", "size"], ["aeg", "town"], "t.csv")
    assert "'age' (did you mean 'aeg'?), 'size'" in str(error)
    assert missing_columns(["a"], ["a", "b"], "t.csv") is None
