"""Every elementwise primitive in native code against the record's own NumPy evaluation.

Results that need no rounding rule of their own must agree bit by bit (for functions with one, see
test_accuracy.py): integers of all widths, Booleans, comparisons, selections, conversions.
"""

from __future__ import annotations

import itertools
from ctypes import CFUNCTYPE, c_int64, c_void_p
from functools import cache
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

import backlight as bl
from backlight.errors import BacklightError, DtypeError, MissingRuleError
from backlight.execute.native import Library, compile_module, elementwise_kernel, run_kernel
from backlight.execute.native.math import ULPS
from backlight.graph.primitive import Kind, Primitive, Spec

R = bl.registry()
ELEMENTWISE = [name for name, record in R.items() if record.kind is Kind.ELEMENTWISE]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
ALL = ["bool", *INTEGERS, *FLOATS]
PLAIN = [name for name in ELEMENTWISE if name not in {*ULPS, "cast", "where"}]


def arity(name: str) -> int:
    record = R[name]
    for count in (1, 2):
        for dtype in map(np.dtype, ALL):
            try:
                record.specify(*[Spec((), dtype)] * count)
            except (BacklightError, TypeError):
                continue
            return count
    raise AssertionError(name)


ARITY = {name: arity(name) for name in PLAIN}


def takes(name: str, dtype: str) -> bool:
    try:
        R[name].specify(*[Spec((), np.dtype(dtype))] * ARITY[name])
    except BacklightError:
        return False
    return True


def values(dtype: np.dtype, count: int, seed: int = 0) -> np.ndarray:
    """Return random bits of a dtype, with its most special values in front."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.integers(0, 2, count).astype(bool)
    raw = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).copy()
    if dtype.kind == "f":
        info = np.finfo(dtype)
        special = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, info.max,
                   info.tiny, info.smallest_subnormal, -info.smallest_subnormal]  # fmt: skip
        near = rng.normal(0, 10, count // 2).astype(dtype)
        raw[: len(near)] = near
    else:
        info = np.iinfo(dtype)
        special = [0, 1, 2, 3, 7, info.max, info.min, info.max - 1]
        if dtype.kind == "i":
            special += [-1, -2, -3]
        raw[: count // 4] %= dtype.type(11)
    special = np.array(special, dtype)
    head = min(len(special), count)
    raw[:head] = special[:head]
    return raw


def operands(name: str, dtype: np.dtype) -> list[np.ndarray]:
    """Return operands in which all pairs of special values occur."""
    if ARITY[name] == 1:
        return [values(dtype, 4099)]
    few = values(dtype, 24)
    a, b = (each.reshape(-1) for each in np.meshgrid(few, few))
    a = np.concatenate([a, values(dtype, 4099, 1)])
    b = np.concatenate([b, np.random.default_rng(9).permutation(values(dtype, 4099, 2))])
    return [a, b]


@cache
def library(dtype: str) -> tuple[Library, dict[str, np.dtype]]:
    """Compile all primitives that take a dtype together."""
    module, results = ir.Module(), {}
    for name in PLAIN:
        if takes(name, dtype):
            kinds = [np.dtype(dtype)] * ARITY[name]
            results[name] = elementwise_kernel(module, name, R[name], kinds)
    return compile_module(module), results


def evaluate(record: Primitive, arrays: list[np.ndarray], **attributes: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(record.evaluate(np, *arrays, **attributes))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_each_elementwise_primitive_has_a_lowering_rule(name: str) -> None:
    assert R[name].lower is not None


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in PLAIN for dtype in ALL if takes(name, dtype)],
)
def test_native_equals_numpy(name: str, dtype: str) -> None:
    compiled, results = library(dtype)
    arrays = operands(name, np.dtype(dtype))
    result = run_kernel(compiled, name, results[name], *arrays)
    expected = evaluate(R[name], arrays)
    assert (
        results[name]
        == expected.dtype
        == R[name].specify(*[Spec(each.shape, each.dtype) for each in arrays]).dtype
    )
    np.testing.assert_array_equal(result, expected)
    if expected.dtype.kind == "f":
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(result)[number], np.signbit(expected)[number])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_powers(dtype: str) -> None:
    module = ir.Module()
    elementwise_kernel(module, "power", R["pow"], [np.dtype(dtype)] * 2)
    base = values(np.dtype(dtype), 600)
    exponent = np.abs(values(np.dtype(dtype), 600, 1) % np.dtype(dtype).type(70))
    result = run_kernel(compile_module(module), "power", np.dtype(dtype), base, exponent)
    np.testing.assert_array_equal(result, evaluate(R["pow"], [base, exponent]))


@pytest.mark.parametrize("dtype", ALL)
def test_where(dtype: str) -> None:
    module, kind = ir.Module(), np.dtype(dtype)
    elementwise_kernel(module, "where", R["where"], [np.dtype(bool), kind, kind])
    arrays = [values(np.dtype(bool), 100), values(kind, 100, 1), values(kind, 100, 2)]
    result = run_kernel(compile_module(module), "where", kind, *arrays)
    np.testing.assert_array_equal(result, evaluate(R["where"], arrays))


def test_casts() -> None:
    module = ir.Module()
    pairs = list(itertools.product(ALL, ALL))
    for start, end in pairs:
        name = f"{start}_{end}"
        elementwise_kernel(module, name, R["cast"], [np.dtype(start)], {"dtype": np.dtype(end)})
    compiled = compile_module(module)
    for start, end in pairs:
        x = values(np.dtype(start), 1001)
        if np.dtype(start).kind == "f" and np.dtype(end).kind in "iu":
            x = x[np.abs(x) < 100]  # the rest is not defined by NumPy
            x = x if np.dtype(end).kind == "i" else np.abs(x)
        result = run_kernel(compiled, f"{start}_{end}", np.dtype(end), x)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(result, x.astype(end), err_msg=f"{start} to {end}")


def test_casts_to_integers_at_the_ends_of_their_range() -> None:
    module = ir.Module()
    elementwise_kernel(module, "a", R["cast"], [np.dtype("f8")], {"dtype": np.dtype("i4")})
    elementwise_kernel(module, "b", R["cast"], [np.dtype("f4")], {"dtype": np.dtype("i8")})
    elementwise_kernel(module, "c", R["cast"], [np.dtype("f8")], {"dtype": np.dtype("u8")})
    compiled = compile_module(module)
    low = -(2**31)
    x = np.array([2.0**31 - 0.5, -(2.0**31) - 0.5, 2.0**31, np.nan, np.inf, -np.inf])
    assert run_kernel(compiled, "a", np.dtype("i4"), x).tolist() == [2**31 - 1, *[low] * 5]
    x = np.array([2.0**62, -(2.0**63), 2.0**63, np.nan], np.float32)
    expected = [2**62, *[-(2**63)] * 3]
    assert run_kernel(compiled, "b", np.dtype("i8"), x).tolist() == expected
    x = np.array([2.0**63, 2.0**64 - 2048, 2.0**63 - 1024, 0.0])
    expected = [2**63, 2**64 - 2048, 2**63 - 1024, 0]
    assert run_kernel(compiled, "c", np.dtype("u8"), x).tolist() == expected


@pytest.mark.parametrize("size", [0, 1, 7, 16, 17, 63, 64, 65, 1000])
@pytest.mark.parametrize("name", ["add", "greater", "relu", "round"])
def test_sizes_and_that_nothing_beyond_is_touched(name: str, size: int) -> None:
    compiled, results = library("float32")
    arrays = [values(np.dtype("f4"), size, seed) for seed in range(ARITY[name])]
    out = np.full(size + 32, 7, results[name])
    function = compiled.function(name, CFUNCTYPE(None, c_int64, *[c_void_p] * (1 + len(arrays))))
    function(size, out.ctypes.data, *(each.ctypes.data for each in arrays))
    np.testing.assert_array_equal(out[:size], evaluate(R[name], arrays))
    assert (out[size:] == out.dtype.type(7)).all()


@pytest.mark.parametrize(
    ("a", "b"), [("float32", "float64"), ("int8", "int32"), ("uint8", "int16"), ("uint32", "int8")]
)
@pytest.mark.parametrize("name", ["add", "less", "maximum"])
def test_operands_of_different_dtypes_are_promoted(name: str, a: str, b: str) -> None:
    module = ir.Module()
    dtype = elementwise_kernel(module, "mixed", R[name], [np.dtype(a), np.dtype(b)])
    arrays = [values(np.dtype(a), 100, 1), values(np.dtype(b), 100, 2)]
    result = run_kernel(compile_module(module), "mixed", dtype, *arrays)
    np.testing.assert_array_equal(result, evaluate(R[name], arrays), strict=True)


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater"])
def test_unsigned_and_signed_integers_compare_by_value(name: str) -> None:
    module = ir.Module()
    for end, kinds in enumerate((("u8", "i8"), ("i8", "u8"))):
        elementwise_kernel(module, f"f{end}", R[name], [np.dtype(each) for each in kinds])
    compiled = compile_module(module)
    signed, unsigned = values(np.dtype("i8"), 64), values(np.dtype("u8"), 64)
    for end, arrays in enumerate(([unsigned, signed], [signed, unsigned])):
        result = run_kernel(compiled, f"f{end}", np.dtype(bool), *arrays)
        np.testing.assert_array_equal(result, evaluate(R[name], arrays))


def test_a_primitive_without_a_rule_is_named() -> None:
    record = Primitive("halve", Kind.ELEMENTWISE, lambda x: x, lambda xp, x: x / 2)
    with pytest.raises(MissingRuleError, match=r"halve has no lowering rule"):
        elementwise_kernel(ir.Module(), "f", record, [np.dtype("f4")])


def test_a_dtype_that_native_code_lacks_is_named() -> None:
    with pytest.raises(DtypeError, match="float16"):
        elementwise_kernel(ir.Module(), "f", R["exp"], [np.dtype("f2")])
