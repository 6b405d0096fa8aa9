"""From Python functions and recorded tensors to a `Graph`.

`capture` takes the history of tensors that exist; `trace` calls a function on tensors without
values first.  Nodes get unique names here: the user's own where there is one.
"""

from __future__ import annotations

import inspect
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from backlight.errors import GraphError, UsageError
from backlight.graph.graph import Graph
from backlight.graph.node import Node, make_node
from backlight.graph.primitive import NO_ATTRIBUTES, Kind
from backlight.graph.pytree import Tree, flatten, leaf_names, unflatten
from backlight.graph.scope import Scope
from backlight.ops.leaf import CONSTANT, INPUT, Literal
from backlight.source import Location, assigned_name
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
        self._next: dict[str, tuple[str, int]] = {}

    def claim(self, base: str) -> str:
        """Return the base if it is free, and otherwise the base with the next free number."""
        if base in self._taken:
            return self.number(base, 2)
        self._taken.add(base)
        return base

    def number(self, base: str, first: int = 1) -> str:
        """Return the base with the next free number."""
        taken = self._taken
        known = self._next.get(base)
        joined, number = known or (f"{base}_" if base[-1:].isdigit() else base, first)
        name = f"{joined}{number}"
        while name in taken:
            number += 1
            name = f"{joined}{number}"
        self._next[base] = joined, number + 1
        taken.add(name)
        return name


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
    order = _without_known_history(outputs, given) if fold else history(outputs)
    tensors = _in_order((*inputs, *order))
    fixed = {
        each.serial for each in tensors if each._value is not None and each.serial not in given
    }
    nodes = _nodes(tensors, fixed if fold else ())
    if not inputs and not fold:
        entries = tuple(
            k for k, node in enumerate(nodes) if node.is_leaf and node.primitive is not CONSTANT
        )
        return Graph(nodes, entries, _places(tensors, outputs)), tensors
    return Graph(nodes, _places(tensors, inputs), _places(tensors, outputs)), tensors


def capture_since(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], start: int
) -> tuple[Graph, tuple[Tensor, ...]]:
    """Return the graph of what was recorded lately, and the leaves from before that it uses.

    Older leaves become inputs, behind those that are given, so that a value assigned to them later
    is seen; older results and younger leaves are constants.

    Parameters
    ----------
    outputs, inputs : sequence of Tensor
    start : int
        The serial number of the last tensor that is old.
    """
    given = {each.serial for each in inputs}
    found = {each.serial: each for each in inputs}
    waiting = list(outputs)
    while waiting:
        each = waiting.pop()
        serial = each.serial
        if serial not in found:
            found[serial] = each
            if serial > start:
                waiting.extend(each.inputs)
    tensors = _in_order(found.values())
    fixed = set()
    around: list[Tensor] = []
    for each in tensors:
        serial = each.serial
        if each.primitive is CONSTANT or serial in given:
            continue
        if serial > start:
            if not each.inputs:
                fixed.add(serial)
        elif each.inputs:
            fixed.add(serial)
        else:
            around.append(each)
    entries = _places(tensors, (*inputs, *around))
    return Graph(_nodes(tensors, fixed), entries, _places(tensors, outputs)), tuple(around)


def _in_order(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return tensors, each once, operands first."""
    return sorted({each.serial: each for each in tensors}.values(), key=_serial)


_serial = attrgetter("serial")


def _places(tensors: Sequence[Tensor], wanted: Iterable[Tensor]) -> tuple[int, ...]:
    return tuple([bisect_left(tensors, each.serial, key=_serial) for each in wanted])


def _nodes(tensors: Sequence[Tensor], fixed: Container[int]) -> tuple[Node, ...]:
    """Return a node for each tensor; those that are fixed are constants, whatever made them."""
    position: dict[int, int] = {}
    nodes: list[Node] = []
    for index, (each, label) in enumerate(zip(tensors, _labels(tensors), strict=True)):
        serial = each.serial
        position[serial] = index
        primitive = each.primitive
        if serial in fixed and primitive is not CONSTANT:
            attributes: Any = {"value": Literal(each.value)}
            primitive = CONSTANT
            operands: tuple[int, ...] = ()
        else:
            attributes = each.attributes
            inputs = each.inputs
            if len(inputs) == 2:  # written out, because most operations have as many
                first, second = inputs
                operands = (position[first.serial], position[second.serial])
            else:
                operands = tuple([position[operand.serial] for operand in inputs])
        nodes.append(
            make_node(primitive, operands, attributes, each.shape, each.dtype, *label, each.scope)
        )  # fmt: skip
    return tuple(nodes)


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


@dataclass(frozen=True, slots=True)
class _Words:
    """What the name of a tensor is made of: the same for all that one place in the code records.

    Attributes
    ----------
    assigned : str or None
        The variable that the result is assigned to.
    within : tuple of Scope
        The name is only that of the tensor that all of these returned.
    path : str
        The module around the user's line.
    base : str
        The name when there is no other, without a number.
    location : Location or None
    """

    assigned: str | None
    within: tuple[Scope, ...]
    path: str
    base: str
    location: Location | None


def _words(tensor: Tensor) -> _Words:
    site, around = tensor.site, tensor.scope
    within: list[Scope] = []
    # The scopes of the function that the line calls are not around the user's own line.
    while around is not None and around.site == site:
        within.append(around)
        around = around.parent
    location = tensor.location
    if tensor.primitive is CONSTANT or site is None or isinstance(site, Location):
        assigned = None
    else:
        assigned = assigned_name(site)
    return _Words(assigned, tuple(within), module_path(around), _base(tensor), location)


def _labels(tensors: Sequence[Tensor]) -> list[tuple[str, bool, Location | None]]:
    """Choose a unique name for each tensor: users' names first, then letters by operation.

    Returns
    -------
    list of (str, bool, Location or None)
        The name, whether it is the user's, and where the tensor was recorded.
    """
    known: dict[tuple[int, int, int, int], _Words] = {}
    words: list[_Words] = []
    chosen: list[str | None] = []
    namer = _Namer()
    for each in tensors:
        site = each.site
        code, offset = site if type(site) is tuple else (site, 0)
        # By identity, because code objects hash slowly; the tensors keep all of them alive.
        key = (id(code), offset, id(each.scope), id(each.primitive))
        found = known.get(key)
        if found is None:
            found = known[key] = _words(each)
        words.append(found)
        name = each._given_name
        if name is None:
            name = found.assigned
            if name is not None and found.within:
                serial = each.serial
                if any(scope.result != serial for scope in found.within):
                    name = None
        if not name:
            chosen.append(None)
            continue
        if found.path and each.inputs:
            name = f"{found.path}.{name}"
        chosen.append(namer.claim(name))
    count = Counter([each.base for each, name in zip(words, chosen, strict=True) if name is None])
    labels: list[tuple[str, bool, Location | None]] = []
    for found, name in zip(words, chosen, strict=True):
        named = name is not None
        if name is None:
            base = found.base
            # A letter that stands for several nodes is numbered from 1: s1, s2, s3.
            name = namer.claim(base) if count[base] == 1 else namer.number(base)
        labels.append((name, named, found.location))
    return labels


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
