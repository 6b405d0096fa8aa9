"""A two-layer classifier: ReLU, sigmoid, cross-entropy.

Two inputs feed two hidden units with ReLU; they feed one output unit, whose sigmoid is read as
the probability that the example belongs to the class.  The cross-entropy loss
L = −(y·ln a + (1 − y)·ln(1 − a)) is small when the probability of what is true is large.

Two things make this pair of output and loss so common.  The derivative of the loss by the input z
of the sigmoid is simply a − y, prediction minus truth.  And from there everything goes as in any
network: that error, carried back along the output weights and through the slope of ReLU (1 for a
unit that is on, 0 for one that is off), arrives at the hidden layer's weights.

The derivatives of the three usual activations are all that is needed on the way; they stand in
a table at the end.

    python examples/two_layer_classifier.py
    python examples/two_layer_classifier.py --pictures DIR   the drawings as well
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import backlight as bl
from backlight import nn
from backlight.draw import function_plot
from backlight.explain.render import as_text
from backlight.explain.sections import Section

Function = Callable[[Any], bl.Tensor]
ACTIVATIONS: dict[str, Function] = {
    "sigmoid": nn.sigmoid,
    "tanh": nn.tanh,
    "ReLU": nn.relu,
}
POINTS = [-2.0, -1.0, 0.0, 1.0, 2.0]


def network() -> nn.Sequential:
    """Build the classifier with its starting weights."""
    hidden = nn.Linear(2, 2, init=[[0.1, 0.4], [-0.3, 0.2]], dtype="float64")
    hidden.bias.assign([0.05, 0.3])
    output = nn.Linear(2, 1, init=[[0.7, -0.6]], dtype="float64")
    output.bias.assign([0.1])
    return nn.Sequential(hidden, nn.ReLU(), output, nn.Sigmoid())


@bl.composite()
def cross_entropy(p: bl.Tensor, y: bl.Tensor) -> bl.Tensor:
    """Return the cross-entropy, written out as in a textbook; derivations show it as one step.

    `nn.binary_cross_entropy` is the same, and safe where a probability is 0 or 1.
    """
    L = bl.sum(-(y * bl.log(p) + (1 - y) * bl.log(1 - p)))
    return L


def loss_of(net: nn.Sequential) -> bl.Tensor:
    """Run the forward pass."""
    x = bl.tensor([0.5, -0.2], name="x")
    y = bl.tensor([1.0], name="y")
    return cross_entropy(net(x), y)


def slope(function: Function) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Return the derivative of a function of one variable, found by the backward pass."""
    gradient = bl.grad(lambda z: bl.sum(function(z)))
    return lambda points: np.asarray(gradient(bl.tensor(points)).value)


def main() -> None:
    """Print the derivations."""
    parser = argparse.ArgumentParser(description="Backpropagation in a two-layer classifier.")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="save the drawings there")
    options = parser.parse_args()

    net = network()
    L = loss_of(net)
    print("\n── Every value and every gradient ──\n")
    trace = bl.record(L)
    print(trace)
    print(f"\nL = {L.item():.8f}")

    print("\n── The output: sigmoid and cross-entropy together ──\n")
    print(bl.explain(L, "layers.2.s", index=0))
    difference = trace.value("layers.3.a") - trace.value("y")
    print(f"Prediction minus truth is the same number: a − y = {difference[0]:.16g}")

    print("\n── The weights of the output layer ──\n")
    print(bl.explain(L, net, weight="layers.2.weight[0,0]"))
    print(bl.explain(L, net, weight="layers.2.weight[0,1]"))

    print("── The weights of the hidden layer ──\n")
    print(bl.explain(L, net, weight="layers.0.weight[0,0]"))

    print("── All weights of the hidden layer at once, with matrices ──\n")
    print(bl.explain(L, net, weight="layers.0.weight"))

    print("── The derivatives of sigmoid, tanh and ReLU ──\n")
    print("For g = g(z), entry by entry, and S = Σ g, so that ∂S/∂g is 1 everywhere:\n")
    for name, function in ACTIVATIONS.items():
        print(f"{name}\n{derivative_rule(function)}\n")
    print(derivative_table())

    if options.pictures is not None:
        bl.draw(L).save(options.pictures / "two-layer-classifier.svg")
        for name, function in ACTIVATIONS.items():
            curves = {name: lambda z, f=function: f(z).value, f"{name}′": slope(function)}
            svg = function_plot(curves, f"{name} and its derivative", x_label="z")
            path = options.pictures / f"derivative-{name.lower()}.svg"
            path.write_text(svg, encoding="utf-8", newline="\n")


def derivative_rule(function: Function) -> str:
    """Print the rule by which Backlight differentiates g(z), for a whole vector z at once."""
    z = bl.param(POINTS, name="z")
    g = function(z)
    S = bl.sum(g)
    last = bl.explain(S, z).sections[0].equations[-1]
    return as_text("", [Section("", equations=(last,))], ()).strip("\n")


def derivative_table() -> str:
    """List the functions and their derivatives at a few points."""
    heads = "".join(f"{name:>12}{name + '′':>12}" for name in ACTIVATIONS)
    lines = [f"{'z':>4}{heads}"]
    columns = [
        column
        for function in ACTIVATIONS.values()
        for column in (function(np.array(POINTS)).value, slope(function)(np.array(POINTS)))
    ]
    for point, *row in zip(POINTS, *columns, strict=True):
        lines.append(f"{point:4g}" + "".join(f"{each:12.8f}" for each in row))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
