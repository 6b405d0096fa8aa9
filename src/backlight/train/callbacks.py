"""What can watch training and stop it: callbacks and early stopping.

A callback is any object with ``on_epoch_end(state)`` or ``on_step_end(state)``, or a function,
which is called at the end of each epoch; it gets a `RunState` and stops training by returning
True.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from backlight.data.messages import did_you_mean
from backlight.errors import UnknownNameError, UsageError
from backlight.graph.primitive import Array
from backlight.train.metrics import higher_is_better

Hook = Callable[["RunState"], Any]
History = dict[str, list[float]]

_SIGNS: Mapping[str, float] = MappingProxyType({"min": 1.0, "max": -1.0})
"""What values are multiplied by so that lower is better."""


@dataclass(frozen=True)
class RunState:
    """How far training has come, as callbacks see it.

    Attributes
    ----------
    net : object
        The network; at the time of the call it has the parameters of this moment.
    epoch : int
        The epoch that just ended, or is going on, counted from 0.
    step : int
        The number of steps taken.
    epochs : int
        How many epochs there are to be.
    loss : float
        Of the last step's batch.
    history : dict of str to list of float
        One entry for each epoch that has ended; treat it as read-only.
    parameters : mapping of str to ndarray
        The parameters of this moment; treat them as read-only.
    """

    net: object
    epoch: int
    step: int
    epochs: int
    loss: float
    history: Mapping[str, list[float]]
    parameters: Mapping[str, Array]


class Callback:
    """A base for callbacks that does nothing; derive from it, or write a class of your own.

    Examples
    --------
    >>> class StopBelow(Callback):
    ...     def on_epoch_end(self, state):
    ...         return state.history["loss"][-1] < 0.01
    """

    def on_epoch_end(self, state: RunState) -> bool | None:
        """Called after each epoch; return True to stop."""
        return None


@dataclass(frozen=True)
class Hooks:
    """The functions that callbacks want called.

    Attributes
    ----------
    epoch_end, step_end : tuple of callable
    """

    epoch_end: tuple[Hook, ...] = ()
    step_end: tuple[Hook, ...] = ()

    @classmethod
    def of(cls, callbacks: Sequence[Any]) -> Hooks:
        """Collect the functions of callbacks.

        Raises
        ------
        UsageError
            For something that has neither function and cannot be called.
        """
        if callable(callbacks) or not isinstance(callbacks, (list, tuple)):
            raise UsageError("callbacks must be a list or tuple of callbacks; put it in brackets.")
        epoch_end: list[Hook] = []
        step_end: list[Hook] = []
        for each in callbacks:
            at_epoch = getattr(each, "on_epoch_end", None)
            at_step = getattr(each, "on_step_end", None)
            if at_epoch is None and at_step is None:
                if not callable(each):
                    raise UsageError(
                        f"A callback needs a method on_epoch_end or on_step_end, or must be a "
                        f"function, and {type(each).__name__} is neither."
                    )
                at_epoch = each
            if at_epoch is not None:
                epoch_end.append(at_epoch)
            if at_step is not None:
                step_end.append(at_step)
        return cls(tuple(epoch_end), tuple(step_end))

    @staticmethod
    def call(hooks: Sequence[Hook], state: RunState) -> bool:
        """Call every hook and tell whether one of them wants to stop."""
        answers = [hook(state) for hook in hooks]
        return any(answer is True for answer in answers)


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a metric has not become better for some epochs.

    Parameters
    ----------
    monitor : str, optional
        A key of the history; by default ``"validation_loss"`` when there is a validation set and
        ``"loss"`` otherwise.
    patience : int
        After how many epochs in a row without a better value training stops; at least 1.
    minimum_change : float
        By how much a value must beat the best one to count as better.
    restore_best : bool
        Give the network the parameters of the best epoch at the end, whatever ended training.
    mode : {"min", "max"}, optional
        Whether small or large values are good; by default large ones for accuracies and scores.

    Raises
    ------
    UsageError
        When an option is out of its range.

    Examples
    --------
    >>> EarlyStopping("validation_accuracy", patience=5)
    EarlyStopping(monitor='validation_accuracy', patience=5, minimum_change=0.0, \
restore_best=True, mode=None)
    """

    monitor: str | None = None
    patience: int = 10
    minimum_change: float = 0.0
    restore_best: bool = True
    mode: str | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if type(self.patience) is not int or self.patience < 1:
            raise UsageError(f"patience must be a whole number from 1 on, not {self.patience!r}.")
        if not (self.minimum_change >= 0.0 and math.isfinite(self.minimum_change)):
            raise UsageError(f"minimum_change must be 0 or more, not {self.minimum_change!r}.")
        if self.mode is not None and _SIGNS.get(self.mode) is None:
            raise UsageError(f"mode must be 'min' or 'max', not {self.mode!r}.")


@dataclass
class Watch:
    """Early stopping at work: the best epoch so far.

    Attributes
    ----------
    options : EarlyStopping
    monitor : str
    best : float or None
    best_epoch : int
    waited : int
    """

    options: EarlyStopping
    monitor: str
    best: float | None = None
    best_epoch: int = -1
    waited: int = 0
    sign: float = field(init=False)

    def __post_init__(self) -> None:
        """Settle which direction is better."""
        mode = self.options.mode or ("max" if higher_is_better(self.monitor) else "min")
        self.sign = _SIGNS[mode]

    @classmethod
    def of(cls, options: EarlyStopping, keys: Sequence[str]) -> Watch:
        """Start watching one of the history's keys.

        Raises
        ------
        UnknownNameError
            When the history will have no such key.
        """
        default = "validation_loss" if "validation_loss" in keys else "loss"
        monitor = options.monitor or default
        if monitor not in keys:
            hint = did_you_mean(monitor, keys)
            missing = " and there is no validation set" if monitor.startswith("validation_") else ""
            raise UnknownNameError(
                f"Early stopping cannot monitor {monitor!r}{hint}{missing}; the history has "
                f"{', '.join(keys)}."
            )
        return cls(options, monitor)

    def observe(self, epoch: int, value: float) -> bool:
        """Take in an epoch's value and tell whether it is the best so far; NaN never is."""
        if self.best is None:
            better = not math.isnan(value)
        else:
            better = self.sign * value < self.sign * self.best - self.options.minimum_change
        if better:
            self.best, self.best_epoch, self.waited = value, epoch, 0
        else:
            self.waited += 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.options.patience
