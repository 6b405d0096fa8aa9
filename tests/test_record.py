"""The Trace: every number of one run, and nothing that was not there."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.errors import GradientError, UnknownNameError, UsageError
from backlight.record import array_text, trace_of


def small() -> tuple[bl.Tensor, bl.Tensor, bl.Tensor]:
    w, x = bl.param(1.5, name="w"), bl.tensor(2.0, name="x")
    s = w * x - 1.0
    L = s**2
    return w, s, L


def test_values_and_gradients_by_name() -> None:
    _, _, L = small()
    trace = bl.record(L)
    assert float(trace.value("s")) == 2.0
    assert float(trace.gradient("s")) == 4.0
    assert float(trace.gradient("w")) == 8.0
    assert trace.gradient("x") is None, "not computed is not the same as zero"
    assert list(trace.parameters) == ["w"]
    with pytest.raises(UnknownNameError):
        trace.value("nothing")


def test_contributions_add_up_to_gradients() -> None:
    W = bl.param(np.arange(6.0).reshape(2, 3), name="W")
    h = bl.tanh(W @ bl.tensor([0.1, 0.2, 0.3]))
    loss = bl.sum(h * h + h) + bl.sum(W) * h[0]
    trace = bl.record(loss)
    for node, gradient in enumerate(trace.gradients):
        edges = trace.outgoing[node]
        if gradient is None or node == trace.output:
            assert not edges
            continue
        total = sum(edge.contribution for edge in edges)
        assert np.allclose(total, gradient, rtol=1e-14)


def test_local_derivatives_times_upstream_are_contributions() -> None:
    x = bl.param([0.5, -1.0], name="x")
    trace = bl.record(bl.sum(bl.exp(x) * x))
    for edge in trace.edges:
        upstream = trace.gradients[edge.target]
        assert upstream is not None
        if edge.local is not None and trace.graph.nodes[edge.target].shape == (2,):
            assert np.allclose(edge.local * upstream, edge.contribution)


def test_the_engine_gives_the_same() -> None:
    w, s, L = small()
    trace = bl.record(L)
    L.backward()
    assert w.grad == trace.gradient("w")
    assert s.grad == trace.gradient("s")


def test_recording_leaves_gradients_alone() -> None:
    w, _, L = small()
    bl.record(L)
    assert w.grad is None


def test_wrt_reaches_data() -> None:
    x = bl.tensor([1.0, 2.0], name="x")
    trace = bl.record(bl.sum(x * x), wrt=[x])
    assert np.array_equal(trace.gradient("x"), [2.0, 4.0])


def test_a_trace_is_kept_with_the_loss() -> None:
    w, _, L = small()
    assert trace_of(L) is trace_of(L)
    assert trace_of(trace_of(L)) is trace_of(L)
    assert trace_of(L, w) is trace_of(L)


def test_what_cannot_be_recorded() -> None:
    with pytest.raises(UsageError, match="takes a loss tensor, not float"):
        bl.record(1.0)
    x = bl.param([1.0, 2.0], name="x")
    with pytest.raises(GradientError, match="scalar"):
        bl.record(x * 2.0)
    with pytest.raises(GradientError, match="depends on no parameter"):
        bl.record(bl.tensor(1.0) * 2.0)
    with pytest.raises(GradientError, match="being traced"):
        bl.trace(lambda w: bl.record(w * 2.0), 1.0)


def test_the_table() -> None:
    _, _, L = small()
    lines = str(bl.record(L)).splitlines()
    assert lines[0].split() == ["node", "operation", "value", "gradient"]
    assert [line.split()[0] for line in lines[2:]] == ["w", "x", "p", "s", "L"]
    assert "not computed" in lines[3]
    assert "mul(w, x)" in lines[4]
    assert repr(bl.record(L)) == "<trace of 7 nodes, output L>"


def test_a_long_table_is_shortened() -> None:
    h = bl.param(0.1)
    for _ in range(500):
        h = bl.sin(h)
    text = str(bl.record(h))
    assert "… 381 more …" in text
    assert len(text.splitlines()) == 123


@pytest.mark.parametrize(("array", "text"), [
    (np.float64(2.0), "2."), (np.array([1.0, 2.0]), "[1., 2.]"), (np.zeros((0,)), "[]"),
    (np.ones((3, 4)), "[3×4] ‖·‖ = 3.4641"), (np.full((7,), np.nan), "[7] ‖·‖ = nan"),
])  # fmt: skip
def test_arrays_in_a_table(array: np.ndarray, text: str) -> None:
    assert array_text(np.asarray(array)) == text


def test_a_parameter_that_changed_afterwards_does_not_change_the_trace() -> None:
    w, _, L = small()
    trace = bl.record(L)
    w.assign(100.0)
    assert float(trace.value("w")) == 1.5
    assert bl.explain(trace, "w").value == 8.0
