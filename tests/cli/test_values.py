"""The readers behind `--at`, `--wrt` and `--weight`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.cli.values import check_given, read_entry, read_values
from backlight.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1.0),
        ("-2.5e-3", -0.0025),
        ("−2", -2.0),
        (" .5 ", 0.5),
        ("[1, 2, 3]", [1.0, 2.0, 3.0]),
        ("[[1,2],[3,4]]", [[1.0, 2.0], [3.0, 4.0]]),
        (" [ [ 1 ] ] ", [[1.0]]),
        ("[]", []),
    ],
)
def test_values(text: str, expected: object) -> None:
    (array,) = read_values([f"x={text}"]).values()
    assert array.dtype == np.float64
    assert array.tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "x", "x=", "=1", "x= ", "x=a", "x=1 2", "x=[1", "x=1]", "x=[1,]", "x=[,1]", "x=[1 2]",
        "x=[1,2]]", "x=[[1],[2,3]]", "x=[1,[2]]", "x=nan", "x=inf", "x=1e999", "x=[1,a]",
        "x=[1][2]", "x=1,2", "x=" + "[" * 50, "x=" + "[" * 9 + "1" + "]" * 9, "x=" + "1" * 30_000,
        "x=__import__('os')",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_values([text])
    assert len(str(caught.value)) < 300
    assert str(caught.value).endswith(".")


def test_a_name_given_twice() -> None:
    with pytest.raises(UsageError, match="'x' twice"):
        read_values(["x=1", "x=2"])


@given(st.text(max_size=60) | st.text(alphabet="[],123-.e ", max_size=60))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    try:
        read_values([f"x={text}"])
    except UsageError:
        return


rows = st.integers(0, 3).flatmap(
    lambda n: st.lists(
        st.lists(st.floats(-1e9, 1e9), min_size=n, max_size=n), min_size=1, max_size=4
    )
)


@given(rows)
def test_what_json_writes_is_read_back(nested: list[list[float]]) -> None:
    (array,) = read_values([f"x={json.dumps(nested)}"]).values()
    assert array.tolist() == nested


def test_entries() -> None:
    assert read_entry("layers.0.weight[3,1]", "--weight") == ("layers.0.weight", (3, 1))
    assert read_entry(" w [ -1 ] ", "--wrt") == ("w", (-1,))
    assert read_entry("w", "--wrt") == ("w", None)
    for text in ("w[", "w[]", "w[a]", "w[1.5]", "w[1]]", "[1]", "w]", "w[1][2]", ""):
        with pytest.raises(UsageError, match="--weight"):
            read_entry(text, "--weight")


def test_names_and_values_must_agree() -> None:
    values = read_values(["w=1", "z=2"])
    with pytest.raises(UsageError, match="needs values for 'x', 'y'; add --at x=… --at y=…"):
        check_given(("w", "x", "y", "z"), values)
    with pytest.raises(UsageError, match="'z', which is not in the formula; its names are 'w'"):
        check_given(("w",), values)
