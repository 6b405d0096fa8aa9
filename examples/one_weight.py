"""One weight: the forward pass, the local gradients, the backward pass, and learning from them.

The smallest model there is predicts ŷ = w·x with a single weight.  For the example x = 1, y = 2 and
the starting weight w = 1 it predicts 1, which is too little by 1, and the squared error says so in
one number: L = (ŷ − y)².  How should w change?

Backpropagation finds out in three steps, and here they are taken one at a time.  The forward pass
computes the value of every node from those before it.  Then each node works out its local
gradient, which is how its own value would change with its own operands; it needs to know nothing
about the rest of the graph.  The backward pass starts at the loss and multiplies local gradients,
as the chain rule says, until it arrives at w.  Gradient descent then takes a small step against
the gradient, and doing all of this again and again leads the weight to 2.

    python examples/one_weight.py                  everything at once
    python examples/one_weight.py --pause          one step at a time
    python examples/one_weight.py --pictures DIR   the drawing of the graph as well
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import backlight as bl
from backlight.explain import Derivation
from backlight.explain.render import as_text

LEARNING_RATE = 0.1


@dataclass(frozen=True)
class Run:
    """The nodes of one forward pass."""

    w: bl.Tensor
    y_hat: bl.Tensor
    s: bl.Tensor
    L: bl.Tensor


def forward(w: bl.Tensor) -> Run:
    """Compute the prediction, the difference and the loss."""
    x = bl.tensor(1.0, name="x")
    y = bl.tensor(2.0, name="y")
    y_hat = w * x
    s = y_hat - y
    L = s**2
    return Run(w, y_hat, s, L)


def descend(w: bl.Tensor, steps: int) -> list[tuple[float, float, float]]:
    """Take steps of gradient descent; return loss, gradient and new weight of each."""
    optimizer = bl.optim.SGD(LEARNING_RATE)
    state, taken = None, []
    for _ in range(steps):
        L = forward(w).L
        L.backward()
        gradient = float(w.grad)
        state = optimizer.step({"w": w}, state)
        taken.append((L.item(), gradient, w.item()))
    return taken


def main() -> None:
    """Show the steps."""
    parser = argparse.ArgumentParser(description="Backpropagation with one weight.")
    parser.add_argument("--pause", action="store_true", help="wait for Enter between the steps")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="save the drawing there")
    options = parser.parse_args()

    def chapter(title: str, text: str) -> None:
        if options.pause:
            input("\n[Enter] ")
        print(f"\n── {title} ──\n\n{text}\n")

    run = forward(bl.param(1.0, name="w"))
    chapter(
        "Step 1: the forward pass",
        "Each node computes its value from the values before it, until the loss is reached.",
    )
    print(part(bl.explain(run.L, run.w), 0))

    chapter(
        "Step 2: the local gradients",
        "Each node says how its value changes with its operand, knowing nothing else.",
    )
    for node, operand in ((run.L, run.s), (run.s, run.y_hat), (run.y_hat, run.w)):
        print(equations(bl.explain(node, operand)))

    chapter(
        "Step 3: the backward pass",
        "From the loss back to the weight, every local gradient becomes a factor.",
    )
    for node in (run.s, run.y_hat, run.w):
        print(equations(bl.explain(run.L, node)))
    print(bl.explain(run.L, run.w).badge)

    chapter(
        "Step 4: gradient descent",
        f"The weight moves against its gradient, times the learning rate {LEARNING_RATE}.",
    )
    w = bl.param(1.0, name="w")
    print("step       loss     ∂L/∂w      new w")
    for number, (loss, gradient, weight) in enumerate(descend(w, 20), start=1):
        print(f"{number:4}  {loss:9.6f}  {gradient:8.5f}  {weight:9.7f}")

    if options.pictures is not None:
        bl.draw(run.L).save(options.pictures / "one-weight.svg")


def part(derivation: Derivation, number: int) -> str:
    """Return one section of a derivation: 0 is the forward pass, 1 the first backward step."""
    return as_text("", [derivation.sections[number]], ()).lstrip("\n").rstrip()


def equations(derivation: Derivation) -> str:
    """Return the equations of a backward pass without their heading."""
    return part(derivation, 1).partition("\n")[2] + "\n"


if __name__ == "__main__":
    main()
