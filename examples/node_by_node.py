"""A network node by node: what puts the *back* in backpropagation.

Four layers of 3, 3, 3 and 2 nodes, joined by three matrices of weights, sigmoids everywhere, no
biases.  The loss adds up the squared differences between the output activations and their
targets: L = Σⱼ (aⱼ − yⱼ)².

A weight of the output layer acts on the loss by one route only: it changes its node's input z,
which changes that node's activation a, which changes the loss.  Its derivative is a product of
three factors, all of them at hand after the forward pass.

An activation of a hidden layer is another matter.  The loss is not written in terms of it; it
feeds *every* node of the next layer, each of them changes the loss, and the chain rule adds these
effects up.  The sum is exactly what a weight of that hidden layer needs as its first factor.  So
the derivatives of the later layer have to be there before those of the earlier layer can be
found: that is why one goes backward, and it is the same one layer further back, and so on.

The superscript in brackets counts the layers of weights, so the output layer is L = 3.

    python examples/node_by_node.py                                  the four derivations
    python examples/node_by_node.py --weight "layers.2.weight[1,1]"  any weight of any layer
    python examples/node_by_node.py --pictures DIR                   the drawing as well
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import backlight as bl
from backlight import nn

SIZES = (3, 3, 3, 2)
INPUT = [0.5, -1.0, 2.0]
TARGET = [1.0, 0.0]


def starting_weight(layer: int, nodes: int, nodes_before: int) -> list[list[float]]:
    """Return wⱼₖ = (((3j + 5k + 7l) mod 11) − 5)/10, everything counted from 1."""
    return [
        [((3 * j + 5 * k + 7 * layer) % 11 - 5) / 10 for k in range(1, nodes_before + 1)]
        for j in range(1, nodes + 1)
    ]


def network() -> nn.Sequential:
    """Build the network; its weights are layers.0.weight, layers.2.weight, layers.4.weight."""
    layers: list[nn.Module] = []
    for layer, (before, after) in enumerate(pairwise(SIZES), start=1):
        weight = starting_weight(layer, after, before)
        layers += [nn.Linear(before, after, bias=False, init=weight, dtype="float64")]
        layers += [nn.Sigmoid()]
    return nn.Sequential(*layers)


def loss_of(net: nn.Sequential) -> bl.Tensor:
    """Run the forward pass."""
    x = bl.tensor(INPUT, name="x")
    y = bl.tensor(TARGET, name="y")
    L = nn.squared_error(net(x), y)
    return L


def main() -> None:
    """Print the derivations."""
    parser = argparse.ArgumentParser(description="Backpropagation, node by node.")
    parser.add_argument("--weight", metavar="NAME[J,K]", help="the one weight to derive")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="save the drawing there")
    options = parser.parse_args()

    net = network()
    L = loss_of(net)
    if options.weight is not None:
        try:
            print(bl.explain(L, net, weight=options.weight), end="")
        except bl.BacklightError as error:
            parser.error(str(error))
        return

    print("\n── The forward pass, and every gradient ──\n")
    print(bl.record(L))
    print(f"\nL = {L.item()!r}")

    print("\n── A weight of the output layer ──\n")
    print(bl.explain(L, net, weight="layers.4.weight[0,1]"))

    print("── An activation of the layer before ──\n")
    print(bl.explain(L, "layers.3.a", index=1))

    print("── A weight of that layer ──\n")
    print(bl.explain(L, net, weight="layers.2.weight[1,1]"))

    print("── A weight one layer further back ──\n")
    print(bl.explain(L, net, weight="layers.0.weight[0,0]"), end="")

    if options.pictures is not None:
        bl.draw(L).save(options.pictures / "node-by-node.svg")


if __name__ == "__main__":
    main()
