"""Elementary functions of native code against wider arithmetic, over the whole range."""

from __future__ import annotations

from functools import cache

import mpmath
import numpy as np
import pytest
from llvmlite import ir
from tests.execute.native.accuracy import BINARY, UNARY, WIDE, errors, samples

import backlight as bl
from backlight.execute.native import Library, compile_module, elementwise_kernel, run_kernel
from backlight.execute.native.math import ULPS

R = bl.registry()
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
DTYPES = [FLOAT32, FLOAT64]
MPMATH = {
    "exp": mpmath.exp, "expm1": mpmath.expm1, "log": mpmath.log, "log1p": mpmath.log1p,
    "log2": lambda x: mpmath.log(x, 2), "log10": mpmath.log10, "sqrt": mpmath.sqrt,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x), "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "erf": mpmath.erf, "tanh": mpmath.tanh, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
    "asinh": mpmath.asinh, "acosh": mpmath.acosh, "atanh": mpmath.atanh, "sin": mpmath.sin,
    "cos": mpmath.cos, "tan": mpmath.tan, "asin": mpmath.asin, "acos": mpmath.acos,
    "atan": mpmath.atan,
}  # fmt: skip


@cache
def library(dtype: np.dtype) -> Library:
    """Compile all functions of one dtype together."""
    module = ir.Module()
    for name in UNARY:
        elementwise_kernel(module, name, R[name], [dtype])
    for name in BINARY:
        elementwise_kernel(module, name, R[name], [dtype, dtype])
    return compile_module(module)


def allowed(name: str, dtype: np.dtype) -> float:
    # The wider arithmetic has an error of its own, and so has the comparison.
    return ULPS[name][dtype == FLOAT64] + 0.002


def unit(exact: mpmath.mpf, dtype: np.dtype) -> float:
    return float(np.spacing(np.abs(dtype.type(float(exact)))))


def check(name: str, arrays: list[np.ndarray]) -> None:
    dtype = arrays[0].dtype
    truth = {**UNARY, **BINARY}[name]
    result = run_kernel(library(dtype), name, dtype, *arrays)
    with np.errstate(all="ignore"):
        wide = [each.astype(np.float64 if dtype == FLOAT32 else WIDE) for each in arrays]
        exact = truth.wide(*wide)
        larger = np.maximum(*np.abs(wide)) if name == "logaddexp" else None
        found = errors(result, exact, larger)
    worst = int(np.argmax(found))
    assert found[worst] <= allowed(name, dtype), (
        f"{name}{[float(each[worst]) for each in arrays]} gave {result[worst]!r}, not "
        f"{exact[worst]!r}: {float(found[worst]):.2f} ulp"
    )


def test_each_function_with_a_rounding_of_its_own_is_checked() -> None:
    assert {*UNARY, *BINARY} == set(ULPS)


@pytest.mark.parametrize("name", UNARY)
def test_float32(name: str) -> None:
    check(name, [samples(UNARY[name], FLOAT32, 2**20, 1)])


@pytest.mark.parametrize("name", BINARY)
def test_float32_pairs(name: str) -> None:
    a = samples(BINARY[name], FLOAT32, 2**19, 1)
    check(name, [a, np.random.default_rng(3).permutation(samples(BINARY[name], FLOAT32, 2**19, 2))])


@pytest.mark.skipif(WIDE is None, reason="this machine has no wider floating-point format")
@pytest.mark.parametrize("name", [each for each in UNARY if each != "erf"])
def test_float64(name: str) -> None:
    check(name, [samples(UNARY[name], FLOAT64, 2**16, 1)])


@pytest.mark.skipif(WIDE is None, reason="this machine has no wider floating-point format")
@pytest.mark.parametrize("name", BINARY)
def test_float64_pairs(name: str) -> None:
    a = samples(BINARY[name], FLOAT64, 2**16, 1)
    check(name, [a, np.random.default_rng(3).permutation(samples(BINARY[name], FLOAT64, 2**16, 2))])


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_mpmath(name: str, dtype: np.dtype) -> None:
    truth = UNARY[name]
    x = np.random.default_rng(7).uniform(truth.low, truth.high, 400).astype(dtype)
    result = run_kernel(library(dtype), name, dtype, x)
    with mpmath.workprec(120):
        for given, y in zip(x.tolist(), result, strict=True):
            exact = MPMATH[name](mpmath.mpf(given))
            if abs(exact) > float(np.finfo(dtype).max):
                assert abs(y) == np.inf
                continue
            wrong = float(abs(mpmath.mpf(float(y)) - exact)) / unit(exact, dtype)
            assert wrong <= allowed(name, dtype), f"{name}({given}) is off by {wrong:.2f} ulp"


# The float64 numbers closest to a multiple of π/2 relative to their size (Muller, "Elementary
# Functions", section on range reduction), powers of two and ten, and multiples of π themselves.
HARD_ANGLES = [
    6381956970095103.0 * 2.0**797, 5.0e-324, 1e22, 1e300, 2.0**1023, 3.0 * 2.0**500, 2.0**120,
    *(k * np.pi / 4 for k in range(1, 40)), *(k * np.pi / 2 for k in (1e3, 1e6, 1e12, 1e18)),
]  # fmt: skip


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_angles_that_are_hard_to_reduce(name: str, dtype: np.dtype) -> None:
    with np.errstate(over="ignore", under="ignore"):
        x = np.array([*HARD_ANGLES, *(-each for each in HARD_ANGLES)]).astype(dtype)
    x = x[np.isfinite(x)]
    result = run_kernel(library(dtype), name, dtype, x)
    with mpmath.workprec(1500):
        for given, y in zip(x.tolist(), result, strict=True):
            exact = MPMATH[name](mpmath.mpf(given))
            wrong = float(abs(mpmath.mpf(float(y)) - exact)) / unit(exact, dtype)
            assert wrong <= allowed(name, dtype), f"{name}({given}) is off by {wrong:.2f} ulp"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_special_values_of_the_records(name: str, dtype: np.dtype) -> None:
    for arguments, expected in R[name].special:
        given = [np.array([each], dtype) for each in arguments]
        result = run_kernel(library(dtype), name, dtype, *given)
        np.testing.assert_array_equal(result, np.array([expected], dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "name", ["expm1", "log1p", "sqrt", "erf", "tanh", "sinh", "asinh", "atanh", "sin", "tan",
             "asin", "atan"]
)  # fmt: skip
def test_odd_functions_keep_the_sign_of_zero_and_tiny_numbers(name: str, dtype: np.dtype) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, -0.0, tiny, -tiny] if name != "sqrt" else [0.0, -0.0], dtype)
    result = run_kernel(library(dtype), name, dtype, x)
    np.testing.assert_array_equal(np.signbit(result), np.signbit(x))
    np.testing.assert_array_equal(result, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["atan2", "pow", "hypot", "logaddexp"])
def test_all_pairs_of_special_values(name: str, dtype: np.dtype) -> None:
    info = np.finfo(dtype)
    kinds = [0.0, 1.0, 0.5, 2.0, 3.0, 2.5, np.inf, info.max, info.tiny, info.smallest_subnormal]
    values = np.array([*kinds, *(-each for each in kinds), np.nan], dtype)
    a, b = (each.reshape(-1).copy() for each in np.meshgrid(values, values))
    result = run_kernel(library(dtype), name, dtype, a, b)
    with np.errstate(all="ignore"):
        exact = {**BINARY}[name].wide(a, b)
    number = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(result)[number], np.signbit(exact)[number])
    np.testing.assert_allclose(
        result, exact, rtol=3 * info.eps, atol=2 * float(info.smallest_subnormal)
    )
