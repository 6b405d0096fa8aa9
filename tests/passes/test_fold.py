"""Constant folding: what is computed ahead of time, and what is left for the run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from tests.passes.same import operations, same_meaning

import backlight as bl
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.primitive import Array
from backlight.ops import registry
from backlight.ops.leaf import CONSTANT, Literal
from backlight.passes import fold_constants


def graph_of(name: str, *values: Array, **attributes: object) -> Graph:
    """A graph that applies one operation to constants (tracing would fold it at once)."""
    nodes = [
        Node(CONSTANT, (), {"value": Literal(value)}, value.shape, value.dtype, f"c{k}")
        for k, value in enumerate(values)
    ]
    primitive = registry()[name]
    shape, dtype = primitive.specify(*[node.spec for node in nodes], **attributes)
    inputs = tuple(range(len(nodes)))
    nodes.append(Node(primitive, inputs, attributes, shape, dtype, "result"))
    return Graph(tuple(nodes), (), (len(nodes) - 1,))


@pytest.mark.parametrize(
    ("name", "values", "attributes"),
    [
        ("add", (np.array(1.0), np.array(2.0)), {}),
        ("exp", (np.array([0.1, 0.2], np.float32),), {}),
        ("pow", (np.array(0.9), np.array(7.0)), {}),
        ("sum", (np.arange(12.0).reshape(3, 4),), {"axes": (0,)}),
        ("reshape", (np.arange(12.0).reshape(3, 4),), {"shape": (4, 3)}),
        ("cast", (np.array([1, 2]),), {"dtype": np.dtype("float32")}),
        ("gather", (np.arange(5.0), np.array([4, -1])), {"axis": 0}),
        ("broadcast", (np.array(1.0),), {"shape": (2, 3)}),
    ],
)
def test_constants_are_folded_to_what_the_reference_gives(name, values, attributes):
    graph = graph_of(name, *values, **attributes)
    found = fold_constants(graph)
    assert operations(found) == ["identity"]  # a result stays a node of its own
    assert found.nodes[found.outputs[0]].name == "result"
    same_meaning(graph, found, [])


@pytest.mark.parametrize(
    ("name", "values", "attributes"),
    [
        ("div", (np.array(1.0), np.array(0.0)), {}),  # divides by zero
        ("log", (np.array(-1.0),), {}),  # is not defined
        ("exp", (np.array(1000.0),), {}),  # overflows
        ("gather", (np.arange(5.0), np.array([5])), {"axis": 0}),  # raises
        ("broadcast", (np.array(1.0),), {"shape": (3, 4000)}),  # has more entries than it takes
        ("add", (np.zeros(5000), np.zeros(5000)), {}),  # is large
    ],
)
def test_what_would_warn_raise_or_grow_is_left_alone(name, values, attributes):
    graph = graph_of(name, *values, **attributes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fold_constants(graph) is graph


def test_a_users_operation_on_constants_is_left_alone():
    from backlight.graph.primitive import REGISTRY

    bl.primitive("test_print", lambda xp, x: x, partials=[lambda y, x: 1.0])
    try:
        graph = graph_of("test_print", np.array(1.0))
        assert fold_constants(graph) is graph
    finally:
        REGISTRY.remove("test_print")


def test_chains_of_constants_are_folded_in_one_walk():
    one = graph_of("exp", np.array(0.5))
    nodes = list(one.nodes)
    for k in range(50):
        nodes.append(
            Node(registry()["tanh"], (len(nodes) - 1,), {}, (), np.dtype("float64"), f"t{k}")
        )
    graph = Graph(tuple(nodes), (), (len(nodes) - 1,))
    found = fold_constants(graph)
    assert operations(found) == ["identity"]
    assert fold_constants(found) is found
    same_meaning(graph, found, [])


def test_nothing_to_do_gives_the_same_object():
    graph = bl.trace(lambda x: bl.exp(x) + 1.0, 1.0)
    assert fold_constants(graph) is graph
