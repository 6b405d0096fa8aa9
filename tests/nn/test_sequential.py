"""Chains of layers: composition, starting weights, description as plain data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backlight.errors import UnknownNameError, UsageError
from backlight.nn import (
    GELU,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    from_dict,
    init,
    initialize,
    relu,
)


def test_layers_follow_one_another():
    net = Sequential(Linear(2, 3), lambda x: 2.0 * x, relu, Linear(3, 1), seed=0)
    x = np.array([[0.3, -0.7], [1.0, 2.0]])
    first, last = net[0], net[3]
    hidden = np.maximum(2 * (x @ first.weight.value.T), 0)
    assert np.allclose(net(x).value, hidden @ last.weight.value.T, rtol=1e-6)
    assert len(net) == 4 and list(net)[1] is net[1]
    assert np.array_equal(Sequential()([1.0, 2.0]).value, [1.0, 2.0])


@pytest.mark.parametrize("wrong", [[Linear(2, 2)], "relu", ReLU, 3])
def test_what_is_not_a_layer_is_refused(wrong):
    with pytest.raises(UsageError, match="Layer 1 of Sequential"):
        Sequential(Linear(2, 2), wrong)


def test_weights_start_by_the_activation_that_follows():
    net = Sequential(
        Linear(6, 5), ReLU(), Linear(5, 4), Dropout(0.1), LeakyReLU(), Linear(4, 3), Tanh(),
        Linear(3, 3), relu, Linear(3, 2), Sigmoid(), Linear(2, 2), seed=9,
    )  # fmt: skip
    rules = {0: "he", 2: "he", 5: "glorot", 7: "he", 9: "glorot", 11: "glorot"}
    for position, rule in rules.items():
        layer = net[position]
        make = init.he_uniform if rule == "he" else init.glorot_uniform
        expected = make((layer.outputs, layer.inputs), 9, position)
        assert np.array_equal(layer.weight.value, expected), position


def test_layers_of_the_same_size_start_differently_and_seeds_reproduce():
    def build(seed):
        return Sequential(Linear(4, 4), Linear(4, 4), seed=seed)

    one, same, other = build(1), build(1), build(2)
    assert not np.array_equal(one[0].weight.value, one[1].weight.value)
    for k in (0, 1):
        assert np.array_equal(one[k].weight.value, same[k].weight.value)
        assert not np.array_equal(one[k].weight.value, other[k].weight.value)
    unseeded, zero = Sequential(Linear(4, 4)), Sequential(Linear(4, 4), seed=0)
    assert np.array_equal(unseeded[0].weight.value, zero[0].weight.value)


def test_layers_with_a_seed_or_weight_of_their_own_keep_it():
    own, given = Linear(2, 2, seed=5), Linear(2, 2, init=[[1.0, 2.0], [3.0, 4.0]])
    before = own.weight.value.copy()
    net = Sequential(own, given, seed=1)
    assert np.array_equal(net[0].weight.value, before)
    assert net[1].weight.value.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_rule_of_the_layers_own_is_kept_with_the_chains_seed():
    net = Sequential(Linear(3, 2, init="orthogonal"), ReLU(), seed=4)
    assert np.array_equal(net[0].weight.value, init.orthogonal((2, 3), 4, 0))


def test_trained_loaded_and_replaced_weights_are_not_drawn_again():
    trained, replaced = Linear(2, 2), Linear(2, 2)
    trained.weight.assign(np.eye(2))
    replaced.weight = Linear(2, 2, seed=8).weight
    kept = replaced.weight.value.copy()
    net = Sequential(trained, replaced, Linear(2, 2), seed=3)
    assert np.array_equal(net[0].weight.value, np.eye(2))
    assert np.array_equal(net[1].weight.value, kept)


def test_the_outer_seed_reaches_inner_chains_without_one():
    def build(outer, inner=None):
        return Sequential(Sequential(Linear(3, 3), seed=inner), ReLU(), seed=outer)

    first, second = build(1), build(2)
    assert not np.array_equal(first[0][0].weight.value, second[0][0].weight.value)
    assert np.array_equal(first[0][0].weight.value, init.he_uniform((3, 3), 1, 0))
    assert np.array_equal(build(1, 7)[0][0].weight.value, build(2, 7)[0][0].weight.value)


def test_a_network_of_ones_own_is_started_by_initialize():
    class Net(Module):
        def __init__(self, seed):
            self.towers = [Linear(3, 3), Linear(3, 3)]
            self.fixed = Linear(3, 3, seed=11)
            initialize(self, seed=seed)

        def __call__(self, x):
            return self.towers[0](x)

    one, other = Net(1), Net(2)
    assert not np.array_equal(one.towers[0].weight.value, one.towers[1].weight.value)
    assert not np.array_equal(one.towers[0].weight.value, other.towers[0].weight.value)
    assert np.array_equal(one.fixed.weight.value, other.fixed.weight.value)


# ── description ──────────────────────────────────────────────────────────────────────────────────


def everything():
    return Sequential(
        Flatten(),
        Linear(4, 3, init="lecun_normal", dtype="float64"),
        GELU("tanh"),
        Sequential(Dropout(0.25), Linear(3, 3, bias=False, seed=2), seed=6),
        LeakyReLU(0.2),
        Linear(3, 2),
        Softmax(axis=1),
        seed=5,
    )


def test_a_description_is_plain_json_and_builds_the_same_network():
    net = everything()
    text = json.dumps(net.to_dict())
    again = from_dict(json.loads(text))
    assert again.to_dict() == net.to_dict()
    for name, each in net.parameters().items():
        assert each.dtype == again.parameters()[name].dtype
        assert np.array_equal(each.value, again.parameters()[name].value)
    x = np.random.default_rng(0).normal(size=(5, 2, 2))
    assert np.array_equal(net(x).value, again(x).value)


def test_given_weights_come_back_through_the_state():
    net = Sequential(Linear(2, 1, init=[[3.0, 4.0]]))
    again = from_dict(net.to_dict())
    again.load(net.state())
    assert np.array_equal(again([1.0, 1.0]).value, [7.0])


def test_only_known_layers_have_a_description():
    class Linear(Module):  # of the same name, but another class
        def __call__(self, x):
            return x

    for layer in (Linear(), relu):
        with pytest.raises(UsageError, match=r"layers\.0 is .* no description"):
            Sequential(layer).to_dict()


def test_descriptions_that_make_no_sense():
    with pytest.raises(UnknownNameError, match="no layer 'Conv'"):
        from_dict({"kind": "Conv"})
    with pytest.raises(UnknownNameError, match="no layer 'None'"):
        from_dict({})
    with pytest.raises(UsageError, match="do not describe a Linear"):
        from_dict({"kind": "Linear", "inputs": 3})
    with pytest.raises(UsageError, match="do not describe a Sequential"):
        from_dict({"kind": "Sequential", "layers": [], "depth": 3})
