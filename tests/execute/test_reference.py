"""The reference executor against NumPy itself, and what it says about values that do not fit."""

from __future__ import annotations

import time

import numpy as np
import pytest

import backlight as bl
from backlight.errors import DtypeError, GraphError, ShapeError
from backlight.execute import Program, names, program
from backlight.graph.graph import Graph
from backlight.ops.convert import IDENTITY
from backlight.ops.exponential import EXP
from backlight.ops.index import GATHER
from backlight.ops.move import BROADCAST, CONCAT, RESHAPE
from backlight.ops.reduce import SUM
from backlight.trace import trace


def test_arithmetic_is_numpys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    graph = trace(lambda x, y: (x @ y) * 2.0 - EXP(x @ y), a, b)
    (value,) = Program(graph).run([a, b])
    np.testing.assert_array_equal(value, (a @ b) * 2.0 - np.exp(a @ b))


def test_a_program_runs_again_with_other_values_and_changes_nothing():
    graph = trace(lambda x: SUM(x * x, axes=(0,)), np.zeros(3))
    ready = Program(graph)
    for values in ([1.0, 2.0, 3.0], [0.5, 0.0, -1.0]):
        x = np.array(values)
        (value,) = ready.run([x])
        assert value == sum(each * each for each in values)
        assert x.tolist() == values


def test_several_outputs_in_order_and_one_twice():
    graph = trace(lambda x: [x + 1.0, x * 2.0], 0.0)
    twice = Graph(graph.nodes, graph.inputs, (*graph.outputs, graph.outputs[0]))
    assert [float(each) for each in Program(twice).run([3.0])] == [4.0, 6.0, 4.0]


def test_every_output_is_an_array_of_its_own():
    x = np.arange(6.0).reshape(2, 3)

    def f(x):
        first = RESHAPE(x, shape=(6,))
        return [x, IDENTITY(x), first, BROADCAST(x, shape=(4, 2, 3)), SUM(x, axes=(0, 1))]

    outputs = Program(trace(f, x)).run([x])
    for each in outputs:
        assert type(each) is np.ndarray
        assert not np.shares_memory(each, x)
        assert each.flags.writeable
    outputs[0][...] = -1.0
    assert x[0, 0] == 0.0


def test_a_constant_output_cannot_be_changed_through_the_result():
    graph = trace(lambda x: bl.tensor(5.0) * 1.0, 0.0)
    first = Program(graph)
    first.run([0.0])[0][...] = 7.0
    assert first.run([0.0])[0] == 5.0


def test_keep_gives_the_value_of_every_node():
    graph = trace(lambda w, x: (w * x - 2.0) ** 2, 1.0, 1.0)
    values = Program(graph).run([1.0, 1.0], keep=True)
    assert len(values) == len(graph)
    by_kind = {
        node.primitive.symbol: value
        for node, value in zip(graph.nodes, values, strict=True)
        if not node.is_leaf
    }
    assert {key: float(value) for key, value in by_kind.items()} == {"p": 1.0, "s": -1.0, "u": 1.0}


def test_values_die_after_their_last_use():
    alive = []

    def watch(xp, x):
        import weakref

        result = x + 1.0
        alive.append(weakref.ref(result))
        alive_now.append(sum(each() is not None for each in alive))
        return result

    from dataclasses import replace

    alive_now: list[int] = []
    watched = replace(IDENTITY, evaluate=watch)

    def f(x):
        for _ in range(20):
            x = x.record(watched, (x,), {})
        return x

    ready = Program(trace(f, np.zeros(5)))
    assert ready.run([np.zeros(5)])[0].tolist() == [20.0] * 5
    assert max(alive_now) <= 2


def test_a_deep_chain_runs():
    def f(x):
        for _ in range(20_000):
            x = x + 1.0
        return x

    assert Program(trace(f, 0.0)).run([0.0])[0] == 20_000.0


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.zeros((2, 3)), ShapeError, r"input data .*\(4, 3\).*\(2, 3\)"),
        (np.zeros((4, 3), np.float32), DtypeError, r"input data .*float64.*float32"),
        (np.zeros((4, 3), int), DtypeError, r"input data"),
    ],
)
def test_a_value_that_does_not_fit_is_named(value, error, words):
    ready = Program(trace(lambda data: data * 2.0, np.zeros((4, 3))))
    with pytest.raises(error, match=words):
        ready.run([value])


def test_the_number_of_values_is_checked():
    with pytest.raises(ShapeError, match="2 inputs and was given 1"):
        Program(trace(lambda a, b: a + b, 1.0, 2.0)).run([1.0])


def test_a_leaf_without_a_value_is_refused():
    graph = trace(lambda a, b: a + b, 1.0, 2.0)
    with pytest.raises(GraphError, match="leaf b"):
        Program(Graph(graph.nodes, graph.inputs[:1], graph.outputs))


def test_nothing_is_warned_of_while_running():
    ready = Program(trace(lambda x: 1.0 / x, np.zeros(2)))
    assert ready.run([np.array([0.0, 2.0])])[0].tolist() == [np.inf, 0.5]


def test_an_error_while_running_names_the_node():
    graph = trace(lambda x, k: GATHER(x, k, axis=0) * 1.0, np.zeros(3), np.array([0]))
    with pytest.raises(ShapeError, match="position 7") as caught:
        Program(graph).run([np.zeros(3), np.array([7])])
    assert any("raised by the node" in note for note in caught.value.__notes__)


def test_empty_arrays_and_variadic_operations():
    graph = trace(lambda a, b: CONCAT(a, b, a, axis=0), np.zeros((0, 2)), np.zeros((1, 2)))
    (value,) = Program(graph).run([np.zeros((0, 2)), np.ones((1, 2))])
    assert value.tolist() == [[1.0, 1.0]]


def test_executors_are_found_by_name():
    assert "reference" in names()
    assert program(trace(lambda x: x * 3.0, 1.0), "reference").run([2.0])[0] == 6.0


@pytest.mark.slow
def test_a_node_costs_a_microsecond_or_so_beyond_numpy():
    def chain(x):
        for _ in range(2000):
            x = x * 1.0001
        return x

    ready = Program(trace(chain, 1.0))
    one, factor = np.float64(1.0), np.float64(1.0001)

    def seconds(work):
        best = np.inf
        for _ in range(7):
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
        return best

    def bare():
        value = one
        for _ in range(2000):
            value = value * factor

    beyond = (seconds(lambda: ready.run([1.0])) - seconds(bare)) / 2000
    assert beyond < 3e-6  # 0.2e-6 on a quiet machine
