"""What the records of the primitives use to say how they are computed in native code.

`Emitter` adds the elementary functions to `Arithmetic`.  A record's rule is a line such as
``lower=lambda e, x: e.tanh(x)``; `lower` applies it.  Each function is written into a module once
and inlined everywhere by LLVM, so using it a hundred times does not make the module longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from backlight.errors import MissingRuleError
from backlight.execute.native import (
    circular,
    exponentials,
    integers,
    logarithms,
    neighbours,
    powers,
)
from backlight.execute.native.arithmetic import Arithmetic, Operand
from backlight.execute.native.number import BOOL, Number
from backlight.graph.primitive import Primitive

Function = Callable[..., Number]


def lower(
    emitter: Emitter,
    primitive: Primitive,
    operands: Sequence[Number],
    attributes: Mapping[str, Any] = {},
) -> Number:
    """Emit the scalar part of an elementwise primitive.

    Parameters
    ----------
    emitter : Emitter
        Where the instructions go.
    primitive : Primitive
        What to compute.
    operands : sequence of Number
        Its operands.
    attributes : mapping
        Its static arguments.

    Raises
    ------
    MissingRuleError
        When its record does not say how.
    """
    if primitive.lower is None:
        raise MissingRuleError(
            f"{primitive.name} has no lowering rule (lower=); give its record one, or run it with "
            f"executor='reference'."
        )
    result = primitive.lower(emitter, *operands, **attributes)
    assert isinstance(result, Number)
    return result


class Emitter(Arithmetic):
    """Arithmetic and the elementary functions, by the names of the primitives."""

    def shared(self, function: Function, *operands: Number) -> Number:
        """Call a function that the module contains once for each dtype and number of lanes."""
        first = operands[0]
        lanes = max(each.lanes for each in operands)
        operands = tuple(self.spread(each, lanes) for each in operands)
        where = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        name = f"backlight.{where}.{first.dtype}.{lanes}"
        found = self.module.globals.get(name)
        if found is None:
            found = self._define(name, function, operands)
        call = self.builder.call(found, [each.value for each in operands])
        return self.number(call, first.dtype)

    def _define(self, name: str, function: Function, operands: Sequence[Number]) -> ir.Function:
        kinds = [each.value.type for each in operands]
        found = ir.Function(self.module, ir.FunctionType(kinds[0], kinds), name)
        found.linkage = "internal"
        found.attributes.add("alwaysinline")
        found.attributes.add("nounwind")
        # No contraction here: error-free transformations rely on every single rounding.
        inner = Emitter(ir.IRBuilder(found.append_basic_block()), contract=False)
        arguments = [
            inner.number(argument, each.dtype)
            for argument, each in zip(found.args, operands, strict=True)
        ]
        inner.builder.ret(function(inner, *arguments).value)
        return found

    def shared_pair(self, function: Function, a: Operand, b: Operand) -> Number:
        """Call a shared function of two operands in their common dtype."""
        return self.shared(function, *self.pair(a, b))

    # ---- exponentials and logarithms -----------------------------------------------------------

    def exp(self, x: Number) -> Number:
        """eˣ."""
        return self.shared(exponentials.exp, x)

    def expm1(self, x: Number) -> Number:
        """eˣ − 1, accurate near 0."""
        return self.shared(exponentials.expm1, x)

    def sigmoid(self, x: Number) -> Number:
        """1/(1 + e⁻ˣ)."""
        return self.shared(exponentials.sigmoid, x)

    def erf(self, x: Number) -> Number:
        """The error function."""
        return self.shared(exponentials.erf, x)

    def sinh(self, x: Number) -> Number:
        """The hyperbolic sine."""
        return self.shared(exponentials.sinh, x)

    def cosh(self, x: Number) -> Number:
        """The hyperbolic cosine."""
        return self.shared(exponentials.cosh, x)

    def tanh(self, x: Number) -> Number:
        """The hyperbolic tangent."""
        return self.shared(exponentials.tanh, x)

    def log(self, x: Number) -> Number:
        """The natural logarithm."""
        return self.shared(logarithms.log, x)

    def log1p(self, x: Number) -> Number:
        """ln(1 + x), accurate near 0."""
        return self.shared(logarithms.log1p, x)

    def log2(self, x: Number) -> Number:
        """The logarithm to base 2."""
        return self.shared(logarithms.log2, x)

    def log10(self, x: Number) -> Number:
        """The logarithm to base 10."""
        return self.shared(logarithms.log10, x)

    def logaddexp(self, a: Operand, b: Operand) -> Number:
        """ln(eᵃ + eᵇ)."""
        return self.shared_pair(logarithms.logaddexp, a, b)

    def asinh(self, x: Number) -> Number:
        """The inverse hyperbolic sine."""
        return self.shared(logarithms.asinh, x)

    def acosh(self, x: Number) -> Number:
        """The inverse hyperbolic cosine."""
        return self.shared(logarithms.acosh, x)

    def atanh(self, x: Number) -> Number:
        """The inverse hyperbolic tangent."""
        return self.shared(logarithms.atanh, x)

    # ---- angles --------------------------------------------------------------------------------

    def sin(self, x: Number) -> Number:
        """The sine."""
        return self.shared(circular.sin, x)

    def cos(self, x: Number) -> Number:
        """The cosine."""
        return self.shared(circular.cos, x)

    def tan(self, x: Number) -> Number:
        """The tangent."""
        return self.shared(circular.tan, x)

    def asin(self, x: Number) -> Number:
        """The inverse sine."""
        return self.shared(circular.asin, x)

    def acos(self, x: Number) -> Number:
        """The inverse cosine."""
        return self.shared(circular.acos, x)

    def atan(self, x: Number) -> Number:
        """The inverse tangent."""
        return self.shared(circular.atan, x)

    def atan2(self, a: Operand, b: Operand) -> Number:
        """The angle of the point (b, a)."""
        return self.shared_pair(circular.atan2, a, b)

    # ---- powers and division -------------------------------------------------------------------

    def rsqrt(self, x: Number) -> Number:
        """1/√x."""
        return 1.0 / self.sqrt(x)

    def hypot(self, a: Operand, b: Operand) -> Number:
        """√(a² + b²)."""
        return self.shared_pair(powers.hypot, a, b)

    def pow(self, a: Operand, b: Operand) -> Number:
        """aᵇ; small whole exponents that are known while compiling become products."""
        x, y = self.pair(a, b)
        known = y.constant
        if known == 0:
            return self.like(1, x)
        if known == 1:
            return x
        if known == 2:
            return x * x
        if known == 3:
            return x * x * x
        if x.dtype.kind != "f":
            return self.shared(integers.pow, x, y)
        if known == 4:
            square = x * x
            return square * square
        if known == -1:
            return 1.0 / x
        if known == 0.5:
            # √(−0) is −0 and √(−∞) NaN, where the power is 0 and ∞.
            return self.select(self.equal(x, -math.inf), math.inf, self.sqrt(x) + 0.0)
        return self.shared(powers.pow, x, y)

    def remainder(self, a: Operand, b: Operand) -> Number:
        """The remainder of the floored division, with the divisor's sign."""
        x, y = self.pair(a, b)
        return self.shared(powers.remainder if x.dtype.kind == "f" else integers.remainder, x, y)

    def floor_divide(self, a: Operand, b: Operand) -> Number:
        """The quotient rounded down."""
        x, y = self.pair(a, b)
        rule = powers.floor_divide if x.dtype.kind == "f" else integers.floor_divide
        return self.shared(rule, x, y)

    def bitwise_left_shift(self, a: Operand, b: Operand) -> Number:
        """a·2ᵇ in the low bits."""
        return self.shared_pair(integers.left_shift, a, b)

    def bitwise_right_shift(self, a: Operand, b: Operand) -> Number:
        """⌊a/2ᵇ⌋."""
        return self.shared_pair(integers.right_shift, a, b)

    # ---- pieces --------------------------------------------------------------------------------

    def sign(self, x: Number) -> Number:
        """−1, 0 or 1; NaN stays."""
        negative = self.like(-1, x) if x.dtype.kind != "u" else self.like(0, x)
        below = self.select(x < 0, negative, 0) if x.dtype.kind != "u" else self.like(0, x)
        result = self.select(x > 0, 1, below)
        return self.select(self.isnan(x), x, result) if x.dtype.kind == "f" else result

    def sign_of(self, x: Number) -> Number:
        """1 or −1 by the sign bit."""
        return self.copysign(1.0, x)

    def relu(self, x: Number) -> Number:
        """max(x, 0); NaN stays."""
        return self.maximum(x, 0)

    def nextafter(self, a: Operand, b: Operand) -> Number:
        """The next number after a in the direction of b."""
        return self.shared_pair(neighbours.nextafter, a, b)

    def logical_and(self, a: Operand, b: Operand) -> Number:
        """Whether both are true."""
        return self.bitwise_and(a, b)

    def logical_or(self, a: Operand, b: Operand) -> Number:
        """Whether either is true."""
        return self.bitwise_or(a, b)

    def logical_xor(self, a: Operand, b: Operand) -> Number:
        """Whether one of both is true."""
        return self.bitwise_xor(a, b)

    def logical_not(self, x: Number) -> Number:
        """Whether it is false."""
        return self.bitwise_invert(x)

    def where(self, condition: Number, a: Operand, b: Operand) -> Number:
        """a where the condition holds, b elsewhere."""
        return self.select(condition, a, b)

    def zeros_like(self, x: Number) -> Number:
        """Zero in the dtype of x."""
        return self.like(False if x.dtype == BOOL else 0, x)
