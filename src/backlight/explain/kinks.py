"""Kinks met on the way: the convention that was used and the one-sided derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backlight.explain.derive import Step
from backlight.explain.links import Hop, links
from backlight.graph.notation import UNICODE, format_number
from backlight.record import Trace

if TYPE_CHECKING:
    from backlight.explain.derive import Deriver

NUDGE = 1e-6


def kink_notes(trace: Trace, steps: tuple[Step, ...], deriver: Deriver) -> list[str]:
    """Return a sentence for each kink that the listed terms pass exactly."""
    notes = []
    for step in steps:
        chosen = {term.factors[0].target for term in step.terms if term.factors}
        for link in links(trace, deriver.symbols, step.entry):
            if link.target not in chosen:
                continue
            for way in link.ways:
                notes.extend(_note(trace, hop, deriver) for hop in way if at_kink(trace, hop))
    return list(dict.fromkeys(notes))


def at_kink(trace: Trace, hop: Hop) -> bool:
    """Tell whether an operation is at a kink at the scalar that a hop goes through."""
    node = trace.graph.nodes[hop.edge.target]
    kink = node.primitive.kink
    if kink is None:
        return False
    key = ("kink", hop.edge.target)
    if key not in trace.memo:
        operands = [trace.values[k] for k in node.inputs]
        with np.errstate(all="ignore"):
            trace.memo[key] = np.asarray(kink.at(np, *operands, **node.attributes))
    mask = trace.memo[key]
    place = hop.target.flat if mask.shape == node.shape else hop.source.flat
    return bool(mask.reshape(-1)[place])


def _note(trace: Trace, hop: Hop, deriver: Deriver) -> str:
    node = trace.graph.nodes[hop.edge.target]
    assert node.primitive.kink is not None
    symbol = UNICODE.expression(deriver.formulas.symbol(hop.source))
    left, right = one_sided(trace, hop)
    return (
        f"Kink: {node.primitive.name} at {symbol} has the one-sided derivatives "
        f"{format_number(left, 6)} (from below) and {format_number(right, 6)} (from above); "
        f"{node.primitive.kink.convention}."
    )


def one_sided(trace: Trace, hop: Hop) -> tuple[float, float]:
    """Return the derivatives of one operation by one scalar, from below and from above."""
    node = trace.graph.nodes[hop.edge.target]
    operands = [trace.values[k] for k in node.inputs]
    base = operands[hop.edge.position].astype(np.float64)
    results = []
    for sign in (-1.0, 0.0, 1.0):
        moved = base.copy()
        step = sign * NUDGE * max(1.0, abs(float(base.reshape(-1)[hop.source.flat])))
        moved.reshape(-1)[hop.source.flat] += step
        operands[hop.edge.position] = moved
        value = node.primitive.evaluate(np, *operands, **node.attributes)
        results.append((step, float(np.asarray(value).reshape(-1)[hop.target.flat])))
    (down, low), (_, middle), (up, high) = results
    return round((middle - low) / -down, 5), round((high - middle) / up, 5)
