"""One program for two batch lengths: which sizes of a graph are multiples of the batch length.

The last batch of an epoch is shorter when the batch length does not divide the number of examples.
`merge` takes the graphs traced for both lengths and gives one graph whose sizes, where they differ,
are `BatchSize`s: compiled code reads the length when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from backlight.errors import BacklightError
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array
from backlight.ops.leaf import CONSTANT, Literal


class NotOneProgramError(BacklightError):
    """Two graphs differ in more than the batch length, so that each needs code of its own."""


class BatchSize(int):
    """A size that is a fixed multiple of the batch length; as an integer, that of a full batch.

    It is equal only to the same multiple, so that whatever is decided by comparing sizes holds for
    every batch length.  Products are multiples again; all other arithmetic is refused.

    Examples
    --------
    >>> rows = BatchSize(1, 32)
    >>> rows * 128, rows * 128 == 4096, rows * 128 == 128 * rows
    (BatchSize(128, 32), False, True)
    """

    factor: int

    def __new__(cls, factor: int, full: int) -> BatchSize:
        """Make ``factor`` × the batch length, which is ``full`` for most batches."""
        made = super().__new__(cls, factor * full)
        made.factor = factor
        return made

    def __repr__(self) -> str:
        return f"BatchSize({self.factor}, {int(self) // self.factor})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BatchSize) and self.factor == other.factor and int(self) == int(other)
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__

    def __mul__(self, other: int) -> Any:
        if isinstance(other, BatchSize) or not isinstance(other, int):
            self._refuse()
        return BatchSize(self.factor * other, int(self) // self.factor) if other else 0

    __rmul__ = __mul__

    def _refuse(self, *_: object) -> NoReturn:
        raise NotOneProgramError("A size depends on the batch length, but is no multiple of it.")

    __add__ = __radd__ = __sub__ = __rsub__ = __neg__ = _refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = _refuse


@dataclass(frozen=True, eq=False, slots=True)
class Merged:
    """One graph for two batch lengths.

    Attributes
    ----------
    graph : Graph
        Of the full batch, with `BatchSize`s.
    full, ragged : int
        The two batch lengths.
    other : mapping of int to ndarray
        Constants that have another value in the ragged batch, such as a mean's divisor; in that
        batch's shape.
    """

    graph: Graph
    full: int
    ragged: int
    other: Mapping[int, Array]


def merge(full_graph: Graph, ragged_graph: Graph, full: int, ragged: int) -> Merged:
    """Return one graph for both batch lengths.

    Parameters
    ----------
    full_graph, ragged_graph : Graph
        The same computation traced for either length.
    full, ragged : int
        The lengths; both at least 2 and different.

    Raises
    ------
    NotOneProgramError
        When the graphs differ in more than sizes proportional to the length and constants.
    """
    if len(full_graph.nodes) != len(ragged_graph.nodes) or min(full, ragged) < 2 or full == ragged:
        raise NotOneProgramError("The graphs of the two batch lengths have different nodes.")
    sizes = _Sizes(full, ragged)
    nodes: list[Node] = []
    other: dict[int, Array] = {}
    for index, (a, b) in enumerate(zip(full_graph.nodes, ragged_graph.nodes, strict=True)):
        if a.primitive is not b.primitive or a.inputs != b.inputs or a.dtype != b.dtype:
            raise NotOneProgramError(f"{a.name} is computed in another way for the other length.")
        shape = sizes.sequence(a.shape, b.shape)
        if a.primitive is CONSTANT:
            one, two = a.attributes["value"].array, b.attributes["value"].array
            if not _prefix(one, two):
                other[index] = two
            attributes = a.attributes
        else:
            attributes = sizes.mapping(a.attributes, b.attributes)
        nodes.append(replace(a, shape=shape, attributes=attributes))
    if full_graph.outputs != ragged_graph.outputs or full_graph.inputs != ragged_graph.inputs:
        raise NotOneProgramError("The graphs of the two batch lengths have different results.")
    return Merged(Graph(tuple(nodes), full_graph.inputs, full_graph.outputs), full, ragged, other)


def _prefix(full: Array, ragged: Array) -> bool:
    """Whether the shorter constant is the beginning of the longer one, to the bit."""
    if full.ndim != ragged.ndim or full.shape[1:] != ragged.shape[1:]:
        return False
    if full.ndim and len(ragged) > len(full):
        return False
    start = full[: len(ragged)] if full.ndim else full
    return np.ascontiguousarray(start).tobytes() == np.ascontiguousarray(ragged).tobytes()


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Compares what is static in two graphs."""

    full: int
    ragged: int

    def sequence(self, a: Sequence[Any], b: Sequence[Any]) -> tuple[Any, ...]:
        if len(a) != len(b):
            raise NotOneProgramError("A shape has another number of axes for the other length.")
        return tuple(self.value(x, y) for x, y in zip(a, b, strict=True))

    def mapping(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
        if a.keys() != b.keys():
            raise NotOneProgramError("An operation has other attributes for the other length.")
        return {key: self.value(a[key], b[key]) for key in a}

    def value(self, a: Any, b: Any) -> Any:
        if isinstance(a, tuple) and isinstance(b, tuple):
            return self.sequence(a, b)
        if type(a) is int and type(b) is int and a != b:
            factor, rest = divmod(a, self.full)
            if rest or factor < 1 or factor * self.ragged != b:
                raise NotOneProgramError("A size is no multiple of the batch length.")
            return BatchSize(factor, self.full)
        if isinstance(a, Literal) and isinstance(b, Literal):
            same = _prefix(a.array, b.array) and a.array.shape == b.array.shape
        else:
            same = type(a) is type(b) and bool(a == b or (a != a and b != b))
        if not same:
            raise NotOneProgramError("An attribute depends on the batch length.")
        return a
