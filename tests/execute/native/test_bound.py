"""Programs bound to arrays: they give what `run` gives for what is in the arrays at that moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import backlight as bl
from backlight.execute.native.program import NativeProgram
from backlight.trace import trace

W = np.arange(6.0).reshape(2, 3)
X = np.ones((4, 3))


def test_it_reads_and_writes_the_same_arrays_in_every_run() -> None:
    graph = trace(lambda w, x: (bl.sum(bl.tanh(x @ w.T)), bl.exp(w) * 2.0), W, X)
    program = NativeProgram(graph)
    w, x, total, grown = W.copy(), X.copy(), np.zeros(()), np.zeros((2, 3))
    run = program.bound([w, x], [total, grown])
    for k in range(3):
        w[...] = W / (k + 1)
        x[k] = 0.5
        run()
        np.testing.assert_allclose(total, np.tanh(x @ w.T).sum(), rtol=1e-14)
        np.testing.assert_allclose(grown, 2.0 * np.exp(w), rtol=1e-14)
        for bound, free in zip((total, grown), program.run([w, x]), strict=True):
            np.testing.assert_array_equal(bound, free)
    np.testing.assert_array_equal(w, W / 3)


def test_outputs_that_are_inputs_or_named_twice_or_fixed() -> None:
    def several(w: bl.Tensor) -> tuple[bl.Tensor, ...]:
        doubled = 2.0 * w
        return w, doubled, doubled, bl.tensor(7.0), w.T

    w = W.copy()
    results = [np.zeros(shape) for shape in ((2, 3), (2, 3), (2, 3), (), (3, 2))]
    run = NativeProgram(trace(several, W)).bound([w], results)
    for factor in (1.0, -3.0):
        w[...] = factor * W
        run()
        for found, wanted in zip(results, (w, 2 * w, 2 * w, 7.0, w.T), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_two_threads_bind_one_program() -> None:
    program = NativeProgram(trace(lambda x: bl.exp(x @ x.T) + 1.0, X))

    def work(k: int) -> None:
        x, found = np.full((4, 3), 0.1 * k), np.zeros((4, 4))
        run = program.bound([x], [found])
        for _ in range(200):
            run()
            np.testing.assert_allclose(found, np.exp(x @ x.T) + 1.0, rtol=1e-13)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
