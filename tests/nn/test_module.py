"""Scopes and names that modules give to what they record, the table, and the running mode."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.errors import DtypeError
from backlight.nn import Dropout, Linear, Module, ReLU, Sequential, describe, mode, relu, running
from backlight.trace import capture, history, module_path


class Net(Module):
    def __init__(self):
        self.fc1 = Linear(2, 3, seed=1)
        self.body = Sequential(ReLU(), Linear(3, 3), seed=2)

    def __call__(self, x):
        hidden = self.fc1(x)
        return self.body(hidden)


def paths(result):
    graph, _ = capture([result])
    return {node.name: module_path(node.scope) for node in graph.nodes if node.inputs}


def test_nodes_carry_the_place_of_their_module():
    found = paths(Net()([[1.0, 2.0]]))
    assert set(found.values()) == {"fc1", "body.layers.0", "body.layers.1"}


def test_results_have_the_users_names_and_steps_inside_do_not():
    net = Sequential(Linear(2, 3), ReLU(), Linear(3, 1), seed=0)
    x = bl.tensor([[1.0, 2.0]])
    y_hat = net(x)
    assert y_hat.name == "y_hat"
    assert [each.name for each in history([y_hat]) if each.inputs and each.name] == ["y_hat"]
    inner = [each for each in history([Net()(x)]) if each.name == "hidden"]
    assert [module_path(each.scope) for each in inner] == ["fc1"]


def test_a_layer_by_itself_keeps_the_name_for_its_result():
    layer = Linear(2, 1, seed=0)
    y = layer([[1.0, 2.0]])
    z, b = y.inputs
    assert y.name == "y" and z.name is None and b.name == "bias"


def test_scopes_know_their_result():
    net = Net()
    y = net([[1.0, 2.0]])
    outer = y.scope
    while outer is not None:
        assert outer.result == y.serial
        outer = outer.parent


def test_a_subclass_that_calls_its_parent_is_one_module():
    class Louder(Net):
        def __call__(self, x):
            return 2.0 * super().__call__(x)

    y = Louder()([[1.0, 2.0]])
    graph, _ = capture([y])
    assert all(node.scope.path.count("fc1") <= 1 for node in graph.nodes if node.scope)
    assert next(node.scope.chain()[0].name for node in graph.nodes if node.inputs) == ""


def test_a_module_from_outside_the_network_names_its_own_parts():
    stranger = Sequential(Linear(2, 2), seed=0)

    class Uses(Module):
        def __call__(self, x):
            return stranger(x)

    assert set(paths(Uses()([[1.0, 2.0]])).values()) == {"layers.0"}


def test_an_exception_leaves_no_scope_behind():
    net = Net()
    with pytest.raises(bl.errors.ShapeError):
        net([[1.0, 2.0, 3.0]])
    assert set(paths(net([[1.0, 2.0]])).values()) == {"fc1", "body.layers.0", "body.layers.1"}


def test_a_module_keeps_the_name_and_text_of_its_call():
    class Documented(Module):
        def __call__(self, x):
            """Return x."""
            return x

    assert Documented.__call__.__doc__ == "Return x."


def test_the_table_shows_shapes_and_numbers():
    class Twice(Module):
        def __init__(self):
            self.scales = [bl.param([1.0, 2.0])]
            self.fc = Linear(1000, 2, bias=False)

        def __call__(self, x):
            return self.fc(x)

    lines = repr(Twice()).splitlines()
    assert lines[0] == "Twice: 2,002 parameters"
    assert lines[1].split() == "fc Linear(1000, 2, bias=False) weight (2, 1000) 2,000".split()
    assert describe(ReLU()) == "ReLU()"
    assert "weight (1, 2), bias (1,)  3" in repr(Linear(2, 1))


def test_plain_objects_are_described_too():
    class Plain:
        def __init__(self):
            self.fc = Linear(1, 1)

        def __call__(self, x):
            return self.fc(x)

    assert describe(Plain()).startswith("Plain: 2 parameters\n  fc")


# ── mode ─────────────────────────────────────────────────────────────────────────────────────────


def test_evaluation_is_the_default_and_comes_back():
    assert not mode().training
    with running(training=True, seed=3) as now:
        assert mode() is now and now.training and int(now.seed) == 3 and int(now.step) == 0
        with running(training=False):
            assert not mode().training
        assert mode() is now
    with pytest.raises(RuntimeError), running(training=True, seed=0):
        raise RuntimeError
    assert not mode().training


@pytest.mark.parametrize("wrong", [1.5, [1, 2], True])
def test_seed_and_step_are_integers(wrong):
    with pytest.raises(DtypeError, match="one integer"), running(training=True, seed=wrong):
        pass
    with pytest.raises(DtypeError, match="step"), running(training=True, seed=0, step=wrong):
        pass


def test_seed_and_step_may_be_traced():
    net = Sequential(Linear(2, 4), Dropout(0.5), Linear(4, 1), seed=0)

    def run(x, seed, step):
        with running(training=True, seed=seed, step=step):
            return net(relu(x))

    x = np.ones((1, 2), np.float32)
    graph = bl.trace(run, x, 0, 0)
    assert len(graph.inputs) == 3
    with running(training=True, seed=5, step=2):
        first = net(x).value
    with running(training=True, seed=bl.tensor(5), step=bl.tensor(2)):
        assert np.array_equal(net(x).value, first)
