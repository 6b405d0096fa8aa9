"""The vocabulary in which the matrix-product kernels are written: explicit vectors and loops.

Takes an LLVM module, an element type and a number of lanes; gives loads, stores, broadcasts and
fused multiply-adds of such vectors, masked where fewer lanes are wanted, and counted loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

LINE = 64
"""Bytes of a cache line."""

INDEX = ir.IntType(64)
"""The type of sizes, strides and positions."""

POINTER = ir.PointerType()

_BIT = ir.IntType(1)


def index(value: int) -> ir.Constant:
    """Return a position as a constant."""
    return ir.Constant(INDEX, value)


def fixed(value: ir.Value) -> int | None:
    """Return the number behind a constant, None for a value known only at run time."""
    return int(value.constant) if isinstance(value, ir.Constant) else None


def add(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Add two positions, at once where both are constants."""
    a, b = fixed(left), fixed(right)
    if a is not None and b is not None:
        return index(a + b)
    if a == 0:
        return right
    return left if b == 0 else builder.add(left, right)


def multiply(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Multiply two positions, at once where both are constants."""
    a, b = fixed(left), fixed(right)
    if a is not None and b is not None:
        return index(a * b)
    if a == 1:
        return right
    return left if b == 1 else builder.mul(left, right)


def smaller(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Return the smaller of two positions."""
    a, b = fixed(left), fixed(right)
    if a is not None and b is not None:
        return index(min(a, b))
    return builder.select(builder.icmp_signed("<", left, right), left, right)


def larger(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Return the larger of two positions."""
    return builder.select(builder.icmp_signed(">", left, right), left, right)


def round_down(builder: ir.IRBuilder, value: ir.Value, step: int) -> ir.Value:
    """Return the largest multiple of `step` that is not above a value that is not negative."""
    known = fixed(value)
    if known is not None:
        return index(known - known % step)
    return builder.sub(value, builder.urem(value, index(step)))


@contextmanager
def loop(
    builder: ir.IRBuilder, begin: ir.Value, end: ir.Value, step: int | ir.Value, name: str
) -> Iterator[ir.Value]:
    """Run the body for begin, begin + step, … below `end`; gives the position."""
    with carry(builder, begin, end, step, (), name) as (position, _, _):
        yield position


@contextmanager
def carry(
    builder: ir.IRBuilder,
    begin: ir.Value,
    end: ir.Value,
    step: int | ir.Value,
    start: Sequence[ir.Value],
    name: str,
) -> Iterator[tuple[ir.Value, list[ir.Value], list[ir.Value]]]:
    """Run the body as a loop that carries values from one turn to the next.

    Gives the position, the values at the start of a turn, and a list: the body replaces its
    entries by the values at the end of the turn, and after the loop it holds the final values.
    """
    before = builder.block
    head = builder.append_basic_block(f"{name}.head")
    body = builder.append_basic_block(f"{name}.body")
    done = builder.append_basic_block(f"{name}.done")
    builder.branch(head)
    builder.position_at_end(head)
    position = builder.phi(INDEX, name)
    position.add_incoming(begin, before)
    carried = [builder.phi(value.type) for value in start]
    for phi, value in zip(carried, start, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", position, end), body, done)
    builder.position_at_end(body)
    values: list[ir.Value] = list(carried)
    yield position, list(carried), values
    stride = index(step) if isinstance(step, int) else step
    position.add_incoming(builder.add(position, stride), builder.block)
    for phi, value in zip(carried, values, strict=True):
        phi.add_incoming(value, builder.block)
    _keep_rolled(builder.module, builder.branch(head))
    builder.position_at_end(done)
    values[:] = carried


def _keep_rolled(module: ir.Module, back: ir.Instruction) -> None:
    """Forbid unrolling of the loop that ends in a branch.

    The bodies are long enough; unrolled as well, they would take LLVM many times as long.
    """
    disable = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop_id = ir.MDValue(module, (), name=str(len(module.metadata)))
    loop_id.operands = (loop_id, disable)  # LLVM knows a loop by a node that names itself first
    back.set_metadata("llvm.loop", loop_id)


def new_function(
    module: ir.Module,
    name: str,
    parameters: Sequence[tuple[str, ir.Type]],
    linkage: str = "external",
) -> ir.Function:
    """Add a function without a result that is never copied into its callers."""
    kind = ir.FunctionType(ir.VoidType(), [each for _, each in parameters])
    function = ir.Function(module, kind, name)
    function.linkage = linkage
    function.attributes.add("nounwind")
    function.attributes.add("noinline")
    for argument, (label, _) in zip(function.args, parameters, strict=True):
        argument.name = label
    return function


class _Callee(ir.FormattedConstant):  # type: ignore[misc]  # llvmlite has no types
    """A pointer as llvmlite wants a callee to be: it asks it for the type of the function."""

    def __init__(self, pointer: ir.Value, function_type: ir.FunctionType) -> None:
        super().__init__(POINTER, pointer.get_reference())
        self.function_type = function_type


def call_pointer(
    builder: ir.IRBuilder,
    function: ir.Value,
    parameters: Sequence[tuple[str, ir.Type]],
    arguments: Sequence[ir.Value],
) -> None:
    """Call a function known only at run time, without a result."""
    kind = ir.FunctionType(ir.VoidType(), [each for _, each in parameters])
    builder.call(_Callee(function, kind), list(arguments))


@dataclass(frozen=True)
class Vectors:
    """Vectors of so many lanes of an element type; with one lane they are plain numbers."""

    module: ir.Module
    element: ir.Type
    lanes: int

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return 8 if isinstance(self.element, ir.DoubleType) else 4

    @property
    def type(self) -> ir.Type:
        """The LLVM type of a value."""
        return self.element if self.lanes == 1 else ir.VectorType(self.element, self.lanes)

    @property
    def zero(self) -> ir.Constant:
        """A vector of zeros."""
        return ir.Constant(self.type, None) if self.lanes > 1 else ir.Constant(self.type, 0.0)

    @property
    def name(self) -> str:
        """The type in the way LLVM's intrinsics name it, such as v16f32."""
        name = f"f{8 * self.size}"
        return name if self.lanes == 1 else f"v{self.lanes}{name}"

    def narrower(self, lanes: int) -> Vectors:
        """Return the same with another number of lanes."""
        return Vectors(self.module, self.element, lanes)

    def _intrinsic(self, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
        known = self.module.globals.get(name)
        if isinstance(known, ir.Function):
            return known
        return ir.Function(self.module, ir.FunctionType(result, arguments), name)

    @property
    def _mask_type(self) -> ir.Type:
        return ir.VectorType(_BIT, self.lanes)

    def address(self, builder: ir.IRBuilder, base: ir.Value, offset: ir.Value) -> ir.Value:
        """Return the address of element number `offset`."""
        if fixed(offset) == 0:
            return base
        return builder.gep(base, [offset], source_etype=self.element)

    def load(
        self, builder: ir.IRBuilder, pointer: ir.Value, mask: ir.Value | None = None
    ) -> ir.Value:
        """Load a vector; lanes outside the mask are not read and are zero."""
        if mask is None:
            return builder.load(pointer, align=self.size, typ=self.type)
        name = f"llvm.masked.load.{self.name}.p0"
        types = [POINTER, ir.IntType(32), self._mask_type, self.type]
        alignment = ir.Constant(ir.IntType(32), self.size)
        function = self._intrinsic(name, self.type, types)
        return builder.call(function, [pointer, alignment, mask, self.zero])

    def store(
        self,
        builder: ir.IRBuilder,
        value: ir.Value,
        pointer: ir.Value,
        mask: ir.Value | None = None,
    ) -> None:
        """Store a vector; lanes outside the mask are not written."""
        if mask is None:
            builder.store(value, pointer, align=self.size)
            return
        name = f"llvm.masked.store.{self.name}.p0"
        types = [self.type, POINTER, ir.IntType(32), self._mask_type]
        alignment = ir.Constant(ir.IntType(32), self.size)
        function = self._intrinsic(name, ir.VoidType(), types)
        builder.call(function, [value, pointer, alignment, mask])

    def splat(self, builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
        """Return a vector with the scalar in each lane."""
        if self.lanes == 1:
            return scalar
        undefined = ir.Constant(self.type, ir.Undefined)
        lane = ir.Constant(ir.IntType(32), 0)
        first = builder.insert_element(undefined, scalar, lane)
        pick = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return builder.shuffle_vector(first, undefined, pick)

    def multiply_add(
        self, builder: ir.IRBuilder, left: ir.Value, right: ir.Value, addend: ir.Value
    ) -> ir.Value:
        """Return left · right + addend, rounded once where the processor can."""
        function = self._intrinsic(f"llvm.fmuladd.{self.name}", self.type, [self.type] * 3)
        return builder.call(function, [left, right, addend])

    def shuffle(
        self, builder: ir.IRBuilder, left: ir.Value, right: ir.Value, lanes: Sequence[int]
    ) -> ir.Value:
        """Pick lanes from two vectors laid end to end."""
        pick = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return builder.shuffle_vector(left, right, pick)

    def total(self, builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
        """Add up the lanes in a fixed order: upper half to lower half until one is left."""
        lanes = self.lanes
        while lanes > 1:
            half = lanes // 2
            low = self.shuffle(builder, value, value, range(half))
            high = self.shuffle(builder, value, value, range(half, lanes))
            value = builder.fadd(low, high)
            lanes = half
        if self.lanes > 1:
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
        return value

    def first_lanes(self, builder: ir.IRBuilder, count: ir.Value) -> ir.Value | None:
        """Return the mask of the lanes below `count`; None when there is just one lane."""
        if self.lanes == 1:
            return None
        wide = Vectors(self.module, INDEX, self.lanes)
        numbers = ir.Constant(ir.VectorType(INDEX, self.lanes), list(range(self.lanes)))
        return builder.icmp_signed("<", numbers, wide.splat(builder, count))


def stack(builder: ir.IRBuilder, vectors: Vectors, count: int) -> ir.Value:
    """Reserve room for so many vectors on the stack; call it in the entry block."""
    reserved = builder.alloca(vectors.element, index(count * vectors.lanes), "scratch")
    reserved.align = LINE
    reserved.type = POINTER  # llvmlite still gives it the type of its element
    return reserved
