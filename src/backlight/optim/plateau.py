"""A learning rate that depends on how training goes.

It needs a measured loss or score, so it stays outside the graph and gives a factor for the
learning rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from backlight.errors import UsageError
from backlight.optim.options import NOT_NEGATIVE, POSITIVE, Range, check_flag
from backlight.optim.schedules import Schedule
from backlight.tensor import FLOAT64, Tensor, literal


@dataclass(frozen=True)
class PlateauState:
    """What `ReduceOnPlateau` remembers.

    Attributes
    ----------
    best : float or None
        The best metric so far; None before the first.
    waited : int
        How many observations in a row were no better.
    scale : float
        What the learning rate is multiplied by now.
    """

    best: float | None = None
    waited: int = 0
    scale: float = 1.0


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """A learning rate that is reduced when a metric stops getting better.

    As a schedule it gives ``rate``; whoever trains calls `observe` with each new metric, and
    passes the scale that comes back to the optimizer's ``update``.

    Parameters
    ----------
    rate : float
        The first learning rate.
    factor : float
        What the learning rate is multiplied by.
    patience : int
        How many observations in a row may be no better; the next such one reduces.
    minimum : float
        The learning rate never falls below it.
    threshold : float
        A metric is better when it beats the best one by more than this part of its size.
    higher_is_better : bool
        Whether the metric is a score and not a loss.

    Examples
    --------
    >>> plateau = ReduceOnPlateau(0.1, factor=0.5, patience=1)
    >>> state, scales = plateau.start(), []
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0):
    ...     state, scale = plateau.observe(state, loss)
    ...     scales.append(scale)
    >>> scales
    [1.0, 1.0, 1.0, 0.5, 0.5]
    """

    ranges: ClassVar[dict[str, Range]] = {
        "rate": POSITIVE,
        "factor": Range(0.0, 1.0, with_low=False),
        "patience": Range(0, whole=True),
        "minimum": NOT_NEGATIVE,
        "threshold": NOT_NEGATIVE,
    }
    rate: float
    factor: float = 0.1
    patience: int = 10
    minimum: float = 0.0
    threshold: float = 1e-4
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "higher_is_better")
        if self.minimum > self.rate:
            raise UsageError(
                f"ReduceOnPlateau: minimum must be at most the rate {self.rate!r}, not "
                f"{self.minimum!r}."
            )

    def at(self, step: Tensor) -> Tensor:
        return literal(self.rate, FLOAT64)

    def start(self) -> PlateauState:
        """Return the state before the first observation."""
        return PlateauState()

    def observe(self, state: PlateauState, metric: float) -> tuple[PlateauState, float]:
        """Take in one metric.

        Parameters
        ----------
        state : PlateauState
        metric : float
            NaN counts as no better.

        Returns
        -------
        PlateauState
            The new state.
        float
            What the learning rate is to be multiplied by from now on.
        """
        metric = float(metric)
        if self._better(metric, state.best):
            return PlateauState(metric, 0, state.scale), state.scale
        if state.waited < self.patience:
            return PlateauState(state.best, state.waited + 1, state.scale), state.scale
        scale = max(state.scale * self.factor, self.minimum / self.rate)
        return PlateauState(state.best, 0, scale), scale

    def _better(self, metric: float, best: float | None) -> bool:
        if math.isnan(metric) or best is None:
            return not math.isnan(metric)
        margin = self.threshold * abs(best) if math.isfinite(best) else 0.0
        return metric > best + margin if self.higher_is_better else metric < best - margin
