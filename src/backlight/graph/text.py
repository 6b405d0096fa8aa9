"""The textual form of a graph: one line a node, readable top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.scope import Scope

LONGEST = 200
"""Graphs with more nodes are printed with the middle left out."""


def graph_text(graph: Graph, *, longest: int = LONGEST) -> str:
    """Write a graph as text.

    Parameters
    ----------
    graph : Graph
    longest : int
        When there are more nodes, the first and last halves of this number are printed and the
        number of those between is said.

    Examples
    --------
    >>> import backlight as bl
    >>> print(bl.trace(lambda w, x: bl.sum(w * x), bl.ones(3), bl.ones(3)))
    graph(w: float64[3], x: float64[3])
      p: float64[3] = mul(w, x)
      s: float64[] = sum(p, axes=(0,))
      return s
    """
    arguments = ", ".join(f"{graph.nodes[k].name}: {graph.nodes[k].spec}" for k in graph.inputs)
    lines = [f"graph({arguments})"]
    given = set(graph.inputs)
    shown = [
        k
        for k, node in enumerate(graph.nodes)
        if k not in given and (_inline(node) is None or k in graph.outputs)
    ]
    dropped = 0
    if len(shown) > longest:
        dropped = len(shown) - longest
        shown = [*shown[: longest // 2], -1, *shown[-(longest // 2) :]]
    width = max((len(_left(graph.nodes[k])) for k in shown if k >= 0), default=0)
    scope: Scope | None = None
    for index in shown:
        if index < 0:
            lines.append(f"  … {dropped:,} more nodes …")
            continue
        node = graph.nodes[index]
        if node.scope is not scope:
            scope = node.scope
            if scope is not None:
                lines.append(f"  ── {scope.path}")
        body = f"  {_left(node)} = {_right(graph, node)}"
        # A line of an interactive session cannot be looked up, so it is not worth its space.
        known = node.location is not None and not node.location.file.startswith("<")
        place = f"{node.location}" if known else ""
        lines.append(body if not place else f"{body:<{max(width + 30, 48)}}  # {place}")
    results = ", ".join(graph.nodes[k].name for k in graph.outputs)
    lines.append(f"  return {results}")
    return "\n".join(lines)


def _left(node: Node) -> str:
    return f"{node.name}: {node.spec}"


def _right(graph: Graph, node: Node) -> str:
    operands = [_inline(graph.nodes[k]) or graph.nodes[k].name for k in node.inputs]
    return f"{node.primitive.name}({', '.join(operands + attribute_texts(node.attributes))})"


def _inline(node: Node) -> str | None:
    """Write a single number in the place where it is used; None for everything else."""
    if node.is_leaf and node.shape == () and "value" in node.attributes:
        return repr(node.attributes["value"])
    return None


def attribute_texts(attributes: Mapping[str, Any]) -> list[str]:
    """Write attributes as ``key=value``."""
    return [f"{key}={value!r}" for key, value in attributes.items()]
