"""Backlight in a minute: train on handwritten digits, then ask why one gradient is what it is.

    make demo

It trains a network on the UCI handwritten digits with a progress bar, derives the gradient of one
hidden weight for one example by the chain rule, checks the gradients of the whole network against
finite differences, and writes a report with the loss curve and the drawn graph.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import backlight as bl
from backlight.differentiate.check import check_loss
from backlight.draw import line_plot
from backlight.report import Part, figure, page, text_block

WEIGHT_LAYER = "layers.2.weight"
GOAL = 0.97


def train() -> tuple[bl.Run, bl.data.Dataset]:
    """Train 64-128-64-10 on four fifths of the digits and return the run and the held-out rest."""
    training, held_out = bl.data.load("digits").split(test=0.2, seed=0)
    net = bl.nn.Sequential(
        bl.nn.Linear(64, 128),
        bl.nn.ReLU(),
        bl.nn.Linear(128, 64),
        bl.nn.ReLU(),
        bl.nn.Linear(64, 10),
        seed=0,
    )
    print(f"Training 64-128-64-10 on {len(training)} handwritten digits, {len(held_out)} held out.")
    run = bl.fit(
        net,
        training,
        loss=bl.nn.cross_entropy,
        optimizer=bl.optim.Adam(1e-3),
        epochs=40,
        batch_size=32,
        validation=held_out,
        seed=0,
        progress=True,
    )
    return run, held_out


def one_example(run: bl.Run, data: bl.data.Dataset) -> tuple[bl.Tensor, str, int]:
    """Record the loss of the held-out example that the network is least sure of.

    Returns the loss, the weight of the middle layer with the largest gradient, and the example.
    """
    logits = run.net(bl.tensor(data.X)).value
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    right = shares[np.arange(len(data)), data.y]
    example = int(np.argmin(np.abs(right - 0.5)))
    x = bl.tensor(data.X[example : example + 1], name="x")
    y = bl.tensor(data.y[example : example + 1], name="y")
    L = bl.nn.cross_entropy(run.net(x), y)
    L.backward()
    gradient = np.abs(run.net.parameters()[WEIGHT_LAYER].grad)
    j, k = np.unravel_index(int(np.argmax(gradient)), gradient.shape)
    return L, f"{WEIGHT_LAYER}[{j},{k}]", example


def report(run: bl.Run, loss: bl.Tensor, derivation: str, check: str, path: Path) -> None:
    """Write the page with the loss curve, the drawn graph, the derivation and the check."""
    epochs = range(1, len(run.history["loss"]) + 1)
    curves = {
        "training": list(zip(epochs, run.history["loss"], strict=True)),
        "held out": list(zip(epochs, run.history["validation_loss"], strict=True)),
    }
    plot = line_plot(curves, "Loss while training", "epoch", "cross-entropy", log_y=True)
    drawing = bl.draw(loss)
    parts = [
        Part("Loss", figure(plot, "Mean cross-entropy of each epoch, on a logarithmic scale.")),
        Part("The graph", figure(drawing.svg, "One example: values (=) and gradients (∂).")),
        Part("One hidden weight", text_block(derivation)),
        Part("Gradient check", text_block(check)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page("Backlight: digits", parts), encoding="utf-8")
    (path.parent / "graph.svg").write_text(drawing.svg, encoding="utf-8")
    (path.parent / "loss.svg").write_text(plot, encoding="utf-8")


def main() -> int:
    """Run the demonstration; the exit code is 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the report")
    options = parser.parse_args()
    start = time.perf_counter()

    run, held_out = train()
    accuracy = run.history["validation_accuracy"][-1]
    print(f"\nAccuracy on held-out digits: {accuracy:.1%} (goal: {GOAL:.0%})")

    loss, weight, example = one_example(run, held_out)
    print(f"\nWhy does the loss of held-out digit {example} change with {weight}?\n")
    derivation = bl.explain(loss, weight=weight)
    print(derivation)

    checked = check_loss(loss, run.net.parameters(), samples=20)
    print("Gradient check of the network (float64, against finite differences):\n")
    print(checked)

    path = options.out / "report.html"
    report(run, loss, derivation.text(), str(checked), path)
    print(f"\nReport with the loss curve and the drawn graph: {path.resolve()}")
    print(f"All of it took {time.perf_counter() - start:.1f} s.")
    kept = accuracy >= GOAL and derivation.numeric.ok and checked.ok
    if not kept:
        print("A promise was not kept: see above.", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
