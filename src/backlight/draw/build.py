"""From a graph, and the numbers of a run if there are any, to a picture.

Nodes become boxes with their formula, value and gradient; single numbers are written inside the
formulas; local derivatives stand on the arrows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from backlight.draw.fold import Folding, Group, fold, visible_chain
from backlight.draw.picture import Box, BoxKind, Edge, Line, Picture
from backlight.draw.words import formula_text, line_text, local_text, short_names, spec_text
from backlight.errors import UsageError
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array
from backlight.ops.leaf import CONSTANT, PARAMETER

Local = Mapping[tuple[int, int], Any]
"""Local derivatives by (consumer, operand position): arrays or numbers."""

_LONGEST_DERIVATIVE = 14
_MOST_EXITS = 2


def picture_of(
    graph: Graph,
    values: Sequence[Any] | None = None,
    gradients: Sequence[Any] | None = None,
    locals: Local | None = None,
    *,
    open: Collection[str] = (),
    depth: int | None = None,
    highlight: Iterable[int | str] = (),
    title: str | None = None,
) -> Picture:
    """Describe the picture of a graph.

    Parameters
    ----------
    graph : Graph
    values : sequence of array_like, optional
        The value of each node, in the order of ``graph.nodes``; None where it is not known.
    gradients : sequence of array_like or None, optional
        The gradient of each node; None where there is none.
    locals : mapping of (int, int) to array_like or float, optional
        The local derivative of a node by one of its operands, by the node's number and the
        operand's position.
    open : collection of str
        Paths of modules and composites that are not folded.
    depth : int, optional
        Modules and composites inside fewer than this many others are not folded; by default
        folding sets in at about 60 boxes.  There are never more than 300 boxes.
    highlight : iterable of int or str
        Nodes, by number or name, that are marked; so are the arrows between two of them.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    UnknownNameError
        When a path in `open` or a name in `highlight` does not exist.
    UsageError
        When `values` or `gradients` have not one entry for each node.

    Examples
    --------
    >>> import backlight as bl
    >>> graph = bl.trace(lambda w, x, y: (w * x - y) ** 2, 1.0, 1.0, 2.0)
    >>> print(picture_of(graph, [1.0, 1.0, 2.0, 1.0, -1.0, 2.0, 1.0]).describe())
    Computation graph of u: 6 boxes, 5 arrows.
    w (input): = 1
    x (input): = 1
    y (input): = 2
    p = w·x (operation) from w, x: = 1
    s = p − y (operation) from p, y: = −1
    u = s² (result) from s: = 1
    """
    for what, given in (("values", values), ("gradients", gradients)):
        if given is not None and len(given) != len(graph.nodes):
            raise UsageError(
                f"{what} has {len(given)} entries and the graph {len(graph.nodes)} nodes; give "
                f"one for each node, None where there is none."
            )
    lit = frozenset(graph.index(k) if isinstance(k, str) else k for k in highlight)
    folding = fold(graph, open=open, depth=depth, keep=lit)
    builder = _Builder(graph, values, gradients, folding, lit)
    results = ", ".join(builder.names[k] for k in graph.outputs[:3])
    return Picture(
        tuple(builder.box(k) for k in range(len(folding.groups))),
        tuple(_edges(graph, folding, locals or {}, lit)),
        title or (f"Computation graph of {results}" if results else "Computation graph"),
        _caption(graph, folding),
        builder.gradient_note,
        tuple(k for k, owner in enumerate(folding.owner) if owner < 0),
    )


class _Builder:
    """Writes the boxes of one graph."""

    def __init__(
        self,
        graph: Graph,
        values: Sequence[Any] | None,
        gradients: Sequence[Any] | None,
        folding: Folding,
        lit: frozenset[int],
    ) -> None:
        self.graph = graph
        self.values = values
        self.gradients = gradients
        self.folding = folding
        self.lit = lit
        self.outputs = frozenset(graph.outputs)
        single = len(graph.outputs) == 1
        self.names = short_names(graph)
        self.result = self.names[graph.outputs[0]] if single else ""
        self.calls = self._calls()

    @property
    def gradient_note(self) -> str:
        """What gradient lines mean, for the legend; empty when there are none."""
        if self.gradients is None or all(each is None for each in self.gradients):
            return ""
        of = f"of {self.result} " if self.result else ""
        return f"gradient {of}with respect to the box's value"

    def _calls(self) -> dict[int, tuple[int, int]]:
        """For each folded group of a path that occurs more than once: which call it is."""
        by_path: dict[str, list[int]] = {}
        for k, group in enumerate(self.folding.groups):
            if group.scope is not None:
                by_path.setdefault(group.scope.path, []).append(k)
        return {
            k: (call, len(found))
            for found in by_path.values()
            if len(found) > 1
            for call, k in enumerate(found, start=1)
        }

    def box(self, number: int) -> Box:
        """Write one group's box."""
        group = self.folding.groups[number]
        lit = any(node in self.lit for node in group.nodes)
        if group.kind == "node":
            return self._node_box(number, group, lit=lit)
        if group.scope is None:
            title = f"… {len(group.nodes):,} more …"
            return Box(str(number), title, (), "elided", (), group.nodes, lit)
        chain = visible_chain(group.scope)
        lines = [Line(self._size_text(number, group))]
        exits = self._exits(group)
        for node in exits if len(exits) <= _MOST_EXITS else ():
            lines += self._numbers(node, self.names[node])
        kind: BoxKind = "module" if group.scope.kind == "module" else "composite"
        path = tuple(each.name for each in chain[:-1])
        return Box(str(number), group.scope.name, tuple(lines), kind, path, group.nodes, lit)

    def _node_box(self, number: int, group: Group, *, lit: bool) -> Box:
        index = group.nodes[0]
        node = self.graph.nodes[index]
        name = self.names[index]
        formula = "" if node.is_leaf else formula_text(self.graph, index, self.names)
        title = f"{name} = {formula}" if formula else name
        path = tuple(each.name for each in visible_chain(node.scope))
        lines = tuple(self._numbers(index, ""))
        return Box(str(number), title, lines, self._kind(index), path, group.nodes, lit, name)

    def _kind(self, index: int) -> BoxKind:
        node = self.graph.nodes[index]
        if node.is_leaf:
            if node.primitive is PARAMETER:
                return "leaf-parameter"
            return "constant" if node.primitive is CONSTANT else "leaf-input"
        return "output" if index in self.outputs else "operation"

    def _size_text(self, number: int, group: Group) -> str:
        operations = sum(not self.graph.nodes[k].is_leaf for k in group.nodes)
        leaves = len(group.nodes) - operations
        parts = [_count(operations, "operation")] + ([_count(leaves, "leaf")] if leaves else [])
        if number in self.calls:
            call, calls = self.calls[number]
            parts.append(f"call {call} of {calls}")
        return ", ".join(parts)

    def _exits(self, group: Group) -> list[int]:
        """Return the nodes of a folded group whose values are used outside it."""
        inside = set(group.nodes)
        return [
            k
            for k in group.nodes
            if k in self.outputs
            or any(consumer not in inside for consumer, _ in self.graph.consumers[k])
        ]

    def _numbers(self, index: int, name: str) -> list[Line]:
        """Write the value and the gradient of a node."""
        node = self.graph.nodes[index]
        value = self.values[index] if self.values is not None else None
        if value is None and node.primitive is CONSTANT:
            value = node.attributes["value"].array
        lines = []
        if value is not None:
            lines.append(Line(line_text(name, value), "value"))
        else:
            text = spec_text(node.spec)
            if text:
                lines.append(Line(f"{name}: {text}" if name else text, "note"))
        gradient = self.gradients[index] if self.gradients is not None else None
        if gradient is not None:
            lines.append(Line(self._gradient_text(index, np.asarray(gradient)), "gradient"))
        elif self.gradients is not None and self._expects_gradient(index):
            lines.append(Line("no gradient", "note"))
        return lines

    def _expects_gradient(self, index: int) -> bool:
        """Whether the absence of a gradient is worth a word."""
        node = self.graph.nodes[index]
        floating = node.dtype.kind == "f"
        return floating and (node.primitive is PARAMETER or not node.is_leaf)

    def _gradient_text(self, index: int, gradient: Array) -> str:
        name = self.names[index]
        if len(self.result) + len(name) > _LONGEST_DERIVATIVE:
            name = "·"
        return line_text(f"∂{self.result}/∂{name}", gradient)


def _edges(graph: Graph, folding: Folding, locals: Local, lit: frozenset[int]) -> Iterable[Edge]:
    """Join the operands of the graph into at most one arrow between two boxes."""
    labels: dict[tuple[int, int], list[str]] = {}
    bright: set[tuple[int, int]] = set()
    for consumer, node in enumerate(graph.nodes):
        target = folding.owner[consumer]
        for position, operand in enumerate(node.inputs):
            source = folding.owner[operand]
            if source < 0 or source == target:
                continue
            pair = (source, target)
            found = labels.setdefault(pair, [])
            local = locals.get((consumer, position))
            both = folding.groups[source].kind == folding.groups[target].kind == "node"
            if local is not None and both:
                found.append(local_text(local))
            if consumer in lit and operand in lit:
                bright.add(pair)
    for pair, texts in labels.items():
        yield Edge(str(pair[0]), str(pair[1]), " and ".join(texts), pair in bright)


def _caption(graph: Graph, folding: Folding) -> str:
    """Say what the picture does not show node by node."""
    folded = [group for group in folding.groups if group.kind == "scope"]
    left_out = sum(len(g.nodes) for g in folding.groups if g.kind == "elided")
    if not folded and not left_out:
        return ""
    boxes = len(folding.groups)
    parts = [f"{_count(len(graph.nodes), 'node')} in {_count(boxes, 'box')}."]
    if folded:
        inside = sum(len(group.nodes) for group in folded)
        parts.append(
            f"Folded into {_count(len(folded), 'module or composite')}: "
            f"{_count(inside, 'node')}; open= shows the inside of one."
        )
    if left_out:
        parts.append(f"Left out and only counted: {_count(left_out, 'node')}.")
    inlined = sum(owner < 0 for owner in folding.owner)
    if inlined:
        parts.append(f"Written inside formulas: {_count(inlined, 'single number')}.")
    return " ".join(parts)


_PLURALS = {"box": "boxes", "leaf": "leaves", "module or composite": "modules and composites"}


def _count(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else _PLURALS.get(what, what + 's')}"
