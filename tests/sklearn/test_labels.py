"""Labels beside scikit-learn's `LabelBinarizer`, which is the oracle."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.preprocessing import LabelBinarizer

from backlight.sklearn.labels import learn

RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.integers(-2, 3, 40)
CASES: dict[str, Any] = {
    "numbers": NUMBERS,
    "small numbers": NUMBERS.astype(np.int8),
    "two numbers": np.array([7, 3, 3, 7, 7]),
    "one number": np.array([4, 4, 4]),
    "text": np.array(["cat", "dog", "ant", "dog", "ant", "cat", "cat"]),
    "two words": np.array(["no", "yes", "yes"]),
    "objects": np.array(["cat", "dog", "ant", "dog", "ant", "cat"], dtype=object),
    "Booleans": np.array([True, False, False, True]),
    "whole fractions": np.array([0.0, 1.0, 2.0, 2.0, 1.0, 0.0]),
    "list": [1, 2, 3, 1, 2, 3],
    "several at once": np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_as_scikit_learn_has_it(name: str, dtype: str) -> None:
    y = CASES[name]
    ours, theirs = learn(y), LabelBinarizer().fit(y)
    np.testing.assert_array_equal(ours.classes, theirs.classes_)
    assert ours.kind == theirs.y_type_
    targets = ours.targets(y, dtype)
    assert targets.dtype == dtype and targets.flags.c_contiguous
    np.testing.assert_array_equal(targets, theirs.transform(y))
    outputs = np.asarray(RANDOM.random(targets.shape))
    flat = outputs.ravel() if targets.shape[1] == 1 else outputs
    for each in (outputs, targets):
        found, wanted = ours.named(each), theirs.inverse_transform(each)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(ours.named(flat), theirs.inverse_transform(flat))
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.targets(y, dtype), targets)


@pytest.mark.parametrize("known", [[1, 3, 5], [1, 3], [3]])
@pytest.mark.parametrize("other", [0, 2, 9])
def test_a_label_that_is_no_class_is_named(known: list[int], other: int) -> None:
    with pytest.raises(ValueError, match=f"the label {other}, which is none of the classes"):
        learn(np.array(known * 4)).targets(np.array([3, other]), "float64")


def test_labels_of_another_kind_are_compared_as_scikit_learn_does() -> None:
    ours, theirs = learn(NUMBERS), LabelBinarizer().fit(NUMBERS)
    y = NUMBERS.astype(float)
    np.testing.assert_array_equal(ours.targets(y, "float64"), theirs.transform(y))


def test_what_is_no_label_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown label type"):
        learn(np.array([0.5, 1.5, 2.5]))
    with pytest.raises(ValueError, match="y has 0 samples"):
        learn(np.array([]))
