"""Constant folding: what depends on constants only is computed before the program runs."""

from __future__ import annotations

import math
import warnings

import numpy as np

from backlight.errors import BacklightError
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array, Kind
from backlight.ops.convert import IDENTITY
from backlight.ops.leaf import CONSTANT, Literal
from backlight.passes.rewrite import Rewriter, Tally, Varying

LARGEST_FOLDED = 4096
"""Results with more entries are not folded."""

_SMALL = 16
"""So many entries a result may have even when its operands have fewer."""


def fold_constants(graph: Graph, *, tally: Tally | None = None) -> Graph:
    """Replace operations on constants by their values, by the reference's rules.

    Nothing is folded that has more entries than its operands, so that repeated numbers stay
    numbers, and nothing that overflows, divides by zero or raises: that happens, and is said,
    when the program runs.

    Parameters
    ----------
    graph : Graph
    tally : Counter, optional
        Counts the operations that were folded.

    Returns
    -------
    Graph
        The same object when there was nothing to fold.

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.passes import eliminate_dead, simplify
    >>> graph = bl.trace(lambda x: x + bl.exp(0.0 * x.detach() ** 0.0), 1.0)
    >>> print(eliminate_dead(fold_constants(simplify(graph))))
    graph(x: float64[])
      s: float64[] = add(x, 1.0)
      return s
    """
    constants = {k for k, node in enumerate(graph.nodes) if node.primitive is CONSTANT}
    if not any(node.inputs and constants.issuperset(node.inputs) for node in graph.nodes):
        return graph
    rewriter = Rewriter(graph)
    fixed = bytearray()  # for each new node, whether it is a constant
    count = 0
    for old in graph.nodes:
        node = rewriter.current(old)
        inputs = node.inputs
        if inputs and all(fixed[each] for each in inputs):
            value = _value(rewriter, node)
            if value is not None:
                count += 1
                rewriter.changed = True
                if rewriter.is_output:  # a result stays a node of its own
                    made = rewriter.make_constant(node, value)
                    fixed.append(1)
                    node = rewriter.become(node, IDENTITY, (made,))
                else:
                    node = rewriter.become(node, CONSTANT, (), {"value": Literal(value)})
        fixed.append(
            node.primitive is CONSTANT and not isinstance(node.attributes["value"], Varying)
        )
        rewriter.keep(node)
    if tally is not None and count:
        tally["fold_constants"] += count
    return rewriter.finish()


def _value(rewriter: Rewriter, node: Node) -> Array | None:
    """Return the value of a node with constant operands, or None when it is not to be folded."""
    primitive = node.primitive
    if not primitive.pure or primitive.facts.transparent or primitive.kind is Kind.RANDOM:
        return None
    operands = [rewriter.nodes[each] for each in node.inputs]
    size = math.prod(node.shape)
    if size > LARGEST_FOLDED or size > max(_SMALL, sum(math.prod(each.shape) for each in operands)):
        return None
    # Numbers without axes are given as the reference gives them, so that the bits are the same.
    values = [each.attributes["value"].array[()] for each in operands]
    try:
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            value = np.asarray(primitive.evaluate(np, *values, **node.attributes))
    except (ArithmeticError, ValueError, TypeError, Warning, BacklightError):
        return None
    return value if value.shape == node.shape and value.dtype == node.dtype else None
