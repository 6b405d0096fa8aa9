"""Leave out what no result needs."""

from __future__ import annotations

from backlight.graph.graph import Graph
from backlight.passes.rewrite import Rewriter, Tally


def eliminate_dead(graph: Graph, *, tally: Tally | None = None) -> Graph:
    """Drop the nodes that no output depends on; inputs stay.

    Parameters
    ----------
    graph : Graph
    tally : Counter, optional
        Counts the nodes that were dropped.

    Returns
    -------
    Graph
        The same object when everything is needed.

    Examples
    --------
    >>> import backlight as bl
    >>> graph = bl.trace(lambda x: (bl.exp(x), x + 1.0)[1], 2.0)
    >>> len(graph) == len(eliminate_dead(graph))
    True
    """
    nodes = graph.nodes
    needed = bytearray(len(nodes))
    for index in (*graph.inputs, *graph.outputs):
        needed[index] = 1
    for index in range(len(nodes) - 1, -1, -1):
        if needed[index]:
            for operand in nodes[index].inputs:
                needed[operand] = 1
    missing = len(nodes) - sum(needed)
    if not missing:
        return graph
    if tally is not None:
        tally["eliminate_dead"] += missing
    rewriter = Rewriter(graph)
    for wanted, node in zip(needed, nodes, strict=True):
        if wanted:
            rewriter.keep(rewriter.current(node))
        else:
            rewriter.drop()
    return rewriter.finish()
