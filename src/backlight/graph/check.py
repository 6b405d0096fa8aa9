"""The type-checker for graphs: order, arity, dangling inputs, shapes and dtypes.

Every pass is followed by `check` in tests and in debug mode, so that a broken graph is named where
it was broken and not where it crashes.
"""

from __future__ import annotations

from backlight.errors import BacklightError, GraphError
from backlight.graph.graph import Graph


def check(graph: Graph) -> Graph:
    """Return the graph, or raise when it is not well formed.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        The same graph, so that a pass can end with ``return check(graph)``.

    Raises
    ------
    GraphError
        Naming the node and what is wrong with it.

    Examples
    --------
    >>> import backlight as bl
    >>> check(bl.trace(lambda x: bl.exp(x), 1.0))
    <graph of 2 nodes>
    """
    names: set[str] = set()
    count = len(graph.nodes)
    for index, node in enumerate(graph.nodes):
        where = f"node {index} ({node.name} = {node.primitive.name})"
        if node.name in names:
            raise GraphError(f"{where}: another node has the same name.")
        names.add(node.name)
        for operand in node.inputs:
            if not 0 <= operand < count:
                raise GraphError(f"{where}: its operand {operand} is not in the graph.")
            if operand >= index:
                raise GraphError(f"{where}: its operand {operand} does not come before it.")
        try:
            specs = [graph.nodes[operand].spec for operand in node.inputs]
            spec = node.primitive.specify(*specs, **node.attributes)
        except BacklightError as error:
            raise GraphError(f"{where}: {error}") from error
        except TypeError as error:
            raise GraphError(f"{where}: operands or attributes do not fit: {error}.") from error
        if spec.shape != node.shape or spec.dtype != node.dtype:
            raise GraphError(f"{where}: it says {node.spec} and its rule gives {spec}.")
    for kind, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in indices:
            if not 0 <= index < count:
                raise GraphError(f"The graph's {kind} {index} is not one of its {count} nodes.")
    for index in graph.inputs:
        if not graph.nodes[index].is_leaf:
            raise GraphError(f"The graph's input {graph.nodes[index].name} is not a leaf.")
    return graph
