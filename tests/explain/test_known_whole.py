"""Textbook forms of whole gradients through folded losses, and where they do not apply."""

from __future__ import annotations

import numpy as np

import backlight as bl
from backlight import nn

X = np.random.default_rng(0).normal(size=(5, 4))


def network(outputs: int) -> nn.Sequential:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, outputs), seed=0)


def test_cross_entropy_is_softmax_minus_one_hot() -> None:
    y = np.array([0, 1, 1, 0, 1])
    text = bl.explain(nn.cross_entropy(network(2)(X), y), "layers.2.weight").text()
    assert "(softmax(z⁽²⁾) − onehot(" in text and ")/5" in text
    assert "scatter_add" not in text and "broadcast" not in text


def test_logits_are_sigmoid_minus_label() -> None:
    y = (X[:, :2] > 0).astype(np.float64)
    loss = nn.binary_cross_entropy_with_logits(network(2)(X), y)
    assert "(σ(z⁽²⁾) − " in bl.explain(loss, "layers.2.weight").text()


def test_a_form_that_does_not_apply_is_not_shown() -> None:
    y = np.array([0, 1, 1, 0, 1])
    scores = network(2)(X)
    loss = nn.cross_entropy(scores, y) * 3.0
    assert "softmax(" not in bl.explain(loss, "layers.2.weight").text()


def test_a_loss_of_ones_own_with_the_same_name_keeps_its_own_form() -> None:
    z = bl.param([0.3, -0.8], name="z")
    y = bl.tensor([1.0, 0.0], name="y")

    @bl.composite()
    def cross_entropy(p: bl.Tensor, y: bl.Tensor) -> bl.Tensor:
        return -bl.sum(y * bl.log(p) + (1.0 - y) * bl.log(1.0 - p))

    text = bl.explain(cross_entropy(1.0 / (1.0 + bl.exp(-z)), y), "z").text()
    assert "softmax" not in text and "onehot" not in text


def test_the_product_before_the_bias_has_a_symbol() -> None:
    from backlight.explain.symbols import symbols_of

    y = np.array([0, 1, 1, 0, 1])
    trace = bl.record(nn.cross_entropy(network(2)(X), y))
    bases = {(each.base, each.superscript) for each in symbols_of(trace).bases.values()}
    assert {("u", "(1)"), ("u", "(2)"), ("z", "(1)"), ("z", "(2)")} <= bases
