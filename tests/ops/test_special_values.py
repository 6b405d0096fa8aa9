"""Infinities, NaN, signed zeros and denormals, as IEEE 754 and Annex F of the C standard say."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from tests.ops.running import apply

import backlight as bl
from backlight.errors import BacklightError, BacklightWarning
from backlight.graph.primitive import Kind

REGISTRY = bl.registry()
INF, NAN, PI = math.inf, math.nan, math.pi
ODD = (((0.0,), 0.0), ((-0.0,), -0.0))
UNBOUNDED = (*ODD, ((INF,), INF), ((-INF,), -INF), ((NAN,), NAN))
LOGARITHM = (((1.0,), 0.0), ((0.0,), -INF), ((-0.0,), -INF), ((-1.0,), NAN), ((-INF,), NAN),
             ((INF,), INF), ((NAN,), NAN))  # fmt: skip

ANNEX_F: dict[str, tuple[tuple[tuple[float, ...], float], ...]] = {
    "exp": (((0.0,), 1.0), ((-0.0,), 1.0), ((-INF,), 0.0), ((INF,), INF), ((NAN,), NAN),
            ((710.0,), INF), ((-800.0,), 0.0)),
    "expm1": (*ODD, ((-INF,), -1.0), ((INF,), INF), ((NAN,), NAN), ((5e-324,), 5e-324)),
    "log": LOGARITHM,
    "log2": (*LOGARITHM, ((8.0,), 3.0), ((5e-324,), -1074.0)),
    "log10": (*LOGARITHM, ((1000.0,), 3.0)),
    "log1p": (*ODD, ((-1.0,), -INF), ((-2.0,), NAN), ((INF,), INF), ((NAN,), NAN),
              ((5e-324,), 5e-324)),
    "sqrt": (*ODD, ((INF,), INF), ((-1.0,), NAN), ((-INF,), NAN), ((NAN,), NAN)),
    "rsqrt": (((0.0,), INF), ((INF,), 0.0), ((-1.0,), NAN), ((4.0,), 0.5)),
    "sin": (*ODD, ((INF,), NAN), ((-INF,), NAN), ((NAN,), NAN)),
    "cos": (((0.0,), 1.0), ((-0.0,), 1.0), ((INF,), NAN), ((-INF,), NAN), ((NAN,), NAN)),
    "tan": (*ODD, ((INF,), NAN), ((-INF,), NAN), ((NAN,), NAN)),
    "asin": (*ODD, ((1.5,), NAN), ((-1.5,), NAN), ((1.0,), PI / 2), ((NAN,), NAN)),
    "acos": (((1.0,), 0.0), ((-1.0,), PI), ((1.5,), NAN), ((NAN,), NAN)),
    "atan": (*ODD, ((INF,), PI / 2), ((-INF,), -PI / 2), ((NAN,), NAN)),
    "atan2": (((0.0, -0.0), PI), ((-0.0, -0.0), -PI), ((0.0, 0.0), 0.0), ((-0.0, 0.0), -0.0),
              ((0.0, -2.0), PI), ((-0.0, -2.0), -PI), ((0.0, 2.0), 0.0), ((-0.0, 2.0), -0.0),
              ((-2.0, 0.0), -PI / 2), ((2.0, -0.0), PI / 2), ((2.0, -INF), PI),
              ((-2.0, -INF), -PI), ((2.0, INF), 0.0), ((-2.0, INF), -0.0), ((INF, 2.0), PI / 2),
              ((INF, -INF), 3 * PI / 4), ((-INF, INF), -PI / 4), ((NAN, 1.0), NAN)),
    "sinh": UNBOUNDED,
    "cosh": (((0.0,), 1.0), ((INF,), INF), ((-INF,), INF), ((NAN,), NAN)),
    "tanh": (*ODD, ((INF,), 1.0), ((-INF,), -1.0), ((NAN,), NAN)),
    "asinh": UNBOUNDED,
    "acosh": (((1.0,), 0.0), ((0.5,), NAN), ((INF,), INF), ((-INF,), NAN), ((NAN,), NAN)),
    "atanh": (*ODD, ((1.0,), INF), ((-1.0,), -INF), ((1.5,), NAN), ((INF,), NAN), ((NAN,), NAN)),
    "hypot": (((0.0, -3.0), 3.0), ((INF, NAN), INF), ((NAN, -INF), INF), ((NAN, 1.0), NAN),
              ((1e200, 0.0), 1e200), ((5e-324, 0.0), 5e-324)),
    "pow": (((0.0, -3.0), INF), ((-0.0, -3.0), -INF), ((-0.0, -2.0), INF), ((0.0, -INF), INF),
            ((-0.0, 3.0), -0.0), ((-0.0, 2.0), 0.0), ((-1.0, INF), 1.0), ((-1.0, -INF), 1.0),
            ((1.0, NAN), 1.0), ((NAN, 0.0), 1.0), ((NAN, -0.0), 1.0), ((-2.0, 0.5), NAN),
            ((0.5, -INF), INF), ((2.0, -INF), 0.0), ((0.5, INF), 0.0), ((2.0, INF), INF),
            ((-INF, -3.0), -0.0), ((-INF, -2.0), 0.0), ((-INF, 3.0), -INF), ((-INF, 2.0), INF),
            ((INF, -1.0), 0.0), ((INF, 1.0), INF), ((NAN, 1.0), NAN)),
    "erf": (*ODD, ((INF,), 1.0), ((-INF,), -1.0), ((NAN,), NAN)),
    "floor": (*UNBOUNDED, ((-0.5,), -1.0), ((0.5,), 0.0)),
    "ceil": (*UNBOUNDED, ((-0.5,), -0.0), ((0.5,), 1.0)),
    "trunc": (*UNBOUNDED, ((-0.5,), -0.0), ((1.7,), 1.0), ((-1.7,), -1.0)),
    "round": (*UNBOUNDED, ((0.5,), 0.0), ((1.5,), 2.0), ((2.5,), 2.0), ((-0.5,), -0.0)),
    "abs": (((-0.0,), 0.0), ((-INF,), INF), ((NAN,), NAN)),
    "sign": (((0.0,), 0.0), ((-INF,), -1.0), ((NAN,), NAN), ((5e-324,), 1.0)),
    "sign_of": (((0.0,), 1.0), ((-0.0,), -1.0), ((-INF,), -1.0)),
    "copysign": (((1.0, -0.0), -1.0), ((-3.0, 0.0), 3.0), ((INF, -1.0), -INF), ((0.0, -1.0), -0.0),
                 ((NAN, 1.0), NAN)),
    "maximum": (((NAN, 1.0), NAN), ((1.0, NAN), NAN), ((-INF, INF), INF)),
    "minimum": (((NAN, 1.0), NAN), ((1.0, NAN), NAN), ((-INF, INF), -INF)),
    "relu": (((INF,), INF), ((-INF,), 0.0), ((NAN,), NAN), ((5e-324,), 5e-324)),
    "sigmoid": (((0.0,), 0.5), ((INF,), 1.0), ((-INF,), 0.0), ((NAN,), NAN), ((1e308,), 1.0)),
    "logaddexp": (((-INF, -INF), -INF), ((INF, -INF), INF), ((INF, INF), INF), ((-INF, 1.0), 1.0),
                  ((NAN, 1.0), NAN), ((1e308, 0.0), 1e308)),
    "add": (((INF, -INF), NAN), ((INF, 1.0), INF), ((-0.0, -0.0), -0.0), ((0.0, -0.0), 0.0)),
    "sub": (((INF, INF), NAN), ((0.0, 0.0), 0.0), ((-0.0, 0.0), -0.0)),
    "mul": (((0.0, INF), NAN), ((-0.0, 2.0), -0.0), ((-INF, 2.0), -INF), ((1e200, 1e200), INF)),
    "div": (((1.0, 0.0), INF), ((1.0, -0.0), -INF), ((0.0, 0.0), NAN), ((INF, INF), NAN),
            ((1.0, -INF), -0.0)),
    "neg": (((0.0,), -0.0), ((INF,), -INF), ((NAN,), NAN)),
    # As Python's % and //: the sign is the divisor's.
    "remainder": (((1.0, 0.0), NAN), ((INF, 1.0), NAN), ((1.0, INF), 1.0), ((-1.0, INF), INF),
                  ((-7.0, 2.0), 1.0), ((-0.0, 2.0), 0.0)),
    "floor_divide": (((1.0, 0.0), INF), ((-1.0, 0.0), -INF), ((0.0, 0.0), NAN), ((1.0, INF), 0.0),
                     ((-1.0, INF), -1.0), ((NAN, 1.0), NAN)),
    "nextafter": (((NAN, 1.0), NAN), ((0.0, -1.0), -5e-324), ((INF, 0.0), 1.7976931348623157e308)),
}  # fmt: skip
STATED = [(name, *row) for name, record in REGISTRY.items() for row in record.special]
KNOWN = [(name, *row) for name, rows in ANNEX_F.items() for row in rows]

# Recording these is the hottest path of eager code, so they are not watched for results that are
# too large (powers with a whole exponent likewise), and NumPy's warning comes through as it is.
NUMPY_WARNS = {"add", "sub", "mul", "pow"}


def same(got: float, want: float) -> bool:
    """Equal with the sign of zero, or both NaN."""
    if math.isnan(want):
        return math.isnan(got)
    exact = got == want or math.isclose(got, want, rel_tol=4e-16)
    return exact and math.copysign(1, got) == math.copysign(1, want)


@pytest.mark.parametrize(("name", "arguments", "result"), KNOWN)
def test_annex_f(name: str, arguments: tuple[float, ...], result: float) -> None:
    got = apply(REGISTRY[name], [np.float64(each) for each in arguments])
    assert same(float(got), result), float(got)
    in_array = apply(REGISTRY[name], [np.full(17, each) for each in arguments])
    assert all(same(float(each), result) for each in in_array)


@pytest.mark.parametrize(("name", "arguments", "result"), STATED)
def test_the_stated_special_values_hold(
    name: str, arguments: tuple[float, ...], result: float
) -> None:
    operands: list[object] = [np.float64(each) for each in arguments]
    if name == "where":
        operands[0] = np.bool_(arguments[0])
    if REGISTRY[name].kind is Kind.REDUCE:
        assert same(float(apply(REGISTRY[name], [np.array(arguments)], {"axes": (0,)})), result)
        return
    assert same(float(apply(REGISTRY[name], operands)), result)


EXTREMES = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, INF, -INF, NAN, 5e-324, -5e-324, 1.7e308, -1.7e308)
FLOATING = [
    name
    for name, record in REGISTRY.items()
    if record.kind is Kind.ELEMENTWISE and name not in {"where", "cast"}
    and not name.startswith(("logical", "bitwise"))
]  # fmt: skip


def operands_of(name: str) -> int:
    for count in (1, 2):
        try:
            apply(REGISTRY[name], [np.float64(1)] * count)
        except (BacklightError, TypeError):
            continue
        return count
    raise AssertionError(name)


@pytest.mark.filterwarnings("ignore::backlight.errors.BacklightWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FLOATING)
def test_extremes_raise_nothing(name: str, dtype: str) -> None:
    with warnings.catch_warnings():
        if name in NUMPY_WARNS:
            warnings.simplefilter("ignore", RuntimeWarning)
        for point in itertools.product(EXTREMES, repeat=operands_of(name)):
            with np.errstate(over="ignore", under="ignore"):
                numbers = [np.array(each, dtype) for each in point]
            for operands in (numbers, [np.full(3, each) for each in numbers]):
                leaves = [bl.param(each) for each in operands]
                value = REGISTRY[name](*leaves)
                if value.tracked:
                    value.backward(np.ones(value.shape))


@pytest.mark.parametrize("name", ["sum", "prod"])
@pytest.mark.parametrize("numbers", [[INF, -INF], [1.7e308, 1.7e308], [0.0, INF]])
def test_reductions_say_when_they_leave_the_finite_numbers(name: str, numbers: list[float]) -> None:
    want = math.fsum(numbers) if numbers[0] == 0.0 else None
    if name == "sum" and want is not None:
        assert float(REGISTRY[name](bl.param(numbers), axes=(0,)).value) == INF
        return
    if name == "prod" and numbers[0] == INF:
        assert float(REGISTRY[name](bl.param(numbers), axes=(0,)).value) == -INF
        return
    with pytest.warns(BacklightWarning, match=f"^{name} gave"):
        REGISTRY[name](bl.param(numbers), axes=(0,))


def test_other_primitives_say_when_they_leave_the_finite_numbers() -> None:
    for name, point in (("log", (0.0,)), ("div", (1.0, 0.0)), ("exp", (1e3,)), ("sin", (INF,)),
                        ("hypot", (1.7e308, 1.7e308))):  # fmt: skip
        with pytest.warns(BacklightWarning, match=f"^{name} "):
            REGISTRY[name](*map(bl.param, point))
    with pytest.warns(BacklightWarning, match=r"^cumulative_sum gave"):
        REGISTRY["cumulative_sum"](bl.param([1.7e308, 1.7e308]), axis=0)
    with pytest.warns(BacklightWarning, match=r"^cast gave"):
        REGISTRY["cast"](bl.param(1e300), dtype=np.dtype(np.float32))


def test_logsumexp_of_infinities() -> None:
    def value(numbers: list[float]) -> float:
        return float(apply(REGISTRY["logsumexp"], [np.array(numbers)], {"axes": (0,)}))

    assert value([-INF, -INF]) == -INF
    assert value([]) == -INF
    assert value([-INF, 2.0]) == 2.0
    assert value([INF, 2.0]) == INF
    assert math.isnan(value([INF, NAN]))
    with pytest.warns(BacklightWarning, match=r"^logsumexp gave"):
        REGISTRY["logsumexp"](bl.param([-INF, -INF]), axes=(0,))


def test_infinite_exponents_pass_without_a_word() -> None:
    x = bl.param(0.5)
    assert float(REGISTRY["pow"](x, INF).value) == 0.0
    assert float(REGISTRY["pow"](x, NAN).value) != 0.0


def test_signed_zeros_survive_moves() -> None:
    x = bl.param([0.0, -0.0])
    moved = REGISTRY["flip"](REGISTRY["reshape"](x, shape=(1, 2)), axes=(1,))
    assert np.signbit(moved.value).tolist() == [[True, False]]


def test_an_integer_to_a_negative_power_is_refused() -> None:
    for exponent in (-1, [-1, 2]):
        with pytest.raises(BacklightError, match="pow"):
            REGISTRY["pow"](bl.tensor([2, 3]), bl.tensor(exponent))
