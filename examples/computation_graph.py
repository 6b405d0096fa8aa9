"""Backward differentiation on a computation graph, with a derivative on every edge.

The function L(a, b, c) = c·(a + 2b) is computed in three operations, d = 2b, e = a + d and
L = c·e.  Drawn as a graph, it has a node for each operation and an edge for each use of a value.

Going forward at a = 3, b = 1, c = −2, each node gets its value.  Going backward from L, each edge
carries a derivative: the local derivative of the node at its head by the node at its tail, times
the derivative of L by the node at its head, which has come from further up.  What arrives at
the tail of an edge is passed on in the same way, so one sweep finds the derivatives of L by all
its inputs.

    python examples/computation_graph.py
    python examples/computation_graph.py --pictures DIR   the drawing as well
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import SupportsFloat

import backlight as bl


def build() -> dict[str, bl.Tensor]:
    """Compute the function; return every node by its name, the loss last."""
    a = bl.param(3.0, name="a")
    b = bl.param(1.0, name="b")
    c = bl.param(-2.0, name="c")
    d = 2 * b
    e = a + d
    L = c * e
    return {"a": a, "b": b, "c": c, "d": d, "e": e, "L": L}


def edge_table(trace: bl.Trace) -> str:
    """List the edges from the loss backward: local derivative × upstream = contribution."""
    nodes = trace.graph.nodes
    lines = [f"{'edge':<8}{'local derivative':<20}{'× upstream':<16}= contribution"]
    for edge in sorted(trace.edges, key=lambda each: (-each.target, each.source)):
        head, tail = nodes[edge.target].name, nodes[edge.source].name
        local = f"∂{head}/∂{tail} = {number(edge.local)}"
        upstream = f"∂L/∂{head} = {number(trace.gradients[edge.target])}"
        way, contribution = f"{tail} → {head}", number(edge.contribution)
        lines.append(f"{way:<8}{local:<20}{upstream:<16}{contribution}")
    return "\n".join(lines)


def number(value: SupportsFloat) -> str:
    """Write a whole number without a decimal point and with a proper minus sign."""
    return f"{float(value):g}".replace("-", "−")


def main() -> None:
    """Print the two passes."""
    parser = argparse.ArgumentParser(description="Backward differentiation on a graph.")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="save the drawing there")
    options = parser.parse_args()

    nodes = build()
    L = nodes["L"]
    print("\n── Forward: a value at every node; backward: a derivative ──\n")
    trace = bl.record(L)
    print(trace)

    print("\n── A derivative on every edge, from the loss backward ──\n")
    print(edge_table(trace))

    print("\n── Where each derivative comes from ──\n")
    for name in ("c", "e", "a", "d", "b"):
        print(bl.explain(L, nodes[name]))

    if options.pictures is not None:
        bl.draw(L, direction="left-to-right").save(options.pictures / "computation-graph.svg")


if __name__ == "__main__":
    main()
