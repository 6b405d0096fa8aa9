"""All passes together: the fixed point, the checks, what stays, and how long it takes."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from tests.passes.same import operations, same_meaning, special

import backlight as bl
from backlight.errors import GraphError
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.ops.arithmetic import ADD, MUL
from backlight.ops.leaf import INPUT
from backlight.passes import optimize, optimize_reported, optimize_together, run_passes
from backlight.passes.pipeline import CHECK_VARIABLE
from backlight.tensor import quiet

X = special()


def messy(x, y):
    doubled = bl.exp(x) + bl.exp(x)
    return (bl.negative(-doubled) * 1.0 - 0.0) / 4.0, bl.sum(
        bl.broadcast_to(y, (3, y.size)) * 2.0, axis=0
    )


def test_the_passes_work_together_until_nothing_changes():
    graph = bl.trace(messy, X, X)
    found, report = optimize_reported(graph, exact=True)
    same_meaning(graph, found, [X, X])
    assert operations(found)[:3] == ["exp", "add", "mul"]
    assert optimize(found, exact=True) is found
    assert report.before == len(graph)
    assert report.after == len(found)
    assert report.counts["eliminate_common"] >= 1
    assert report.counts["undo_twice"] == 1
    assert "undo twice 1×" in str(report)


def test_nothing_to_do_gives_the_same_object_and_says_so():
    graph = bl.trace(lambda x, y: bl.exp(x) * y, X, X)
    found, report = optimize_reported(graph)
    assert found is graph
    assert str(report) == "4 nodes, none to simplify"


def test_inputs_stay_even_when_nothing_needs_them():
    graph = bl.trace(lambda x, y: bl.where(bl.tensor(True), bl.exp(x), y), X, X)
    found = optimize(graph)
    assert [found.nodes[k].name for k in found.inputs] == ["x", "y"]
    same_meaning(graph, found, [X, X])


def test_a_result_stays_a_node_of_its_own_with_its_name():
    """An executor may write results over inputs, so an input never becomes a result."""

    def function(x):
        loss = x * 1.0
        return loss, x - 0.0

    graph = bl.trace(function, X)
    found = optimize(graph)
    same_meaning(graph, found, [X])
    assert all(not found.nodes[k].is_leaf for k in found.outputs)
    assert found.nodes[found.outputs[0]].name == "loss"
    assert optimize(found) is found


def test_names_places_and_scopes_stay():
    net = bl.nn.Sequential(bl.nn.Linear(4, 5), bl.nn.ReLU(), bl.nn.Linear(5, 3), seed=0)
    graph = bl.trace(lambda x: bl.nn.cross_entropy(net(x), bl.tensor([0, 2])), np.ones((2, 4)))
    found = optimize(graph)
    before = {node.name: node for node in graph.nodes}
    kept = [node for node in found.nodes if node.name in before]
    assert len(kept) > 0.9 * len(found)
    for node in kept:
        assert node.scope is before[node.name].scope
        assert node.location == before[node.name].location
        assert node.spec == before[node.name].spec
    assert {"layers.0.z", "layers.1.a"} <= {node.name for node in found.nodes}


# ── two batch lengths ────────────────────────────────────────────────────────────────────────────


def step_graph(rows: int, target: float = 0.5) -> Graph:
    net = bl.nn.Sequential(bl.nn.Linear(4, 5), bl.nn.Tanh(), bl.nn.Linear(5, 1), seed=0)
    weights = bl.nn.parameters(net)

    def loss(x, w):
        with bl.nn.substitute(net, w):
            return bl.nn.mse(net(x), bl.full((rows, 1), target)) / float(rows)

    x = np.zeros((rows, 4), "float32")
    with quiet():
        return bl.trace(bl.grad(loss, argnums=1), x, {k: v.value for k, v in weights.items()})


def structure(graph: Graph) -> list[tuple[str, tuple[int, ...]]]:
    return [(node.primitive.name, node.inputs) for node in graph.nodes]


@pytest.mark.parametrize("lengths", [(32, 20), (5, 32), (16, 8), (6, 2)])
def test_two_batch_lengths_keep_the_same_operations(lengths):
    """Though 32 and 16 are powers of two and the others are not."""
    graphs = [step_graph(rows) for rows in lengths]
    *found, report = optimize_together(*graphs, exact=True, checked=True)
    assert (report.before, report.after) == (len(graphs[0]), len(found[0]))
    assert structure(found[0]) == structure(found[1])
    assert len(found[0]) < len(graphs[0])
    for before, after, rows in zip(graphs, found, lengths, strict=True):
        rng = np.random.default_rng(rows)
        values = [
            rng.standard_normal(before.nodes[k].shape).astype(before.nodes[k].dtype)
            for k in before.inputs
        ]
        same_meaning(before, after, values)


def test_graphs_that_differ_are_optimized_each_for_itself():
    one, two = bl.trace(lambda x: x / 4.0, X), bl.trace(lambda x: bl.exp(x) * 1.0, X)
    *found, _ = optimize_together(one, two)
    assert operations(found[0]) == ["mul"]
    assert operations(found[1]) == ["exp"]


# ── checks ───────────────────────────────────────────────────────────────────────────────────────


def forgets_an_operand(graph: Graph) -> Graph:
    """A wrong pass: it drops a node that others need."""
    return Graph(graph.nodes[:-2] + graph.nodes[-1:], graph.inputs, (len(graph.nodes) - 2,))


def changes_a_shape(graph: Graph) -> Graph:
    """A wrong pass: it says that a result has another shape."""
    last = replace(graph.nodes[-1], shape=(1,))
    return Graph((*graph.nodes[:-1], last), graph.inputs, graph.outputs)


def repeats_a_name(graph: Graph) -> Graph:
    """A wrong pass: two nodes have one name."""
    last = replace(graph.nodes[-1], name=graph.nodes[0].name)
    return Graph((*graph.nodes[:-1], last), graph.inputs, graph.outputs)


@pytest.mark.parametrize("wrong", [forgets_an_operand, changes_a_shape, repeats_a_name])
def test_a_wrong_pass_is_named(wrong):
    graph = bl.trace(lambda x: bl.exp(x) * x, X)
    with pytest.raises(GraphError) as error:
        run_passes(graph, (wrong,), checked=True)
    assert wrong.__name__ in error.value.__notes__[0]
    run_passes(graph, (wrong,), checked=False, rounds=1)  # nobody looked


def test_a_pass_that_never_ends_is_stopped():
    def turns(graph: Graph) -> Graph:
        return Graph(graph.nodes, graph.inputs, graph.outputs)

    assert run_passes(bl.trace(lambda x: bl.exp(x), X), (turns,), rounds=5)[1] == 5


@pytest.mark.parametrize(("setting", "checks"), [(None, 0), ("0", 0), ("1", 1)])
def test_an_environment_variable_turns_checks_on(monkeypatch, setting, checks):
    seen = []
    monkeypatch.delenv(CHECK_VARIABLE, raising=False)
    if setting is not None:
        monkeypatch.setenv(CHECK_VARIABLE, setting)
    monkeypatch.setattr("backlight.passes.pipeline.check", lambda graph: seen.append(graph))
    optimize(bl.trace(messy, X, X))
    assert bool(seen) == bool(checks)
    seen.clear()
    optimize(bl.trace(messy, X, X), checked=True)
    assert seen


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


def chain(count: int) -> Graph:
    """A long chain in which every third operation can go."""
    number = np.dtype("float64")
    nodes = [Node(INPUT, (), {"shape": (), "dtype": number}, (), number, "x")]
    one = bl.trace(lambda x: x * 1.0, 0.0).nodes[1]
    nodes.append(replace(one, name="one"))
    for k in range(count):
        last = len(nodes) - 1 if k else 0
        primitive, inputs = ((MUL, (last, 1)), (ADD, (last, last)), (MUL, (last, last)))[k % 3]
        nodes.append(Node(primitive, inputs, {}, (), number, f"n{k}"))
    return Graph(tuple(nodes), (0,), (len(nodes) - 1,))


def test_a_hundred_thousand_nodes_take_no_longer_each_than_a_few_hundred():
    times = {}
    for count in (1_000, 100_000):
        graph = chain(count)
        start = time.perf_counter()
        found = optimize(graph)
        times[count] = (time.perf_counter() - start) / count
        assert len(found) < 0.7 * count + 10
    assert times[100_000] < 8 * times[1_000] + 1e-5
    assert times[100_000] < 2e-4
