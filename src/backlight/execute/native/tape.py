"""Graphs of single numbers, run by a small machine instead of being compiled one by one.

A graph of a million scalar operations is a million lines of code that run once each: LLVM would
take hours over it.  Instead each *different* operation is compiled once, as one case of a loop
that reads instructions from an array: which operation, and where its operands are.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import threading
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backlight.errors import UsageError
from backlight.execute.native.build import build
from backlight.execute.native.key import program_key
from backlight.execute.native.plan import needed_nodes
from backlight.execute.reference import Program, checked_inputs
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array, Dtype, Kind, Primitive
from backlight.ops.leaf import CONSTANT
from backlight.ops.move import BROADCAST, PERMUTE, RESHAPE

if TYPE_CHECKING:
    from llvmlite import ir

SLOT = 8
"""Bytes of a number's place, enough for every dtype."""

MOST_OPERANDS = 3

LONG = 200
"""Operations from which a graph of single numbers is run this way.

Compiling takes one or two milliseconds for each of them, and the machine about five nanoseconds
for each run of one.
"""

TAPE = "backlight_tape"


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
    if len(nodes) < LONG:
        return False
    shapes = {node.shape for node in nodes}
    if any(math.prod(shape) != 1 for shape in shapes):
        return False
    wanted = needed_nodes(graph)
    return len(wanted) >= LONG and all(
        _known(primitive) and most <= MOST_OPERANDS
        for primitive, most in {(nodes[k].primitive, len(nodes[k].inputs)) for k in wanted}
    )


def _known(primitive: Primitive) -> bool:
    if primitive.kind is Kind.LEAF or primitive in _MOVES_NOTHING:
        return True
    return primitive.kind is Kind.ELEMENTWISE and primitive.lower is not None


_MOVES_NOTHING = frozenset((RESHAPE, BROADCAST, PERMUTE))
"""Operations that only give a single number another shape."""


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
        place, self.operations, self._tape, self._first = _write_tape(graph)
        self._built = build(_key(self.operations), self._write)
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self._run = self._built.library.function(TAPE, kind)
        self._memory = np.zeros((self._first + len(self._tape)) * SLOT, np.uint8)
        asked = {*graph.inputs, *graph.outputs}
        self._place = {index: place[index] for index in asked if index in place}
        for index, number in itertools.islice(place.items(), self._first):
            node = graph.nodes[index]
            if node.primitive is CONSTANT:
                self._at(number, node)[...] = node.attributes["value"].array
        self._lock = threading.Lock()

    def _write(self) -> tuple[ir.Module, Mapping[str, Any]]:
        # Here, because it takes a while to load, and code that is kept needs none of it.
        from backlight.execute.native.tape_machine import machine

        return machine(self.operations), {}

    @cached_property
    def reference(self) -> Program:
        """The same graph for NumPy, which also keeps what is computed on the way."""
        return Program(self.graph)

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
        given = checked_inputs(self.graph, values)
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
        return self._at(self._place[index], self.graph.nodes[index])

    def _at(self, number: int, node: Node) -> Array:
        start = number * SLOT
        found = self._memory[start : start + node.dtype.itemsize]
        return found.view(node.dtype).reshape(node.shape)


def _write_tape(
    graph: Graph,
) -> tuple[dict[int, int], tuple[Operation, ...], npt.NDArray[np.int32], int]:
    """Number places and operations; return them, the instructions, and where results begin.

    The places of leaves come first.
    """
    nodes = graph.nodes
    wanted = needed_nodes(graph)
    place = {
        k: number
        for number, k in enumerate([k for k in wanted if nodes[k].primitive.kind is Kind.LEAF])
    }
    first = len(place)
    numbers: dict[object, int] = {}
    operations: list[Operation] = []
    lines = array("i")
    following = first
    for index in wanted:
        node = nodes[index]
        primitive = node.primitive
        if primitive.kind is Kind.LEAF:
            continue
        inputs = node.inputs
        if primitive in _MOVES_NOTHING:
            place[index] = place[inputs[0]]
            continue
        operands = tuple([nodes[k].dtype for k in inputs])
        attributes = tuple(sorted(node.attributes.items())) if node.attributes else ()
        key = (primitive, attributes, node.dtype, operands)
        code = numbers.get(key)
        if code is None:
            code = numbers[key] = len(operations)
            operations.append(Operation(node, operands))
        lines.append(code)
        lines.extend([place[k] for k in inputs])
        lines.extend(_FILLED[len(inputs)])
        place[index] = following
        following += 1
    tape = np.array(lines, np.int32).reshape(-1, MOST_OPERANDS + 1)
    tape[:, 1:] -= first  # results are addressed from their own beginning
    return place, tuple(operations), tape, first


_FILLED = tuple((0,) * (MOST_OPERANDS - count) for count in range(MOST_OPERANDS + 1))
"""What is written behind so many operands, so that all instructions are of one length."""


def _key(operations: Sequence[Operation]) -> str | None:
    """What the machine depends on: the operations, wherever in a graph they stand."""
    nodes = tuple(replace(each.node, inputs=()) for each in operations)
    return program_key(Graph(nodes, (), ()), "tape", [each.operands for each in operations])
