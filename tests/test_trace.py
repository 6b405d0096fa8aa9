"""From functions and recorded tensors to graphs."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.errors import GraphError, TracedValueError, UsageError
from backlight.graph.check import check
from backlight.graph.primitive import Kind
from backlight.ops.leaf import CONSTANT
from backlight.tensor import literal
from backlight.trace import capture, history, rebuild, trace_function


def test_the_text_of_a_graph() -> None:
    graph = bl.trace(lambda w, x: bl.exp(w * x), 1.0, 2.0)
    lines = str(graph).splitlines()
    assert [line.partition("  #")[0].rstrip() for line in lines] == [
        "graph(w: float64[], x: float64[])",
        "  p: float64[] = mul(w, x)",
        "  v: float64[] = exp(p)",
        "  return v",
    ]
    assert "test_trace.py" in lines[1]


def test_the_function_is_called_once_without_values() -> None:
    calls = []

    def f(x: bl.Tensor) -> bl.Tensor:
        calls.append(x.known_value)
        return x * 2.0

    bl.trace(f, 3.0)
    assert calls == [None]


def test_branching_on_a_value_says_what_to_do() -> None:
    with pytest.raises(TracedValueError, match="bl.where") as caught:
        bl.trace(lambda x: x if x > 0 else -x, 1.0)
    assert "test_trace.py" in str(caught.value)


def test_nested_arguments_and_results() -> None:
    made = trace_function(
        lambda p, x: {"y": p["w"] * x[0], "z": (x[1] + p["b"],)}, {"w": 1.0, "b": 2.0}, [3.0, 4.0]
    )
    names = [made.graph.nodes[k].name for k in made.graph.inputs]
    assert names == ["p['b']", "p['w']", "x[0]", "x[1]"] or len(names) == 4
    assert made.result([10, 20]) == {"y": 10, "z": (20,)}
    check(made.graph)


def test_what_a_function_closes_over_becomes_a_constant() -> None:
    w = bl.param([1.0, 2.0], name="w")
    graph = bl.trace(lambda x: x * (w * 2.0), np.ones(2))
    kinds = [node.primitive.kind for node in graph.nodes]
    assert kinds.count(Kind.LEAF) == 2
    constant = next(node for node in graph.nodes if node.primitive is CONSTANT)
    assert np.array_equal(constant.attributes["value"].array, [2.0, 4.0])


def test_a_constant_result() -> None:
    graph = bl.trace(lambda x: (x * 1.0, 5.0), 1.0)
    assert graph.nodes[graph.outputs[1]].primitive is CONSTANT
    with pytest.raises(GraphError, match="must return tensors"):
        bl.trace(lambda x: "text", 1.0)
    with pytest.raises(UsageError, match="takes a function"):
        bl.trace(3.0)


def test_capture_keeps_the_order_and_the_places() -> None:
    w = bl.param(2.0, name="w")
    y = bl.exp(w) + w
    graph, tensors = capture([y])
    assert [each.serial for each in tensors] == sorted(each.serial for each in tensors)
    for index, node in enumerate(graph.nodes):
        assert all(k < index for k in node.inputs)
        assert node.location is not None and node.location.file == __file__
    assert graph.outputs == (len(graph.nodes) - 1,)
    check(graph)


def test_history_of_a_deep_chain() -> None:
    h = bl.param(1.0)
    for _ in range(20_000):
        h = -h
    assert len(history([h])) == 20_001


def test_rebuilding_on_other_values() -> None:
    graph = bl.trace(lambda w, x: bl.sum(w * x) ** 2, np.ones(3), np.ones(3))
    leaves = [literal(np.array([1.0, 2.0, 3.0])), literal(np.array([0.5, 0.5, 0.5]))]
    tensors = rebuild(graph, leaves)
    assert tensors[graph.outputs[0]].item() == 9.0
    assert [each.name for each in tensors if each.name] == [
        node.name for node in graph.nodes if node.named and not node.is_leaf
    ]
    w = bl.param(1.0)
    recorded, _ = capture([w * 2.0])
    broken = type(recorded)(recorded.nodes, (), recorded.outputs)
    with pytest.raises(GraphError, match="was given no value"):
        rebuild(broken, [])


def test_the_same_tensor_twice() -> None:
    w = bl.param(2.0)
    y = w * w
    graph, _ = capture([y, y])
    assert graph.outputs == (1, 1)
    assert graph.nodes[1].inputs == (0, 0)
