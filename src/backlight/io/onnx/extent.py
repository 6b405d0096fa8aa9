"""Sizes that depend on how many rows a model is given.

A network is traced with three numbers of rows.  A size that differs between the graphs and lies on
a line, `together` writes as an `Extent`, a multiple of the rows plus a constant; anything else that
differs cannot be said of an unknown number of rows, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backlight.errors import UsageError
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.ops.leaf import Literal

ROWS = (101, 103, 107)
"""Two give the line and the third confirms it; more rows than a network is likely to count on."""


@dataclass(frozen=True)
class Extent:
    """The size ``times * rows + plus``.

    It is no integer, so that a rule that would need its value fails instead of fixing it.
    """

    times: int
    plus: int = 0

    def __mul__(self, factor: int) -> Extent:
        return Extent(self.times * factor, self.plus * factor)

    __rmul__ = __mul__


Size = int | Extent


@dataclass(frozen=True)
class Step:
    """A node of a graph for any number of rows.

    Attributes
    ----------
    node : Node
        As it was traced first.
    attributes : mapping
        Its static arguments, with extents among the sizes.
    shape : tuple of int or Extent
    """

    node: Node
    attributes: Mapping[str, object]
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class Filled:
    """A constant array of one value, of a shape that depends on the rows."""

    value: np.generic
    shape: tuple[Size, ...]


class _DiffersError(Exception):
    """Two things that no extent describes."""


def fixed(graph: Graph) -> list[Step]:
    """Return the steps of a graph whose sizes are all known."""
    return [Step(node, node.attributes, node.shape) for node in graph.nodes]


def together(graphs: Sequence[Graph]) -> list[Step]:
    """Return the steps of a graph that was traced with each of the numbers of `ROWS`.

    Raises
    ------
    UsageError
        When the graphs do not have the same nodes, or something in a node depends on the rows in
        another way than as a size.
    """
    first = graphs[0]
    if any(len(each.nodes) != len(first.nodes) or each.outputs != first.outputs for each in graphs):
        raise UsageError(
            "The network does different things for different numbers of rows, so it cannot be "
            "written for any number; give batch=False to fix the number of the example."
        )
    return [_step(nodes) for nodes in zip(*(each.nodes for each in graphs), strict=True)]


def _step(nodes: Sequence[Node]) -> Step:
    first = nodes[0]
    try:
        if any(
            each.primitive is not first.primitive or each.inputs != first.inputs for each in nodes
        ):
            raise _DiffersError
        attributes = {
            name: _merge([each.attributes[name] for each in nodes]) for name in first.attributes
        }
        shape = _sizes([each.shape for each in nodes])
    except (_DiffersError, KeyError, ValueError) as error:
        line = f", {first.location}" if first.location is not None else ""
        raise UsageError(
            f"The node {first.name} ({first.primitive.name}{line}) depends on the number of rows "
            f"in a way that ONNX cannot say of any number; give batch=False to fix the number of "
            f"the example."
        ) from error
    return Step(first, attributes, shape)


def _merge(values: Sequence[object]) -> object:
    """Write what an attribute is for each number of rows as one."""
    first = values[0]
    if isinstance(first, Literal):
        return _constant([each.array for each in values if isinstance(each, Literal)])
    if isinstance(first, tuple):
        columns = zip(*(each for each in values if isinstance(each, tuple)), strict=True)
        return tuple(_merge(column) for column in columns)
    if type(first) is int:
        return _size([each for each in values if isinstance(each, int)])
    if any(each != first for each in values):
        raise _DiffersError
    return first


def _constant(arrays: Sequence[npt.NDArray[np.generic]]) -> object:
    first = arrays[0]
    if all(each.shape == first.shape for each in arrays):
        if any(each.dtype != first.dtype or each.tobytes() != first.tobytes() for each in arrays):
            raise _DiffersError
        return Literal(first)
    # Of an array whose shape depends on the rows, one value says all there is to say.
    if not all(each.size and (each == first.flat[0]).all() for each in arrays):
        raise _DiffersError
    return Filled(first.flat[0], _sizes([each.shape for each in arrays]))


def _sizes(shapes: Sequence[tuple[int, ...]]) -> tuple[Size, ...]:
    return tuple(_size(sizes) for sizes in zip(*shapes, strict=True))


def _size(sizes: Sequence[int]) -> Size:
    """Return the line through sizes: through two, if the third lies on it."""
    first, second = sizes[:2]
    times = (second - first) // (ROWS[1] - ROWS[0])
    plus = first - times * ROWS[0]
    if any(times * rows + plus != size for rows, size in zip(ROWS, sizes, strict=True)):
        raise _DiffersError
    return plus if times == 0 else Extent(times, plus)
