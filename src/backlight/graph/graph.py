"""The graph: nodes in an order in which every node follows its operands.

A graph holds no values of a run.  Everything that walks it walks a list, never a recursion, so
its depth does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from backlight.errors import UnknownNameError
from backlight.graph.node import Node


@dataclass(frozen=True, eq=False)
class Graph:
    """A computation.

    Attributes
    ----------
    nodes : tuple of Node
        In topological order: operands first.
    inputs : tuple of int
        The nodes whose values are supplied at each run, in the order of the arguments.
    outputs : tuple of int
        The nodes whose values are the results.

    Examples
    --------
    >>> import backlight as bl
    >>> graph = bl.trace(lambda w, x: (w * x - 2.0) ** 2, 1.0, 3.0)
    >>> len(graph), graph.nodes[graph.outputs[0]].primitive.name
    (7, 'pow')
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __str__(self) -> str:
        from backlight.graph.text import graph_text  # import here: the text form reads a graph

        return graph_text(self)

    def __repr__(self) -> str:
        return f"<graph of {len(self.nodes)} nodes>"

    def index(self, name: str) -> int:
        """Return the position of a node by its name.

        Raises
        ------
        UnknownNameError
            When no node has that name.
        """
        names = self._names
        if name not in names:
            import difflib

            close = difflib.get_close_matches(name, names, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else "."
            raise UnknownNameError(f"The graph has no node named {name!r}{hint}")
        return names[name]

    @cached_property
    def _names(self) -> dict[str, int]:
        return {node.name: index for index, node in enumerate(self.nodes)}

    @cached_property
    def consumers(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each node, the (node, position) pairs that take it as an operand."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for position, operand in enumerate(node.inputs):
                found[operand].append((index, position))
        return tuple(tuple(each) for each in found)

    def downstream(self, start: int) -> set[int]:
        """Return the nodes that depend on a node, itself among them."""
        reached = {start}
        for index in range(start + 1, len(self.nodes)):
            if not reached.isdisjoint(self.nodes[index].inputs):
                reached.add(index)
        return reached

    def upstream(self, end: int) -> set[int]:
        """Return the nodes that a node depends on, itself among them."""
        reached = {end}
        for index in range(end, -1, -1):
            if index in reached:
                reached.update(self.nodes[index].inputs)
        return reached
