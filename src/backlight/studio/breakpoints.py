"""Where training pauses by itself: conditions on a step's numbers, checked before it is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backlight.errors import UsageError
from backlight.graph.primitive import Array, Kind
from backlight.ops.piecewise import RELU
from backlight.record import Trace
from backlight.studio import asking
from backlight.studio.asking import Json

MOST = 20
KINDS = ("nan", "dead", "gradient_norm", "loss", "step")


@dataclass(frozen=True)
class Breakpoint:
    """One condition.

    Attributes
    ----------
    kind : {"nan", "dead", "gradient_norm", "loss", "step"}
    above, below : float or None
    at : int or None
    """

    kind: str
    above: float | None = None
    below: float | None = None
    at: int | None = None

    def to_dict(self) -> Json:
        """Return plain data, without what is not set."""
        found = {"kind": self.kind, "above": self.above, "below": self.below, "at": self.at}
        return {key: each for key, each in found.items() if each is not None}

    def first(self, start: int, losses: Array, norms: Array | None) -> int | None:
        """Return the first of some steps that meets the condition, or None.

        Parameters
        ----------
        start : int
            The number of the first of them.
        losses, norms : ndarray (steps,)
        """
        if self.kind == "step":
            place = -1 if self.at is None else self.at - start
            return place if 0 <= place < len(losses) else None
        watched = norms if self.kind == "gradient_norm" else losses
        if watched is None or self.kind == "dead":
            return None
        met = np.zeros(len(watched), bool)
        if self.kind == "nan":
            met |= ~np.isfinite(watched)
            if norms is not None:
                met |= ~np.isfinite(norms)
        if self.above is not None:
            met |= watched > self.above
        if self.below is not None:
            met |= watched < self.below
        return int(np.argmax(met)) if met.any() else None

    def reason(self, step: int, loss: float, norm: float | None) -> str:
        """Say why training paused, in one sentence."""
        if self.kind == "nan":
            return f"Paused before step {step}: its loss or its gradient is not finite."
        if self.kind == "step":
            return f"Paused before step {step}, as asked."
        if self.kind == "gradient_norm":
            return (
                f"Paused before step {step}: the norm of its gradient, {norm or 0.0:.4g}, is above "
                f"{self.above:g}."
            )
        high = self.above is not None and loss > self.above
        bound = f"above {self.above:g}" if high else f"below {self.below:g}"
        return f"Paused before step {step}: its loss, {loss:.4g}, is {bound}."


def read_breakpoints(given: object) -> tuple[Breakpoint, ...]:
    """Read the list of breakpoints that a page sent.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> read_breakpoints([{"kind": "loss", "below": 0.1}])[0].below
    0.1
    """
    if not isinstance(given, list) or len(given) > MOST:
        raise UsageError(f"Breakpoints are a list of at most {MOST}.")
    return tuple(_read(each) for each in given)


def _read(given: object) -> Breakpoint:
    if not isinstance(given, Mapping):
        raise UsageError("A breakpoint is an object with a kind.")
    kind = asking.choice(given, "kind", "", KINDS)
    above = None if given.get("above") is None else asking.number(given, "above")
    below = None if given.get("below") is None else asking.number(given, "below")
    at = asking.whole(given, "at", None)
    if kind == "gradient_norm" and above is None:
        raise UsageError("A breakpoint on the gradient's norm needs above, a number.")
    if kind == "loss" and above is None and below is None:
        raise UsageError("A breakpoint on the loss needs above or below, a number.")
    if kind == "step" and at is None:
        raise UsageError("A breakpoint on a step needs at, the number of the step.")
    return Breakpoint(kind, above, below, at)


def dead_units(trace: Trace) -> list[tuple[str, Sequence[int]]]:
    """List the ReLUs of a trace with their units that are zero for every example."""
    found: list[tuple[str, Sequence[int]]] = []
    for index, node in enumerate(trace.graph.nodes):
        if node.primitive.kind is not Kind.ELEMENTWISE or node.primitive is not RELU:
            continue
        value = trace.values[index]
        if value.ndim != 2 or not len(value):
            continue
        dead = np.flatnonzero((value <= 0).all(axis=0)).tolist()
        if dead:
            found.append((node.name, dead))
    return found
