"""The outline of a computation: modules, parameters, sizes and norms, for the studio's page."""

from __future__ import annotations

import numpy as np

from backlight.graph.node import Node
from backlight.ops.leaf import PARAMETER
from backlight.record import Trace
from backlight.report.payload import Json, norm


def parameter_payload(trace: Trace, node: int) -> Json:
    """Describe one parameter: shape, norms, and the entry of largest gradient."""
    found = trace.graph.nodes[node]
    gradient = trace.gradients[node]
    largest: list[int] | None = None
    if gradient is not None and gradient.size:
        flat = int(np.argmax(np.nan_to_num(np.abs(gradient), nan=np.inf)))
        largest = [int(k) for k in np.unravel_index(flat, gradient.shape)] if found.shape else []
    return {
        "name": found.name,
        "node": node,
        "shape": list(found.shape),
        "size": int(trace.values[node].size),
        "norm": norm(trace.values[node]),
        "gradient_norm": None if gradient is None else norm(gradient),
        "largest": largest,
        "trained": found.primitive is PARAMETER,
    }


def outline(trace: Trace) -> Json:
    """List the modules and parameters of a trace.

    Without parameters that carry a gradient, the leaves that do are listed.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param([3.0, 4.0], name="w")
    >>> found = outline(bl.record(bl.sum(w * w)))
    >>> [(each["name"], each["norm"]) for each in found["parameters"]]
    [('w', 5.0)]
    """
    listed = list(trace.parameters.values()) or [
        index
        for index, node in enumerate(trace.graph.nodes)
        if node.is_leaf and trace.gradients[index] is not None
    ]
    parameters = [parameter_payload(trace, node) for node in listed]
    return {
        "total": sum(each["size"] for each in parameters),
        "modules": _modules(trace, [each["name"] for each in parameters]),
        "parameters": parameters,
    }


def _modules(trace: Trace, names: list[str]) -> list[Json]:
    """The innermost modules in the order of their first node, with what belongs to each."""
    found: dict[str, list[int]] = {}
    for index, node in enumerate(trace.graph.nodes):
        path = _module(node)
        if path:
            found.setdefault(path, []).append(index)
    for name in names:
        head = name.rpartition(".")[0]
        if head:
            found.setdefault(head, [])
    return [
        {
            "name": path,
            "label": path,
            "parameters": [name for name in names if name.rpartition(".")[0] == path],
            "nodes": nodes,
        }
        for path, nodes in found.items()
    ]


def _module(node: Node) -> str:
    scope = node.scope
    while scope is not None:
        if scope.kind == "module":
            return scope.name
        scope = scope.parent
    return ""
