"""Where NaN or infinity comes from: the first node of a computation whose value is not finite.

It names the operation, the source line, the entry and what the operands were there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backlight.errors import GradientError, UsageError
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array, Kind
from backlight.ops.leaf import CONSTANT, INPUT, PARAMETER
from backlight.ops.reduce import SUM
from backlight.record import Edge, Trace, trace_of
from backlight.source import Location
from backlight.tensor import Tensor, quiet
from backlight.tensor import record as record_node
from backlight.trace import capture

VERSION = 1
Index = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OperandValue:
    """What one operand was where the result stopped being finite.

    Attributes
    ----------
    name : str
    index : tuple of int or None
        The one entry that went into the result; None when many did.
    value : float or None
        That entry.
    low, high : float
        The smallest and largest of the entries that went into the result.
    """

    name: str
    index: Index | None
    value: float | None
    low: float
    high: float

    def __str__(self) -> str:
        place = self.name if not self.index else f"{self.name}[{', '.join(map(str, self.index))}]"
        if self.value is not None:
            return f"{place} = {self.value:.6g}"
        return f"{place} between {self.low:.6g} and {self.high:.6g}"


@dataclass(frozen=True, slots=True)
class NonFinite:
    """The first value or gradient that is NaN or infinite.

    Attributes
    ----------
    kind : {"nan", "inf"}
    value : float
        The value itself, with its sign.
    phase : {"forward", "backward"}
        Whether it is a value of the forward pass or a gradient of the backward pass.
    name, operation : str
        The node.
    index : tuple of int
        The first entry that is not finite.
    count : int
        How many entries are not.
    example : int or None
        The example of the batch, where the node has one entry or row per example.
    operands : tuple of OperandValue
        In the backward phase the local derivative and the upstream gradient.
    location : Location or None
        The line of the source that recorded the node.
    reaches_result : bool
        Whether the result itself is not finite because of it.
    leaf : bool
        Whether the node is an input, a parameter or a constant.
    """

    kind: Literal["nan", "inf"]
    value: float
    phase: Literal["forward", "backward"]
    name: str
    operation: str
    index: Index
    count: int
    example: int | None
    operands: tuple[OperandValue, ...]
    location: Location | None
    reaches_result: bool
    leaf: bool

    def __str__(self) -> str:
        entry = f"{self.name}[{', '.join(map(str, self.index))}]" if self.index else self.name
        what = "the gradient of " if self.phase == "backward" else ""
        if self.leaf and self.phase == "forward":
            lines = [f"The {self.operation} {entry} is {self.value} before anything is computed."]
        else:
            operands = ", ".join(map(str, self.operands))
            lines = [
                f"The first {what and 'gradient'}{'' if what else 'value'} that is not finite is "
                f"{what}{entry} = {self.value}, made by {self.operation}"
                f"{f' from {operands}' if operands else ''}."
            ]
        if self.count > 1:
            lines.append(f"It is one of {self.count} such entries.")
        if self.example is not None:
            lines.append(f"It belongs to example {self.example} of the batch.")
        if self.location is not None:
            text = self.location.text
            lines.append(f"Recorded at {self.location}{f': {text}' if text else ''}")
        if not self.reaches_result:
            lines.append("The result is finite all the same: nothing of it was selected there.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready data."""
        place = self.location
        return {
            "schema": "backlight.nonfinite",
            "version": VERSION,
            "kind": self.kind,
            "value": str(self.value),
            "phase": self.phase,
            "name": self.name,
            "operation": self.operation,
            "index": list(self.index),
            "count": self.count,
            "example": self.example,
            "operands": [str(each) for each in self.operands],
            "location": None if place is None else f"{place}",
            "line": None if place is None else place.text,
            "reaches_result": self.reaches_result,
        }


def find_nonfinite(loss: Tensor | Trace, *, gradients: bool = False) -> NonFinite | None:
    """Return the first node in forward order whose value is NaN or infinite.

    When the result itself is not finite, it is the first node from which that spread to the
    result.

    Parameters
    ----------
    loss : Tensor or Trace
        Any tensor with a value, or a recorded run.
    gradients : bool
        When every value is finite, look through the backward pass as well.

    Returns
    -------
    NonFinite or None
        None when everything is finite.

    Raises
    ------
    GradientError
        When the tensor has no value because a function is being traced.

    Examples
    --------
    >>> import backlight as bl
    >>> x = bl.tensor([1.0, float("inf")], name="x")
    >>> print(find_nonfinite(x * 2.0).name)
    x
    """
    if isinstance(loss, Trace):
        graph, values, output = loss.graph, loss.values, loss.output
    elif not isinstance(loss, Tensor):
        raise UsageError(
            f"find_nonfinite takes a recorded loss or a trace, not {type(loss).__name__}."
        )
    elif loss.known_value is None:
        raise GradientError("find_nonfinite needs values, and this tensor is being traced.")
    else:
        graph, tensors = capture([loss])
        values, output = tuple(each.value for each in tensors), graph.outputs[0]
    found = _first_value(graph, values, output)
    if found is not None or not gradients:
        return found
    if isinstance(loss, Tensor) and loss.shape != ():
        with quiet():
            loss = record_node(SUM, (loss,), {"axes": tuple(range(loss.ndim))})
    return _first_gradient(trace_of(loss))


def _first_value(graph: Graph, values: Sequence[Array], output: int) -> NonFinite | None:
    bad = [not np.all(np.isfinite(each)) for each in values]
    if not any(bad):
        return None
    chosen = bad.index(True)
    if bad[output]:
        # Only what hands its NaN on to the result: not what a ``where`` throws away.
        spreading = {output}
        for position in range(output, -1, -1):
            if position in spreading:
                spreading.update(k for k in graph.nodes[position].inputs if bad[k])
        chosen = min(spreading)
    node, value = graph.nodes[chosen], values[chosen]
    index, number, count = _first_bad(value)
    operands = tuple(operand_at(graph.nodes[k].name, values[k], node, index) for k in node.inputs)
    return NonFinite(
        "nan" if math.isnan(number) else "inf",
        number,
        "forward",
        node.name,
        node.primitive.name,
        index,
        count,
        example_of(graph, node, index),
        operands,
        node.location,
        bad[output],
        node.is_leaf,
    )


def _first_bad(value: Array) -> tuple[Index, float, int]:
    """Return the index of the first entry that is not finite, the entry and how many there are."""
    places = np.argwhere(~np.isfinite(value))
    index = tuple(int(each) for each in places[0])
    return index, float(value[index]), len(places)


def operand_at(name: str, value: Array, node: Node, index: Index) -> OperandValue:
    """Return the entries of an operand that went into one entry of a node."""
    if node.primitive.kind is Kind.ELEMENTWISE:
        at = tuple(
            0 if size == 1 else place
            for size, place in zip(value.shape, index[len(index) - value.ndim :], strict=True)
        )
        number = float(value[at])
        return OperandValue(name, at, number, number, number)
    part = value
    axes = node.attributes.get("axes", ())
    if node.primitive.kind is Kind.REDUCE and value.ndim == len(index) + len(axes):
        rest = iter(index)
        part = value[tuple(slice(None) if k in axes else next(rest) for k in range(value.ndim))]
    if part.size == 0 or part.dtype.kind == "b":
        return OperandValue(name, None, None, math.nan, math.nan)
    if part.size == 1:
        number = float(part.reshape(-1)[0])
        return OperandValue(name, None, number, number, number)
    return OperandValue(name, None, None, float(np.min(part)), float(np.max(part)))


def batch_size(graph: Graph) -> int | None:
    """Return the number of examples: the commonest first axis among the inputs, or None."""
    sizes = Counter(
        node.shape[0] for node in graph.nodes if node.primitive is INPUT and len(node.shape) > 0
    )
    return sizes.most_common(1)[0][0] if sizes else None


def example_of(graph: Graph, node: Node, index: Index) -> int | None:
    """Return the example that an entry belongs to, when the node has the examples' axis first."""
    if not index or node.primitive is PARAMETER or node.primitive is CONSTANT:
        return None
    return index[0] if node.shape[0] == batch_size(graph) and node.shape[0] > 1 else None


def _first_gradient(trace: Trace) -> NonFinite | None:
    """Return the first gradient in the order of the backward pass that is not finite."""
    for k in range(len(trace.graph.nodes) - 1, -1, -1):
        gradient = trace.gradients[k]
        if gradient is None or np.all(np.isfinite(gradient)):
            continue
        node = trace.graph.nodes[k]
        index, number, count = _first_bad(gradient)
        edge = next(
            (each for each in trace.outgoing[k] if not np.isfinite(each.contribution[index])), None
        )
        maker = node if edge is None else trace.graph.nodes[edge.target]
        return NonFinite(
            "nan" if math.isnan(number) else "inf",
            number,
            "backward",
            node.name,
            f"the sum over the uses of {node.name}" if edge is None else maker.primitive.name,
            index,
            count,
            example_of(trace.graph, node, index),
            () if edge is None else _factors(trace, edge, index),
            maker.location,
            True,
            node.is_leaf,
        )
    return None


def _factors(trace: Trace, edge: Edge, index: Index) -> tuple[OperandValue, ...]:
    """Return the local derivative and the upstream gradient that met in a contribution."""
    upstream = trace.gradients[edge.target]
    target = trace.graph.nodes[edge.target]
    found = []
    parts = (("the local derivative", edge.local), ("the upstream gradient", upstream))
    for name, part in parts:
        if part is None:
            continue
        if part.shape == trace.graph.nodes[edge.source].shape == target.shape:
            number = float(part[index])
            found.append(OperandValue(name, None, number, number, number))
        elif part.size:
            low, high = float(np.min(part)), float(np.max(part))
            found.append(OperandValue(name, None, low if part.size == 1 else None, low, high))
    return tuple(found)
