"""Small networks and data that the tests of training share."""

from __future__ import annotations

import numpy as np

from backlight import nn


def tiny(dtype="float64", hidden=4, inputs=3, outputs=2, seed=0, dropout=0.0):
    """A network with one hidden layer."""
    layers = [nn.Linear(inputs, hidden, dtype=dtype), nn.Tanh()]
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(hidden, outputs, dtype=dtype), seed=seed)


def examples(n=10, inputs=3, outputs=2, seed=0):
    """Features and real targets."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, inputs)), rng.normal(size=(n, outputs))


def classes(n=12, inputs=3, k=2, seed=0):
    """Features and class numbers, every class among them."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    return rng.normal(size=(n, inputs)) + y[:, None], y


def values(net):
    """Copies of a network's parameters."""
    return {name: each.value.copy() for name, each in nn.parameters(net).items()}


def assert_same(a, b):
    """Compare parameters bit by bit."""
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
        assert a[name].dtype == b[name].dtype
