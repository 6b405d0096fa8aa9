"""One case for every elementwise primitive: what it means, where to try it, what it accepts.

The derivative points are chosen where the textbook form of the derivative is well conditioned;
where that leaves a region out, the reason stands beside the case.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import scipy.special
from tests.ops import twins

Points = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Smooth:
    """A function of real numbers with derivatives.

    Attributes
    ----------
    twin
        The function in mpmath.
    points
        Where the value and the first derivative are checked.
    second
        Where the second derivative is checked; ``points`` by default.
    accepts
        The category of dtypes, in the words of the Array API standard.
    complex_twin
        The function in NumPy's complex arithmetic, where it is analytic.
    """

    twin: twins.Twin
    points: Points
    second: Points | None = None
    accepts: str = "floating"
    complex_twin: Callable[..., np.ndarray] | None = None

    @property
    def second_points(self) -> Points:
        return self.points if self.second is None else self.second


@dataclass(frozen=True)
class Discrete:
    """A function without derivatives, stated on Python numbers."""

    twin: Callable[..., object]
    points: Points
    accepts: str = "numeric"
    boolean: bool = True


def singles(*numbers: float) -> Points:
    return tuple((each,) for each in numbers)


def symmetric(*numbers: float) -> Points:
    return singles(*(-each for each in reversed(numbers)), *numbers)


REALS = symmetric(1e-60, 1e-8, 1e-3, 0.4, 1.0, 3.7, 30.0)
POSITIVE = singles(1e-300, 1e-60, 1e-8, 0.3, 1 - 1e-10, 1 + 1e-10, 2.7, 1e8, 1e60, 1e300)
POSITIVE_SECOND = singles(1e-100, 1e-8, 0.3, 1 - 1e-10, 2.7, 1e8, 1e100)
# (1 − x)(1 + x) is exact up to the edges of the domain; its own derivative −(1 + x) + (1 − x)
# cancels near 0, so the second derivative is not asked for at tiny arguments.
INSIDE = symmetric(1e-60, 1e-8, 1e-3, 0.5, 0.999, 1 - 1.37e-8, 1 - 1e-10) + singles(0.0)
INSIDE_SECOND = symmetric(1e-3, 0.5, 0.999, 1 - 1.37e-8) + singles(0.0)
QUADRANTS: Points = ((1.0, 2.0), (-1.0, 2.0), (1.0, -2.0), (-1.5, -2.0), (0.0, 1.0), (3.0, 1e-3))
FAR: Points = ((1e200, 1e200), (1e-200, 1e-200), (1e-8, 3.0), (1e8, 1.0))
QUOTIENTS: Points = ((7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (0.3, 0.1), (1e10, 3.7), (-1e-8, 3.0))
APART: Points = ((1.0, 2.0), (2.0, 1.0), (-3.0, -2.0), (1e-300, -1e-300), (1e50, 1.0))
STEPS = symmetric(0.25, 0.75, 1.3, 2.6, 1e10 + 0.25)
POWERS: Points = (
    (2.0, 3.0), (0.5, -1.5), (2.5, 0.7), (1e-5, 2.5), (1e5, -3.0), (1.0, 5.0), (3.0, 1.0),
    (3.0, 0.0), (1e-3, 0.0), (2.0, 2.0), (1e100, 0.5), (1e-100, -0.5),
)  # fmt: skip

SMOOTH: dict[str, Smooth] = {
    "exp": Smooth(mpmath.exp, REALS + symmetric(700.0) + singles(0.0), complex_twin=np.exp),
    "expm1": Smooth(mpmath.expm1, REALS + symmetric(700.0) + singles(0.0), complex_twin=np.expm1),
    "log": Smooth(mpmath.log, POSITIVE, POSITIVE_SECOND, complex_twin=np.log),
    "log1p": Smooth(
        mpmath.log1p,
        singles(-1 + 1e-10, -0.999, -0.5, -1e-12, 1e-60, 1e-8, 0.7, 1e10, 1e200),
        singles(-1 + 1e-10, -0.999, -0.5, -1e-12, 1e-8, 0.7, 1e10, 1e100),
        complex_twin=np.log1p,
    ),
    "log2": Smooth(
        lambda x: mpmath.log(x) / mpmath.log(2), POSITIVE, POSITIVE_SECOND, complex_twin=np.log2
    ),
    "log10": Smooth(mpmath.log10, POSITIVE, POSITIVE_SECOND, complex_twin=np.log10),
    "sqrt": Smooth(mpmath.sqrt, POSITIVE, POSITIVE_SECOND, complex_twin=np.sqrt),
    "rsqrt": Smooth(
        lambda x: 1 / mpmath.sqrt(x),
        singles(1e-200, 1e-8, 0.3, 1.0, 2.7, 1e8, 1e200),
        singles(1e-100, 1e-8, 0.3, 1.0, 2.7, 1e8, 1e100),
        complex_twin=lambda x: 1 / np.sqrt(x),
    ),
    "logaddexp": Smooth(
        twins.logaddexp,
        (
            (1.0, 2.0),
            (2.0, 1.0),
            (0.0, 0.0),
            (-30.0, 3.0),
            (3.0, -30.0),
            (700.0, 710.0),
            (1000.0, 1000.0),
            (-1000.0, -1001.0),
        ),
        # σ(1 − σ) loses digits where σ is nearly 1: not asked for far apart.
        ((1.0, 2.0), (2.0, 1.0), (0.0, 0.0), (-3.0, 1.0), (700.0, 704.0), (-1000.0, -1001.0)),
        complex_twin=lambda a, b: np.log(np.exp(a) + np.exp(b)),
    ),
    "sigmoid": Smooth(
        twins.sigmoid,
        # The textbook σ(1 − σ) has no digits left where σ rounds to 1; see the test of the tails.
        singles(-700.0, -30.0, -3.7, -0.4, -1e-8, 0.0, 1e-8, 0.4, 3.7, 8.0),
        # Likewise σ(1 − σ)(1 − 2σ) near 0.
        singles(-700.0, -30.0, -3.7, -0.4, 0.0, 0.4, 3.7, 8.0),
        complex_twin=lambda x: 1 / (1 + np.exp(-x)),
    ),
    "erf": Smooth(
        mpmath.erf,
        symmetric(1e-60, 1e-8, 1e-3, 0.4, 1.0, 3.7, 60.0),
        complex_twin=scipy.special.erf,
    ),
    "sin": Smooth(mpmath.sin, REALS + singles(1e5, 0.0), complex_twin=np.sin),
    "cos": Smooth(mpmath.cos, REALS + singles(1e5, 0.0), complex_twin=np.cos),
    "tan": Smooth(mpmath.tan, REALS + singles(1.57, 0.0), complex_twin=np.tan),
    "asin": Smooth(mpmath.asin, INSIDE, INSIDE_SECOND, complex_twin=np.arcsin),
    "acos": Smooth(mpmath.acos, INSIDE, INSIDE_SECOND, complex_twin=np.arccos),
    "atan": Smooth(
        mpmath.atan,
        REALS + symmetric(1e60, 1e150),
        REALS + symmetric(1e50),
        complex_twin=np.arctan,
    ),
    "atan2": Smooth(
        mpmath.atan2,
        QUADRANTS + FAR,
        QUADRANTS,
        complex_twin=lambda a, b: 2 * np.arctan(a / (np.sqrt(a * a + b * b) + b)),
    ),
    "sinh": Smooth(mpmath.sinh, REALS + symmetric(700.0), complex_twin=np.sinh),
    "cosh": Smooth(mpmath.cosh, REALS + symmetric(700.0), complex_twin=np.cosh),
    # As for the sigmoid, 1 − tanh² has no digits left in the tails.
    "tanh": Smooth(
        mpmath.tanh, symmetric(1e-60, 1e-8, 1e-3, 0.4, 1.0, 3.7, 6.0), complex_twin=np.tanh
    ),
    "asinh": Smooth(
        mpmath.asinh,
        REALS + symmetric(1e60, 1e200),
        REALS + symmetric(1e60),
        complex_twin=np.arcsinh,
    ),
    "acosh": Smooth(
        mpmath.acosh,
        singles(1 + 1e-10, 1.001, 1.5, 3.0, 1e8, 1e200),
        singles(1 + 1e-10, 1.001, 1.5, 3.0, 1e8, 1e60),
        complex_twin=np.arccosh,
    ),
    "atanh": Smooth(mpmath.atanh, INSIDE, INSIDE_SECOND, complex_twin=np.arctanh),
    "add": Smooth(operator.add, APART, accepts="numeric", complex_twin=np.add),
    "sub": Smooth(operator.sub, APART, accepts="numeric", complex_twin=np.subtract),
    "mul": Smooth(
        operator.mul,
        ((1.0, 2.0), (-3.0, 1e150), (0.0, 5.0), (1e-150, 1e150)),
        accepts="numeric",
        complex_twin=np.multiply,
    ),
    "div": Smooth(
        operator.truediv,
        ((1.0, 3.0), (-3.0, 1e150), (0.0, 5.0), (1e-150, 1e-90), (2.0, -7.0)),
        ((1.0, 3.0), (0.0, 5.0), (1e-50, 1e-90), (2.0, -7.0)),
        complex_twin=np.divide,
    ),
    "neg": Smooth(operator.neg, REALS, accepts="numeric", complex_twin=np.negative),
    "pow": Smooth(
        mpmath.power, POWERS, accepts="numeric", complex_twin=lambda b, e: np.exp(e * np.log(b))
    ),
    "remainder": Smooth(twins.remainder, QUOTIENTS, accepts="numeric"),
    "floor_divide": Smooth(twins.floor_divide, QUOTIENTS, accepts="numeric"),
    "hypot": Smooth(
        mpmath.hypot,
        ((3.0, 4.0), (-3.0, 4.0), (0.0, 2.0), (1.0, -1.0), *FAR),
        # 1/h − a²/h³ cancels where one leg is far longer: not asked for there.
        ((3.0, 4.0), (-3.0, 4.0), (0.0, 2.0), (1.0, -1.0), (1e60, 1e60)),
        complex_twin=lambda a, b: np.sqrt(a * a + b * b),
    ),
    "abs": Smooth(abs, REALS, accepts="numeric"),
    "sign": Smooth(mpmath.sign, REALS, accepts="numeric"),
    "floor": Smooth(mpmath.floor, STEPS, accepts="numeric"),
    "ceil": Smooth(mpmath.ceil, STEPS, accepts="numeric"),
    "trunc": Smooth(twins.trunc, STEPS, accepts="numeric"),
    "round": Smooth(mpmath.nint, STEPS, accepts="numeric"),
    "maximum": Smooth(max, APART, accepts="numeric"),
    "minimum": Smooth(min, APART, accepts="numeric"),
    "relu": Smooth(lambda x: max(x, mpmath.mpf(0)), REALS, accepts="numeric"),
    "copysign": Smooth(twins.copysign, ((2.0, 1.0), (2.0, -1.0), (-2.0, 1.0), (-2.0, -3.0))),
    "sign_of": Smooth(mpmath.sign, REALS),
    "identity": Smooth(lambda x: +x, REALS, accepts="any", complex_twin=np.positive),
    "zeros_like": Smooth(lambda x: mpmath.mpf(0), REALS, accepts="any"),
}

NAN, INF = math.nan, math.inf
PAIRS: Points = (
    (1.0, 2.0), (2.0, 1.0), (2.0, 2.0), (-0.0, 0.0), (INF, INF), (-INF, INF), (NAN, 1.0),
    (NAN, NAN), (1.0, NAN), (5e-324, 0.0),
)  # fmt: skip
TESTED = singles(0.0, -0.0, 1.5, -2.0, INF, -INF, NAN, 5e-324, -1e300)
INTEGERS: Points = ((6.0, 3.0), (5.0, 1.0), (0.0, 2.0), (7.0, 0.0))
BOOLEANS: Points = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))

DISCRETE: dict[str, Discrete] = {
    "equal": Discrete(operator.eq, PAIRS, "any"),
    "not_equal": Discrete(operator.ne, PAIRS, "any"),
    "less": Discrete(operator.lt, PAIRS),
    "less_equal": Discrete(operator.le, PAIRS),
    "greater": Discrete(operator.gt, PAIRS),
    "greater_equal": Discrete(operator.ge, PAIRS),
    "logical_and": Discrete(lambda a, b: a and b, BOOLEANS, "boolean"),
    "logical_or": Discrete(lambda a, b: a or b, BOOLEANS, "boolean"),
    "logical_xor": Discrete(operator.xor, BOOLEANS, "boolean"),
    "logical_not": Discrete(operator.not_, singles(0.0, 1.0), "boolean"),
    "bitwise_and": Discrete(operator.and_, INTEGERS, "bits", boolean=False),
    "bitwise_or": Discrete(operator.or_, INTEGERS, "bits", boolean=False),
    "bitwise_xor": Discrete(operator.xor, INTEGERS, "bits", boolean=False),
    "bitwise_left_shift": Discrete(operator.lshift, INTEGERS[:3], "integer", boolean=False),
    "bitwise_right_shift": Discrete(operator.rshift, INTEGERS, "integer", boolean=False),
    "bitwise_invert": Discrete(operator.invert, singles(0.0, 6.0), "bits", boolean=False),
    "isnan": Discrete(math.isnan, TESTED),
    "isinf": Discrete(math.isinf, TESTED),
    "isfinite": Discrete(math.isfinite, TESTED),
    "signbit": Discrete(lambda x: math.copysign(1.0, x) < 0, TESTED),
}
