"""Where a training run stands between two steps, and the way back there.

A `Mark` holds all that the loop has to know to go on: the state of network and optimizer, what
the epoch under way has added up to, and how long the histories were.  The order of the examples
and all random numbers are functions of the seed and the step's number, so the step says where
they stand.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from backlight.optim import PlateauState
from backlight.train.callbacks import History
from backlight.train.engine import TrainingState
from backlight.train.step import Arrays


@dataclass
class Sums:
    """What the steps of an epoch add up to.

    Attributes
    ----------
    loss : float
    metrics : list of float
    rate : float
        The learning rate of the last step.
    begun : float
        When the epoch began, by `time.perf_counter`.
    last : float
        The loss of the last step's batch.
    """

    loss: float = 0.0
    metrics: list[float] = field(default_factory=list)
    rate: float = 0.0
    begun: float = field(default_factory=time.perf_counter)
    last: float = math.nan


@dataclass(frozen=True)
class Seen:
    """What early stopping remembers."""

    best: float | None
    best_epoch: int
    waited: int


@dataclass(frozen=True, eq=False)
class Mark:
    """A moment of a run between two steps.

    Attributes
    ----------
    state : TrainingState
    loss, metrics, rate
        Of the epoch that is under way, as of `Sums`.
    seconds : float
        How long it has been under way.
    epochs, logged, checkups : int
        The lengths of the history, of the step history and of the health's.
    seen : Seen or None
        Of early stopping.
    best : dict of str to ndarray or None
        The parameters of the best epoch.
    plateau : PlateauState
    scales : tuple of (int, float)
        The factors on the learning rate, and from which step on each held.
    """

    state: TrainingState
    loss: float
    metrics: tuple[float, ...]
    rate: float
    seconds: float
    epochs: int
    logged: int
    checkups: int
    seen: Seen | None
    best: Arrays | None
    plateau: PlateauState
    scales: tuple[tuple[int, float], ...]

    def sums(self) -> Sums:
        """Return the sums of the epoch under way, to be added to."""
        begun = time.perf_counter() - self.seconds
        return Sums(self.loss, list(self.metrics), self.rate, begun)


def cut(history: History, length: int) -> None:
    """Shorten every list of a history, in place."""
    for values in history.values():
        del values[length:]
