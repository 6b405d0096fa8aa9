"""Promotion exactly as in the Python Array API standard 2024.12, and weak Python scalars."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.functions.twins import EVERY, FLOATS, INTEGERS, NUMBERS

from backlight import functions as F  # noqa: N812
from backlight.errors import DtypeError, UsageError
from backlight.tensor import tensor

# The tables of the standard, written out: row and column are dtypes in the order of the header.
SIGNED = """
     i8  i16 i32 i64
i8   i8  i16 i32 i64
i16  i16 i16 i32 i64
i32  i32 i32 i32 i64
i64  i64 i64 i64 i64
"""
UNSIGNED = """
     u8  u16 u32 u64
u8   u8  u16 u32 u64
u16  u16 u16 u32 u64
u32  u32 u32 u32 u64
u64  u64 u64 u64 u64
"""
MIXED = """
     u8  u16 u32
i8   i16 i32 i64
i16  i16 i32 i64
i32  i32 i32 i64
i64  i64 i64 i64
"""
FLOATING = """
     f32 f64
f32  f32 f64
f64  f64 f64
"""
LONG = {"i": "int", "u": "uint", "f": "float"}


def table() -> dict[tuple[str, str], str]:
    found = {("bool", "bool"): "bool"}
    for text in (SIGNED, UNSIGNED, MIXED, FLOATING):
        header, *rows = (line.split() for line in text.strip().splitlines())
        for row, *cells in rows:
            for column, cell in zip(header, cells, strict=True):
                a, b, both = (LONG[each[0]] + each[1:] for each in (row, column, cell))
                found[a, b] = found[b, a] = both
    return found


TABLE = table()


@pytest.mark.parametrize(("a", "b"), list(itertools.product(EVERY, EVERY)))
def test_two_dtypes(a: str, b: str) -> None:
    x, y = tensor(1, dtype=a), tensor([1], dtype=b)
    expected = TABLE.get((a, b))
    if expected is None:
        with pytest.raises(DtypeError):
            F.result_type(x, y)
        with pytest.raises(DtypeError):
            F.equal(x, y)
        assert not F.can_cast(a, b)
        return
    assert F.result_type(x, y) == expected
    assert F.result_type(np.dtype(a), y) == expected
    assert F.where(True, x, y).dtype == expected
    assert F.concat([F.reshape(x, (1,)), y]).dtype == expected
    assert F.can_cast(a, b) == (expected == b)
    if a != "bool":
        assert F.add(x, y).dtype == expected
        assert F.matmul(F.ones((2, 2), dtype=a), F.ones((2, 2), dtype=b)).dtype == expected


@pytest.mark.parametrize("dtype", NUMBERS)
def test_python_scalars_are_weak(dtype: str) -> None:
    x = tensor([1, 2], dtype=dtype)
    scalar = 1.5 if dtype in FLOATS else 1
    for result in (F.add(x, 1), F.add(1, x), F.multiply(scalar, x), F.where(x > 1, x, scalar)):
        assert result.dtype == dtype
    assert F.clip(x, 0, 1).dtype == dtype
    assert F.result_type(x, scalar) == dtype


@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_float_beside_integers_is_refused(dtype: str) -> None:
    x = tensor([1, 2], dtype=dtype)
    for call in (lambda: F.add(x, 0.5), lambda: F.clip(x, 0.5, None), lambda: F.exp(x)):
        with pytest.raises(DtypeError):
            call()


def test_a_scalar_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DtypeError, match="300"):
        F.add(tensor([1], dtype="uint8"), 300)


def test_two_scalars_of_where() -> None:
    condition = tensor([True, False])
    assert F.where(condition, 1, 0).dtype == "int64"
    assert F.where(condition, 1.0, 0).dtype == "float64"
    assert F.where(condition, True, False).dtype == "bool"
    with pytest.raises(DtypeError):
        F.where(condition, True, 0)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_small_integers_are_added_up_in_64_bits(dtype: str) -> None:
    x = tensor([100, 100, 100], dtype=dtype)
    wide = "uint64" if dtype[0] == "u" else "int64"
    for reduce in (F.sum, F.prod, F.cumulative_sum, F.cumulative_prod):
        assert reduce(x).dtype == wide
        assert reduce(x, dtype=F.float32).dtype == "float32"
    assert F.sum(x).item() == 300


def test_result_type_needs_a_dtype() -> None:
    assert F.result_type(F.int8) == F.int8
    with pytest.raises(UsageError):
        F.result_type(1, 2.0)
