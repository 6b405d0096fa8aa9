"""The paths from one scalar to the loss: how many, the largest, and what the rest adds up to.

By the chain rule a derivative is the sum, over all paths in the scalar graph, of the products of
the local derivatives along them.  Paths are counted by a backward pass with every local
derivative replaced by 1.  The largest are found by best-first search; the bound that makes the
search exact is a backward pass in which sums are replaced by maxima of magnitudes.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.explain.entries import (
    Entry,
    contraction_labels,
    dependents,
    gradient_at,
    is_gather,
    local_array,
    source_map,
    uses,
)
from backlight.graph.primitive import Array, Kind, Shape
from backlight.record import Edge, Trace

MOST_EXPANSIONS = 50_000
"""Partial paths continued beyond those that the listed paths need themselves, before the search is
given up; only NaN gets there."""


@dataclass(frozen=True, slots=True)
class Path:
    """One path through the scalar graph.

    Attributes
    ----------
    nodes : tuple of (str, tuple of int)
        The scalars on the way, as a node's name and the index in its value.
    factors : tuple of float
        The local derivatives between them.
    contribution : float
        Their product.
    """

    nodes: tuple[tuple[str, tuple[int, ...]], ...]
    factors: tuple[float, ...]
    contribution: float

    def __str__(self) -> str:
        shown = [f"{name}[{', '.join(map(str, index))}]" if index else name
                 for name, index in self.nodes]  # fmt: skip
        if len(shown) > 12:
            shown = [*shown[:6], f"… {len(shown) - 12:,} more …", *shown[-6:]]
        return " → ".join(shown)


class Paths(list[Path]):  # a list with the number of all paths and what the others add up to
    """The largest paths by contribution, the largest first.

    Attributes
    ----------
    count : float
        How many paths there are; exact up to 2⁵³, rounded above.
    remainder : float
        The sum of the contributions that are not listed: total − listed.
    total : float
        The derivative.
    exhausted : bool
        False when the search was given up before all that were asked for had been found.
    """

    def __init__(self, found: list[Path], count: float, total: float, exhausted: bool) -> None:
        super().__init__(found)
        self.count: float = count  # type: ignore[assignment]  # the public name
        self.total = total
        self.exhausted = exhausted
        self.remainder = total - sum(path.contribution for path in found)
        if exhausted and len(found) == count:
            self.remainder = 0.0


def top_paths(trace: Trace, entry: Entry, top: int) -> Paths:
    """Return the paths of largest magnitude from one scalar to the trace's output.

    Parameters
    ----------
    trace : Trace
    entry : Entry
    top : int
        How many to list.

    Returns
    -------
    Paths
    """
    total = gradient_at(trace, entry) or 0.0
    # A sum that is a number has no term 0·∞ that is NaN: behind a `where` zeros stay zero.
    unknown = np.inf if math.isnan(total) else 0.0
    reach = _Reach(trace, entry.node, unknown)
    count = reach.count(entry)
    # Of equal bounds the latest is taken first, so that ties go straight to the output.
    order = itertools.count(0, -1)
    # A partial path: (scalar, product so far, link to the partial path before).
    start: tuple[Entry, float, Any] = (entry, 1.0, None)
    queue = [(-rounded(reach.bound(entry)), next(order), start)]
    found: list[Path] = []
    expansions = 0
    most = MOST_EXPANSIONS + top * len(trace.graph)
    while queue and len(found) < top:
        _, _, partial = heapq.heappop(queue)
        at, so_far, _ = partial
        if at.node == trace.output:
            found.append(_path(trace, partial))
            continue
        expansions += 1
        if expansions > most:
            return Paths(_sorted(found), count, total, False)
        for use in uses(trace, at):
            target = use.edge.target
            for flat, local in zip(use.entries.tolist(), use.locals.tolist(), strict=True):
                value = _or(so_far * local, math.nan if unknown else 0.0)
                ahead = reach.bound(Entry(target, flat))
                if ahead < 0:  # no path from here to the output
                    continue
                bound = _or(abs(value) * ahead, unknown)
                item = (Entry(target, flat), value, (partial, float(local)))
                heapq.heappush(queue, (-rounded(bound), next(order), item))
    return Paths(_sorted(found), count, total, True)


def _or(value: float, unknown: float) -> float:
    """Return a number, or what stands for NaN."""
    return unknown if math.isnan(value) else value


def rounded(bound: float) -> float:
    """Round to nine digits, so that equal paths tie in spite of rounding.

    NaN counts as the largest of all.
    """
    if not math.isfinite(bound):
        return math.inf
    mantissa, exponent = math.frexp(bound)
    return math.ldexp(round(mantissa, 9), exponent)


def _sorted(found: list[Path]) -> list[Path]:
    size = [abs(path.contribution) for path in found]
    order = sorted(range(len(found)), key=lambda k: -math.inf if size[k] != size[k] else -size[k])
    return [found[k] for k in order]


class _Reach:
    """How far single scalars reach: bounds of path products and numbers of paths.

    The passes over whole tensors start at the output and serve every scalar, so they are kept
    with the trace.  The tensor that is asked about and mere moves of it are left out of them:
    one entry of a large weight does not need a pass over all of its entries.  `unknown` is the
    bound of 0·∞.
    """

    def __init__(self, trace: Trace, start: int, unknown: float) -> None:
        self.trace = trace
        self.unknown = unknown
        self.sparse = _moves_of(trace, start)
        after = [
            edge.target
            for node in self.sparse
            for edge in trace.outgoing[node]
            if edge.target not in self.sparse
        ]
        self.bounds = _bounds(trace, after, unknown)
        self.counts = _counts(trace, after)

    def bound(self, entry: Entry) -> float:
        """The largest magnitude of a path's product from a scalar to the output; −1 for none."""
        if entry.node not in self.sparse or entry.node == self.trace.output:
            return float(self.bounds[entry.node].reshape(-1)[entry.flat])
        best = -1.0
        for use in uses(self.trace, entry):
            for flat, local in zip(use.entries.tolist(), use.locals.tolist(), strict=True):
                ahead = self.bound(Entry(use.edge.target, flat))
                if ahead >= 0:
                    best = max(best, _or(abs(local) * ahead, self.unknown))
        return best

    def count(self, entry: Entry) -> float:
        """The number of paths from a scalar to the output."""
        if entry.node not in self.sparse or entry.node == self.trace.output:
            return float(self.counts[entry.node].reshape(-1)[entry.flat])
        return sum(
            self.count(Entry(use.edge.target, flat))
            for use in uses(self.trace, entry)
            for flat in use.entries.tolist()
        )


def _moves_of(trace: Trace, start: int) -> list[int]:
    """A node and the nodes that only show its entries in another place, a few at most."""
    found = [start]
    for index in found:
        for edge in trace.outgoing[index]:
            node = trace.graph.nodes[edge.target]
            alone = node.primitive.kind is Kind.MOVE and len(node.inputs) == 1
            if alone and edge.target not in found and len(found) < 8:
                found.append(edge.target)
    return found


def _path(trace: Trace, partial: tuple[Entry, float, Any]) -> Path:
    nodes, factors = [], []
    step: Any = partial
    while step is not None:
        entry, _, before = step
        node = trace.graph.nodes[entry.node]
        index = tuple(map(int, np.unravel_index(entry.flat, node.shape))) if node.shape else ()
        nodes.append((node.name, index))
        if before is None:
            break
        step, local = before
        factors.append(local)
    return Path(tuple(reversed(nodes)), tuple(reversed(factors)), partial[1])


def _needed(trace: Trace, starts: list[int]) -> list[int]:
    """The nodes on the way from some nodes to the output, last first."""
    reached = set(starts)
    for index in range(min(starts, default=trace.output), trace.output + 1):
        if not reached.isdisjoint(trace.graph.nodes[index].inputs):
            reached.add(index)
    return sorted((k for k in reached if k <= trace.output), reverse=True)


def _bounds(trace: Trace, starts: list[int], unknown: float) -> dict[int, Array]:
    """For each scalar the largest magnitude of a path's product to the output; −1 for no path."""
    known: dict[int, Array] = trace.memo.setdefault(("bounds", unknown), {})
    known.setdefault(trace.output, np.ones(trace.graph.nodes[trace.output].shape))
    for index in _needed(trace, starts):
        if index in known:
            continue
        best = np.full(trace.graph.nodes[index].shape, -1.0)
        for edge in trace.outgoing[index]:
            if edge.target in known:
                ahead = _carry(trace, edge, known[edge.target], maximum=True, unknown=unknown)
                best = np.maximum(best, ahead)
        known[index] = best
    return known


def _counts(trace: Trace, starts: list[int]) -> dict[int, Array]:
    """For each scalar the number of paths to the output."""
    known: dict[int, Array] = trace.memo.setdefault("counts", {})
    known.setdefault(trace.output, np.ones(trace.graph.nodes[trace.output].shape))
    for index in _needed(trace, starts):
        if index in known:
            continue
        count = np.zeros(trace.graph.nodes[index].shape)
        with np.errstate(over="ignore"):
            for edge in trace.outgoing[index]:
                if edge.target in known:
                    count = count + _carry(trace, edge, known[edge.target], maximum=False)
        known[index] = count
    return known


def _carry(
    trace: Trace, edge: Edge, upstream: Array, *, maximum: bool, unknown: float = 0.0
) -> Array:
    """Carry bounds (maxima of products) or counts (sums of ones) back over one edge."""
    node = trace.graph.nodes[edge.target]
    shape = trace.graph.nodes[edge.source].shape
    kind = node.primitive.kind
    if kind is Kind.ELEMENTWISE:
        if maximum:
            upstream = _times(np.abs(local_array(trace, edge)), upstream, unknown)
        return _unbroadcast(upstream, shape, maximum)
    if kind is Kind.REDUCE:
        axes = node.attributes["axes"]
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        spread = np.broadcast_to(upstream.reshape(kept), shape)
        if not maximum or edge.local is None:
            return spread
        return _times(np.abs(np.broadcast_to(edge.local, shape)), spread, unknown)
    if kind is Kind.CONTRACT:
        return _contract_back(trace, edge, upstream, maximum, unknown)
    if kind is Kind.MOVE or is_gather(node):
        result = np.full(int(np.prod(shape)), -1.0 if maximum else 0.0)
        origin = source_map(trace, edge)
        real = origin >= 0
        (np.maximum if maximum else np.add).at(result, origin[real], upstream.reshape(-1)[real])
        return result.reshape(shape)
    return _column_by_column(trace, edge, upstream, shape, maximum, unknown)


def _times(magnitude: Array, upstream: Array, unknown: float) -> Array:
    """Multiply bounds; −1 stays −1, and infinity times zero is what is given for it."""
    with np.errstate(invalid="ignore", over="ignore"):
        product = magnitude.astype(np.float64) * upstream
    product = np.where(np.isnan(product), unknown, product)
    return np.where(upstream < 0, -1.0, product)


def _unbroadcast(array: Array, shape: Shape, maximum: bool) -> Array:
    added = array.ndim - len(shape)
    axes = tuple(range(added)) + tuple(
        axis + added
        for axis, size in enumerate(shape)
        if size == 1 and array.shape[axis + added] != 1
    )
    if axes:
        array = array.max(axis=axes) if maximum else array.sum(axis=axes)
    return array.reshape(shape)


def _contract_back(
    trace: Trace, edge: Edge, upstream: Array, maximum: bool, unknown: float
) -> Array:
    node = trace.graph.nodes[edge.target]
    own, other, result = contraction_labels(node, edge.position)
    factor = np.abs(trace.values[node.inputs[1 - edge.position]]).astype(np.float64)
    if not maximum:
        ones = np.ones_like(factor)
        found: Array = np.einsum(
            upstream, list(result), ones, list(other), list(own), optimize=True
        )
        return found
    # A product in which sums become maxima, one value of the summed labels at a time.
    summed = [label for label in result if label not in own]
    shape = trace.graph.nodes[edge.source].shape
    if not summed:
        above = np.asarray(_aligned(upstream, result, own, shape))
        return _times(_aligned(factor, other, own, shape), above, unknown)
    best = np.full(shape, -1.0)
    sizes = dict(zip(result, node.shape, strict=True))
    for places in np.ndindex(*[sizes[label] for label in summed]):
        at = dict(zip(summed, places, strict=True))
        above = upstream[tuple(at.get(label, slice(None)) for label in result)]
        beside = factor[tuple(at.get(label, slice(None)) for label in other)]
        left = _aligned(above, [each for each in result if each not in at], own, shape)
        right = _aligned(beside, [each for each in other if each not in at], own, shape)
        np.maximum(best, _times(right, left, unknown), out=best)
    return best


def _aligned(array: Array, labels: Any, own: tuple[int, ...], shape: Shape) -> Array:
    """Put an array's axes in the order of an operand's labels, with size 1 for missing ones."""
    order = [list(labels).index(label) for label in own if label in labels]
    sizes = tuple(size if label in labels else 1 for label, size in zip(own, shape, strict=True))
    return array.transpose(order).reshape(sizes)


def _column_by_column(
    trace: Trace, edge: Edge, upstream: Array, shape: Shape, maximum: bool, unknown: float
) -> Array:
    """The general case, for operations that are rare in networks: one scalar at a time."""
    reach = upstream.reshape(-1)
    result = np.empty(int(np.prod(shape)))
    for flat in range(result.size):
        entries, locals_ = dependents(trace, edge, flat)
        if not len(entries):
            result[flat] = -1.0 if maximum else 0.0
        elif maximum:
            result[flat] = _times(np.abs(locals_), reach[entries], unknown).max()
        else:
            result[flat] = reach[entries].sum()
    return result.reshape(shape)
