"""Two classic worked examples of backpropagation, reproduced through layers and losses.

The expected numbers come from the chain rule written out for each, in double precision.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from backlight.nn import (
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    squared_error,
)


def rule(layer, shape):
    """w_jk = (((3j + 5k + 7l) mod 11) − 5)/10, counted from 1."""
    return np.array(
        [
            [((3 * j + 5 * k + 7 * layer) % 11 - 5) / 10 for k in range(1, shape[1] + 1)]
            for j in range(1, shape[0] + 1)
        ]
    )


def by_nodes():
    sizes = [3, 3, 3, 2]
    layers = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        weight = rule(number, (outputs, inputs))
        layers += [Linear(inputs, outputs, bias=False, init=weight, dtype="float64"), Sigmoid()]
    return Sequential(*layers)


def test_a_network_node_by_node():
    net = by_nodes()
    loss = squared_error(net([0.5, -1.0, 2.0]), [1.0, 0.0])
    loss.backward()
    first, hidden, last = (net[k].weight.grad for k in (0, 2, 4))
    assert loss.item() == pytest.approx(0.6180362425825663, rel=1e-14)
    assert last[0, 1] == pytest.approx(-0.12173931125565628, rel=1e-14)
    assert hidden[1, 1] == pytest.approx(0.012181382894588729, rel=1e-14)
    assert first[0, 0] == pytest.approx(-0.0013553347477880228, rel=1e-13)


def test_an_activation_of_a_hidden_layer_adds_up_its_effects():
    net = by_nodes()
    hidden = Sequential(*net.layers[:4])([0.5, -1.0, 2.0])
    output = net[5](net[4](hidden))
    loss = squared_error(output, [1.0, 0.0])
    # The hidden activations depend on weights, so their gradient is left on them.
    loss.backward()
    effects = 2 * (output.value - [1.0, 0.0]) * output.value * (1 - output.value)
    effects = effects * net[4].weight.value[:, 1]
    assert effects == pytest.approx([0.10183279169525045, -0.028771901721489176], rel=1e-13)
    assert hidden.grad[1] == pytest.approx(0.07306088997376127, rel=1e-13)


@pytest.mark.parametrize("example", ["single", "batch"])
@pytest.mark.parametrize("with_logits", [False, True])
def test_two_layers_with_binary_cross_entropy(example, with_logits):
    first = Linear(2, 2, init=[[0.1, 0.4], [-0.3, 0.2]], dtype="float64")
    last = Linear(2, 1, init=[[0.7, -0.6]], dtype="float64")
    first.bias.assign([0.05, 0.3])
    last.bias.assign([0.1])
    x, y = np.array([0.5, -0.2]), np.array([1.0])
    if example == "batch":
        x, y = x[np.newaxis], y[np.newaxis]
    hidden = Sequential(first, ReLU())(x)
    logit = last(hidden)
    probability = Sigmoid()(logit)
    loss = (
        binary_cross_entropy_with_logits(logit, y)
        if with_logits
        else binary_cross_entropy(probability, y)
    )
    loss.backward()
    assert hidden.value.ravel() == pytest.approx([0.02, 0.11], rel=1e-14)
    assert logit.item() == pytest.approx(0.048, rel=1e-13)
    assert probability.item() == pytest.approx(0.5119977, abs=1e-7)
    assert loss.item() == pytest.approx(0.66943515, abs=1e-8)
    assert logit.grad.item() == pytest.approx(-0.4880023, abs=1e-7)
    assert last.weight.grad[0] == pytest.approx(
        [-0.009760046069385638, -0.053680253381621024], rel=1e-13
    )
    assert first.weight.grad.ravel() == pytest.approx(
        [-0.17080080621424873, 0.0683203224856995, 0.14640069104078463, -0.05856027641631385],
        rel=1e-13,
    )
