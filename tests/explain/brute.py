"""Every path through a small recorded graph, found without the explainer.

Local derivatives come from the backward rules, one unit at a time; which entry depends on which is
found by putting NaN into one entry of an operand and looking where it comes out.
"""

from __future__ import annotations

import math

import numpy as np

from backlight.differentiate.reverse import contribute
from backlight.graph.primitive import Kind
from backlight.ops.piecewise import WHERE
from backlight.record import Edge, Trace
from backlight.tensor import literal, quiet, record


def jacobian(trace: Trace, edge: Edge) -> np.ndarray:
    """∂target/∂source along one edge as a matrix: entries of the target by those of the source."""
    node = trace.graph.nodes[edge.target]
    with quiet():
        operands = [literal(trace.values[k]) for k in node.inputs]
        consumer = record(node.primitive, operands, node.attributes)
        rows = []
        for entry in range(consumer.size):
            unit = np.zeros(node.shape)
            unit.reshape(-1)[entry] = 1.0
            rows.append(contribute(consumer, edge.position, literal(unit)).value.value.reshape(-1))
    return np.array(rows).reshape(consumer.size, -1)


def depends(trace: Trace, edge: Edge) -> np.ndarray:
    """Which entries of the target depend on which of the source, as a Boolean matrix."""
    node = trace.graph.nodes[edge.target]
    source = trace.values[edge.source]
    operands = [np.array(trace.values[k], order="C") for k in node.inputs]
    if node.primitive is WHERE:  # it hides the NaN of what it did not choose
        operands[0] = np.full(operands[0].shape, edge.position == 1)
    elif node.primitive.kind is Kind.ELEMENTWISE:  # NaN⁰ is 1, so the others are no special values
        operands = [np.full(each.shape, 1.5) for each in operands]
        source = operands[edge.position]
    columns = []
    for entry in range(source.size):
        spoiled = np.array(source, dtype=np.float64, order="C")
        spoiled.reshape(-1)[entry] = math.nan
        operands[edge.position] = spoiled
        with np.errstate(all="ignore"):
            value = node.primitive.evaluate(np, *operands, **node.attributes)
        columns.append(np.isnan(np.asarray(value).reshape(-1)))
    return np.array(columns).reshape(source.size, -1).T


def counted(trace: Trace, node: int) -> np.ndarray:
    """The number of paths from each entry of a node to the output."""
    known: dict[int, np.ndarray] = {trace.output: np.ones(1)}
    for index in range(trace.output - 1, node - 1, -1):
        total = np.zeros(max(1, trace.values[index].size))
        for edge in trace.outgoing[index]:
            if edge.target in known:
                total = total + known[edge.target] @ depends(trace, edge)
        known[index] = total
    return known[node]


def contributions(trace: Trace, node: int, flat: int) -> list[float]:
    """The product of local derivatives along every path from one entry to the output."""
    matrices = {}
    found = []
    waiting = [(node, flat, 1.0)]
    while waiting:
        index, entry, product = waiting.pop()
        if index == trace.output:
            found.append(product)
            continue
        for edge in trace.outgoing[index]:
            key = (edge.target, edge.position)
            if key not in matrices:
                matrices[key] = (jacobian(trace, edge), depends(trace, edge))
            locals_, structure = matrices[key]
            waiting.extend(
                (edge.target, int(row), product * locals_[row, entry])
                for row in np.flatnonzero(structure[:, entry])
            )
    return found
