"""The Trace: one run of a graph with every number on the way.

A trace holds the graph, each node's forward value, the local derivatives, every contribution and
the gradients that they add up to.  The command line, notebooks, drawings, exports and the
explainer read a trace and nothing else.  Its JSON form is versioned; docs/trace-schema.md
describes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from backlight.differentiate.reverse import Sweep, sweep, unit_seed
from backlight.errors import GradientError, UsageError
from backlight.graph.graph import Graph
from backlight.graph.notation import printable
from backlight.graph.primitive import Array, Kind
from backlight.ops.leaf import PARAMETER
from backlight.tensor import Tensor, quiet
from backlight.trace import capture


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """One use of a value and what it contributes to the value's gradient.

    Attributes
    ----------
    source, target : int
        The value and the node that uses it.
    position : int
        As which of the target's operands.
    local : ndarray or None
        The local derivative: of the target's shape for an elementwise operation, of the source's
        shape for a reduction; None where the operation carries the gradient back as a whole.
    contribution : ndarray
        Local derivative × upstream gradient, of the source's shape.
    """

    source: int
    target: int
    position: int
    local: Array | None
    contribution: Array


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What the optimizer does with the gradients: its rule as a graph, with its values.

    Attributes
    ----------
    graph : Graph
        The update of all parameters; the nodes of one parameter are under a scope of its name.
    values : tuple of ndarray
        One per node.
    optimizer : str
        The rule's name.
    """

    graph: Graph
    values: tuple[Array, ...]
    optimizer: str


@dataclass(frozen=True, eq=False)
class Trace:
    """One run of a graph with every number on the way.

    Attributes
    ----------
    graph : Graph
    values : tuple of ndarray
        The forward value of each node.
    gradients : tuple of ndarray or None
        The gradient of the output with respect to each node; None where none was computed,
        which is not the same as zero.
    edges : tuple of Edge
    output : int
        The node that was differentiated.
    update : Update or None
        What the optimizer makes of the gradients, for a step of a training run.
    about : mapping
        Where the trace comes from: run, step, epoch, examples.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(1.0, name="w")
    >>> loss = (w * 3.0 - 2.0) ** 2
    >>> trace = bl.record(loss)
    >>> float(trace.gradient("w"))
    6.0
    """

    graph: Graph
    values: tuple[Array, ...]
    gradients: tuple[Array | None, ...]
    edges: tuple[Edge, ...]
    output: int
    update: Update | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> Array:
        """Return the forward value of a node by its name."""
        return self.values[self.graph.index(name)]

    def gradient(self, name: str) -> Array | None:
        """Return the gradient of a node by its name, or None when it was not computed."""
        return self.gradients[self.graph.index(name)]

    @cached_property
    def outgoing(self) -> tuple[tuple[Edge, ...], ...]:
        """For each node, the edges through which it received its gradient."""
        found: list[list[Edge]] = [[] for _ in self.graph.nodes]
        for edge in self.edges:
            found[edge.source].append(edge)
        return tuple(tuple(each) for each in found)

    @cached_property
    def parameters(self) -> dict[str, int]:
        """The parameters' nodes by name."""
        return {
            node.name: index
            for index, node in enumerate(self.graph.nodes)
            if node.primitive is PARAMETER
        }

    @cached_property
    def memo(self) -> dict[Any, Any]:
        """Results that readers of the trace keep with it, such as bounds of path products."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as plain JSON data, schema ``backlight.trace`` version 1."""
        from backlight.schema import trace_to_dict  # import here: the schema reads traces

        return trace_to_dict(self)

    def to_json(self) -> str:
        """Return the trace as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Trace:
        """Read a trace back from its JSON text.

        Raises
        ------
        DataError
            When the text is not a trace of a version that is known.
        """
        from backlight.schema import trace_from_json  # import here: the schema reads traces

        return trace_from_json(text)

    def __reduce__(self) -> tuple[Callable[[str], Trace], tuple[str]]:
        return Trace.from_json, (self.to_json(),)  # operations hold functions, which do not pickle

    def save(self, path: str | Path) -> Path:
        """Write the trace to a file: ``.json`` for data, ``.svg`` for the drawing, ``.html`` for
        a page that opens without a network.

        Raises
        ------
        UsageError
            For another ending.
        """
        from backlight.report import save_trace  # import here: reports draw and explain traces

        return save_trace(self, Path(path))

    def __str__(self) -> str:
        return trace_text(self)

    def __repr__(self) -> str:
        return f"<trace of {len(self.graph)} nodes, output {self.graph.nodes[self.output].name}>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        from backlight.report.display import trace_display  # import here: a notebook's question

        return trace_display(self)


def record(
    loss: Tensor,
    *,
    wrt: Sequence[Tensor] | None = None,
    update: Update | None = None,
    about: Mapping[str, Any] | None = None,
) -> Trace:
    """Record everything about one run: values, local derivatives, contributions, gradients.

    Parameters
    ----------
    loss : Tensor
        A scalar with a value.
    wrt : sequence of Tensor, optional
        The tensors whose gradients are wanted; by default the parameters and everything between
        them and the loss.
    update : Update, optional
        The optimizer's rule with its values.
    about : mapping, optional
        Where the run comes from.

    Returns
    -------
    Trace

    Raises
    ------
    GradientError
        When the loss is not a scalar with a value, or depends on nothing that it could be
        differentiated by.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(2.0, name="w")
    >>> bl.record(w**3).gradient("w")
    array(12.)
    """
    if not isinstance(loss, Tensor):
        raise UsageError(f"bl.record takes a loss tensor, not {type(loss).__name__}.")
    if loss.known_value is None:
        raise GradientError("bl.record needs a loss with a value, and this one is being traced.")
    with quiet():
        done = sweep([loss], [unit_seed(loss, "bl.record")], wrt)
        if not done.gradients:
            raise GradientError(
                f"{loss.name or 'The loss'} depends on no parameter, so there is nothing to "
                f"differentiate; make a leaf with bl.param."
            )
        return _assemble(loss, done, update, about or {})


def _assemble(loss: Tensor, done: Sweep, update: Update | None, about: Mapping[str, Any]) -> Trace:
    graph, tensors = capture([loss])
    position = {each.serial: index for index, each in enumerate(tensors)}
    edges = []
    for serial, contributions in done.contributions.items():
        for each in contributions:
            local: Array | None = None
            if isinstance(each.local, Tensor):
                local = each.local.value
            elif each.local is not None:
                local = np.asarray(each.local, dtype=each.consumer.dtype)
            edges.append(
                Edge(
                    position[serial],
                    position[each.consumer.serial],
                    each.position,
                    local,
                    each.value.value,
                )
            )
    gradients = [done.gradients.get(each.serial) for each in tensors]
    return Trace(
        graph,
        tuple(each.value for each in tensors),
        tuple(None if each is None else each.value for each in gradients),
        tuple(edges),
        position[loss.serial],
        update,
        dict(about),
    )


def trace_of(loss: Tensor | Trace, wrt: Tensor | None = None) -> Trace:
    """Return the trace of a loss, recording it once and keeping it with the tensor.

    A trace that does not reach ``wrt`` is recorded again with it.
    """
    if isinstance(loss, Trace):
        return loss
    if not isinstance(loss, Tensor):
        step = "; of a run, take a step: run.replay(step=0)" if hasattr(loss, "replay") else ""
        raise UsageError(
            f"A loss tensor or a trace of one is needed here, not {type(loss).__name__}{step}."
        )
    if wrt is None or wrt.tracked:
        if loss._memo is None:
            loss._memo = record(loss)
        kept: Trace = loss._memo
        return kept
    return record(loss, wrt=[wrt])


def trace_text(trace: Trace, *, longest: int = 120) -> str:
    """Write a trace as a table: node, operation, value, gradient."""
    shown = [
        index
        for index, node in enumerate(trace.graph.nodes)
        if node.primitive.kind is not Kind.LEAF or node.named or node.shape != ()
    ]
    dropped = max(len(shown) - longest, 0)
    if dropped:
        shown = [*shown[: longest // 2], *shown[-(longest // 2) :]]
    rows = []
    for index in shown:
        node = trace.graph.nodes[index]
        gradient = trace.gradients[index]
        operands = ", ".join(trace.graph.nodes[k].name for k in node.inputs)
        operation = node.primitive.name + (f"({operands})" if node.inputs else "")
        written = "not computed" if gradient is None else array_text(gradient)
        rows.append((node.name, operation, array_text(trace.values[index]), written))
    if dropped:
        rows.insert(longest // 2, (f"… {dropped:,} more …", "", "", ""))
    header = ("node", "operation", "value", "gradient")
    widths = [
        min(max(len(row[k]) for row in (*rows, header)), 48 if k < 3 else 200) for k in range(4)
    ]
    lines = [
        "  ".join(cell[: widths[k]].ljust(widths[k]) for k, cell in enumerate(row)).rstrip()
        for row in (header, tuple("─" * width for width in widths), *rows)
    ]
    return "\n".join(map(printable, lines))


def array_text(array: Array, *, entries: int = 6) -> str:
    """Write a small array in full and a large one as its shape and norm."""
    if array.size <= entries:
        return np.array2string(array, precision=6, separator=", ").replace("\n", "")
    norm = float(np.linalg.norm(array.astype(np.float64).reshape(-1)))
    shape = "×".join(map(str, array.shape))
    return f"[{shape}] ‖·‖ = {norm:.6g}"
