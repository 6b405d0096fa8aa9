"""From Python functions and recorded tensors to a `Graph`.

`capture` takes the history of tensors that exist; `trace` calls a function on tensors without
values first.  Nodes get unique names here: the user's own where there is one.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.errors import GraphError, UsageError
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import NO_ATTRIBUTES, Kind
from backlight.graph.pytree import Tree, flatten, leaf_names, unflatten
from backlight.graph.scope import Scope
from backlight.ops.leaf import CONSTANT, INPUT, Literal
from backlight.tensor import Tensor, leaf, literal, record


def history(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Return all tensors that outputs were made from, operands first, without recursion."""
    found: dict[int, Tensor] = {}
    waiting = list(outputs)
    while waiting:
        each = waiting.pop()
        if each.serial not in found:
            found[each.serial] = each
            waiting.extend(each.inputs)
    return [found[serial] for serial in sorted(found)]


class _Namer:
    """Gives every node a name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def claim(self, base: str) -> str:
        """Return the base if it is free, and otherwise the base with the next free number."""
        return base if base not in self._taken and self._take(base) else self.number(base, 2)

    def number(self, base: str, first: int = 1) -> str:
        """Return the base with the next free number."""
        joint = "_" if base[-1:].isdigit() else ""
        number = self._next.get(base, first)
        while f"{base}{joint}{number}" in self._taken:
            number += 1
        self._next[base] = number + 1
        self._take(f"{base}{joint}{number}")
        return f"{base}{joint}{number}"

    def _take(self, name: str) -> bool:
        self._taken.add(name)
        return True


def module_path(scope: Scope | None) -> str:
    """Return the name of the innermost module around a node, or an empty string."""
    while scope is not None and scope.kind != "module":
        scope = scope.parent
    return scope.name if scope is not None else ""


def capture(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor] = (), *, fold: bool = False
) -> tuple[Graph, list[Tensor]]:
    """Return the graph that made tensors, and the tensors in the order of its nodes.

    Parameters
    ----------
    outputs : sequence of Tensor
    inputs : sequence of Tensor
        The leaves that are the graph's inputs; by default all that are not constants.
    fold : bool
        Make a constant of everything that has a value and is not among the inputs, as tracing
        does with what a function closes over.
    """
    given = {each.serial for each in inputs}
    order = history(outputs)
    if fold:
        order = _without_known_history(outputs, given)
    tensors = sorted({each.serial: each for each in (*inputs, *order)}.values(), key=_serial)
    names = _names(tensors)
    position: dict[int, int] = {}
    nodes = []
    for index, each in enumerate(tensors):
        position[each.serial] = index
        folded = fold and each.known_value is not None and each.serial not in given
        named = each.name is not None
        if folded and each.primitive is not CONSTANT:
            attributes: Any = {"value": Literal(each.value)}
            nodes.append(
                Node(CONSTANT, (), attributes, each.shape, each.dtype, names[index], named,
                     each.location, each.scope)
            )  # fmt: skip
            continue
        nodes.append(
            Node(
                each.primitive,
                tuple(position[operand.serial] for operand in each.inputs),
                each.attributes,
                each.shape,
                each.dtype,
                names[index],
                named,
                each.location,
                each.scope,
            )
        )
    if not inputs and not fold:
        entries = tuple(
            k for k, node in enumerate(nodes) if node.is_leaf and node.primitive is not CONSTANT
        )
    else:
        entries = tuple(position[each.serial] for each in inputs)
    results = tuple(position[each.serial] for each in outputs)
    return Graph(tuple(nodes), entries, results), tensors


def _serial(tensor: Tensor) -> int:
    return tensor.serial


def _without_known_history(outputs: Sequence[Tensor], given: set[int]) -> list[Tensor]:
    """The history of outputs, not going behind tensors that have values."""
    found: dict[int, Tensor] = {}
    waiting = list(outputs)
    while waiting:
        each = waiting.pop()
        if each.serial in found:
            continue
        found[each.serial] = each
        if each.known_value is None or each.serial in given:
            waiting.extend(each.inputs)
    return list(found.values())


def _names(tensors: Sequence[Tensor]) -> list[str]:
    """Choose a unique name for each tensor: users' names first, then letters by operation."""
    namer = _Namer()
    chosen: list[str | None] = []
    for each in tensors:
        name = each.name
        path = module_path(_around_user(each))
        if name is not None and path and each.inputs:
            name = f"{path}.{name}"
        chosen.append(None if name is None else namer.claim(name))
    unnamed = [_base(each) for each, name in zip(tensors, chosen, strict=True) if name is None]
    count = Counter(unnamed)
    for index, each in enumerate(tensors):
        if chosen[index] is None:
            base = _base(each)
            # A letter that stands for several nodes is numbered from 1: s1, s2, s3.
            chosen[index] = namer.claim(base) if count[base] == 1 else namer.number(base)
    return [str(each) for each in chosen]


def _around_user(tensor: Tensor) -> Scope | None:
    """The scope around the user's own line, not the scopes of the function that the line calls."""
    scope = tensor.scope
    while scope is not None and scope.site == tensor.site:
        scope = scope.parent
    return scope


def _base(tensor: Tensor) -> str:
    if tensor.primitive is CONSTANT:
        letter = "c"
    elif tensor.primitive is INPUT:
        letter = "x"
    else:
        letter = tensor.primitive.symbol
    path = module_path(tensor.scope)
    return f"{path}.{letter}" if path else letter


@dataclass(frozen=True, eq=False)
class Traced:
    """A traced function: its graph and the nested shapes of its arguments and results."""

    graph: Graph
    arguments: Tree
    results: Tree
    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]

    def result(self, values: Sequence[Any]) -> Any:
        """Put output values into the container that the function returned."""
        return unflatten(self.results, values)


def placeholder(value: Any, name: str) -> Tensor:
    """Return a leaf without a value, of the shape and dtype of an example."""
    if isinstance(value, Tensor):
        spec = value.spec
    else:
        spec = literal(value).spec
    return leaf(INPUT, spec, None, name)


def argument_names(function: Callable[..., Any], arguments: Sequence[Any]) -> list[list[str]]:
    """Return the names of the leaves of each positional argument of a function."""
    try:
        signature = inspect.signature(function)
        bound = [
            each.name
            for each in signature.parameters.values()
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        bound = []
    names = bound[: len(arguments)] + [f"arg{k}" for k in range(len(bound), len(arguments))]
    return [leaf_names(flatten(each)[1], name) for each, name in zip(arguments, names, strict=True)]


def trace_function(function: Callable[..., Any], *arguments: Any) -> Traced:
    """Call a function on placeholders and return everything known about it."""
    names = argument_names(function, arguments)
    leaves, tree = flatten(tuple(arguments))
    inputs = [
        placeholder(each, name)
        for each, name in zip(leaves, (n for group in names for n in group), strict=True)
    ]
    returned = function(*unflatten(tree, inputs))
    results, shape = flatten(returned)
    outputs = [as_output(each) for each in results]
    graph, _ = capture(outputs, inputs, fold=True)
    return Traced(graph, tree, shape, tuple(outputs), tuple(inputs))


def as_output(value: Any) -> Tensor:
    """Return a result of a traced function as a tensor, or raise."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        return literal(value)
    raise GraphError(
        f"A traced function must return tensors in dicts, lists or tuples, not "
        f"{type(value).__name__}."
    )


def trace(function: Callable[..., Any], *arguments: Any) -> Graph:
    """Return the graph of a function, without running it on values.

    Parameters
    ----------
    function : callable
        Takes and returns tensors, or nested dicts, lists and tuples of them.
    *arguments
        Examples: only their shapes and dtypes are used.

    Returns
    -------
    Graph

    Raises
    ------
    TracedValueError
        When the function branches on a tensor's value.

    Examples
    --------
    >>> import backlight as bl
    >>> print(bl.trace(lambda w, x: bl.exp(w * x), 1.0, 2.0))
    graph(w: float64[], x: float64[])
      p: float64[] = mul(w, x)
      v: float64[] = exp(p)
      return v
    """
    if not callable(function):
        raise UsageError(f"bl.trace takes a function and example arguments, not {function!r}.")
    return trace_function(function, *arguments).graph


def rebuild(graph: Graph, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Record a graph's nodes again on given leaves and return one tensor per node.

    Parameters
    ----------
    graph : Graph
    leaves : sequence of Tensor
        One for each of ``graph.inputs``; with values, everything is evaluated as it is recorded.
    """
    made: list[Tensor] = []
    supplied = dict(zip(graph.inputs, leaves, strict=True))
    for index, node in enumerate(graph.nodes):
        if index in supplied:
            made.append(supplied[index])
            continue
        if node.primitive.kind is Kind.LEAF and node.primitive is not CONSTANT:
            raise GraphError(f"The graph's leaf {node.name} was given no value.")
        if node.primitive is CONSTANT:
            tensor = literal(node.attributes["value"].array)
        else:
            operands = [made[k] for k in node.inputs]
            tensor = record(node.primitive, operands, node.attributes or NO_ATTRIBUTES)
        tensor.site = node.location
        tensor.scope = node.scope
        if node.named:
            tensor.name = node.name
        made.append(tensor)
    return made
