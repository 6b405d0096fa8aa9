"""The numeric check: one derivative by finite differences, with an estimate of its own error.

Only the nodes behind the scalar that is changed are evaluated again, in float64 whatever the
network's dtype.  Central differences at two steps are extrapolated (Richardson 1911), and the
step is made smaller until the two agree, which a kink near the point can prevent.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.explain.entries import Entry, dependents
from backlight.graph.primitive import Array, Kind
from backlight.ops.convert import CAST
from backlight.record import Trace

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
GOOD = 1e-8
TOO_SMALL = 0.1
"""A relative difference above this means that the two were not really compared."""


@dataclass(frozen=True, slots=True)
class NumericCheck:
    """A derivative by finite differences.

    Attributes
    ----------
    value : float
        The numeric derivative.
    step : float
        Half the distance between the outer two points.
    error : float
        An estimate of the numeric derivative's own error.
    analytic : float
        The engine's derivative.
    ok : bool
        Whether the two agree as well as the errors of both allow.
    reason : str
        Why the two cannot be compared (a kink on the way, a value that is not finite); empty
        when they can.
    """

    value: float
    step: float
    error: float
    analytic: float
    ok: bool
    reason: str = ""

    @property
    def relative_error(self) -> float:
        """|analytic − numeric| relative to the larger of the two; 0 when both are 0."""
        size = max(abs(self.value), abs(self.analytic))
        with np.errstate(invalid="ignore"):
            return float(abs(np.float64(self.value) - self.analytic) / size) if size else 0.0


def check_entry(trace: Trace, entry: Entry, analytic: float) -> NumericCheck:
    """Compare the derivative of the trace's output by one scalar with finite differences.

    Parameters
    ----------
    trace : Trace
    entry : Entry
        The scalar that is changed.
    analytic : float
        The engine's derivative.

    Returns
    -------
    NumericCheck
    """
    for what, number in (("loss", trace.values[trace.output]), ("derivative", analytic)):
        if not np.isfinite(number):
            reason = f"the {what} is not finite"
            return NumericCheck(np.nan, 0.0, np.nan, analytic, False, reason)
    if entry.node == trace.output:
        return NumericCheck(1.0, 0.0, 0.0, analytic, analytic == 1.0)
    loss = shifted_loss(trace, entry)
    at = float(trace.values[entry.node].reshape(-1)[entry.flat])
    size = _rounded_size(trace, entry.node)
    best: tuple[float, float, float] | None = None
    for relative in STEPS:
        step = relative * max(abs(at), 1.0)
        value, truncation, rounding = central(loss, step, size)
        error = max(truncation, rounding)
        if best is None or error < best[2] or best[2] != best[2]:
            best = (value, step, error)
        if error <= GOOD * abs(value) or truncation <= rounding:
            break  # a smaller step would only round more
    assert best is not None
    value, step, error = best
    dtype = trace.values[trace.output].dtype
    # The engine's own rounding: a sum of many terms in its dtype.
    rounding = (1e-7 if dtype == np.float64 else 2e-3) * max(abs(analytic), abs(value))
    floor = float(np.finfo(dtype).eps) * max(abs(float(trace.values[trace.output])), 1.0)
    ok = bool(abs(value - analytic) <= 20 * error + rounding + floor)
    reason = "" if ok else _kink_on_the_way(trace, entry) or _kink_beside(loss, step, analytic)
    if not np.isfinite(value):
        reason = "the loss is not finite a little to one side"
    elif ok and abs(value - analytic) > TOO_SMALL * max(abs(value), abs(analytic)):
        reason = f"the derivative is smaller than the error of finite differences, {error:.1e}"
    return NumericCheck(value, step, error, analytic, ok, reason)


def _kink_beside(loss: Callable[[float], float], step: float, analytic: float) -> str:
    """Tell a kink closer than a step: the slopes of both sides differ, however small the steps.

    The derivative then has to be that of one of the sides.  On a smooth way the slopes come
    together as the steps shrink.
    """
    sides = [
        ((loss(0.0) - loss(-each)) / each, (loss(each) - loss(0.0)) / each)
        for each in (step, step / 8)
    ]
    if not np.all(np.isfinite(sides)):
        return ""
    wide, narrow = (abs(right - left) for left, right in sides)
    scale = max(map(abs, sides[1]))
    stays = narrow > 0.9 * wide and narrow > 1e-2 * scale
    own = min(abs(each - analytic) for each in sides[1]) <= 1e-2 * narrow
    return "the loss has a kink closer than a step" if stays and own else ""


def _rounded_size(trace: Trace, start: int) -> float:
    """How large the numbers are whose last digits reach the loss, measured at the loss.

    A rounding error of a value acts on the loss with the value's gradient.
    """
    size = abs(float(trace.values[trace.output]))
    for index in carried_from(trace, start)[0]:
        gradient = trace.gradients[index]
        if gradient is not None and gradient.size:
            with np.errstate(all="ignore"):
                largest = float(np.abs(trace.values[index] * gradient).max())
            size += largest if np.isfinite(largest) else 0.0
    return size


def _kink_on_the_way(trace: Trace, entry: Entry) -> str:
    """Name the first operation behind a scalar that is exactly at a kink or infinite, or ''."""
    for index in carried_from(trace, entry.node)[0]:
        node = trace.graph.nodes[index]
        if not np.all(np.isfinite(trace.values[index])):
            return f"{node.name} on the way is not finite"
        if node.primitive.kink is None:
            continue
        with np.errstate(all="ignore"):
            operands = [trace.values[k] for k in node.inputs]
            found = node.primitive.kink.at(np, *operands, **node.attributes)
        if np.any(found):
            return f"{node.primitive.name} ({node.name}) is at a kink"
    return ""


def central(loss: Callable[[float], float], step: float, size: float) -> tuple[float, float, float]:
    """Return the extrapolated central difference at 0 and its truncation and rounding errors.

    ``size`` is the magnitude of the loss, whose last digits rounding touches.
    """
    wide = (loss(step) - loss(-step)) / (2 * step)
    half = step / 2
    narrow = (loss(half) - loss(-half)) / (2 * half)
    value = (4 * narrow - wide) / 3
    rounding = float(np.finfo(np.float64).eps) * size / step
    return value, abs(value - narrow) / 4, rounding


def shifted_loss(trace: Trace, entry: Entry) -> Callable[[float], float]:
    """Return the loss as a function of how far one scalar is moved, evaluated in float64.

    As in the derivative, only uses that carry a gradient see the scalar move: a detached copy and
    the condition of a choice stay what they are.
    """
    graph = trace.graph
    first, entries, rates = first_change(trace, entry)
    behind, moving = carried_from(trace, first)
    fixed: dict[int, Any] = {}
    for index in behind:
        for operand in graph.nodes[index].inputs:
            if operand not in fixed:
                fixed[operand] = _widened(trace.values[operand])
    start = trace.values[first]

    def loss(distance: float) -> float:
        moved = np.array(start, dtype=np.float64, order="C")  # so that reshape shares memory
        moved.reshape(-1)[entries] += distance * rates
        run = {first: moved}
        with np.errstate(all="ignore"):
            for index in behind:
                node = graph.nodes[index]
                operands = [
                    run[k] if (k, index, position) in moving else fixed[k]
                    for position, k in enumerate(node.inputs)
                ]
                attributes = node.attributes
                if node.primitive is CAST and node.dtype.kind == "f":
                    attributes = {"dtype": np.dtype(np.float64)}
                run[index] = node.primitive.evaluate(np, *operands, **attributes)
        return float(run[trace.output])

    return loss


def first_change(trace: Trace, entry: Entry) -> tuple[int, Array, Array]:
    """Where a moved scalar is first felt: a node, its entries that change, and how fast.

    A weight that is only moved about and multiplied into a product changes a few entries of the
    product, in proportion; the product need not be worked out again as a whole.
    """
    while True:
        edges = trace.outgoing[entry.node]
        here = entry.node, np.array([entry.flat]), np.ones(1)
        if len(edges) != 1 or entry.node == trace.output:
            return here
        kind = trace.graph.nodes[edges[0].target].primitive.kind
        if kind not in (Kind.MOVE, Kind.CONTRACT):
            return here
        entries, rates = dependents(trace, edges[0], entry.flat)
        if kind is Kind.CONTRACT:
            return edges[0].target, entries, rates.astype(np.float64)
        if len(entries) != 1:
            return here
        entry = Entry(edges[0].target, int(entries[0]))


def carried_from(trace: Trace, start: int) -> tuple[list[int], set[tuple[int, int, int]]]:
    """The nodes that a node reaches by uses that carry a gradient, and those uses."""
    reached = {start}
    order: list[int] = []
    moving: set[tuple[int, int, int]] = set()
    waiting = [start]
    while waiting:
        index = heapq.heappop(waiting)
        if index != start:
            order.append(index)
        for edge in trace.outgoing[index]:
            moving.add((index, edge.target, edge.position))
            if edge.target not in reached:
                reached.add(edge.target)
                heapq.heappush(waiting, edge.target)
    return order, moving


def _widened(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array
