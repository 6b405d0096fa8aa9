"""Graphs: the checker on broken ones, the textual form, containers, and depth."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlight as bl
from backlight.errors import GraphError, ShapeError, UnknownNameError, UsageError
from backlight.graph.check import check
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.pytree import flatten, leaf_names, map_leaves, unflatten
from backlight.graph.text import graph_text
from backlight.trace import capture, rebuild

R = bl.registry()


def good() -> Graph:
    """x, y → s = x·y, e = exp(s), t = Σ e."""

    def function(x: Any, y: Any) -> Any:
        return R["sum"](R["exp"](x * y), axes=(0,))

    return bl.trace(function, np.ones(3), np.ones(3))


def change(graph: Graph, index: int, **fields: Any) -> Graph:
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **fields)
    return Graph(tuple(nodes), graph.inputs, graph.outputs)


BROKEN: dict[str, tuple[Callable[[Graph], Graph], str]] = {
    "dangling": (lambda g: change(g, 3, inputs=(99,)), r"node 3 .*exp.*operand 99 is not in"),
    "negative": (lambda g: change(g, 3, inputs=(-1,)), r"node 3 .*operand -1 is not in"),
    "of itself": (lambda g: change(g, 3, inputs=(3,)), r"node 3 .*operand 3 does not come before"),
    "wrong order": (lambda g: change(g, 2, inputs=(0, 4)), r"node 2 .*operand 4 does not come"),
    "wrong shape": (lambda g: change(g, 3, shape=(4,)),
                    r"node 3 .*says float64\[4\] and its rule gives float64\[3\]"),
    "wrong dtype": (lambda g: change(g, 3, dtype=np.dtype(np.float32)),
                    r"node 3 .*says float32\[3\] and its rule gives float64"),
    "shapes that do not fit": (lambda g: change(g, 1, shape=(2,), attributes={
        "shape": (2,), "dtype": np.dtype(float)}), r"node 2 .*mul.*\(3,\) and \(2,\)"),
    "dtypes that do not mix": (lambda g: change(g, 1, dtype=np.dtype(int), attributes={
        "shape": (3,), "dtype": np.dtype(int)}), r"node 2 .*float64 and int64 do not mix"),
    "a wrong dtype for the primitive": (
        lambda g: change(change(change(g, 0, dtype=np.dtype(int), attributes={
            "shape": (3,), "dtype": np.dtype(int)}), 1, dtype=np.dtype(int), attributes={
            "shape": (3,), "dtype": np.dtype(int)}), 2, dtype=np.dtype(int)),
        r"node 3 .*exp takes floating-point"),
    "two names": (lambda g: change(g, 3, name=g.nodes[2].name), r"node 3 .*same name"),
    "unknown attribute": (lambda g: change(g, 4, attributes={"axes": (0,), "speed": 1}),
                          r"node 4 .*sum.*speed"),
    "missing attribute": (lambda g: change(g, 4, attributes={}), r"node 4 .*sum.*axes"),
    "an axis that is not there": (lambda g: change(g, 4, attributes={"axes": (5,)}),
                                  r"node 4 .*axes \(5,\) do not fit"),
    "too few operands": (lambda g: change(g, 2, inputs=(0,)), r"node 2 .*takes 2 operands, not 1"),
    "too many operands": (lambda g: change(g, 3, inputs=(0, 1)), r"node 3 .*takes 1 operand"),
    "no operands": (lambda g: change(g, 4, inputs=()), r"node 4 .*sum"),
    "an output outside": (lambda g: Graph(g.nodes, g.inputs, (7,)), r"output 7 is not one of"),
    "an input outside": (lambda g: Graph(g.nodes, (0, -3), g.outputs), r"input -3 is not one"),
    "an input that is no leaf": (lambda g: Graph(g.nodes, (0, 2), g.outputs), r"is not a leaf"),
}  # fmt: skip


def test_a_good_graph_passes() -> None:
    graph = good()
    assert check(graph) is graph
    assert [node.primitive.name for node in graph] == ["input", "input", "mul", "exp", "sum"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_graph_is_named(name: str) -> None:
    make, message = BROKEN[name]
    with pytest.raises(GraphError, match=message):
        check(make(good()))


def test_every_way_to_call_a_primitive_wrongly_is_an_error_of_the_graph() -> None:
    for name, attributes in (
        ("reshape", {"shape": (2, 2)}),
        ("permute", {"axes": (1,)}),
        ("broadcast", {"shape": (2,)}),
        ("slice", {"starts": (0,), "stops": (9,), "steps": (1,)}),
        ("slice", {"starts": (0, 0), "stops": (1, 1), "steps": (1, 1)}),
        ("pad", {"before": (-1,), "after": (0,), "between": (0,)}),
        ("pad", {"before": (1, 1), "after": (0,), "between": (0,)}),
        ("flip", {"axes": (3,)}),
        ("concat", {"axis": 1}),
        ("cumulative_sum", {"axis": 2}),
        ("argsort", {"axis": 2, "descending": False}),
        ("cast", {"dtype": np.dtype(complex)}),
    ):
        record = R[name]
        broken = Graph(
            (
                good().nodes[0],
                Node(record, (0,), attributes, (3,), np.dtype(float), "wrong"),
            ),
            (0,),
            (1,),
        )
        with pytest.raises(GraphError, match=rf"node 1 \(wrong = {name}\)"):
            check(broken)


def test_bad_labels_of_a_contraction_are_named() -> None:
    a, b = bl.tensor([[1.0, 2.0]]), bl.tensor([3.0, 4.0])
    for labels in (
        {"left": (0,), "right": (1,), "result": (0,)},
        {"left": (0, 1), "right": (1,), "result": (0, 1, 2)},
        {"left": (0, 0), "right": (0,), "result": ()},
        {"left": (0, 1), "right": (2,), "result": (0, 2)},
        {"left": (1, 0), "right": (1,), "result": (0,)},
    ):
        with pytest.raises(ShapeError, match="contract"):
            R["contract"](a, b, **labels)


# ── the textual form ─────────────────────────────────────────────────────────────────────────────


def test_text() -> None:
    graph = bl.trace(lambda w, x: R["sum"](R["exp"](w * 2.0 - x), axes=(0,)), np.ones(3), 1.0)
    lines = [line.partition("#")[0].rstrip() for line in str(graph).splitlines()]
    assert lines == [
        "graph(w: float64[3], x: float64[])",
        "  p: float64[3] = mul(w, 2.0)",
        "  s1: float64[3] = sub(p, x)",
        "  v: float64[3] = exp(s1)",
        "  s2: float64[] = sum(v, axes=(0,))",
        "  return s2",
    ]


def test_text_uses_the_names_that_were_given() -> None:
    def f(w: Any) -> Any:
        double = w * 2.0
        return double, double + 1.0

    graph = bl.trace(f, np.float32(1))
    text = str(graph)
    assert "  double: float32[] = mul(w, 2.0)" in text
    assert text.splitlines()[-1].startswith("  return double, ")
    assert graph.index("double") == graph.outputs[0]
    with pytest.raises(UnknownNameError, match="did you mean double"):
        graph.index("doubel")


def test_text_leaves_out_the_middle_of_a_long_graph() -> None:
    def f(x: Any) -> Any:
        for _ in range(1000):
            x = R["exp"](x)
        return x

    lines = graph_text(bl.trace(f, 0.0), longest=10).splitlines()
    assert len(lines) == 13
    assert lines[6].strip() == "… 990 more nodes …"


def test_where_a_value_is_used() -> None:
    graph = good()
    assert graph.consumers == (((2, 0),), ((2, 1),), ((3, 0),), ((4, 0),), ())
    assert graph.upstream(2) == {0, 1, 2}
    assert graph.downstream(1) == {1, 2, 3, 4}


# ── containers ───────────────────────────────────────────────────────────────────────────────────

Pair = namedtuple("Pair", "left right")
KEYS = st.one_of(st.text(max_size=3), st.integers(-5, 5))
TREES = st.recursive(
    st.one_of(st.integers(), st.none(), st.floats(allow_nan=False), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=12,
)


@given(TREES)
def test_containers_come_back_as_they_were(value: Any) -> None:
    leaves, tree = flatten(value)
    again = unflatten(tree, leaves)
    assert again == value
    assert type(again) is type(value)
    assert flatten(again) == (leaves, tree)
    names = leaf_names(tree, "root")
    assert len(names) == len(leaves)
    assert map_leaves(lambda leaf: leaf, value) == value


def test_the_order_of_keys_does_not_matter() -> None:
    assert flatten({"b": 1, "a": 2}) == flatten({"a": 2, "b": 1})
    assert flatten({"b": 1, "a": 2})[0] == [2, 1]


def test_leaves_have_readable_names() -> None:
    value = {"batch": [1, (2, 3)], "a b": Pair(4, 5)}
    names = leaf_names(flatten(value)[1], "f")
    assert names == ["f['a b'][0]", "f['a b'][1]", "f.batch[0]", "f.batch[1][0]", "f.batch[1][1]"]


def test_containers_that_hold_themselves_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="deep"):
        flatten(endless)


# ── depth ────────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_of_100000_operations() -> None:
    x = bl.param(2.0, name="x")
    factor = bl.tensor(1.0 - 2.0**-40)
    y = x
    for _ in range(100_000):
        y = y * factor
    y.backward()
    assert float(x.grad) == pytest.approx((1.0 - 2.0**-40) ** 100_000, rel=1e-9)
    graph, tensors = capture([y])
    assert len(graph) == len(tensors) == 100_002
    check(graph)
    text = str(graph)
    assert "more nodes …" in text
    assert text.splitlines()[0].startswith("graph(x: float64[]")
    again = rebuild(graph, [bl.tensor(2.0), bl.tensor(1.0 - 2.0**-40)])[graph.outputs[0]]
    assert float(again.value) == float(y.value)


def test_a_function_of_10000_operations_is_traced() -> None:
    def f(x: Any) -> Any:
        for _ in range(10_000):
            x = x + 1.0
        return x

    graph = bl.trace(f, 0.0)
    assert len(graph) == 20_001
    assert len(graph.upstream(graph.outputs[0])) == 20_001
