"""A three-layer network trained by accumulated deltas.

Four patterns of three bits; the label is the exclusive or of the first two, and the third bit is
always 1, which takes the place of a bias.  A network of 3 inputs, 4 hidden nodes and 1 output
learns it, with sigmoids everywhere and weights that start at random between −1 and 1.

Every iteration looks at all four patterns.  Forward propagation gives a prediction for each.  The
output error (what the label is above the prediction), times the slope of the sigmoid at the
output, is the output delta.  A hidden node's error is the sum of the deltas of the next layer,
each times the weight that connects the two; times the node's own slope it is the node's delta.  A
weight then changes by the activation at its start times the delta at its end, and these changes
are accumulated over all patterns before they are applied, times the learning rate 1.

That is gradient descent on L = ½ Σ (prediction − label)²: a delta is −∂L/∂z of its node, and what
has been accumulated for a weight w is −∂L/∂w.  So Backlight needs no rule of its own for it: full
batch, plain gradient descent.

    python examples/accumulated_deltas.py                     60,000 iterations
    python examples/accumulated_deltas.py --iterations 1000   fewer
    python examples/accumulated_deltas.py --seed 7            another start
    python examples/accumulated_deltas.py --pictures DIR      the error as a curve as well
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import backlight as bl
from backlight import nn
from backlight.draw import line_plot
from backlight.train import RunState

PATTERNS = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.float64)
LABELS = np.array([[0], [1], [1], [0]], dtype=np.float64)


def network(seed: int = 1) -> nn.Sequential:
    """Build the network; `uniform` draws from −1 to 1."""
    return nn.Sequential(
        nn.Linear(3, 4, bias=False, init="uniform", dtype="float64"),
        nn.Sigmoid(),
        nn.Linear(4, 1, bias=False, init="uniform", dtype="float64"),
        nn.Sigmoid(),
        seed=seed,
    )


@bl.composite()
def half_squared_error(prediction: bl.Tensor, label: bl.Tensor) -> bl.Tensor:
    """Return ½ Σ (prediction − label)², whose derivative by a prediction is its error."""
    return bl.sum(0.5 * (prediction - label) ** 2)


def report(state: RunState) -> None:
    """Print a line after iteration 1, 10, 100, 1,000 and every 10,000, and after the last."""
    number = state.epoch + 1
    if number % 10_000 and number not in (1, 10, 100, 1_000, state.epochs):
        return
    predictions = state.net(PATTERNS).value.ravel()
    shown = "  ".join(f"{each:.4f}" for each in predictions)
    error = state.history["mean_absolute_error"][-1]
    print(f"{number:9,}   {error:10.6f}   {shown}", flush=True)


def train(net: nn.Sequential, iterations: int) -> bl.Run:
    """Train by accumulated deltas."""
    return bl.fit(
        net,
        (PATTERNS, LABELS),
        loss=half_squared_error,
        optimizer=bl.optim.SGD(1.0),
        batch_size=None,
        epochs=iterations,
        metrics=["mean_absolute_error"],
        callbacks=[report],
    )


def main() -> None:
    """Train, and look into the first iteration."""
    parser = argparse.ArgumentParser(description="A network trained by accumulated deltas.")
    parser.add_argument("--iterations", type=int, default=60_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the weights")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="save the curve there")
    options = parser.parse_args()
    if options.iterations < 1:
        parser.error("--iterations must be at least 1.")

    net = network(options.seed)
    print("\n── Training ──\n")
    print("iteration   mean error   predictions for labels 0, 1, 1, 0")
    run = train(net, options.iterations)
    rounded = ", ".join(f"{each:.0f}" for each in net(PATTERNS).value.ravel())
    print(f"\nrounded predictions: {rounded}")

    print("\n── The first iteration: the deltas, layer by layer, and what they add up to ──\n")
    first = run.replay(0)
    print(bl.explain(first, "layers.0.weight"))

    print("── One weight of it, pattern by pattern ──\n")
    print(bl.explain(first, "layers.2.weight", index=(0, 0)), end="")

    if options.pictures is not None:
        errors = run.history["mean_absolute_error"]
        points = list(enumerate(errors, start=1))
        svg = line_plot(
            {"mean absolute error": points},
            "Training by accumulated deltas",
            "iteration",
            "error",
            log_y=True,
        )
        path = options.pictures / "accumulated-deltas.svg"
        path.write_text(svg, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
