"""Deep and wide computations: nothing recurses, nothing explodes."""

from __future__ import annotations

import math
import time

import pytest

import backlight as bl

OPERATIONS = 100_000
LIMIT = 60.0  # seconds; about ten on a machine of its own


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand_operations() -> None:
    start = time.perf_counter()
    x = bl.param(0.3, name="x")
    h = x
    derivative, value = 1.0, 0.3
    for k in range(OPERATIONS):
        if k % 2:
            h, value = h * 1.00001, value * 1.00001
            derivative *= 1.00001
        else:
            h, value = h - 0.00001 * 0.3, value - 0.00001 * 0.3
    h.backward()
    assert float(x.grad) == pytest.approx(derivative, rel=1e-12)
    trace = bl.record(h)
    d = bl.explain(trace, "x")
    assert d.value == pytest.approx(derivative, rel=1e-12)
    text = d.text()
    assert "factors in the middle of the chain are left out" in text
    assert len(text.splitlines()) < 80
    assert d.numeric.ok
    paths = d.paths()
    assert (paths.count, len(paths[0].factors)) == (1, OPERATIONS)
    assert paths[0].contribution == pytest.approx(derivative, rel=1e-9)
    assert "more" in str(trace)
    assert bl.draw(trace).svg.startswith("<svg")
    for written in (d.latex(), d.html()):
        assert len(written) < 50_000
    assert time.perf_counter() - start < LIMIT


@pytest.mark.slow
def test_a_deep_trace_survives_json() -> None:
    h = x = bl.param(0.3, name="x")
    for _ in range(OPERATIONS // 4):
        h = bl.sin(h)
    trace = bl.record(h)
    again = bl.Trace.from_json(trace.to_json())
    assert len(again.graph) == len(trace.graph)
    assert again.gradient("x") == trace.gradient("x")
    assert x.name == "x"


def test_one_scalar_used_two_thousand_times() -> None:
    x = bl.param(0.5, name="x")
    total = bl.tensor(0.0)
    for k in range(2000):
        total = total + x * float(k % 7)
    d = bl.explain(total, x)
    wanted = sum(k % 7 for k in range(2000))
    assert d.value == wanted
    step = d.steps[-1]
    assert (step.count, len(step.terms)) == (2000, 4)
    assert [term.contribution for term in step.terms] == [6.0] * 4
    assert step.remainder == wanted - 24
    assert "1,996 more" in d.text()
    paths = d.paths(top=3)
    assert (paths.count, paths.remainder) == (2000, wanted - 18)
    assert len(d.text().splitlines()) < 80


def test_one_scalar_broadcast_ten_thousand_times() -> None:
    x = bl.param(0.5, name="x")
    loss = bl.sum(bl.tensor([k % 7 for k in range(10_000)], dtype=float, name="k") * x)
    d = bl.explain(loss, x)
    assert d.value == sum(k % 7 for k in range(10_000))
    assert d.paths().count == 10_000
    assert "10,000 ways" in d.text()
    assert "Σⱼ" in d.text()


@pytest.mark.parametrize("depth", [10, 60, 500])
def test_diamonds_have_two_to_the_depth_paths(depth: int) -> None:
    x = bl.param(0.5, name="x")
    y = x
    for _ in range(depth):
        y = y * 0.3 + y * 0.7
    d = bl.explain(y, x)
    start = time.perf_counter()
    paths = d.paths(top=5)
    assert time.perf_counter() - start < 5
    assert paths.count == pytest.approx(2.0**depth, rel=1e-12)
    assert paths.exhausted
    largest = 0.7**depth
    second = 0.7 ** (depth - 1) * 0.3
    assert [path.contribution for path in paths] == pytest.approx(
        [largest, second, second, second, second], rel=1e-9
    )
    assert paths.total == pytest.approx(1.0, rel=1e-9)
    assert math.fsum(path.contribution for path in paths) + paths.remainder == pytest.approx(1.0)
    if depth == 60:
        assert "about 1.15e+18 paths" in d.text() or "about 1.15e18 paths" in d.text()


def test_equal_paths_are_found_at_once() -> None:
    """All products tie, so that only the order of the search keeps it from seeing them all."""
    y = x = bl.param(0.1, name="x")
    for _ in range(50):
        y = y * 0.5 + y * 0.5
    paths = bl.explain(y, x).paths(top=3)
    assert paths.exhausted
    assert [path.contribution for path in paths] == pytest.approx([0.5**50] * 3)


def test_paths_that_are_all_zero_are_found_at_once() -> None:
    net = bl.nn.Sequential(bl.nn.Linear(20, 60, dtype="float64"), bl.nn.ReLU(),
                           bl.nn.Linear(60, 60, dtype="float64"), bl.nn.ReLU(),
                           bl.nn.Linear(60, 5, dtype="float64"), seed=0)  # fmt: skip
    bias = net.parameters()["layers.0.bias"]
    bias.assign([-1e3] * 60)
    X = bl.tensor([[0.1] * 20] * 8, name="X")
    d = bl.explain(bl.sum(net(X) ** 2), net, weight="layers.0.weight[0,0]")
    start = time.perf_counter()
    paths = d.paths(top=3)
    assert time.perf_counter() - start < 5
    assert d.value == 0.0
    assert [path.contribution for path in paths] == [0.0] * 3
    assert paths.count == 8 * 60 * 5 * 2 or paths.count == 8 * 60 * 5


def test_long_reductions_and_scans() -> None:
    x = bl.param([0.5] * 3000, name="x")
    loss = bl.sum(bl.cumulative_sum(x) * 1e-3) + bl.max(x * bl.tensor([1.0] * 2999 + [2.0]))
    d = bl.explain(loss, x, index=10)
    assert d.value == pytest.approx(2.99, rel=1e-12)
    assert d.paths().count == 2991
    assert len(d.text().splitlines()) < 100
