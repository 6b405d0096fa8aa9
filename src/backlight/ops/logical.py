"""Comparisons, logic, bit operations and tests for special values.  None carries a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

from backlight.graph.notation import Precedence, function, infix, prefix
from backlight.graph.primitive import Array, Facts, Primitive
from backlight.ops.rules import BOOL, Category, elementwise

_STOP = "its result is not a real number that varies smoothly"


def _comparison(
    name: str,
    evaluate: Callable[..., Array],
    sign: str,
    latex: str,
    onnx: str | None,
    *,
    takes: Category = "numeric",
    commutative: bool = False,
    to_onnx: Callable[..., object] | None = None,
) -> Primitive:
    return elementwise(
        name,
        evaluate,
        arity=2,
        takes=takes,
        gives=BOOL,
        formula=infix(sign, latex, Precedence.COMPARE),
        facts=Facts(commutative=commutative),
        stops_gradient=_STOP,
        onnx=onnx,
        to_onnx=to_onnx,
        lower=lambda e, a, b: getattr(e, name)(a, b),
        description=f"Whether a {sign} b.",
    )


EQUAL = _comparison(
    "equal", lambda xp, a, b: a == b, "=", "=", "Equal", takes="any", commutative=True
)
NOT_EQUAL = _comparison(
    "not_equal",
    lambda xp, a, b: a != b,
    "≠",
    r"\neq",
    None,
    takes="any",
    commutative=True,
    to_onnx=lambda e, a, b: e.node("Not", e.node("Equal", *e.alike(a, b), gives=BOOL)),
)
LESS = _comparison("less", lambda xp, a, b: a < b, "<", "<", "Less")
LESS_EQUAL = _comparison("less_equal", lambda xp, a, b: a <= b, "≤", r"\leq", "LessOrEqual")
GREATER = _comparison("greater", lambda xp, a, b: a > b, ">", ">", "Greater")
GREATER_EQUAL = _comparison(
    "greater_equal", lambda xp, a, b: a >= b, "≥", r"\geq", "GreaterOrEqual"
)


def _bitwise(name: str, sign: str, latex: str, takes: Category, onnx: str | None) -> Primitive:
    return elementwise(
        name,
        lambda xp, a, b: getattr(xp, name)(a, b),
        arity=2,
        takes=takes,
        formula=infix(sign, latex, Precedence.COMPARE),
        facts=Facts(
            commutative="shift" not in name,
            associative="shift" not in name,
            idempotent=name.endswith(("_and", "_or")),
        ),
        stops_gradient=_STOP,
        onnx=onnx,
        lower=lambda e, a, b: getattr(e, name)(a, b),
        description=f"The operation a {sign} b.",
    )


LOGICAL_AND = _bitwise("logical_and", "∧", r"\land", "boolean", "And")
LOGICAL_OR = _bitwise("logical_or", "∨", r"\lor", "boolean", "Or")
LOGICAL_XOR = _bitwise("logical_xor", "⊻", r"\oplus", "boolean", "Xor")
BITWISE_AND = _bitwise("bitwise_and", "&", r"\mathbin{\&}", "bits", "BitwiseAnd")
BITWISE_OR = _bitwise("bitwise_or", "|", r"\mathbin{|}", "bits", "BitwiseOr")
BITWISE_XOR = _bitwise("bitwise_xor", "^", r"\oplus", "bits", "BitwiseXor")
BITWISE_LEFT_SHIFT = _bitwise("bitwise_left_shift", "≪", r"\ll", "integer", None)
BITWISE_RIGHT_SHIFT = _bitwise("bitwise_right_shift", "≫", r"\gg", "integer", None)

LOGICAL_NOT = elementwise(
    "logical_not",
    lambda xp, x: xp.logical_not(x),
    arity=1,
    takes="boolean",
    formula=prefix("¬", r"\lnot "),
    facts=Facts(involution=True),
    stops_gradient=_STOP,
    onnx="Not",
    lower=lambda e, x: e.logical_not(x),
    description="Whether the operand is false.",
)

BITWISE_INVERT = elementwise(
    "bitwise_invert",
    lambda xp, x: xp.bitwise_invert(x),
    arity=1,
    takes="bits",
    formula=prefix("~", r"\mathord{\sim}"),
    facts=Facts(involution=True),
    stops_gradient=_STOP,
    onnx="BitwiseNot",
    lower=lambda e, x: e.bitwise_invert(x),
    description="Every bit turned.",
)


def _test(
    name: str, what: str, onnx: str | None, to_onnx: Callable[..., object] | None = None
) -> Primitive:
    return elementwise(
        name,
        lambda xp, x: getattr(xp, name)(x),
        arity=1,
        takes="numeric",
        gives=BOOL,
        formula=function(name),
        stops_gradient=_STOP,
        onnx=onnx,
        to_onnx=to_onnx,
        lower=lambda e, x: getattr(e, name)(x),
        description=what,
    )


ISNAN = _test("isnan", "Whether the operand is NaN.", "IsNaN")
ISINF = _test("isinf", "Whether the operand is infinite.", "IsInf")
ISFINITE = _test(
    "isfinite",
    "Whether the operand is neither NaN nor infinite.",
    None,
    lambda e, x: e.node("Less", e.node("Abs", x), math.inf, gives=BOOL),
)
SIGNBIT = _test(
    "signbit", "Whether the sign bit is set, as it is for −0.", None, lambda e, x: e.negative(x)
)

NEXTAFTER = elementwise(
    "nextafter",
    lambda xp, a, b: xp.nextafter(a, b),
    arity=2,
    formula=function("nextafter"),
    stops_gradient=_STOP,
    lower=lambda e, a, b: e.nextafter(a, b),
    description="The next number after a in the direction of b.",
)
