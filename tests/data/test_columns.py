"""What columns are: every kind, at its borders."""

from __future__ import annotations

import numpy as np
import pytest

from backlight.data import Column, LeftOut, as_dataset
from backlight.data.columns import MOST_TEXTS, UNKNOWN, Profile, decide
from backlight.errors import DataError


def numbers(values, name="a", pieces=1):
    profile = Profile(name, "number")
    for part in np.array_split(np.array(values, float), pieces):
        profile.see_numbers(part)
    return decide(profile)


def texts(values, name="a"):
    profile = Profile(name, "text")
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    codes = [-1 if value is None else distinct.index(value) for value in values]
    profile.see_texts(distinct, np.array(codes))
    return decide(profile)


@pytest.mark.parametrize("pieces", [1, 3])
def test_numbers(pieces):
    assert numbers([1.5, 2, np.nan], pieces=pieces) == Column("a", "number", (), 1)
    assert numbers([2, np.nan, 2], pieces=pieces) == Column("a", "number", (), 1)
    assert numbers([2, 2, 2], pieces=pieces).kind == "constant"
    assert numbers([np.nan] * 3, pieces=pieces).kind == "empty"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("id", "identifier"), ("user_id", "identifier"), ("UserID", "identifier"),
        ("customerId", "identifier"), ("index", "identifier"), ("row number", "identifier"),
        ("paid", "number"), ("grid", "number"), ("width", "number"), ("ids_of", "number"),
    ],
)  # fmt: skip
def test_identifiers_go_by_their_name_and_their_values(name, kind):
    assert numbers(np.arange(50)[::-1], name).kind == kind
    assert numbers(np.arange(50) % 5, name).kind == "number"
    assert numbers(np.arange(50) + 0.5, name).kind == "number"
    assert numbers(np.arange(5), name).kind == "number"


def test_a_count_of_rows_is_remarked_on():
    assert "counts the rows" in numbers(range(30)).remark
    assert not numbers(range(0, 60, 2)).remark


def test_texts():
    assert texts(["b", None, "a", "b"]) == Column("a", "category", ("b", "a"), 1)
    assert texts(["b", " b ", "NA"]) == Column("a", "category", ("b",), 1)
    assert texts(["b", "b"]).kind == "constant"
    assert texts([None, "", "nan"]).kind == "empty"
    assert texts([f"t{k}" for k in range(20)]).kind == "category"
    assert texts([f"t{k}" for k in range(21)]).kind == "text"
    assert texts([f"t{k % 21}" for k in range(42)]).kind == "category"
    many = texts([f"t{k}" for k in range(MOST_TEXTS + 1)] * 3)
    assert isinstance(many, LeftOut) and "more than 10,000" in many.reason
    written = texts([f"{k}.5" for k in range(50)])
    assert "numbers as text" in written.reason


@pytest.mark.parametrize(
    "value", ["2024-05-31", "31.05.2024", "5/31/24", "2024-05-31 12:30:00", "2024-05-31T12:30Z"]
)
def test_dates(value):
    assert texts([value, None]).kind == "date"


@pytest.mark.parametrize("value", ["1-2", "a-b-c", "12:30", "2024-05-31x", "1.2.3.4"])
def test_not_dates(value):
    assert texts([value, "x"]).kind == "category"


def test_codes():
    column = Column("a", "category", ("x", "y"))
    np.testing.assert_array_equal(
        column.encode(["y", " x", None, "", "z"]), [1, 0, np.nan, np.nan, UNKNOWN]
    )
    assert Column.from_dict(column.to_dict()) == column
    with pytest.raises(DataError, match="unknown kind"):
        Column.from_dict({**column.to_dict(), "kind": "thing"})


# ---- labels in arrays ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_arrays_of_labels(dtype):
    y = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]], dtype)
    data = as_dataset(np.eye(3), y)
    assert (data.task, data.class_names) == ("labels", ("0", "1", "2"))
    np.testing.assert_array_equal(data.y, y.astype(np.float32), strict=True)
    assert "any of 3 labels" in repr(data)
    train, test = data.split(1)
    assert len(train) == 2 and test.task == "labels"


def test_one_hot_rows_and_numbers_are_no_labels():
    assert as_dataset(np.eye(3), np.eye(3, dtype=int)).task == "regression"
    assert as_dataset(np.eye(2), np.array([[0, 2], [1, 1]])).task == "regression"
    assert as_dataset(np.eye(2), np.array([[0.0, 1.0], [1.0, 1.0]])).task == "regression"
    asked = as_dataset(np.eye(2), np.array([[0.0, 1.0], [1.0, 1.0]]), task="labels")
    assert asked.task == "labels"
    with pytest.raises(DataError, match="cannot be labels"):
        as_dataset(np.eye(2), np.array([[0.0, 2.0], [1.0, 1.0]]), task="labels")
