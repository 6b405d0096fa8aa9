"""The JSON form of a Trace: schema ``backlight.trace``, version 1.

Numbers survive exactly: small arrays are nested lists of the shortest decimal that reads back to
the same number, large ones are base64 of little-endian bytes; NaN and infinities are the strings
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.  docs/trace-schema.md describes every field.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from backlight.errors import BacklightError, DataError
from backlight.graph.check import check
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array, Kind
from backlight.graph.scope import Scope
from backlight.ops import registry
from backlight.ops.leaf import Literal
from backlight.record import Edge, Trace, Update
from backlight.source import Location

FORMAT = "backlight.trace"
VERSION = 1
LISTED = 256
"""Arrays of at most this many entries are written as lists."""
MOST_BYTES = 1 << 31


def trace_to_dict(trace: Trace) -> dict[str, Any]:
    """Return a trace as plain JSON data."""
    scopes: dict[int, int] = {}
    table: list[dict[str, Any]] = []
    graph = graph_to_dict(trace.graph, scopes, table)
    for entry, value, gradient in zip(graph["nodes"], trace.values, trace.gradients, strict=True):
        entry["value"] = array_to_json(value)
        entry["gradient"] = None if gradient is None else array_to_json(gradient)
    update = None
    if trace.update is not None:
        rule = graph_to_dict(trace.update.graph, scopes, table)
        for entry, value in zip(rule["nodes"], trace.update.values, strict=True):
            entry["value"] = array_to_json(value)
        update = {"optimizer": trace.update.optimizer, "graph": rule}
    return {
        "format": FORMAT,
        "version": VERSION,
        "about": dict(trace.about),
        "graph": graph,
        "output": trace.output,
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "position": edge.position,
                "local": None if edge.local is None else array_to_json(edge.local),
                "contribution": array_to_json(edge.contribution),
            }
            for edge in trace.edges
        ],
        "update": update,
        "scopes": table,
    }


def graph_to_dict(
    graph: Graph, scopes: dict[int, int], table: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a graph as plain JSON data; scopes go to a table that graphs share."""
    return {
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "nodes": [
            {
                "name": node.name,
                "named": node.named,
                "operation": node.primitive.name,
                "kind": str(node.primitive.kind),
                "inputs": list(node.inputs),
                "attributes": {
                    key: attribute_to_json(each) for key, each in node.attributes.items()
                },
                "shape": list(node.shape),
                "dtype": dtype_name(node.dtype),
                "location": None
                if node.location is None
                else {
                    "file": node.location.file,
                    "line": node.location.line,
                    "function": node.location.function,
                    "text": node.location.text,
                },
                "scope": _scope_number(node.scope, scopes, table),
            }
            for node in graph.nodes
        ],
    }


def _scope_number(
    scope: Scope | None, scopes: dict[int, int], table: list[dict[str, Any]]
) -> int | None:
    if scope is None:
        return None
    for each in scope.chain():
        if id(each) not in scopes:
            parent = None if each.parent is None else scopes[id(each.parent)]
            scopes[id(each)] = len(table)
            table.append({"name": each.name, "kind": each.kind, "parent": parent})
    return scopes[id(scope)]


def attribute_to_json(value: Any) -> Any:
    """Write a static attribute; what JSON lacks becomes a dictionary with one telling key."""
    if isinstance(value, tuple):
        return {"tuple": [attribute_to_json(each) for each in value]}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": str(np.dtype(value))}
    if isinstance(value, Literal):
        return {"array": array_to_json(value.array)}
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": _number(value)}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise DataError(f"An attribute of type {type(value).__name__} cannot be written as JSON.")


def attribute_from_json(value: Any) -> Any:
    """Read what `attribute_to_json` wrote."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key == "tuple" and isinstance(inner, list):
            return tuple(attribute_from_json(each) for each in inner)
        if key == "dtype":
            return _dtype(inner)
        if key == "array":
            return Literal(array_from_json(inner))
        if key == "float":
            return float(inner)
    raise DataError(f"The trace has an attribute that is not understood: {str(value)[:60]}.")


def array_to_json(array: Array) -> dict[str, Any]:
    """Write an array with its dtype and shape."""
    array = np.asarray(array)
    header = {"dtype": dtype_name(array.dtype), "shape": list(array.shape)}
    if array.shape == ():
        return header | {"data": [_number(array.item())]}
    if array.size <= LISTED:
        return header | {"data": [_number(each) for each in array.reshape(-1).tolist()]}
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    return header | {"base64": base64.b64encode(little.tobytes()).decode("ascii")}


@lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return a dtype's name; NumPy takes microseconds to find it."""
    return str(dtype)


def _number(value: float | int | bool) -> float | int | bool | str:
    if isinstance(value, float):
        if value != value:
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
    return value


def array_from_json(data: Any) -> Array:
    """Read what `array_to_json` wrote, checking sizes before anything is allocated."""
    if not isinstance(data, dict):
        raise DataError("The trace has an array that is not written as one.")
    dtype = _dtype(data.get("dtype"))
    shape = data.get("shape")
    if not isinstance(shape, list) or not all(type(k) is int and 0 <= k < 2**31 for k in shape):
        raise DataError("The trace has an array whose shape is not a list of counts.")
    count = 1
    for each in shape:
        count *= each
    if count * dtype.itemsize > MOST_BYTES:
        raise DataError("The trace has an array of more than 2 GiB, which is refused.")
    if "data" in data:
        listed = data["data"]
        if not isinstance(listed, list) or len(listed) != count:
            raise DataError(f"The trace has an array of shape {shape} without {count} entries.")
        try:
            values = [float(each) if isinstance(each, str) else each for each in listed]
            flat = np.array(values, dtype=dtype)
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"The trace has an array with an entry that is no {dtype}.") from None
        if flat.shape != (count,):
            raise DataError("The trace has an array with nested entries.")
    else:
        try:
            raw = base64.b64decode(data.get("base64", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise DataError("The trace has an array with damaged base64.") from None
        if len(raw) != count * dtype.itemsize:
            raise DataError(f"The trace has an array of shape {shape} with a wrong length.")
        flat = np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype)
    array = flat.reshape(shape)
    array.flags.writeable = False
    return array


def _dtype(name: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name) if isinstance(name, str) else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "biuf":
        raise DataError(f"The trace names an unknown dtype: {str(name)[:40]!r}.")
    return dtype


def trace_from_json(text: str) -> Trace:
    """Read a trace; anything that is not one gives a `DataError` of one sentence."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # broken, nested too deeply, a huge integer
        raise DataError(f"The text is not JSON ({str(error)[:80]}), so it is no trace.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(f"The JSON is not a {FORMAT}; its field 'format' should say so.")
    if data.get("version") != VERSION:
        found = str(data.get("version"))[:40]
        raise DataError(
            f"The trace has version {found}, and this Backlight reads version {VERSION}."
        )
    try:
        return _trace(data)
    except BacklightError as error:
        raise DataError(f"The trace is damaged: {_line(error)}.") from None
    except KeyError as error:
        raise DataError(f"The trace is damaged: the field {_line(error)} is missing.") from None
    except (
        TypeError, IndexError, AttributeError, ValueError, OverflowError, MemoryError,
        RecursionError,
    ) as error:  # fmt: skip
        raise DataError(f"The trace is damaged: {_line(error) or type(error).__name__}.") from None


def _line(error: Exception) -> str:
    """What an error says, on one line and not at length."""
    return " ".join(str(error).split())[:200].rstrip(".")


def _trace(data: Mapping[str, Any]) -> Trace:
    scopes = _scopes(data["scopes"])
    graph, entries = _graph(data["graph"], scopes)
    count = len(graph)
    values = tuple(array_from_json(each["value"]) for each in entries)
    gradients = tuple(
        None if each["gradient"] is None else array_from_json(each["gradient"]) for each in entries
    )
    for node, value, gradient in zip(graph.nodes, values, gradients, strict=True):
        for array in (value, gradient):
            if array is not None and (array.shape, array.dtype) != (node.shape, node.dtype):
                raise DataError(f"{node.name} has numbers of another shape or dtype than its own.")
    edges = [_edge(each, graph) for each in data["edges"]]
    _check_edges(edges, graph, gradients)
    output = data["output"]
    if not (type(output) is int and 0 <= output < count and graph.nodes[output].shape == ()):
        raise DataError("The output is not a scalar node.")
    update = None
    if data["update"] is not None:
        rule, rule_entries = _graph(data["update"]["graph"], scopes)
        update = Update(
            rule,
            tuple(array_from_json(each["value"]) for each in rule_entries),
            str(data["update"]["optimizer"]),
        )
    return Trace(graph, values, gradients, tuple(edges), output, update, dict(data["about"]))


def _edge(data: Mapping[str, Any], graph: Graph) -> Edge:
    numbers = [data[key] for key in ("source", "target", "position")]
    source, target, position = numbers
    if any(type(each) is not int for each in numbers) or not 0 <= target < len(graph):
        raise DataError("An edge does not name two nodes of the graph.")
    node = graph.nodes[target]
    if not 0 <= position < len(node.inputs) or node.inputs[position] != source:
        raise DataError(f"The edge {source} → {target} is not in the graph.")
    local = None if data["local"] is None else array_from_json(data["local"])
    contribution = array_from_json(data["contribution"])
    shape = graph.nodes[source].shape
    if contribution.shape != shape:
        raise DataError(f"The contribution of {node.name} has a wrong shape.")
    if node.primitive.partial(position) is not None:
        of = shape if node.primitive.kind is Kind.REDUCE else node.shape
        if local is None or np.broadcast_shapes(local.shape, of) != of:
            raise DataError(f"The local derivative of {node.name} is missing or has a wrong shape.")
    return Edge(source, target, position, local, contribution)


def _check_edges(edges: Sequence[Edge], graph: Graph, gradients: Sequence[Array | None]) -> None:
    """Raise unless there is one edge wherever a gradient flowed, and none elsewhere."""
    expected = {
        (source, target, position)
        for target, node in enumerate(graph.nodes)
        for position, source in enumerate(node.inputs)
        if gradients[target] is not None
        and gradients[source] is not None
        and node.dtype.kind == graph.nodes[source].dtype.kind == "f"
        and node.primitive.flows(position)
    }
    found = [(each.source, each.target, each.position) for each in edges]
    if len(found) != len(set(found)):
        raise DataError("An edge is listed twice.")
    wrong = expected.symmetric_difference(found)
    if wrong:
        source, target, position = min(wrong)
        what = "is missing" if (source, target, position) in expected else "carries no gradient"
        raise DataError(
            f"The edge {graph.nodes[source].name} → {graph.nodes[target].name} (operand "
            f"{position}) {what}."
        )


def _scopes(table: list[Any]) -> list[Scope]:
    made: list[Scope] = []
    for each in table:
        parent = None if each["parent"] is None else made[each["parent"]]
        made.append(Scope(str(each["name"]), each["kind"], parent))
    return made


def _graph(data: Mapping[str, Any], scopes: list[Scope]) -> tuple[Graph, list[Any]]:
    known = registry()
    nodes = []
    for each in data["nodes"]:
        operation = each["operation"]
        if operation not in known:
            raise DataError(
                f"it uses the operation {str(operation)[:40]!r}, which is not registered here; "
                f"define it with bl.primitive before reading."
            )
        place = each["location"]
        location = (
            None
            if place is None
            else Location(str(place["file"]), int(place["line"]), str(place["function"]))
        )
        nodes.append(
            Node(
                known[operation],
                tuple(int(k) for k in each["inputs"]),
                {key: attribute_from_json(value) for key, value in each["attributes"].items()},
                tuple(int(k) for k in each["shape"]),
                _dtype(each["dtype"]),
                str(each["name"]),
                bool(each["named"]),
                location,
                None if each["scope"] is None else scopes[each["scope"]],
            )
        )
    graph = Graph(tuple(nodes), tuple(data["inputs"]), tuple(data["outputs"]))
    for node in check(graph).nodes:
        _check_attributes(node)
    return graph, list(data["nodes"])


def _check_attributes(node: Node) -> None:
    """Raise unless every rule of the operation takes the operands and attributes of the node."""
    primitive = node.primitive
    if node.is_leaf:
        return
    operands = range(len(node.inputs))
    partials = (primitive.partial(position) for position in operands)
    for rule in (primitive.evaluate, *(each for each in partials if each is not None)):
        # The first argument is the array library or the output.
        try:
            _signature(rule).bind(None, *operands, **node.attributes)
        except TypeError as error:
            raise DataError(f"{node.name} = {primitive.name}: {error}") from None


@lru_cache(maxsize=1024)
def _signature(rule: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(rule)
