"""Graphs of single numbers, run by a small machine instead of being compiled one by one.

A graph of a million scalar operations is a million lines of code that run once each: LLVM would
take hours over it.  Instead each *different* operation is compiled once, as one case of a loop
that reads instructions from an array: which operation, and where its operands are.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from backlight.errors import UsageError
from backlight.execute.native.build import build
from backlight.execute.native.emit import Emitter, lower
from backlight.execute.native.key import program_key
from backlight.execute.native.number import BOOL, memory_type
from backlight.execute.native.plan import needed_nodes
from backlight.execute.reference import Program
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array, Dtype, Kind
from backlight.ops.leaf import CONSTANT
from backlight.ops.move import BROADCAST, PERMUTE, RESHAPE

TAPE = "backlight_tape"
SLOT = 8
"""Bytes of a number's place, enough for every dtype."""

MOST_OPERANDS = 3

LONG = 200
"""Operations from which a graph of single numbers is run this way.

Compiling takes one or two milliseconds for each of them, and the machine about five nanoseconds
for each run of one.
"""

I64 = ir.IntType(64)
I32 = ir.IntType(32)
PTR = ir.PointerType()
VOID = ir.VoidType()


@dataclass(frozen=True, slots=True)
class Operation:
    """What an instruction does: a node without its place in the graph."""

    node: Node
    operands: tuple[Dtype, ...]


def suits(graph: Graph) -> bool:
    """Whether a graph is long and made of single numbers only.

    Examples
    --------
    >>> import backlight as bl
    >>> suits(bl.trace(lambda x: x * x, 2.0))
    False
    """
    nodes = graph.nodes
    if len(nodes) < LONG or any(math.prod(node.shape) != 1 for node in nodes):
        return False
    wanted = needed_nodes(graph)
    return len(wanted) >= LONG and all(_known(nodes[k]) for k in wanted)


def _known(node: Node) -> bool:
    if node.is_leaf or _moves_nothing(node):
        return True
    primitive = node.primitive
    elementwise = primitive.kind is Kind.ELEMENTWISE and primitive.lower is not None
    return elementwise and len(node.inputs) <= MOST_OPERANDS


def _moves_nothing(node: Node) -> bool:
    """Whether a node only gives a single number another shape."""
    return node.primitive in (RESHAPE, BROADCAST, PERMUTE)


class TapeProgram:
    """A graph of single numbers made ready to run; the counterpart of `NativeProgram`.

    Parameters
    ----------
    graph : Graph
        One that `suits`.

    Examples
    --------
    >>> import backlight as bl
    >>> def f(x):
    ...     for _ in range(300):
    ...         x = 0.5 * (x + 2.0 / x)
    ...     return x
    >>> graph = bl.trace(f, 1.0)
    >>> suits(graph), TapeProgram(graph).run([1.0])
    (True, [array(1.41421356)])
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reference = Program(graph)
        self._place, self.operations, self._tape, self._first = _write_tape(graph)
        self._built = build(_key(self.operations), lambda: (_machine(self.operations), {}))
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self._run = self._built.library.function(TAPE, kind)
        self._memory = np.zeros((self._first + len(self._tape)) * SLOT, np.uint8)
        for index, node in enumerate(graph.nodes):
            if node.primitive is CONSTANT and index in self._place:
                self._seen(index)[...] = node.attributes["value"].array
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<tape of {len(self._tape)} instructions, {len(self.operations)} different>"

    def explain(self) -> str:
        """Say what the machine will do."""
        names = Counter(self.operations[code].node.primitive.name for code in self._tape[:, 0])
        counted = ", ".join(f"{name} {count:,}" for name, count in names.most_common())
        return (
            f"A graph of single numbers: a compiled loop runs {len(self._tape):,} instructions of "
            f"{len(self.operations)} kinds ({counted}) from a list of {self._tape.nbytes:,} bytes, "
            f"in {self._memory.nbytes:,} bytes of memory."
        )

    @property
    def iterates(self) -> bool:
        """Never: a tape is run once a call."""
        return False

    @property
    def lengths(self) -> tuple[int, ...]:
        """None: see `iterates`."""
        return ()

    @property
    def seconds(self) -> float:
        """Not worked out."""
        return 0.0

    def iterate(
        self,
        values: Sequence[Array | None],
        sources: Sequence[Array],
        rows: Array,
        starts: Array,
    ) -> tuple[int, Array]:
        """Refuse; see `iterates`."""
        raise UsageError("A program of single numbers does not iterate; call run in a loop.")

    def run(self, values: Sequence[Any], *, keep: bool = False) -> list[Array]:
        """Evaluate the graph; see `backlight.execute.reference.Program.run`."""
        if keep:
            return self.reference.run(values, keep=True)
        given = self.reference.checked(values)
        with self._lock:
            for index, value in zip(self.graph.inputs, given, strict=True):
                if index in self._place:
                    self._seen(index)[...] = value
            end = self._memory.ctypes.data + self._first * SLOT
            self._run(self._tape.ctypes.data, end, len(self._tape))
            known = dict(zip(self.graph.inputs, given, strict=True))
            return [
                np.array(self._seen(k) if k in self._place else known[k])
                for k in self.graph.outputs
            ]

    def _seen(self, index: int) -> Array:
        """Show a node's number as an array."""
        node = self.graph.nodes[index]
        start = self._place[index] * SLOT
        found = self._memory[start : start + node.dtype.itemsize]
        return found.view(node.dtype).reshape(node.shape)


def _write_tape(
    graph: Graph,
) -> tuple[dict[int, int], tuple[Operation, ...], npt.NDArray[np.int32], int]:
    """Number places and operations; return them, the instructions, and where results begin."""
    nodes = graph.nodes
    wanted = needed_nodes(graph)
    place = {k: number for number, k in enumerate(k for k in wanted if nodes[k].is_leaf)}
    first = len(place)
    numbers: dict[object, int] = {}
    operations: list[Operation] = []
    lines: list[tuple[int, ...]] = []
    for index in wanted:
        node = nodes[index]
        if node.is_leaf:
            continue
        if _moves_nothing(node):
            place[index] = place[node.inputs[0]]
            continue
        operands = tuple(nodes[k].dtype for k in node.inputs)
        key = (id(node.primitive), tuple(sorted(node.attributes.items())), node.dtype, operands)
        if key not in numbers:
            numbers[key] = len(operations)
            operations.append(Operation(node, operands))
        used = [place[k] for k in node.inputs]
        lines.append((numbers[key], *used, *[0] * (MOST_OPERANDS - len(used))))
        place[index] = first + len(lines) - 1
    tape = np.array(lines, np.int32).reshape(len(lines), MOST_OPERANDS + 1)
    tape[:, 1:] -= first  # results are addressed from their own beginning
    return place, tuple(operations), np.ascontiguousarray(tape), first


def _key(operations: Sequence[Operation]) -> str | None:
    """What the machine depends on: the operations, wherever in a graph they stand."""
    nodes = tuple(replace(each.node, inputs=()) for each in operations)
    return program_key(Graph(nodes, (), ()), "tape", [each.operands for each in operations])


def _machine(operations: Sequence[Operation]) -> ir.Module:
    """Write ``tape(instructions, results, count)``: a loop around one case for each operation."""
    module = ir.Module(name="tape")
    function = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR, I64]), TAPE)
    tape, results, count = function.args
    tape.add_attribute("noalias")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    head = builder.append_basic_block("instruction")
    following = builder.append_basic_block("next")
    done = builder.append_basic_block("done")
    before = builder.block
    builder.cbranch(builder.icmp_signed(">", count, I64(0)), head, done)

    builder.position_at_end(head)
    number = builder.phi(I64)
    number.add_incoming(I64(0), before)
    line = builder.mul(number, I64(MOST_OPERANDS + 1))

    def word(position: int) -> Any:
        at = builder.add(line, I64(position))
        return builder.load(builder.gep(tape, [at], source_etype=I32), typ=I32)

    switch = builder.switch(word(0), following)
    for code, operation in enumerate(operations):
        case = builder.append_basic_block(f"case{code}")
        switch.add_case(I32(code), case)
        builder.position_at_end(case)
        _write_case(builder, operation, results, number, word)
        builder.branch(following)

    builder.position_at_end(following)
    after = builder.add(number, I64(1))
    number.add_incoming(after, following)
    builder.cbranch(builder.icmp_signed("<", after, count), head, done)
    builder.position_at_end(done)
    builder.ret_void()
    return module


def _write_case(
    builder: ir.IRBuilder, operation: Operation, results: Any, number: Any, word: Any
) -> None:
    emitter = Emitter(builder)
    operands = []
    for position, dtype in enumerate(operation.operands, start=1):
        where = builder.sext(word(position), I64)
        kind = memory_type(dtype)
        found = builder.load(builder.gep(results, [where], source_etype=I64), typ=kind)
        if dtype == BOOL:
            found = builder.icmp_unsigned("!=", found, kind(0))
        operands.append(emitter.number(found, dtype))
    node = operation.node
    value = lower(emitter, node.primitive, operands, node.attributes)
    if value.dtype != node.dtype:
        value = emitter.cast(value, node.dtype)
    stored = value.value
    if node.dtype == BOOL:
        stored = builder.zext(stored, memory_type(BOOL))
    builder.store(stored, builder.gep(results, [number], source_etype=I64))
