"""Common subexpressions: the same operation on the same operands is done once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Kind
from backlight.ops.leaf import CONSTANT, Literal
from backlight.passes.rewrite import Rewriter, Tally, Varying

LARGEST_COMPARED = 4096
"""Constants with more entries are the same only when they are the same object."""


def eliminate_common(graph: Graph, *, tally: Tally | None = None) -> Graph:
    """Let the first of several equal nodes stand for all of them.

    Equal are nodes of the same primitive with the same attributes and operands, in either order
    where the order makes no difference to any bit.  Random numbers with the same key are equal;
    a user's operation is left alone unless it was declared pure.

    Parameters
    ----------
    graph : Graph
    tally : Counter, optional
        Counts the nodes that another one stands for.

    Returns
    -------
    Graph
        The same object when no two nodes are equal.

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.passes import eliminate_dead
    >>> graph = bl.trace(lambda x, y: (x * y) + (y * x), 2.0, 3.0)
    >>> len(graph), len(eliminate_common(graph))
    (5, 4)
    """
    rewriter = Rewriter(graph)
    nodes, moved = rewriter.nodes, rewriter.moved
    first: dict[Hashable, int] = {}
    count = 0
    for old in graph.nodes:
        node = rewriter.current(old)
        place = len(nodes)
        key = _key(node)
        if key is not None:
            earlier = first.setdefault(key, place)
            if earlier < place and rewriter.share(node, earlier):
                count += 1
                continue
        moved.append(place)
        nodes.append(node)
    if tally is not None and count:
        tally["eliminate_common"] += count
    return rewriter.finish()


def _key(node: Node) -> Hashable | None:
    """Return what equal nodes have in common; None for a node that is like no other."""
    primitive = node.primitive
    if primitive is CONSTANT:
        return _constant_key(node.attributes["value"])
    if primitive.kind is Kind.LEAF or not primitive.pure:
        return None
    inputs = node.inputs
    if primitive.facts.commutative and inputs[0] > inputs[1]:
        inputs = (inputs[1], inputs[0])
    if not node.attributes:
        return primitive, inputs
    attributes = tuple([(key, _exact(each)) for key, each in node.attributes.items()])
    key = (primitive, inputs, attributes)
    try:
        hash(key)
    except TypeError:  # an attribute that cannot be compared
        return None
    return key


def _exact(value: Any) -> Hashable:
    """Tell 0.0 from −0.0, and 1 from 1.0 and True, which are equal to Python."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, bool):
        return ("bool", value)
    found: Hashable = value
    return found


def _constant_key(value: Literal) -> Hashable:
    array = value.array
    if isinstance(value, Varying):
        return (CONSTANT, id(value))
    if array.size > LARGEST_COMPARED:
        return (CONSTANT, id(value))
    return (CONSTANT, array.dtype.str, array.shape, array.tobytes())
