"""Traces as the studio's page reads them: schema ``backlight.trace`` with large arrays summarised.

It takes a trace and gives plain JSON data of bounded size; docs/studio-protocol.md describes what
is added to the schema.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from backlight.draw.words import formula_text, short_names
from backlight.errors import BacklightError
from backlight.explain.entries import Entry
from backlight.explain.formulas import Formulas
from backlight.explain.render import finite
from backlight.explain.symbols import Symbols, symbols_of
from backlight.graph.notation import MATHML, UNICODE, Expression, Symbol
from backlight.graph.primitive import Array, Kind
from backlight.ops.leaf import CONSTANT, PARAMETER
from backlight.record import Edge, Trace, Update
from backlight.schema import FORMAT, VERSION, dtype_name, graph_to_dict

LISTED = 1024
"""Arrays of at most this many entries are listed; of larger ones a summary is given."""
MOST_NODES = 2000
"""Graphs of more nodes are not given whole."""
MOST_LEAVES = 300
"""Nodes that are given of a graph that is too large."""

Json = dict[str, Any]


def plain(value: Any) -> Any:
    """Return what JSON can hold: arrays as lists, NaN and infinities as strings.

    Examples
    --------
    >>> plain({"a": np.array([1.0, np.nan]), "b": np.int64(2)})
    {'a': [1.0, 'NaN'], 'b': 2}
    """
    if isinstance(value, np.ndarray):
        return finite(value.tolist())
    if isinstance(value, np.generic):
        return finite(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return finite(value)


def array_payload(array: Array, listed: int = LISTED) -> Json:
    """Write an array with its entries, or with a summary when there are many.

    Examples
    --------
    >>> array_payload(np.array([1.0, -2.0]))
    {'dtype': 'float64', 'shape': [2], 'data': [1.0, -2.0]}
    >>> array_payload(np.zeros(2000))["summary"]["zero"]
    2000
    """
    array = np.asarray(array)
    written: Json = {"dtype": dtype_name(array.dtype), "shape": list(array.shape)}
    if array.size <= listed:
        return written | {"data": finite(array.reshape(-1).tolist())}
    return written | {"summary": summary(array)}


def summary(array: Array) -> Json:
    """Describe a large array by a few numbers."""
    wide = array.reshape(-1).astype(np.float64)
    good = np.isfinite(wide)
    kept = wide if good.all() else wide[good]
    some = kept.size > 0
    return {
        "norm": norm(array),
        "min": float(kept.min()) if some else None,
        "max": float(kept.max()) if some else None,
        "mean": float(kept.mean()) if some else None,
        "zero": int(np.count_nonzero(wide == 0)),
        "nonfinite": int(wide.size - np.count_nonzero(good)),
    }


def norm(array: Array) -> float | str:
    """Return the Euclidean norm of all entries, as JSON has it."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = float(np.linalg.norm(np.asarray(array).reshape(-1).astype(np.float64)))
    written: float | str = finite(found)
    return written


def trace_payload(trace: Trace) -> tuple[Json, Json]:
    """Return a trace and what is said beside it, both as plain JSON data.

    Parameters
    ----------
    trace : Trace

    Returns
    -------
    trace : dict
        Schema ``backlight.trace`` version 1 with large arrays summarised.
    folds : dict
        ``drawn``, the number of nodes given, and ``too_large``, a sentence or None.
    """
    count = len(trace.graph)
    chosen = range(count) if count <= MOST_NODES else _few(trace)
    too_large = None
    if count > MOST_NODES:
        too_large = (
            f"The graph has {count:,} nodes, too many to draw; choose a weight in the outline, "
            f"and its derivation and its paths are shown."
        )
    written = _graph(trace, chosen)
    edges = [] if too_large else _edges(trace)
    return (
        {
            "format": FORMAT,
            "version": VERSION,
            "about": plain(trace.about),
            "graph": written,
            "output": trace.output,
            "edges": edges,
            "update": None if trace.update is None else _update(trace.update),
            "scopes": written.pop("scopes"),
        },
        {"drawn": len(chosen), "too_large": too_large},
    )


def _update(update: Update) -> Json:
    """Write the optimizer's rule; its scopes are left out, because names say them."""
    written = graph_to_dict(update.graph, {}, [])
    for entry, value in zip(written["nodes"], update.values, strict=True):
        entry["value"] = array_payload(value, 64)
        entry["scope"] = None
        if not entry["inputs"]:
            entry["attributes"] = {}
    return {"optimizer": update.optimizer, "graph": written}


def _few(trace: Trace) -> list[int]:
    leaves = [k for k, node in enumerate(trace.graph.nodes) if node.is_leaf and node.named]
    return sorted({*leaves[: MOST_LEAVES - 1], trace.output})


def _graph(trace: Trace, chosen: range | list[int]) -> Json:
    graph = trace.graph
    scopes: list[Json] = []
    whole = graph_to_dict(graph, {}, scopes)
    names = short_names(graph)
    symbols = symbols_of(trace).bases
    nodes = []
    for index in chosen:
        node = graph.nodes[index]
        entry: Json = whole["nodes"][index]
        gradient = trace.gradients[index]
        if node.is_leaf:
            entry["attributes"] = {}  # what is there repeats the value
        entry["position"] = index
        entry["value"] = array_payload(trace.values[index])
        entry["gradient"] = None if gradient is None else array_payload(gradient)
        entry["symbol"] = UNICODE.expression(symbols[index])
        entry["role"] = _role(trace, index)
        entry["formula"] = None if node.is_leaf else formula_text(graph, index, names)
        nodes.append(entry)
    return {**whole, "nodes": nodes, "scopes": scopes}


def _role(trace: Trace, index: int) -> str | None:
    node = trace.graph.nodes[index]
    if not node.is_leaf:
        return None
    if node.primitive is PARAMETER:
        return "parameter"
    return "constant" if node.primitive is CONSTANT else "input"


def _edges(trace: Trace) -> list[Json]:
    rules = _Rules(trace)
    written = []
    for edge in trace.edges:
        rule = rules.of(edge)
        written.append(
            {
                "source": edge.source,
                "target": edge.target,
                "position": edge.position,
                "local": None if edge.local is None else array_payload(edge.local),
                "contribution": array_payload(edge.contribution),
                "rule": None if rule is None else UNICODE.expression(rule),
                "mathml": None
                if rule is None
                else f"<math><mrow>{MATHML.expression(rule)}</mrow></math>",
            }
        )
    return written


class _Rules:
    """The local derivatives of elementwise operations in symbols, for whole tensors."""

    def __init__(self, trace: Trace) -> None:
        names = short_names(trace.graph)
        bases = {
            index: found if found.superscript else Symbol(names[index])
            for index, found in symbols_of(trace).bases.items()
        }
        visible = frozenset(
            index
            for index, node in enumerate(trace.graph.nodes)
            if not (node.primitive is CONSTANT and node.shape == ())
        )
        self.trace = trace
        self.formulas = Formulas(trace, Symbols(bases, frozenset(), visible, indexed=False))

    def of(self, edge: Edge) -> Expression | None:
        """Write the rule of one edge, or None where there is no entry-by-entry one."""
        node = self.trace.graph.nodes[edge.target]
        source = self.trace.graph.nodes[edge.source]
        empty = 0 in node.shape or 0 in source.shape
        if node.primitive.kind is not Kind.ELEMENTWISE or edge.local is None or empty:
            return None
        value = float(edge.local.reshape(-1)[0]) if edge.local.size else math.nan
        try:
            return self.formulas.local(edge, Entry(edge.target, 0), Entry(edge.source, 0), value)
        except BacklightError:  # a rule that cannot be run on single numbers has no formula here
            return None
