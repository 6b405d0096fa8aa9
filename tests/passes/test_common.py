"""Common subexpressions and dead code: what is joined, what is not, which name stays."""

from __future__ import annotations

import numpy as np
import pytest
from tests.passes.same import operations, same_meaning, special

import backlight as bl
from backlight.graph.graph import Graph
from backlight.graph.primitive import REGISTRY
from backlight.ops.move import PAD
from backlight.ops.random import RANDOM_UNIFORM
from backlight.passes import eliminate_common, eliminate_dead

X = special()


def test_the_same_operation_on_the_same_operands_is_done_once():
    graph = bl.trace(lambda x: bl.exp(x) * bl.exp(x), X)
    found = eliminate_common(graph)
    assert operations(found) == ["exp", "mul"]
    same_meaning(graph, found, [X])


@pytest.mark.parametrize("name", ["add", "mul", "equal", "hypot"])
def test_the_order_of_operands_makes_no_difference_where_it_makes_none(name):
    operation = REGISTRY.view()[name]
    graph = bl.trace(lambda x, y: (operation(x, y), operation(y, x)), X, X[::-1].copy())
    found = eliminate_common(graph)
    assert operations(found) == [name]
    same_meaning(graph, found, [X, X[::-1].copy()])


@pytest.mark.parametrize("name", ["sub", "div", "pow", "maximum", "less"])
def test_the_order_of_operands_is_kept_where_bits_depend_on_it(name):
    operation = REGISTRY.view()[name]
    graph = bl.trace(lambda x, y: (operation(x, y), operation(y, x)), X, X)
    assert eliminate_common(graph) is graph


def test_attributes_that_differ_in_the_sign_of_a_zero_differ():
    def function(x):
        def padded(fill):
            return PAD(x, before=(1,), after=(0,), between=(0,), fill=fill)

        return padded(0.0), padded(-0.0), padded(0.0)

    found = eliminate_common(bl.trace(function, X))
    assert operations(found) == ["pad", "pad"]


def test_zeros_of_both_signs_stay_two_constants():
    graph = bl.trace(lambda x: (x * 0.0) + (x * -0.0) + (x * 0.0), X)
    found = eliminate_dead(eliminate_common(graph))
    assert operations(found) == ["mul", "mul", "add", "add"]
    same_meaning(graph, found, [X])


def test_random_numbers_with_the_same_key_are_the_same():
    def function(seed, step):
        def draw(stream):
            return RANDOM_UNIFORM(seed, step, stream=stream, shape=(4,), dtype=np.dtype("float32"))

        return draw(1), draw(2), draw(1)

    values = [np.int64(3), np.int64(4)]
    graph = bl.trace(function, *values)
    found = eliminate_common(graph)
    assert operations(found) == ["random_uniform"] * 2
    same_meaning(graph, found, values)


@pytest.mark.parametrize("pure", [False, True])
def test_a_users_operation_is_joined_only_when_declared_pure(pure):
    calls = []

    def noisy(xp, x):
        calls.append(1)
        return x + 1.0

    made = bl.primitive("test_noisy", noisy, partials=[lambda y, x: 1.0], pure=pure)
    try:
        found = eliminate_common(bl.trace(lambda x: made(x) + made(x), X))
        assert operations(found).count("test_noisy") == (1 if pure else 2)
    finally:
        REGISTRY.remove("test_noisy")


def test_large_constants_are_compared_by_identity_and_small_ones_by_bits():
    large, small = np.arange(5000.0), np.arange(5.0)

    def function(x, y):
        return (
            x + bl.tensor(large) + bl.tensor(large.copy()),
            y + bl.tensor(small) + bl.tensor(small.copy()),
        )

    found = eliminate_common(bl.trace(function, large, small))
    sizes = sorted(node.shape[0] for node in found.nodes if "value" in node.attributes)
    assert sizes == [5, 5000, 5000]


def test_a_name_that_the_user_gave_survives():
    def function(x):
        unnamed = [bl.exp(x)]
        nice = bl.exp(x)
        return (unnamed[0] + 1.0) * nice

    found = eliminate_common(bl.trace(function, X))
    assert "nice" in [node.name for node in found.nodes]
    assert len({node.name for node in found.nodes}) == len(found.nodes)


def test_the_name_of_a_result_moves_to_the_node_that_stands_for_it():
    def function(x):
        unnamed = [bl.exp(x)]
        loss = bl.exp(x)
        return unnamed[0] * 2.0, loss

    found = eliminate_common(bl.trace(function, X))
    assert operations(found) == ["exp", "mul"]
    assert found.nodes[found.outputs[1]].name == "loss"


def test_what_no_result_needs_is_left_out_and_inputs_stay():
    graph = bl.trace(lambda x, y: bl.exp(x), X, X)
    longer = Graph(graph.nodes, graph.inputs, (graph.inputs[0],))
    found = eliminate_dead(longer)
    assert operations(found) == []
    assert len(found.inputs) == 2
    same_meaning(longer, found, [X, X])


def test_nothing_to_do_gives_the_same_object():
    graph = bl.trace(lambda x, y: bl.exp(x) * y, X, X)
    assert eliminate_common(graph) is graph
    assert eliminate_dead(graph) is graph
