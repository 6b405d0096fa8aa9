"""The reference executor: it walks a graph in order and evaluates each node with NumPy.

`Program` takes a graph and gives a function from the values of its inputs to the values of its
outputs.  It is the definition of what a graph means; every other executor must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

import numpy as np

from backlight.errors import BacklightError, DtypeError, GraphError, ShapeError, UsageError
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array
from backlight.ops.leaf import CONSTANT

Instruction = tuple[Callable[..., Any], Callable[[list[Any]], Any], int, tuple[int, ...]]
"""What to call, how to fetch its operands, where the result goes, and which values die after."""


class Program:
    """A graph made ready to run with NumPy.

    Parameters
    ----------
    graph : Graph
        Every leaf must be one of its inputs or a constant.

    Raises
    ------
    GraphError
        When a leaf is neither.

    Examples
    --------
    >>> import backlight as bl
    >>> program = Program(bl.trace(lambda w, x: (w * x - 2.0) ** 2, 1.0, 1.0))
    >>> program.run([3.0, 2.0])
    [array(16.)]
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        given = set(graph.inputs)
        self._start: list[Any] = [None] * len(graph.nodes)
        for slot, node in enumerate(graph.nodes):
            if node.primitive is CONSTANT:
                self._start[slot] = _stored(node.attributes["value"].array)
            elif node.is_leaf and slot not in given:
                raise GraphError(
                    f"The graph's leaf {node.name} is neither a constant nor one of its inputs, "
                    f"so it has no value; add it to the inputs."
                )
        self._instructions = _schedule(graph)

    @property
    def iterates(self) -> bool:
        """Never: the reference runs a graph once, and Python loops around it."""
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
        raise UsageError("The reference executor does not iterate; call run in a loop.")

    def __repr__(self) -> str:
        return f"<reference program of {len(self._instructions)} instructions>"

    @cached_property
    def _every_instruction(self) -> list[Instruction]:
        """One instruction for each node that is not a leaf, freeing nothing."""
        return [
            _instruction(slot, node, ())
            for slot, node in enumerate(self.graph.nodes)
            if not node.is_leaf
        ]

    def run(self, values: Sequence[Any], *, keep: bool = False) -> list[Array]:
        """Evaluate the graph.

        Parameters
        ----------
        values : sequence of array
            One for each of ``graph.inputs``, of exactly its shape and dtype.
        keep : bool
            Return the values of all nodes, in the order of ``graph.nodes``, instead of those of
            the outputs.

        Returns
        -------
        list of ndarray
            They share no memory with the inputs or with constants, unless ``keep`` is set.

        Raises
        ------
        ShapeError, DtypeError
            When the values do not fit the inputs; the message names the input.
        """
        slots = self._start.copy()
        for slot, array in zip(self.graph.inputs, self.checked(values), strict=True):
            slots[slot] = array if array.shape else array[()]
        instructions = self._every_instruction if keep else self._instructions
        result = 0
        try:
            with np.errstate(all="ignore"):
                for call, fetch, result, dead in instructions:
                    slots[result] = call(*fetch(slots))
                    for slot in dead:
                        slots[slot] = None
        except BacklightError as error:
            node = self.graph.nodes[result]
            place = f", {node.location}" if node.location is not None else ""
            error.add_note(f"It was raised by the node {node.name}{place}.")
            raise
        if keep:
            return [np.asarray(value) for value in slots]
        foreign = {id(value) for value in values}
        return [self._owned(slots[slot], foreign) for slot in self.graph.outputs]

    def checked(self, values: Sequence[Any]) -> list[Array]:
        """Return the supplied values as arrays, or raise when they do not fit the inputs."""
        return checked_inputs(self.graph, values)

    def _owned(self, value: Any, foreign: set[int]) -> Array:
        """Return an output as an array of its own: not a view, an input or a constant."""
        if not isinstance(value, np.ndarray):
            return np.asarray(value)
        if value.base is not None or not value.flags.writeable or id(value) in foreign:
            return value.copy()
        return value


def checked_inputs(graph: Graph, values: Sequence[Any]) -> list[Array]:
    """Return values for the inputs of a graph as arrays, or raise when they do not fit them.

    Parameters
    ----------
    graph : Graph
    values : sequence of array_like

    Raises
    ------
    ShapeError, DtypeError
        Naming the input.
    """
    if len(values) != len(graph.inputs):
        raise ShapeError(
            f"The graph has {len(graph.inputs)} inputs and was given {len(values)} values; "
            f"give one for each."
        )
    arrays = []
    for slot, value in zip(graph.inputs, values, strict=True):
        node = graph.nodes[slot]
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
        if array.shape != node.shape:
            raise ShapeError(
                f"The input {node.name} was traced with shape {node.shape} and was given a "
                f"value of shape {array.shape}; trace the function again for this shape, as "
                f"bl.compile does by itself."
            )
        if array.dtype != node.dtype:
            raise DtypeError(
                f"The input {node.name} was traced as {node.dtype} and was given "
                f"{array.dtype}; convert the value, or trace the function again."
            )
        arrays.append(array)
    return arrays


def _stored(array: Array) -> Any:
    # A NumPy scalar is several times quicker in scalar arithmetic than an array without axes.
    return array if array.shape else array[()]


def _schedule(graph: Graph) -> list[Instruction]:
    """List what the outputs need, in order, each with the values that are used there last."""
    needed: set[int] = set(graph.outputs)
    for slot in range(len(graph.nodes) - 1, -1, -1):
        if slot in needed:
            needed.update(graph.nodes[slot].inputs)
    alive = set(graph.outputs)
    found: list[Instruction] = []
    for slot in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[slot]
        if slot not in needed or node.is_leaf:
            continue
        dead = tuple(operand for operand in dict.fromkeys(node.inputs) if operand not in alive)
        alive.update(dead)
        found.append(_instruction(slot, node, dead))
    found.reverse()
    return found


def _instruction(slot: int, node: Node, dead: tuple[int, ...]) -> Instruction:
    call = partial(node.primitive.evaluate, np, **node.attributes)
    return call, _fetcher(node.inputs), slot, dead


def _fetcher(inputs: tuple[int, ...]) -> Callable[[list[Any]], Any]:
    """Return a function from all values to the operands; a slice makes one operand a sequence."""
    if len(inputs) > 1:
        return itemgetter(*inputs)
    return itemgetter(slice(inputs[0], inputs[0] + 1) if inputs else slice(0, 0))
