"""Exponentials, logarithms, roots and the sigmoid, entry by entry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backlight.graph.notation import exponential, function, root
from backlight.graph.primitive import Facts, Primitive
from backlight.ops.rules import elementwise

INF = math.inf
NAN = math.nan
LN2 = math.log(2.0)
LN10 = math.log(10.0)

EXP = elementwise(
    "exp",
    lambda xp, x: xp.exp(x),
    lambda y, x: y,
    formula=exponential(),
    overflows=True,
    special=(((0.0,), 1.0), ((-INF,), 0.0), ((INF,), INF), ((NAN,), NAN)),
    onnx="Exp",
    lower=lambda e, x: e.exp(x),
    description="The exponential function.",
)


def _expm1_nodes(e: Any, x: Any) -> Any:
    """(u − 1)·x/ln u for u = eˣ, in which the rounding errors of both differences cancel.

    W. Kahan's method; N. J. Higham, "Accuracy and Stability of Numerical Algorithms", section 1.14.
    """
    u = e.node("Exp", x)
    less = u - 1.0
    ordinary = less * x / e.node("Log", u)
    far = e.node("Or", u.equals(INF), less.equals(-1.0))
    return e.where(u.equals(1.0), x, e.where(far, less, ordinary))


EXPM1 = elementwise(
    "expm1",
    lambda xp, x: xp.expm1(x),
    lambda y, x: EXP(x),
    formula=function("expm1"),
    overflows=True,
    special=(((0.0,), 0.0), ((-INF,), -1.0), ((INF,), INF)),
    to_onnx=_expm1_nodes,
    lower=lambda e, x: e.expm1(x),
    description="exp(x) − 1, accurate near 0.",
)

LOG = elementwise(
    "log",
    lambda xp, x: xp.log(x),
    lambda y, x: 1.0 / x,
    formula=function("ln", r"\ln"),
    domain="x > 0",
    special=(((1.0,), 0.0), ((0.0,), -INF), ((-1.0,), NAN), ((INF,), INF)),
    facts=Facts(inverse="exp"),
    onnx="Log",
    lower=lambda e, x: e.log(x),
    description="The natural logarithm.",
)


def _log1p_nodes(e: Any, x: Any) -> Any:
    """ln u·x/(u − 1) for u = 1 + x, in which the rounding error of the sum cancels.

    D. Goldberg, "What every computer scientist should know about floating-point arithmetic", 1991,
    theorem 4.
    """
    u = x + 1.0
    ordinary = e.node("Log", u) * x / (u - 1.0)
    return e.where(u.equals(1.0), x, e.where(u.equals(INF), x, ordinary))


LOG1P = elementwise(
    "log1p",
    lambda xp, x: xp.log1p(x),
    lambda y, x: 1.0 / (1.0 + x),
    formula=function("log1p"),
    domain="x > −1",
    special=(((0.0,), 0.0), ((-1.0,), -INF), ((-2.0,), NAN), ((INF,), INF)),
    facts=Facts(inverse="expm1"),
    to_onnx=_log1p_nodes,
    lower=lambda e, x: e.log1p(x),
    description="ln(1 + x), accurate near 0.",
)

LOG2 = elementwise(
    "log2",
    lambda xp, x: xp.log2(x),
    lambda y, x: 1.0 / (x * LN2),
    formula=function("log₂", r"\log_2"),
    domain="x > 0",
    special=(((8.0,), 3.0), ((0.0,), -INF), ((-1.0,), NAN), ((INF,), INF)),
    to_onnx=lambda e, x: e.node("Log", x) / LN2,
    lower=lambda e, x: e.log2(x),
    description="The logarithm to base 2.",
)

LOG10 = elementwise(
    "log10",
    lambda xp, x: xp.log10(x),
    lambda y, x: 1.0 / (x * LN10),
    formula=function("log₁₀", r"\log_{10}"),
    domain="x > 0",
    special=(((1000.0,), 3.0), ((0.0,), -INF), ((-1.0,), NAN), ((INF,), INF)),
    to_onnx=lambda e, x: e.node("Log", x) / LN10,
    lower=lambda e, x: e.log10(x),
    description="The logarithm to base 10.",
)

SQRT = elementwise(
    "sqrt",
    lambda xp, x: xp.sqrt(x),
    lambda y, x: 0.5 / y,
    formula=root(),
    domain="x ≥ 0",
    special=(((4.0,), 2.0), ((0.0,), 0.0), ((-1.0,), NAN), ((INF,), INF)),
    onnx="Sqrt",
    lower=lambda e, x: e.sqrt(x),
    description="The square root.",
)

RSQRT = elementwise(
    "rsqrt",
    lambda xp, x: 1.0 / xp.sqrt(x),
    lambda y, x: -0.5 * y / x,
    formula=function("rsqrt"),
    domain="x > 0",
    special=(((4.0,), 0.5), ((0.0,), INF), ((-1.0,), NAN), ((INF,), 0.0)),
    to_onnx=lambda e, x: e.node("Reciprocal", e.node("Sqrt", x)),
    lower=lambda e, x: e.rsqrt(x),
    description="One over the square root.",
)


def _logaddexp(xp: Any, a: Any, b: Any) -> Any:
    return xp.logaddexp(a, b)


def _logaddexp_nodes(e: Any, a: Any, b: Any) -> Any:
    """The larger plus ln(1 + e^−|a − b|); equal operands, also infinite ones, are ln 2 apart."""
    a, b = e.alike(a, b)
    apart = e.node("Neg", e.node("Abs", a - b))
    above = _log1p_nodes(e, e.node("Exp", apart))
    return e.where(a.equals(b), a + LN2, e.node("Max", a, b) + above)


LOGADDEXP = elementwise(
    "logaddexp",
    _logaddexp,
    lambda y, a, b: SIGMOID(a - b),
    lambda y, a, b: SIGMOID(b - a),
    formula=function("logaddexp"),
    overflows=True,
    special=(((-INF, 1.0), 1.0), ((INF, 1.0), INF), ((-INF, -INF), -INF)),
    facts=Facts(commutative=True),
    to_onnx=_logaddexp_nodes,
    lower=lambda e, a, b: e.logaddexp(a, b),
    description="ln(eᵃ + eᵇ) without overflow.",
)


def _sigmoid(xp: Any, x: Any) -> Any:
    """1/(1 + e⁻ˣ), with exponentials of negative numbers only, which cannot overflow."""
    return xp.exp(xp.minimum(x, 0.0)) / (1 + xp.exp(-abs(x)))


SIGMOID: Primitive = elementwise(
    "sigmoid",
    _sigmoid,
    lambda y, x: y * (1.0 - y),
    formula=function("σ", r"\sigma"),
    symbol="a",
    special=(((0.0,), 0.5), ((INF,), 1.0), ((-INF,), 0.0), ((NAN,), NAN), ((-1000.0,), 0.0)),
    onnx="Sigmoid",
    lower=lambda e, x: e.sigmoid(x),
    description="The logistic function 1/(1 + e⁻ˣ), whose derivative is σ(1 − σ).",
)


def _erf(xp: Any, x: Any) -> Any:
    """The error function of the C library, entry by entry: the standard has no erf of its own."""
    values = np.asarray(x)
    result = np.frompyfunc(math.erf, 1, 1)(values.astype(np.float64))
    return np.asarray(result, dtype=np.float64).astype(values.dtype)


ERF = elementwise(
    "erf",
    _erf,
    lambda y, x: (2.0 / math.sqrt(math.pi)) * EXP(-(x**2.0)),
    formula=function("erf"),
    special=(((0.0,), 0.0), ((INF,), 1.0), ((-INF,), -1.0), ((NAN,), NAN)),
    onnx="Erf",
    lower=lambda e, x: e.erf(x),
    description="The error function, 2/√π · ∫₀ˣ exp(−t²) dt.",
)
