"""The numeric check: one derivative by finite differences, with an estimate of its own error.

Only the nodes behind the scalar that is changed are evaluated again, in float64 whatever the
network's dtype.  Central differences at two steps are extrapolated (Richardson 1911), and the
step is made smaller until the two agree, which a kink near the point can prevent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.explain.entries import Entry
from backlight.ops.convert import CAST
from backlight.record import Trace

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
GOOD = 1e-8


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
    """

    value: float
    step: float
    error: float
    analytic: float
    ok: bool

    @property
    def relative_error(self) -> float:
        """|analytic − numeric| relative to the larger of the two; 0 when both are 0."""
        size = max(abs(self.value), abs(self.analytic))
        return abs(self.value - self.analytic) / size if size else 0.0


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
    loss = shifted_loss(trace, entry)
    at = float(trace.values[entry.node].reshape(-1)[entry.flat])
    best: tuple[float, float, float] | None = None
    for relative in STEPS:
        step = relative * max(abs(at), 1.0)
        value, error = central(loss, step)
        if best is None or error < best[2]:
            best = (value, step, error)
        if error <= GOOD * abs(value):
            break
    assert best is not None
    value, step, error = best
    dtype = trace.values[trace.output].dtype
    # The engine's own rounding: a sum of many terms in its dtype.
    rounding = (1e-7 if dtype == np.float64 else 2e-3) * max(abs(analytic), abs(value))
    floor = float(np.finfo(dtype).eps) * max(abs(float(trace.values[trace.output])), 1.0)
    ok = bool(abs(value - analytic) <= 20 * error + rounding + floor)
    return NumericCheck(value, step, error, analytic, ok)


def central(loss: Callable[[float], float], step: float) -> tuple[float, float]:
    """Return the extrapolated central difference at 0 and an estimate of its error."""
    wide = (loss(step) - loss(-step)) / (2 * step)
    half = step / 2
    narrow = (loss(half) - loss(-half)) / (2 * half)
    value = (4 * narrow - wide) / 3
    rounding = float(np.finfo(np.float64).eps) * abs(loss(0.0)) / step
    return value, max(abs(value - narrow) / 4, rounding)


def shifted_loss(trace: Trace, entry: Entry) -> Callable[[float], float]:
    """Return the loss as a function of how far one scalar is moved, evaluated in float64."""
    graph = trace.graph
    behind = sorted(graph.downstream(entry.node) & graph.upstream(trace.output))
    values: dict[int, Any] = {}
    for index in behind:
        for operand in graph.nodes[index].inputs:
            if operand not in values:
                values[operand] = _widened(trace.values[operand])
    values[entry.node] = _widened(trace.values[entry.node])
    start = values[entry.node]

    def loss(distance: float) -> float:
        moved = np.array(start, dtype=np.float64)
        moved.reshape(-1)[entry.flat] += distance
        run = dict(values)
        run[entry.node] = moved
        with np.errstate(all="ignore"):
            for index in behind:
                if index == entry.node:
                    continue
                node = graph.nodes[index]
                operands = [run[k] for k in node.inputs]
                attributes = node.attributes
                if node.primitive is CAST and node.dtype.kind == "f":
                    attributes = {"dtype": np.dtype(np.float64)}
                run[index] = node.primitive.evaluate(np, *operands, **attributes)
        return float(run[trace.output])

    return loss


def _widened(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array
