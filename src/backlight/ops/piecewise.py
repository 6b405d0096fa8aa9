"""Functions with kinks, jumps or branches, entry by entry.

The convention at each kink is part of the record: it is what the gradient uses, and the explainer
shows it beside the one-sided values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from backlight.errors import DtypeError
from backlight.graph.notation import fence, function
from backlight.graph.primitive import (
    REGISTRY,
    Array,
    Facts,
    Kind,
    Kink,
    Operand,
    Primitive,
    Spec,
)
from backlight.ops.convert import CAST
from backlight.ops.logical import EQUAL, GREATER, LESS
from backlight.ops.rules import accept, broadcast, elementwise, promote

INF = math.inf
NAN = math.nan

ABS = elementwise(
    "abs",
    lambda xp, x: xp.abs(x),
    lambda y, x: SIGN(x),
    takes="numeric",
    formula=fence("|", "|", "|", "|"),
    special=(((-INF,), INF), ((NAN,), NAN)),
    kink=Kink(lambda xp, x: x == 0, "the derivative at 0 is taken as 0"),
    facts=Facts(idempotent=True),
    onnx="Abs",
    lower=lambda e, x: e.abs(x),
    description="The absolute value.",
)

SIGN: Primitive = elementwise(
    "sign",
    lambda xp, x: xp.sign(x),
    lambda y, x: 0.0,
    takes="numeric",
    formula=function("sign", r"\operatorname{sgn}"),
    special=(((-INF,), -1.0), ((0.0,), 0.0)),
    kink=Kink(lambda xp, x: x == 0, "the derivative is 0, also at 0, where it jumps"),
    facts=Facts(idempotent=True),
    onnx="Sign",
    lower=lambda e, x: e.sign(x),
    description="−1, 0 or 1 by the sign of the operand.",
)


def _is_whole(xp: Any, x: Any) -> Any:
    return xp.logical_and(x == xp.trunc(x), xp.isfinite(x))


def _is_half(xp: Any, x: Any) -> Any:
    # Doubling is exact, and from 2⁵² on every number is whole.
    return xp.logical_and(_is_whole(xp, 2 * x), xp.logical_not(_is_whole(xp, x)))


def _rounding(
    name: str,
    symbol: tuple[str, str, str, str],
    what: str,
    jumps: Callable[..., Array] = _is_whole,
    to_onnx: Callable[..., Any] | None = None,
) -> Primitive:
    return elementwise(
        name,
        lambda xp, x: getattr(xp, name)(x),
        lambda y, x: 0.0,
        takes="numeric",
        formula=fence(*symbol) if symbol[0] else function(name),
        special=(((INF,), INF), ((NAN,), NAN)),
        kink=Kink(jumps, "the derivative is 0, also where it jumps"),
        facts=Facts(idempotent=True),
        onnx={"floor": "Floor", "ceil": "Ceil", "round": "Round"}.get(name),
        to_onnx=to_onnx,
        lower=lambda e, x: getattr(e, name)(x),
        description=what,
    )


FLOOR = _rounding("floor", ("⌊", "⌋", r"\lfloor", r"\rfloor"), "The largest integer not above.")
CEIL = _rounding("ceil", ("⌈", "⌉", r"\lceil", r"\rceil"), "The smallest integer not below.")
TRUNC = _rounding(
    "trunc",
    ("", "", "", ""),
    "The operand without its fraction.",
    lambda xp, x: xp.logical_and(_is_whole(xp, x), x != 0),
    lambda e, x: e.node("Sign", x) * e.node("Floor", e.node("Abs", x)),
)
ROUND = _rounding(
    "round", ("", "", "", ""), "The nearest integer; halves go to the even one.", _is_half
)


def _tie_partial(better: Primitive, of_first: bool) -> Any:
    """Local derivative of a maximum or minimum: 1 where chosen, ½ at a tie, else 0."""

    def partial(y: Operand, a: Operand, b: Operand) -> Operand:
        mine, other = (a, b) if of_first else (b, a)
        chosen: Operand = CAST(better(mine, other), dtype=y.dtype)
        tied: Operand = CAST(EQUAL(a, b), dtype=y.dtype)
        return chosen + 0.5 * tied

    return partial


MAXIMUM = elementwise(
    "maximum",
    lambda xp, a, b: xp.maximum(a, b),
    _tie_partial(GREATER, True),
    _tie_partial(GREATER, False),
    takes="numeric",
    formula=function("max", r"\max"),
    special=(((NAN, 1.0), NAN), ((-INF, 1.0), 1.0)),
    kink=Kink(lambda xp, a, b: a == b, "at a tie each operand gets half"),
    # Not commutative bit for bit: which of 0 and −0 comes out depends on the order.
    facts=Facts(associative=True, idempotent=True),
    onnx="Max",
    lower=lambda e, a, b: e.maximum(a, b),
    description="The larger of two operands; NaN if either is.",
)

MINIMUM = elementwise(
    "minimum",
    lambda xp, a, b: xp.minimum(a, b),
    _tie_partial(LESS, True),
    _tie_partial(LESS, False),
    takes="numeric",
    formula=function("min", r"\min"),
    special=(((NAN, 1.0), NAN), ((INF, 1.0), 1.0)),
    kink=Kink(lambda xp, a, b: a == b, "at a tie each operand gets half"),
    # Not commutative bit for bit: which of 0 and −0 comes out depends on the order.
    facts=Facts(associative=True, idempotent=True),
    onnx="Min",
    lower=lambda e, a, b: e.minimum(a, b),
    description="The smaller of two operands; NaN if either is.",
)

RELU = elementwise(
    "relu",
    lambda xp, x: xp.maximum(x, 0),
    lambda y, x: CAST(GREATER(x, 0.0), dtype=y.dtype),
    takes="numeric",
    formula=function("relu"),
    symbol="a",
    special=(((-INF,), 0.0), ((INF,), INF), ((NAN,), NAN)),
    kink=Kink(lambda xp, x: x == 0, "the derivative at 0 is taken as 0"),
    facts=Facts(idempotent=True, keeps_positive=True),
    onnx="Relu",
    lower=lambda e, x: e.relu(x),
    description="max(x, 0), whose derivative is 1 for x > 0 and 0 for x ≤ 0.",
)


def _copysign_nodes(e: Any, a: Any, b: Any) -> Any:
    a, b = e.alike(a, b)
    size = e.node("Abs", a)
    return e.where(e.negative(b), e.node("Neg", size), size)


COPYSIGN = elementwise(
    "copysign",
    lambda xp, a, b: xp.copysign(a, b),
    lambda y, a, b: SIGN(a) * SIGN_OF(b),
    lambda y, a, b: 0.0,
    formula=function("copysign"),
    special=(((1.0, -INF), -1.0), ((NAN, 1.0), NAN)),
    kink=Kink(
        lambda xp, a, b: xp.logical_or(a == 0, b == 0),
        "the derivative at a = 0 is taken as 0, and 0 for the operand that gives the sign",
    ),
    to_onnx=_copysign_nodes,
    lower=lambda e, a, b: e.copysign(a, b),
    description="The magnitude of the first operand with the sign of the second.",
)

SIGN_OF: Primitive = elementwise(
    "sign_of",
    lambda xp, x: xp.copysign(xp.ones_like(x), x),
    lambda y, x: 0.0,
    formula=function("sgn"),
    special=(((-INF,), -1.0), ((0.0,), 1.0), ((-0.0,), -1.0)),
    kink=Kink(lambda xp, x: x == 0, "the derivative is 0, also at 0, where it jumps"),
    to_onnx=lambda e, x: e.where(e.negative(x), e.constant(x.dtype.type(-1)), 1.0),
    lower=lambda e, x: e.sign_of(x),
    description="1 or −1 by the sign bit, so that −0 gives −1.",
)


def _where_spec(condition: Spec, a: Spec, b: Spec) -> Spec:
    if condition.dtype.kind != "b":
        raise DtypeError(
            f"where takes a Boolean condition, not {condition.dtype}; compare first, as in x > 0."
        )
    accept("where", a.dtype, "any")
    accept("where", b.dtype, "any")
    shape = broadcast("where", [condition.shape, a.shape, b.shape])
    return Spec(shape, promote("where", [a.dtype, b.dtype]))


def _zeros(upstream: Operand) -> Operand:
    return upstream.record(ZEROS_LIKE, (upstream,), {})


ZEROS_LIKE = elementwise(
    "zeros_like",
    lambda xp, x: xp.zeros_like(x),
    lambda y, x: 0.0,
    takes="any",
    formula=function("0"),
    to_onnx=lambda e, x: e.expand(e.constant(x.dtype.type(0)), x.shape),
    lower=lambda e, x: e.zeros_like(x),
    description="Zeros of the operand's shape and dtype.",
)

WHERE: Primitive = REGISTRY.add(
    Primitive(
        "where",
        Kind.ELEMENTWISE,
        _where_spec,
        lambda xp, condition, a, b: xp.where(condition, a, b),
        # Linear in both branches: the branch that was not selected gets exactly zero.
        transposes=(
            None,
            lambda upstream, y, condition, a, b: WHERE(condition, upstream, _zeros(upstream)),
            lambda upstream, y, condition, a, b: WHERE(condition, _zeros(upstream), upstream),
        ),
        formula=function("where"),
        special=(((1.0, 2.0, NAN), 2.0), ((0.0, NAN, 3.0), 3.0)),
        onnx="Where",
        to_onnx=lambda e, condition, a, b: e.where(condition, *e.alike(a, b)),
        lower=lambda e, condition, a, b: e.where(condition, a, b),
        description="The second operand where the first is true, the third elsewhere.",
    )
)
