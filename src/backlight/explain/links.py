"""From one shown scalar to the next: local derivatives collected across hidden nodes.

Derivations leave out moves and the insides of folded composites.  A link joins two shown scalars
and holds every hidden path between them, so that its value is the exact ∂target/∂source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from backlight.explain.entries import Entry, uses
from backlight.explain.symbols import Symbols
from backlight.record import Edge, Trace

MOST_STEPS = 200_000
"""Hidden steps that are followed from one scalar before giving up."""


@dataclass(frozen=True, slots=True, eq=False)
class Hop:
    """One edge at one scalar: from ``source`` to ``target`` with its local derivative."""

    edge: Edge
    source: Entry
    target: Entry
    local: float


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """All ways from one shown scalar to another that pass hidden scalars only.

    Attributes
    ----------
    target : Entry
    value : float
        ∂target/∂source: the sum over the ways of the products of their local derivatives.
    ways : tuple of tuple of Hop
    """

    target: Entry
    value: float
    ways: tuple[tuple[Hop, ...], ...]


def links(trace: Trace, symbols: Symbols, start: Entry) -> list[Link]:
    """Return the links from one scalar to the shown scalars that use it.

    Hidden scalars that lead nowhere, because nothing that reaches the output uses them, are left
    out.
    """
    key = ("links", id(symbols), start)
    if key not in trace.memo:
        trace.memo[key] = _joined(_ways(trace, symbols, start))
    found: list[Link] = trace.memo[key]
    return found


def only_link(trace: Trace, symbols: Symbols, start: Entry) -> Link | None:
    """Return the link of a scalar that leads to one shown scalar only, or None.

    The search ends at the second one, so that asking costs little where there are many.
    """
    if ("links", id(symbols), start) in trace.memo:
        found = links(trace, symbols, start)
    else:
        found = _joined(_ways(trace, symbols, start, most=1))
    return found[0] if len(found) == 1 else None


def _ways(
    trace: Trace, symbols: Symbols, start: Entry, most: float = math.inf
) -> dict[Entry, list[tuple[Hop, ...]]]:
    """Collect the ways to each shown scalar; stop when there are more than ``most`` of those."""
    ways: dict[Entry, list[tuple[Hop, ...]]] = {}
    waiting: list[tuple[Entry, tuple[Hop, ...]]] = [(start, ())]
    steps = 0
    while waiting and len(ways) <= most:
        entry, way = waiting.pop()
        for use in uses(trace, entry):
            node = use.edge.target
            for flat, local in zip(use.entries.tolist(), use.locals.tolist(), strict=True):
                steps += 1
                hop = Hop(use.edge, entry, Entry(node, flat), float(local))
                longer = (*way, hop)
                if node in symbols.visible or node == trace.output or steps > MOST_STEPS:
                    ways.setdefault(hop.target, []).append(longer)
                    if len(ways) > most:
                        return ways
                else:
                    waiting.append((hop.target, longer))
    return ways


def _joined(ways: dict[Entry, list[tuple[Hop, ...]]]) -> list[Link]:
    """Add up the ways to each shown scalar."""
    result = []
    for target in sorted(ways, key=lambda each: (each.node, each.flat)):
        # The hidden ways were found last in first out; the graph's order reads better.
        ordered = tuple(reversed(ways[target]))
        total = 0.0
        for way in ordered:
            value = 1.0
            for hop in way:
                value *= hop.local
            total += value
        result.append(Link(target, total, ordered))
    return result
