"""What if a value were another: the recorded computation once more with some entries changed.

It takes a trace and edits of its leaves and gives a new trace; the run that the trace came from
is untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backlight.errors import UsageError
from backlight.explain import flat_index
from backlight.graph.primitive import Array, Spec
from backlight.ops.leaf import CONSTANT, INPUT, PARAMETER, Literal
from backlight.record import Trace, record
from backlight.studio.asking import Edit
from backlight.tensor import Tensor, leaf, quiet
from backlight.trace import rebuild


def what_if(trace: Trace, edits: Sequence[Edit]) -> Trace:
    """Run a trace's computation again with other leaves.

    Parameters
    ----------
    trace : Trace
    edits : sequence of Edit

    Returns
    -------
    Trace
        Without an optimizer's update, since no step was taken with these values.

    Raises
    ------
    UsageError, ShapeError, UnknownNameError
        When an edit names no leaf, or no entry of it.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(3.0, name="w")
    >>> other = what_if(bl.record(w * w), [Edit("w", (), 5.0)])
    >>> float(other.gradient("w"))
    10.0
    """
    if not edits:
        return trace
    with quiet(), np.errstate(all="ignore"):
        tensors = again(trace, edits)
        about = {**trace.about, "edits": [each.to_dict() for each in edits]}
        wrt = [
            tensors[index]
            for index, node in enumerate(trace.graph.nodes)
            if node.is_leaf and trace.gradients[index] is not None and not tensors[index].tracked
        ]
        parameters = [each for each in tensors if each.primitive is PARAMETER and each.tracked]
        return record(tensors[trace.output], wrt=[*parameters, *wrt] if wrt else None, about=about)


def again(trace: Trace, edits: Sequence[Edit] = ()) -> list[Tensor]:
    """Record a trace's nodes again, one tensor for each, with some leaves changed."""
    changed = _changed(trace, edits)
    graph = trace.graph
    constants = {
        index: replace(graph.nodes[index], attributes={"value": Literal(value)})
        for index, value in changed.items()
        if graph.nodes[index].primitive is CONSTANT
    }
    if constants:
        graph = replace(
            graph,
            nodes=tuple(constants.get(index, node) for index, node in enumerate(graph.nodes)),
        )
    leaves = [_leaf(trace, index, changed.get(index)) for index in graph.inputs]
    return rebuild(graph, leaves)


def _leaf(trace: Trace, index: int, changed: Array | None) -> Tensor:
    node = trace.graph.nodes[index]
    value: Any = trace.values[index] if changed is None else changed
    kind = PARAMETER if node.primitive is PARAMETER else INPUT
    held = value[()] if not node.shape else _frozen(value)
    made = leaf(kind, Spec(node.shape, node.dtype), held, node.name if node.named else None)
    made.site = node.location
    made.scope = node.scope
    return made


def _frozen(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _changed(trace: Trace, edits: Sequence[Edit]) -> dict[int, Array]:
    """The new values of the leaves that edits touch."""
    found: dict[int, Array] = {}
    for edit in edits:
        node = _node(trace, edit.node)
        leaf_node = trace.graph.nodes[node]
        if not leaf_node.is_leaf:
            raise UsageError(
                f"{leaf_node.name} is computed from other values; change a leaf such as an input "
                f"or a weight."
            )
        flat = flat_index(leaf_node.name, leaf_node.shape, edit.index)
        if node not in found:
            found[node] = np.array(trace.values[node])
        if leaf_node.dtype.kind != "f" and edit.value != round(edit.value):
            raise UsageError(f"{leaf_node.name} holds whole numbers, so {edit.value:g} cannot be.")
        with np.errstate(over="ignore"):
            found[node].reshape(-1)[flat] = edit.value
    return found


def _node(trace: Trace, node: str | int) -> int:
    if isinstance(node, str):
        return trace.graph.index(node)
    if not 0 <= node < len(trace.graph):
        raise UsageError(f"There is no node {node}; the graph has {len(trace.graph)} nodes.")
    return node
