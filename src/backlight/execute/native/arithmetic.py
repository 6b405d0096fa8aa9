"""Arithmetic, comparison, selection, bits and conversion of numbers in generated code.

`Arithmetic` wraps llvmlite's instruction builder.  Every method takes and gives `Number`s, single
ones or vectors, and does what the NumPy function of that name does.  Nothing branches, so that
LLVM can turn a loop around it into vector instructions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir

from backlight.execute.native.number import (
    BOOL,
    FORMATS,
    INT32,
    INT64,
    UINT64,
    Number,
    register_type,
)
from backlight.graph.primitive import Dtype

Operand = Number | float | int | bool


class Arithmetic:
    """Appends instructions to a block of LLVM code.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where instructions go.
    contract : bool
        Whether a product and the sum that it goes into may be rounded once instead of twice (a
        fused multiply-add).  It is the only liberty taken; NaN, infinities and signed zeros keep
        their meaning.
    """

    def __init__(self, builder: ir.IRBuilder, *, contract: bool = True) -> None:
        self.builder = builder
        self.contract = contract
        self._flags = ("contract",) if contract else ()

    @property
    def module(self) -> ir.Module:
        """The module that the code is for."""
        return self.builder.module

    # ---- values --------------------------------------------------------------------------------

    def number(self, value: ir.Value, dtype: Dtype) -> Number:
        """Wrap an LLVM value."""
        return Number(self, value, dtype)

    def constant(self, value: float, dtype: Dtype, lanes: int = 0) -> Number:
        """Return a number that is known now, repeated over all lanes of a vector."""
        element = register_type(dtype)
        plain: Any = float(value) if dtype.kind == "f" else int(value)
        found = ir.Constant(element, plain)
        if lanes:
            # `splat` keeps the text, and with it the time to parse it, short.
            text = f"splat ({element} {found.get_reference()})"
            found = ir.FormattedConstant(ir.VectorType(element, lanes), text)
            found.constant = text  # llvmlite takes the characters for the elements
        return Number(self, found, dtype, bool(value) if dtype == BOOL else plain)

    def like(self, value: float, model: Number) -> Number:
        """Return a constant of another number's dtype and lanes."""
        return self.constant(value, model.dtype, model.lanes)

    def pair(self, a: Operand, b: Operand) -> tuple[Number, Number]:
        """Return two operands in their common dtype; Python numbers take the other's."""
        if not isinstance(a, Number):
            if not isinstance(b, Number):
                raise TypeError("one operand must be a Number")
            return self.like(a, b), b
        if not isinstance(b, Number):
            return a, self.like(b, a)
        lanes = max(a.lanes, b.lanes)
        a, b = self.spread(a, lanes), self.spread(b, lanes)
        if a.dtype == b.dtype:
            return a, b
        dtype = np.result_type(a.dtype, b.dtype)
        return self.cast(a, dtype), self.cast(b, dtype)

    def spread(self, x: Number, lanes: int) -> Number:
        """Repeat a single number over the lanes of a vector."""
        if not lanes or x.lanes == lanes:
            return x
        if x.constant is not None:
            return self.constant(x.constant, x.dtype, lanes)
        kind = ir.VectorType(x.value.type, lanes)
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, x.value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
        return self.number(self.builder.shuffle_vector(first, empty, zeros), x.dtype)

    def intrinsic(self, name: str, *operands: Number) -> Number:
        """Call one of LLVM's functions on operands of one type; the result is of that type."""
        kind = operands[0].value.type
        suffix = (
            f"v{kind.count}{kind.element.intrinsic_name}"
            if isinstance(kind, ir.VectorType)
            else kind.intrinsic_name
        )
        full = f"llvm.{name}.{suffix}"
        function = self.module.globals.get(full)
        if function is None:
            signature = ir.FunctionType(kind, [kind] * len(operands))
            function = ir.Function(self.module, signature, full)
        call = self.builder.call(function, [each.value for each in operands])
        return self.number(call, operands[0].dtype)

    def gather(self, table: ir.Value, index: Number, dtype: Dtype) -> Number:
        """Load entries of a table in memory, one for each lane of the index."""
        kind = register_type(dtype)

        def entry(position: ir.Value) -> ir.Value:
            place = self.builder.gep(table, [position], inbounds=True, source_etype=kind)
            return self.builder.load(place, typ=kind)

        if not index.lanes:
            return self.number(entry(index.value), dtype)
        vector: ir.Value = ir.Constant(ir.VectorType(kind, index.lanes), ir.Undefined)
        for lane in map(ir.IntType(32), range(index.lanes)):
            loaded = entry(self.builder.extract_element(index.value, lane))
            vector = self.builder.insert_element(vector, loaded, lane)
        return self.number(vector, dtype)

    # ---- arithmetic ----------------------------------------------------------------------------

    def add(self, a: Operand, b: Operand) -> Number:
        """a + b; integers wrap."""
        x, y = self.pair(a, b)
        if x.dtype.kind == "f":
            return self.number(self.builder.fadd(x.value, y.value, flags=self._flags), x.dtype)
        return self.number(self.builder.add(x.value, y.value), x.dtype)

    def sub(self, a: Operand, b: Operand) -> Number:
        """a − b; integers wrap."""
        x, y = self.pair(a, b)
        if x.dtype.kind == "f":
            return self.number(self.builder.fsub(x.value, y.value, flags=self._flags), x.dtype)
        return self.number(self.builder.sub(x.value, y.value), x.dtype)

    def mul(self, a: Operand, b: Operand) -> Number:
        """a · b; integers wrap."""
        x, y = self.pair(a, b)
        if x.dtype.kind == "f":
            return self.number(self.builder.fmul(x.value, y.value, flags=self._flags), x.dtype)
        return self.number(self.builder.mul(x.value, y.value), x.dtype)

    def div(self, a: Operand, b: Operand) -> Number:
        """a/b of floating-point numbers."""
        x, y = self.pair(a, b)
        if isinstance(b, Number) and b.uniform and not (isinstance(a, Number) and a.uniform):
            return self._div_by_uniform(x, self.cast(b, x.dtype))
        return self.number(self.builder.fdiv(x.value, y.value, flags=self._flags), x.dtype)

    def _div_by_uniform(self, x: Number, y: Number) -> Number:
        """x/y with one division for all x: 1.5 ulp, where a division each gives 0.5.

        y is brought into a range whose reciprocals are normal numbers.  Where that takes x out of
        range, the quotient is out of range too.
        """
        limit, shift = (2.0**120, 2.0**64) if y.dtype.itemsize == 4 else (2.0**1000, 2.0**512)
        size = self.abs(y)
        factor = self.select(
            self.greater(size, limit),
            self.constant(1.0 / shift, y.dtype),
            self.select(
                self.less(size, 1.0 / limit),
                self.constant(shift, y.dtype),
                self.constant(1.0, y.dtype),
            ),
        )
        scaled = self.builder.fmul(y.value, factor.value)
        one = self.constant(1.0, y.dtype)
        inverse = self.number(self.builder.fdiv(one.value, scaled), x.dtype)
        factor, inverse = self.spread(factor, x.lanes), self.spread(inverse, x.lanes)
        brought = self.builder.fmul(x.value, factor.value)
        return self.number(self.builder.fmul(brought, inverse.value, flags=self._flags), x.dtype)

    def truncated_division(self, a: Number, b: Number) -> tuple[Number, Number]:
        """Quotient, rounded towards 0, and remainder of integers; b = 0 is the caller's affair."""
        if a.dtype.kind == "u":
            values = self.builder.udiv(a.value, b.value), self.builder.urem(a.value, b.value)
        else:
            values = self.builder.sdiv(a.value, b.value), self.builder.srem(a.value, b.value)
        return self.number(values[0], a.dtype), self.number(values[1], a.dtype)

    def fmod(self, a: Number, b: Number) -> Number:
        """The exact remainder with the sign of a, by the C library."""
        return self.number(self.builder.frem(a.value, b.value), a.dtype)

    def neg(self, x: Number) -> Number:
        """−x, with the sign of zero and NaN turned too."""
        if x.dtype.kind == "f":
            return self.number(self.builder.fneg(x.value), x.dtype)
        return self.sub(0, x)

    def fma(self, a: Operand, b: Operand, c: Operand) -> Number:
        """a·b + c, rounded once."""
        x, y = self.pair(a, b)
        x, z = self.pair(x, c)
        x, y = self.pair(x, y)
        return self.intrinsic("fma", x, y, z)

    def sqrt(self, x: Number) -> Number:
        """√x, correctly rounded."""
        return self.intrinsic("sqrt", x)

    def abs(self, x: Number) -> Number:
        """|x|; the most negative integer stays as it is."""
        if x.dtype.kind == "f":
            return self.intrinsic("fabs", x)
        return x if x.dtype.kind == "u" else self.select(x < 0, self.neg(x), x)

    # ---- comparison ----------------------------------------------------------------------------

    def compare(self, sign: str, a: Operand, b: Operand) -> Number:
        """Compare as NumPy does: with NaN only ``!=`` is true."""
        if isinstance(a, Number) and isinstance(b, Number) and {a.dtype.kind, b.dtype.kind} == {
            "i", "u",
        } and UINT64 in (a.dtype, b.dtype):  # fmt: skip
            return self._compare_signs(sign, a, b)
        x, y = self.pair(a, b)
        if x.dtype.kind == "f":
            rule = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
            return self.number(rule(sign, x.value, y.value), BOOL)
        signed = x.dtype.kind == "i"
        compare = self.builder.icmp_signed if signed else self.builder.icmp_unsigned
        return self.number(compare(sign, x.value, y.value), BOOL)

    def _compare_signs(self, sign: str, a: Number, b: Number) -> Number:
        """Compare uint64 with a signed integer by value: no integer dtype holds both."""
        lanes = max(a.lanes, b.lanes)
        a, b = self.spread(a, lanes), self.spread(b, lanes)
        wide_a, wide_b = self.cast(a, UINT64), self.cast(b, UINT64)
        same = self.compare(sign, wide_a, wide_b)
        negative_a, negative_b = self.signbit(a), self.signbit(b)
        if_a = self.constant(sign in ("<", "<=", "!="), BOOL, lanes)
        if_b = self.constant(sign in (">", ">=", "!="), BOOL, lanes)
        return self.select(negative_a, if_a, self.select(negative_b, if_b, same))

    def equal(self, a: Operand, b: Operand) -> Number:
        """Whether a = b."""
        return self.compare("==", a, b)

    def not_equal(self, a: Operand, b: Operand) -> Number:
        """Whether a ≠ b; true for NaN."""
        return self.compare("!=", a, b)

    def less(self, a: Operand, b: Operand) -> Number:
        """Whether a < b."""
        return self.compare("<", a, b)

    def less_equal(self, a: Operand, b: Operand) -> Number:
        """Whether a ≤ b."""
        return self.compare("<=", a, b)

    def greater(self, a: Operand, b: Operand) -> Number:
        """Whether a > b."""
        return self.compare(">", a, b)

    def greater_equal(self, a: Operand, b: Operand) -> Number:
        """Whether a ≥ b."""
        return self.compare(">=", a, b)

    def isnan(self, x: Number) -> Number:
        """Whether x is NaN."""
        if x.dtype.kind != "f":
            return self.constant(False, BOOL, x.lanes)
        return self.number(self.builder.fcmp_unordered("uno", x.value, x.value), BOOL)

    def isinf(self, x: Number) -> Number:
        """Whether x is infinite."""
        if x.dtype.kind != "f":
            return self.constant(False, BOOL, x.lanes)
        return self.equal(self.abs(x), math.inf)

    def isfinite(self, x: Number) -> Number:
        """Whether x is neither NaN nor infinite."""
        if x.dtype.kind != "f":
            return self.constant(True, BOOL, x.lanes)
        return self.less(self.abs(x), math.inf)

    def signbit(self, x: Number) -> Number:
        """Whether the sign bit is set, as it is for −0."""
        if x.dtype.kind == "u":
            return self.constant(False, BOOL, x.lanes)
        return (self.bits(x) if x.dtype.kind == "f" else x) < 0

    # ---- selection -----------------------------------------------------------------------------

    def select(self, condition: Number, a: Operand, b: Operand) -> Number:
        """Return a where the condition holds and b elsewhere; the other one leaves no trace."""
        x, y = self.pair(a, b)
        lanes = max(condition.lanes, x.lanes)
        condition, x, y = (self.spread(each, lanes) for each in (condition, x, y))
        return self.number(self.builder.select(condition.value, x.value, y.value), x.dtype)

    def maximum(self, a: Operand, b: Operand) -> Number:
        """The larger operand; NaN if either is, and the second of two equal ones."""
        x, y = self.pair(a, b)
        first = x > y
        if x.dtype.kind == "f":
            first = first | self.isnan(x)
        return self.select(first, x, y)

    def minimum(self, a: Operand, b: Operand) -> Number:
        """The smaller operand; NaN if either is, and the second of two equal ones."""
        x, y = self.pair(a, b)
        first = x < y
        if x.dtype.kind == "f":
            first = first | self.isnan(x)
        return self.select(first, x, y)

    # ---- logic and bits ------------------------------------------------------------------------

    def bitwise_and(self, a: Operand, b: Operand) -> Number:
        """The bits set in both; Boolean: both."""
        x, y = self.pair(a, b)
        return self.number(self.builder.and_(x.value, y.value), x.dtype)

    def bitwise_or(self, a: Operand, b: Operand) -> Number:
        """The bits set in either; Boolean: either."""
        x, y = self.pair(a, b)
        return self.number(self.builder.or_(x.value, y.value), x.dtype)

    def bitwise_xor(self, a: Operand, b: Operand) -> Number:
        """The bits set in one of both; Boolean: one of both."""
        x, y = self.pair(a, b)
        return self.number(self.builder.xor(x.value, y.value), x.dtype)

    def bitwise_invert(self, x: Number) -> Number:
        """Every bit turned; Boolean: not."""
        return self.bitwise_xor(x, 1 if x.dtype == BOOL else -1)

    def shift_left(self, x: Number, places: int) -> Number:
        """Shift by a number of places that is known and less than the width."""
        return self.number(self.builder.shl(x.value, self.like(places, x).value), x.dtype)

    def shift_right(self, x: Number, places: int) -> Number:
        """Shift by a known number of places; the sign of a signed integer fills up."""
        shift = self.builder.lshr if x.dtype.kind == "u" else self.builder.ashr
        return self.number(shift(x.value, self.like(places, x).value), x.dtype)

    def bits(self, x: Number) -> Number:
        """The bits of a floating-point number as a signed integer."""
        return self.reinterpret(x, x.format.integer)

    def reinterpret(self, x: Number, dtype: Dtype) -> Number:
        """The same bits as another dtype of the same width."""
        kind = register_type(dtype, x.lanes)
        value = x.value if kind == x.value.type else self.builder.bitcast(x.value, kind)
        return self.number(value, dtype)

    # ---- conversion ----------------------------------------------------------------------------

    def cast(self, x: Number, dtype: Dtype) -> Number:
        """Convert as NumPy does on the processors where its result is defined by the hardware.

        Numbers outside an integer's range give what x86 gives: the most negative number, or its
        low bits where the integer is narrower than 32 bits.  Nonzero numbers, NaN among them, are
        true.
        """
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.constant is not None and dtype.kind == "f":
            return self.constant(float(x.constant), dtype, x.lanes)
        if dtype == BOOL:
            return self.not_equal(x, 0)
        if x.dtype.kind == "f":
            return self._float_to_float(x, dtype) if dtype.kind == "f" else self._to_int(x, dtype)
        kind = register_type(dtype, x.lanes)
        if dtype.kind == "f":
            if x.dtype == BOOL:
                return self.select(x, self.constant(1.0, dtype), self.constant(0.0, dtype))
            convert = self.builder.sitofp if x.dtype.kind == "i" else self.builder.uitofp
            return self.number(convert(x.value, kind), dtype)
        return self._resize(x, dtype)

    def _float_to_float(self, x: Number, dtype: Dtype) -> Number:
        convert = self.builder.fpext if dtype.itemsize > x.dtype.itemsize else self.builder.fptrunc
        return self.number(convert(x.value, register_type(dtype, x.lanes)), dtype)

    def _resize(self, x: Number, dtype: Dtype) -> Number:
        kind = register_type(dtype, x.lanes)
        if dtype.itemsize < x.dtype.itemsize:
            return self.number(self.builder.trunc(x.value, kind), dtype)
        if dtype.itemsize == x.dtype.itemsize and x.dtype != BOOL:
            return self.number(x.value, dtype)
        convert = self.builder.sext if x.dtype.kind == "i" else self.builder.zext
        return self.number(convert(x.value, kind), dtype)

    def _to_int(self, x: Number, dtype: Dtype) -> Number:
        if dtype == UINT64:
            half = 2.0**63
            upper = self._to_signed(x - half, INT64) ^ -(2**63)
            return self.reinterpret(self.select(x < half, self._to_signed(x, INT64), upper), dtype)
        wide = INT64 if dtype in (INT64, np.dtype(np.uint32)) else INT32
        return self._resize(self._to_signed(x, wide), dtype)

    def _to_signed(self, x: Number, dtype: Dtype) -> Number:
        limit = 2.0 ** (8 * dtype.itemsize - 1)
        # LLVM leaves what is out of range undefined, so it is replaced.  In float64 every number
        # above −2³¹ − 1 is rounded into range.
        low = x > -limit - 1 if dtype == INT32 and x.format.fraction == 52 else x >= -limit
        inside = low & (x < limit)
        value = self.builder.fptosi(x.value, register_type(dtype, x.lanes))
        return self.select(inside, self.number(value, dtype), -(2 ** (8 * dtype.itemsize - 1)))

    # ---- rounding ------------------------------------------------------------------------------

    def floor(self, x: Number) -> Number:
        """The largest integer not above."""
        return self.intrinsic("floor", x) if x.dtype in FORMATS else x

    def ceil(self, x: Number) -> Number:
        """The smallest integer not below."""
        return self.intrinsic("ceil", x) if x.dtype in FORMATS else x

    def trunc(self, x: Number) -> Number:
        """The number without its fraction."""
        return self.intrinsic("trunc", x) if x.dtype in FORMATS else x

    def round(self, x: Number) -> Number:
        """The nearest integer; halves go to the even one."""
        return self.intrinsic("rint", x) if x.dtype in FORMATS else x

    def copysign(self, a: Operand, b: Operand) -> Number:
        """The magnitude of the first with the sign of the second."""
        return self.intrinsic("copysign", *self.pair(a, b))
