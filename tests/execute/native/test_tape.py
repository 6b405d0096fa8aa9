"""Graphs of single numbers: the machine that runs them against the reference."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest

import backlight as bl
from backlight.execute.executors import program
from backlight.execute.native.tape import LONG, TapeProgram, suits
from backlight.execute.reference import Program
from backlight.tensor import Tensor


def walk(steps, seed):
    """A function of three numbers that mixes operations, conditions and dtypes."""
    rng = np.random.default_rng(seed)
    kinds, picks = rng.integers(0, 8, steps), rng.integers(0, 12, (steps, 2))

    def f(x, y, z):
        values = [x, y, z] * 4
        for kind, (a, b) in zip(kinds, picks, strict=True):
            p, q = values[-1 - a], values[-1 - b]
            values.append(
                [
                    lambda p, q: p + q,
                    lambda p, q: 0.5 * p * q,
                    lambda p, q: bl.tanh(p - q),
                    lambda p, q: bl.where(p > q, p, q * 0.5),
                    lambda p, q: bl.exp(-bl.abs(p)),
                    lambda p, q: bl.reshape(bl.reshape(p, (1, 1)), ()) - 0.1,
                    lambda p, q: bl.astype(bl.astype(bl.round(p), bl.int64) % 5, bl.float64),
                    lambda p, q: bl.maximum(p, q) / (1.0 + q * q),
                ][kind](p, q)
            )
        return sum(values[-12:], values[-13])

    return f


@pytest.mark.parametrize("seed", range(5))
def test_a_long_graph_of_numbers_gives_what_the_reference_gives(seed):
    f = walk(400, seed)
    graph = bl.trace(lambda *v: bl.value_and_grad(f, argnums=(0, 1, 2))(*v), 0.3, -0.7, 1.1)
    assert suits(graph)
    made = TapeProgram(graph)
    for values in ([0.3, -0.7, 1.1], [2.0, 0.0, -0.0], [np.inf, 1.0, np.nan]):
        wanted = Program(graph).run(values)
        for found, right in zip(made.run(values), wanted, strict=True):
            assert (found.shape, found.dtype) == (right.shape, right.dtype)
            np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)


def test_long_graphs_of_numbers_are_run_so_and_others_are_not():
    def f(x):
        for _ in range(LONG):
            x = x + x * 0.001
        return x

    assert isinstance(program(bl.trace(f, 1.0), "native"), TapeProgram)
    assert not suits(bl.trace(f, np.ones(2)))
    assert not suits(bl.trace(lambda x: x + 1.0, 1.0))


def test_outputs_may_be_inputs_constants_and_repeated():
    def f(x):
        y = x
        for k in range(LONG):
            y = y * 0.999 + k
        return y, x, y, bl.tensor(2.0)

    graph = bl.trace(f, 1.5)
    found = TapeProgram(graph).run([1.5])
    np.testing.assert_allclose(found, Program(graph).run([1.5]), rtol=1e-13)
    assert not np.shares_memory(found[0], found[2])


def test_the_cost_of_a_tape_does_not_grow_with_what_it_repeats():
    def f(x):
        for _ in range(5000):
            x = bl.sin(x) * 0.5 + x
        return x

    made = TapeProgram(bl.trace(f, 0.5))
    assert len(made.operations) <= 4
    x = 0.5
    for _ in range(5000):
        x = np.sin(x) * 0.5 + x
    np.testing.assert_allclose(made.run([0.5]), [x], rtol=1e-10)


def chain(nodes):
    """The value and the derivative of x ↦ (1 + 1e-6)ᵏ·x, in so many nodes."""

    def f(x):
        w = bl.tensor(1e-6)
        for _ in range(nodes // 3):
            x = bl.relu(x * w + x)
        return x

    return bl.compile(lambda x: bl.value_and_grad(f)(x), executor="native")


def test_the_time_until_the_first_result_grows_with_the_graph_and_not_faster():
    def seconds(nodes):
        ready, start = chain(nodes), time.process_time()
        value, gradient = ready(0.75)
        spent = time.process_time() - start
        factor = (1 + 1e-6) ** (nodes // 3)
        np.testing.assert_allclose([value.value, gradient.value], [0.75 * factor, factor])
        return spent

    seconds(3000)  # compiles the operations
    once = min(seconds(3000) for _ in range(3))
    assert min(seconds(12000) for _ in range(2)) < 6 * once


def test_what_was_recorded_is_freed_when_the_program_is_ready():
    """Without the collector: a ring of objects would keep a graph of millions of nodes alive."""
    ready = chain(3000)
    gc.collect()
    before = sum(type(each) is Tensor for each in gc.get_objects())
    gc.disable()
    try:
        ready(0.75)
        after = sum(type(each) is Tensor for each in gc.get_objects())
    finally:
        gc.enable()
    assert after - before < 20


def test_one_line_says_what_a_tape_does_and_numpy_gives_all_values():
    def f(x):
        for _ in range(LONG):
            x = x * 0.5 + 1.0
        return x

    made = TapeProgram(bl.trace(f, 1.0))
    assert "400 instructions of 2 kinds (mul 200, add 200)" in made.explain()
    everything = made.run([1.0], keep=True)
    assert len(everything) == len(made.graph)
    np.testing.assert_array_equal(everything[made.graph.outputs[0]], made.run([1.0])[0])
