"""Kinks met on the way: the convention that was used and the one-sided derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from backlight.explain.derive import Step
from backlight.explain.entries import value_at
from backlight.explain.links import Hop, links
from backlight.graph.notation import UNICODE, format_number
from backlight.ops.logical import GREATER, GREATER_EQUAL, LESS, LESS_EQUAL
from backlight.ops.piecewise import WHERE
from backlight.record import Trace

if TYPE_CHECKING:
    from backlight.explain.derive import Deriver

_COMPARISONS = (GREATER, GREATER_EQUAL, LESS, LESS_EQUAL)
MOST_NOTES = 4
NUDGE = 1e-6
STEEPEST = 1e4
"""A rise over the nudge that is steeper than this is a jump."""


def kink_notes(trace: Trace, steps: tuple[Step, ...], deriver: Deriver) -> list[str]:
    """Return a sentence for each kink that the listed terms pass exactly."""
    notes = []
    for hop in _hops(trace, steps, deriver):
        if at_kink(trace, hop):
            notes.append(_note(trace, hop, deriver))
        elif trace.graph.nodes[hop.edge.target].primitive is WHERE:
            notes.extend(_tie_note(trace, hop, deriver))
    different = list(dict.fromkeys(notes))
    more = len(different) - MOST_NOTES
    return different[:MOST_NOTES] + ([f"{more:,} more kinks are passed."] if more > 0 else [])


def _hops(trace: Trace, steps: tuple[Step, ...], deriver: Deriver) -> Iterator[Hop]:
    """Every single operation on the way of the listed terms."""
    for step in steps:
        for term in step.terms:
            source = step.entry
            for factor in term.factors:
                for link in links(trace, deriver.symbols, source):
                    if link.target == factor.target:
                        yield from (hop for way in link.ways for hop in way)
                source = factor.target


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
    value = format_number(value_at(trace, hop.source), 6)
    left, right = one_sided(trace, hop)
    return (
        f"Kink: {node.primitive.name} at {symbol} = {value} has {_side(left)} from below and "
        f"{_side(right)} from above; {node.primitive.kink.convention}."
    )


def _tie_note(trace: Trace, hop: Hop, deriver: Deriver) -> list[str]:
    """Say that a choice stands exactly where its condition changes, as x > 0 does at x = 0."""
    formulas = deriver.formulas
    chosen = formulas.operands_of(hop.target)[0]
    comparison = trace.graph.nodes[chosen.node]
    if comparison.primitive not in _COMPARISONS:
        return []
    sides = formulas.operands_of(chosen)
    left, right = (value_at(trace, each) for each in sides)
    if left != right or all(trace.gradients[each.node] is None for each in sides):
        return []
    condition = UNICODE.expression(formulas.definition(chosen))
    return [
        f"Kink: where chooses by {condition}, which changes exactly here; the derivative is that "
        f"of the branch that is taken."
    ]


def _side(derivative: float) -> str:
    return "a jump" if np.isinf(derivative) else f"the derivative {format_number(derivative, 6)}"


def one_sided(trace: Trace, hop: Hop) -> tuple[float, float]:
    """Return the derivatives of one operation by one scalar, from below and from above.

    A side on which the value jumps has the derivative ±infinity.
    """
    node = trace.graph.nodes[hop.edge.target]
    operands = [trace.values[k] for k in node.inputs]
    base = operands[hop.edge.position].astype(np.float64)
    results = []
    for sign in (-1.0, 0.0, 1.0):
        moved = base.copy(order="C")
        step = sign * NUDGE * max(1.0, abs(float(base.reshape(-1)[hop.source.flat])))
        moved.reshape(-1)[hop.source.flat] += step
        operands[hop.edge.position] = moved
        with np.errstate(all="ignore"):
            value = node.primitive.evaluate(np, *operands, **node.attributes)
        results.append((step, float(np.asarray(value).reshape(-1)[hop.target.flat])))
    (down, low), (_, middle), (up, high) = results
    return _slope(middle - low, -down), _slope(high - middle, up)


def _slope(rise: float, run: float) -> float:
    slope = rise / run
    if abs(slope) > STEEPEST:
        return float(np.copysign(np.inf, slope))
    return round(slope, 5)
