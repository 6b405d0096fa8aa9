"""A data set: its parts must fit, its split is exact, its fingerprint tells data apart."""

from __future__ import annotations

import hashlib
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight.data import Dataset, load
from backlight.errors import DataError, UsageError


def classified(codes, names=None) -> Dataset:
    codes = np.array(codes, dtype=np.int64)
    return Dataset(
        name="made",
        X=np.arange(len(codes), dtype=np.float32)[:, None],
        y=codes,
        feature_names=("row",),
        target_name="y",
        class_names=names or tuple(str(k) for k in range(int(codes.max()) + 1)),
        task="classification",
    )


def regression(n: int) -> Dataset:
    return Dataset(
        name="made",
        X=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        y=np.arange(n, dtype=np.float32),
        feature_names=("a", "b"),
        target_name="y",
        class_names=None,
        task="regression",
    )


def test_repr_is_readable():
    assert repr(regression(3)) == (
        "Dataset 'made': 3 rows × 2 features (float32), target 'y' of real numbers"
    )
    data = replace(load("digits"), test=load("digits"))
    assert repr(data) == (
        "Dataset 'digits': 1797 rows × 8×8 pixels (float32), target 'digit' with 10 classes "
        "('0', '1', '2', '3' and 6 more), and 1797 test rows"
    )


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        regression(3).name = "other"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"X": np.zeros(3, np.float32)}, "shape"),
        ({"X": np.zeros((3, 2), np.int64)}, "int64"),
        ({"X": np.zeros((4, 2), np.float32)}, "4 rows of features"),
        ({"y": np.float32(1)[None][0].reshape(())}, "target of shape ()"),
        ({"feature_names": ("a",)}, "2 features and 1 feature name"),
        ({"image_shape": (2, 2)}, "image of 2 × 2"),
        ({"class_names": ("a", "b")}, "is a regression"),
        ({"y": np.zeros(3, np.int64)}, "is a regression"),
        ({"task": "classification"}, "is a classification"),
        (
            {"task": "classification", "class_names": ("a", "b"), "y": np.array([0, 1, 2])},
            "codes from 0 to 2 for 2",
        ),
    ],
)
def test_parts_that_do_not_fit(change, part):
    with pytest.raises(DataError) as caught:
        replace(regression(3), **change)
    assert part in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 30), min_size=2, max_size=6),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32),
)
def test_stratified_split(sizes, share, seed):
    data = classified(np.repeat(np.arange(len(sizes)), sizes))
    count = round(share * len(data))
    if not len(sizes) <= count <= len(data) - len(sizes):
        with pytest.raises(DataError, match=r"stratify=False|change test"):
            data.split(share, seed)
        return
    train, test = data.split(share, seed)
    rows = np.concatenate([train.X[:, 0], test.X[:, 0]])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(data)))  # disjoint and complete
    assert len(test) == count
    for part in (train, test):
        assert (np.diff(part.X[:, 0]) > 0).all()  # the order of the rows is kept
        np.testing.assert_array_equal(part.y, data.y[part.X[:, 0].astype(int)])
        assert set(part.y) == set(range(len(sizes)))
    # Where the proportional shares are whole numbers of one or more, they are exact.
    shares = [size * count / len(data) for size in sizes]
    for k, wanted in enumerate(shares):
        if all(value >= 1 and sizes[i] - value >= 1 for i, value in enumerate(shares)):
            assert abs(np.count_nonzero(test.y == k) - wanted) < 1


def test_plain_split_follows_the_stated_rule():
    data = regression(10)
    train, test = data.split(0.3, seed=5)
    key = np.random.Philox(5).random_raw(10)
    expected = sorted(sorted(range(10), key=lambda row: key[row])[:3])
    np.testing.assert_array_equal(test.y, expected)
    assert sorted([*train.y, *test.y]) == list(range(10))
    assert (train.name, test.name) == ("made (train)", "made (test)")


def test_split_is_seeded():
    data = load("digits")
    first, again, other = (data.split(seed=seed)[1].fingerprint() for seed in (1, 1, 2))
    assert first == again != other


def test_every_row_is_equally_likely_to_be_drawn():
    data = regression(10)
    counts = np.zeros(10)
    for seed in range(1000):
        counts[data.split(3, seed)[1].y.astype(int)] += 1
    # Binomial(1000, 0.3) has a standard deviation of 14.5; five of them are all but impossible.
    assert np.abs(counts - 300).max() < 5 * 14.5


def test_split_by_number_and_by_share():
    assert len(regression(10).split(4)[1]) == 4
    assert len(regression(10).split(0.25)[1]) == 2  # rounded to even, as round does
    assert len(classified([0, 0, 0, 1]).split(1, stratify=False)[1]) == 1


@pytest.mark.parametrize(
    ("data", "options", "error", "part"),
    [
        (regression(10), {"test": 0.01}, DataError, "change test or add rows"),
        (regression(10), {"test": 10}, DataError, "keep some"),
        (regression(10), {"test": 1.0}, UsageError, "between 0 and 1"),
        (regression(10), {"test": float("nan")}, UsageError, "between 0 and 1"),
        (regression(10), {"test": "half"}, UsageError, "share"),
        (regression(10), {"test": True}, UsageError, "share"),
        (regression(10), {"seed": -1}, UsageError, "seed=-1"),
        (regression(10), {"seed": 0.5}, UsageError, "seed=0.5"),
        (classified([0, 0, 1], ("no", "yes")), {}, DataError, "single row of class 'yes' (row 2)"),
        (classified([0, 0, 1, 1]), {"test": 1}, DataError, "stratify=False"),
        (classified([0, 0, 1, 1]), {"test": 3}, DataError, "stratify=False"),
    ],
)
def test_impossible_splits(data, options, error, part):
    with pytest.raises(error) as caught:
        data.split(**options)
    assert part in str(caught.value)


def test_fingerprint_by_hand():
    data = regression(1)

    def texts(*parts: str) -> bytes:
        encoded = [part.encode() for part in parts]
        return len(encoded).to_bytes(8, "little") + b"".join(
            len(part).to_bytes(8, "little") + part for part in encoded
        )

    expected = hashlib.sha256(
        texts("<f4", "1", "2")
        + np.array([0, 1], "<f4").tobytes()
        + texts("<f4", "1")
        + np.array([0], "<f4").tobytes()
        + texts("a", "b")
        + texts("y", "regression")
        + texts("none")
    ).hexdigest()
    assert data.fingerprint() == expected


def test_fingerprint_tells_data_apart():
    data = regression(4)
    changed = data.X.copy()
    changed[2, 1] = np.nextafter(changed[2, 1], np.float32(9))
    others = [
        replace(data, X=changed),
        replace(data, X=data.X.astype(np.float64)),
        replace(data, X=data.X.reshape(4, 2, 1)),
        replace(data, y=data.y + 1),
        replace(data, feature_names=("ab", "")),
        replace(data, feature_names=("", "ab")),
        replace(data, target_name="z"),
        classified([0, 1, 1, 0]),
        classified([0, 1, 1, 0], ("no", "yes")),
    ]
    prints = {data.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == len(others) + 1


def test_fingerprint_is_of_the_values_not_of_their_layout():
    data = regression(4)
    for X in (np.asfortranarray(data.X), data.X.astype(">f4"), data.X.repeat(2, 0)[::2]):
        assert replace(data, X=X).fingerprint() == data.fingerprint()
    assert replace(data, name="other", source="x").fingerprint() == data.fingerprint()
