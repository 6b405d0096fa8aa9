"""Remarks on a derivation: why a derivative is exactly zero, and where gradient paths are cut.

Nothing is silent: "zero", "cut" and "not computed" are three different things, and each is said
with the factor or the place that makes it so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backlight.explain.derive import Factor, Step
from backlight.explain.entries import Entry
from backlight.graph.node import Node
from backlight.graph.notation import UNICODE, Apply, Expression, Symbol
from backlight.record import Trace

if TYPE_CHECKING:
    from backlight.explain.derive import Deriver

MOST_FACTORS = 3
MOST_CUTS = 4
LONGEST_LINE = 60


def zero_note(steps: Sequence[Step], target: Entry, deriver: Deriver) -> str:
    """Say which factors make a derivative exactly zero; empty when it is not."""
    by_entry = {step.entry: step for step in steps}
    last = by_entry[target]
    if last.value != 0.0 or not last.terms:
        return ""
    zeros: dict[str, None] = {}
    odd = False
    waiting = [last]
    seen = {target}
    while waiting:
        step = waiting.pop()
        if step.remainder != 0.0:
            return f"{_name(last)} is zero because its contributions cancel."
        for term in step.terms:
            found = [factor for factor in term.factors if factor.value == 0.0]
            if found:
                odd = odd or not math.isfinite(math.prod(factor.value for factor in term.factors))
                zeros.update(dict.fromkeys(_factor_text(each, step, deriver) for each in found))
            elif term.contribution != 0.0:
                return f"{_name(last)} is zero because its contributions cancel."
            elif term.end in by_entry and term.end not in seen:
                seen.add(term.end)
                waiting.append(by_entry[term.end])
            elif term.end is not None:
                symbol = UNICODE.expression(deriver.formulas.symbol(term.end))
                zeros[f"the derivative by {symbol} is 0"] = None
    named = list(zeros)[:MOST_FACTORS]
    more = len(zeros) - len(named)
    rest = f" (and {more:,} more)" if more else ""
    start = "It is exactly zero because " if last.count == 1 else "Every term is zero because "
    stays = "; what a choice has made zero stays zero, even beside NaN or ∞" if odd else ""
    return f"{start}{', '.join(named)}{rest}{stays}."


def _name(step: Step) -> str:
    return f"The derivative by {UNICODE.expression(step.symbol)}"


def _factor_text(factor: Factor, step: Step, deriver: Deriver) -> str:
    formula = factor.symbolic
    written = UNICODE.expression(formula)
    bare = not _has_symbols(formula)
    if bare and factor.by == step.symbol and factor.target == deriver.output:
        # ∂L/∂x = 0 would say the result again.
        name = deriver.trace.graph.nodes[factor.target.node].primitive.name
        return f"{name} has the derivative 0 there"
    if bare or len(written) > LONGEST_LINE:
        written = f"∂{UNICODE.expression(factor.of)}/∂{UNICODE.expression(factor.by)}"
    return f"{written} = 0"


def _has_symbols(expression: Expression) -> bool:
    waiting = [expression]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Symbol):
            return True
        if isinstance(each, Apply):
            waiting.extend(each.arguments)
    return False


def cut_notes(trace: Trace, target: Entry, *, fold: bool = True) -> list[str]:
    """Name the operations that cut a path from a tensor to the loss, with their places.

    A comparison is no cut: its result would not change.  What a composite cuts inside itself is
    its own business unless it is shown opened.
    """
    graph = trace.graph
    carried = {(edge.source, edge.target) for edge in trace.edges}
    before = graph.upstream(trace.output)
    reached = {target.node}
    cuts: list[int] = []
    for index in range(target.node + 1, trace.output + 1):
        node = graph.nodes[index]
        if index not in before:
            continue
        sources = [k for k in node.inputs if k in reached]
        if not sources:
            continue
        if any((k, index) in carried for k in sources):
            reached.add(index)
        elif node.dtype.kind != "b" and not (fold and _inside_composite(node)):
            cuts.append(index)
    notes = [_cut_text(graph.nodes[index]) for index in cuts[:MOST_CUTS]]
    if len(cuts) > MOST_CUTS:
        notes.append(f"{len(cuts) - MOST_CUTS:,} more paths are cut.")
    return notes


def _inside_composite(node: Node) -> bool:
    return node.scope is not None and node.scope.kind == "composite"


def _cut_text(node: Node) -> str:
    why = node.primitive.stops_gradient
    if not why:
        why = "it has no derivative" if node.dtype.kind == "f" else f"its result is {node.dtype}"
    place = ""
    if node.location is not None:
        line = node.location.text
        text = f": {line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + '…'}"
        place = f" at {node.location}{text if line else ''}"
    return f"Cut: no gradient flows through {node.primitive.name} ({node.name}){place}; {why}."
