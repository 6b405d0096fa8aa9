"""Folding: every node drawn, folded or counted, never too many boxes, never a circle."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

import backlight as bl
from backlight.draw.fold import MOST, Folding, fold
from backlight.draw.layers import topological_order
from backlight.errors import UnknownNameError
from backlight.graph.graph import Graph
from backlight.graph.scope import Scope, open_scope
from backlight.trace import capture


def graph_of(*outputs: bl.Tensor) -> Graph:
    return capture(outputs)[0]


def accounted(graph: Graph, folding: Folding) -> None:
    """Each node is in exactly one group or written into formulas; groups form no circle."""
    grouped = sorted(node for group in folding.groups for node in group.nodes)
    inlined = [k for k, owner in enumerate(folding.owner) if owner < 0]
    assert sorted(grouped + inlined) == list(range(len(graph.nodes)))
    for number, group in enumerate(folding.groups):
        assert all(folding.owner[node] == number for node in group.nodes)
    for k in inlined:
        assert graph.nodes[k].shape == () and graph.nodes[k].is_leaf
    edges = {
        (folding.owner[operand], folding.owner[k])
        for k, node in enumerate(graph.nodes)
        for operand in node.inputs
        if folding.owner[k] >= 0 <= folding.owner[operand]
    }
    proper = sorted((a, b) for a, b in edges if a != b)
    assert len(topological_order(len(folding.groups), proper)) == len(folding.groups)
    assert all(a < b for a, b in proper)


def network(layers: int) -> Graph:
    h = bl.tensor([0.5, -1.0], name="x")
    with open_scope("net", "module"):
        for k in range(layers):
            w = bl.param([[0.1, 0.2], [0.3, 0.4]], name=f"layers.{k}.weight")
            with open_scope(f"layers.{k}", "module"):
                h = w @ h
                with open_scope("softmax", "composite"):
                    e = bl.exp(h)
                    h = e / bl.sum(e)
    return graph_of(bl.sum(h))


def test_a_small_graph_is_not_folded() -> None:
    graph = network(3)
    folding = fold(graph)
    assert {group.kind for group in folding.groups} == {"node"}
    accounted(graph, folding)


def test_depth_and_open() -> None:
    graph = network(3)
    closed = fold(graph, depth=0)
    assert [g.scope.path for g in closed.groups if g.scope] == ["net"]
    layers = fold(graph, depth=1)
    assert [g.scope.path for g in layers.groups if g.scope] == [f"net/layers.{k}" for k in range(3)]
    opened = fold(graph, depth=0, open=["net/layers.1"])
    assert [g.scope.path for g in opened.groups if g.scope] == [
        "net/layers.0",
        "net/layers.1/softmax",
        "net/layers.2",
    ]
    for folding in (closed, layers, opened):
        accounted(graph, folding)


def test_an_unknown_path_is_named_with_close_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"layers\.9.*net/layers\.0"):
        fold(network(1), open=["net/layers.9"])
    x = bl.param(1.0, name="x")
    with pytest.raises(UnknownNameError, match="none at all"):
        fold(graph_of(x * 2.0), open=["net"])


def test_larger_graphs_fold_as_little_as_needed() -> None:
    graph = network(12)  # 12 × (weight, product, 3 of softmax): too many without folding
    folding = fold(graph)
    assert len(folding.groups) <= 60
    assert next(g.scope.path for g in folding.groups if g.scope) == "net/layers.0/softmax"
    deeper = fold(network(25))
    assert next(g.scope.path for g in deeper.groups if g.scope) == "net/layers.0"
    accounted(graph, folding)


def test_leaves_go_into_folded_boxes_only_when_there_are_too_many() -> None:
    few, many = network(25), network(45)
    shown, hidden = fold(few), fold(many)
    # weight, product, exp, sum, quotient: the weight is drawn, or folded with the other four
    assert {len(g.nodes) for g in shown.groups if g.scope} == {4}
    assert {len(g.nodes) for g in hidden.groups if g.scope} == {5, 6}  # the first takes x as well
    accounted(few, shown)
    accounted(many, hidden)


def test_one_level_more_is_opened_when_almost_nothing_would_be_left() -> None:
    graph = network(100)
    folding = fold(graph)
    assert [g.scope.path for g in folding.groups if g.scope][99] == "net/layers.99"
    accounted(graph, folding)


def test_a_backward_scope_is_no_box() -> None:
    x = bl.param(1.0, name="x")
    with open_scope("backward", "backward"), open_scope("layer", "module"):
        y = x * 2.0 + 1.0
    folding = fold(graph_of(y), depth=0)
    assert [g.scope.name for g in folding.groups if g.scope] == ["layer"]


def test_a_network_without_a_name_is_no_box() -> None:
    x = bl.param(1.0, name="x")
    with open_scope("", "module"), open_scope("layers.0", "module"):
        y = x * 2.0 + 1.0
    graph = graph_of(y)
    assert [g.scope.name for g in fold(graph, depth=0).groups if g.scope] == ["layers.0"]
    assert {g.kind for g in fold(graph, depth=0, open=["layers.0"]).groups} == {"node"}


def test_a_long_chain_keeps_its_ends() -> None:
    x = bl.param(1.0, name="x")
    y = x
    for _ in range(1000):
        y = y + 0.5
    graph = graph_of(y)
    folding = fold(graph)
    elided = [g for g in folding.groups if g.kind == "elided"]
    assert [len(g.nodes) for g in elided] == [1000 - 60]
    assert len(folding.groups) == 62
    accounted(graph, folding)


def test_what_is_to_be_kept_is_kept() -> None:
    x = bl.param(1.0, name="x")
    y = x
    for _ in range(1000):
        y = y + 0.5
    graph = graph_of(y)
    wanted = [k for k in range(len(graph.nodes)) if not graph.nodes[k].is_leaf][500]
    folding = fold(graph, keep=[wanted])
    assert folding.groups[folding.owner[wanted]].nodes == (wanted,)
    assert sum(g.kind == "elided" for g in folding.groups) == 2
    accounted(graph, folding)


@pytest.mark.parametrize("seed", range(4))
def test_there_are_never_more_than_the_most(seed: int) -> None:
    chance = random.Random(seed)
    tensors = [bl.param(1.0, name=f"x{k}") for k in range((1, 30, 400, 700)[seed])]
    for _ in range(900):
        tensors.append(chance.choice(tensors[-50:]) + chance.choice(tensors))
    graph = graph_of(*tensors[-5:])
    keep = chance.sample(range(len(graph.nodes)), 80)
    for kept in ((), keep):
        folding = fold(graph, keep=kept)
        assert len(folding.groups) <= MOST
        accounted(graph, folding)


def test_many_leaves_of_one_operation() -> None:
    parts = [bl.param([float(k)], name=f"x{k}") for k in range(800)]
    graph = graph_of(bl.concat(parts))
    folding = fold(graph)
    assert len(folding.groups) <= MOST
    accounted(graph, folding)


def test_regions_that_depend_on_each_other_are_taken_apart() -> None:
    x = bl.param(1.0, name="x")
    graph = graph_of(bl.tanh(bl.tanh(bl.tanh(bl.tanh(x)))))
    one, other = Scope("one", "module", None), Scope("other", "module", None)
    scopes = [None, one, other, one, other]
    nodes = tuple(replace(n, scope=s) for n, s in zip(graph.nodes, scopes, strict=True))
    crossed = Graph(nodes, graph.inputs, graph.outputs)
    folding = fold(crossed, depth=0)
    assert [group.kind for group in folding.groups] == ["node"] * 5
    accounted(crossed, folding)


def test_a_very_deep_nest_of_scopes() -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        y = bl.param(1.0, name="x")
        for k in range(300):
            stack.enter_context(open_scope(f"s{k}", "composite"))
            y = bl.tanh(-y)
    graph = graph_of(y)
    folding = fold(graph)
    assert len(folding.groups) <= 60
    accounted(graph, folding)
