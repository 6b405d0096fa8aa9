"""Loops, loads and stores in generated code.

Addresses are a base pointer and an index counted in elements.  Loops test before the first round
and then at the end of each, which is the form in which LLVM's vectoriser recognises them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from backlight.execute.native.arithmetic import Arithmetic, Operand
from backlight.execute.native.number import BOOL, INT64, Number, memory_type, register_type
from backlight.graph.primitive import Dtype


@dataclass(frozen=True, slots=True)
class Hints:
    """Advice to LLVM about one loop; None leaves the choice to it.

    Attributes
    ----------
    vectorize : bool or None
        Whether to make vector instructions of it.
    lanes : int or None
        How many rounds one vector instruction does.
    interleave : int or None
        How many vector instructions to keep going side by side.
    unroll : bool or None
        Whether to repeat the body.
    """

    vectorize: bool | None = None
    lanes: int | None = None
    interleave: int | None = None
    unroll: bool | None = None

    def words(self) -> list[tuple[str, Any]]:
        """Return the hints in LLVM's words."""
        flag, count = ir.IntType(1), ir.IntType(32)
        found: list[tuple[str, Any]] = []
        if self.vectorize is not None:
            found.append(("llvm.loop.vectorize.enable", flag(self.vectorize)))
        if self.lanes is not None:
            found.append(("llvm.loop.vectorize.width", count(self.lanes)))
        if self.interleave is not None:
            found.append(("llvm.loop.interleave.count", count(self.interleave)))
        if self.unroll is not None:
            name = "llvm.loop.unroll.enable" if self.unroll else "llvm.loop.unroll.disable"
            found.append((name, None))
        return found


NO_HINTS = Hints()


class _LoopName(ir.MDValue):  # type: ignore[misc]  # llvmlite is not typed
    """A metadata node that contains itself, which is how LLVM tells loops apart."""

    def descr(self, buf: list[str]) -> None:
        parts = [self.get_reference(), *(each.get_reference() for each in self.operands)]
        buf += [f"distinct !{{ {', '.join(parts)} }}", "\n"]

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _hint(branch: Any, module: ir.Module, hints: Hints) -> None:
    words = hints.words()
    if not words:
        return
    nodes = [
        module.add_metadata([name] if value is None else [name, value]) for name, value in words
    ]
    branch.set_metadata("llvm.loop", _LoopName(module, nodes, str(len(module.metadata))))


@contextmanager
def for_range(
    e: Arithmetic, start: Operand, stop: Operand, step: int = 1, hints: Hints = NO_HINTS
) -> Iterator[Number]:
    """Repeat what is emitted inside for i = start, start + step, … below stop.

    Parameters
    ----------
    e : Arithmetic
        Where instructions go; afterwards it stands behind the loop.
    start, stop : Number of int64, or int
        The first index, and the one that is not reached.
    step : int
        Positive.
    hints : Hints
        Advice about this loop.

    Yields
    ------
    Number
        The index, int64.
    """
    builder = e.builder
    first, last = (
        each if isinstance(each, Number) else e.constant(int(each), INT64) for each in (start, stop)
    )
    before = builder.block
    body = builder.append_basic_block("loop")
    after = ir.Block(parent=builder.function, name=builder.function.scope.deduplicate("done"))
    builder.cbranch((first < last).value, body, after)
    builder.position_at_end(body)
    index = builder.phi(register_type(INT64))
    index.add_incoming(first.value, before)
    yield e.number(index, INT64)
    following = builder.add(index, ir.Constant(register_type(INT64), step), flags=("nsw",))
    more = builder.icmp_signed("<", following, last.value)
    branch = builder.cbranch(more, body, after)
    index.add_incoming(following, builder.block)
    _hint(branch, builder.module, hints)
    # Behind the blocks of the body, so that the text reads in the order of execution.
    builder.function.blocks.append(after)
    builder.position_at_end(after)


def address(e: Arithmetic, base: ir.Value, index: Operand, dtype: Dtype) -> ir.Value:
    """Return a pointer to an element."""
    position = index.value if isinstance(index, Number) else ir.IntType(64)(int(index))
    return e.builder.gep(base, [position], inbounds=True, source_etype=memory_type(dtype))


def load(
    e: Arithmetic,
    base: ir.Value,
    index: Operand,
    dtype: Dtype,
    lanes: int = 0,
    align: int | None = None,
) -> Number:
    """Load an element, or neighbouring ones into the lanes of a vector.

    The address must be a multiple of ``align`` bytes, the size of one element by default.
    """
    kind = memory_type(dtype, lanes)
    place = address(e, base, index, dtype)
    value = e.builder.load(place, align=align or dtype.itemsize, typ=kind)
    if dtype == BOOL:
        value = e.builder.trunc(value, register_type(dtype, lanes))
    return e.number(value, dtype)


def store(
    e: Arithmetic, number: Number, base: ir.Value, index: Operand, align: int | None = None
) -> None:
    """Store a number, or the lanes of a vector into neighbouring elements."""
    value = number.value
    if number.dtype == BOOL:
        value = e.builder.zext(value, memory_type(BOOL, number.lanes))
    place = address(e, base, index, number.dtype)
    e.builder.store(value, place, align=align or number.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class Variable:
    """A local variable, such as a running sum; LLVM keeps it in a register.

    Attributes
    ----------
    place : llvmlite.ir.Value
        Its stack slot.
    dtype : dtype
    lanes : int
        Of a vector, or 0.
    """

    place: Any
    dtype: Dtype
    lanes: int

    @classmethod
    def new(cls, e: Arithmetic, initial: Number) -> Variable:
        """Make a variable with a first value."""
        kind = register_type(initial.dtype, initial.lanes)
        with e.builder.goto_entry_block():
            place = e.builder.alloca(kind)
        e.builder.store(initial.value, place)
        return cls(place, initial.dtype, initial.lanes)

    def get(self, e: Arithmetic) -> Number:
        """Return the present value."""
        kind = register_type(self.dtype, self.lanes)
        return e.number(e.builder.load(self.place, typ=kind), self.dtype)

    def set(self, e: Arithmetic, value: Number) -> None:
        """Change the value."""
        e.builder.store(value.value, self.place)


def define(
    module: ir.Module, name: str, arguments: Sequence[ir.Type], result: ir.Type | None = None
) -> ir.Function:
    """Declare a function whose pointer arguments do not overlap, and open its first block."""
    function = ir.Function(module, ir.FunctionType(result or ir.VoidType(), arguments), name)
    for argument in function.args:
        if isinstance(argument.type, ir.PointerType):
            argument.add_attribute("noalias")
            argument.add_attribute("nofree")
    function.attributes.add("nounwind")
    function.append_basic_block("entry")
    return function
