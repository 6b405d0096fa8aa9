"""Reading what a page sent: everything checked, and refused with one sentence."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.errors import BacklightError, UsageError
from backlight.studio import asking
from backlight.studio.config import read_config

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


def test_an_at_is_read_with_its_edits() -> None:
    at = asking.read_at({"step": 3, "edits": [{"node": "w", "index": [1, 2], "value": 0.5}]})
    assert (at.step, at.example) == (3, None)
    assert at.edits[0].index == (1, 2)
    assert asking.read_at(at.to_dict()) == at


@pytest.mark.parametrize(
    "wrong",
    [
        3,
        {"step": -1},
        {"step": 1.5},
        {"step": True},
        {"example": "a"},
        {"edits": "x"},
        {"edits": [3]},
        {"edits": [{"node": None, "value": 1}]},
        {"edits": [{"node": "w", "index": [0.5], "value": 1}]},
        {"edits": [{"node": "w", "value": float("nan")}]},
        {"edits": [{"node": "w", "value": 1}] * 100},
    ],
)
def test_an_at_that_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        asking.read_at(wrong)


@pytest.mark.parametrize(
    "wrong",
    [[1], {"w": "1"}, {"w": [[1, 2], [3]]}, {"w": [[[[[1]]]]]}, {"w": [0.0] * 5000}, {"w": None},
     {"w": True}, {"w": float("inf")}],
)  # fmt: skip
def test_values_that_are_no_numbers_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        asking.values(wrong)


@given(JSON)
def test_whatever_is_sent_gives_a_value_or_a_sentence(sent: object) -> None:
    for reader in (asking.read_at, asking.values, lambda each: read_config(each, {})):
        with contextlib.suppress(BacklightError):  # and nothing else
            reader(sent)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"layers": [0]}, "1 to 1024 units"),
        ({"layers": [8] * 20}, "at most 8"),
        ({"layers": "8,8"}, "list"),
        ({"activation": "swish2"}, "one of relu"),
        ({"optimizer": "adamx"}, "one of sgd"),
        ({"learning_rate": 0}, "above 0"),
        ({"learning_rate": "fast"}, "number"),
        ({"batch_size": 0}, "whole number"),
        ({"data": "../etc/passwd"}, "no data set"),
        ({"data": "spirals"}, "did you mean"),
        ({"seed": -1}, "whole number"),
        ({"colour": 1}, "no field"),
        ([], "object"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: object, sentence: str) -> None:
    with pytest.raises(BacklightError, match=sentence):
        read_config(wrong, {})
