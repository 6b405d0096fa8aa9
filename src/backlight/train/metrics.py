"""What is measured beside the loss: accuracy and its kin, as functions of tensors.

A metric takes a batch of predictions and targets and gives the mean over the batch; training
averages it over the examples of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from backlight.data.messages import did_you_mean
from backlight.errors import ShapeError, UnknownNameError, UsageError
from backlight.ops.compose import reshape
from backlight.ops.convert import CAST
from backlight.ops.piecewise import ABS
from backlight.ops.reduce import ARGMAX, SUM
from backlight.tensor import FLOAT64, Tensor, record

MetricFunction = Callable[[Tensor, Tensor], Tensor]
"""``metric(prediction, target)`` returns a scalar: the mean over the batch."""


@dataclass(frozen=True)
class Metric:
    """One thing that is measured.

    Attributes
    ----------
    name : str
        Its key in the history.
    function : callable
        ``function(prediction, target)`` returns a scalar tensor.
    """

    name: str
    function: MetricFunction

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Measure one batch.

        Raises
        ------
        ShapeError
            When the result is not one number.
        """
        result = self.function(prediction, target)
        if not isinstance(result, Tensor):
            raise UsageError(f"The metric {self.name} must return a tensor, not {result!r}.")
        if result.shape != ():
            raise ShapeError(
                f"The metric {self.name} gave a result of shape {result.shape}; it must give one "
                f"number, the mean over the batch."
            )
        return result if result.dtype == FLOAT64 else _cast(result)


def _cast(x: Tensor) -> Tensor:
    return record(CAST, (x,), {"dtype": FLOAT64})


def _mean(x: Tensor) -> Tensor:
    """The mean of all entries in float64, so that a count of many examples is exact."""
    total = record(SUM, (_cast(x),), {"axes": tuple(range(x.ndim))})
    return total / float(x.size)


def accuracy_above(threshold: float) -> MetricFunction:
    """Return the accuracy for one output that means yes above a threshold.

    Examples
    --------
    >>> import backlight as bl
    >>> accuracy_above(0.0)(bl.tensor([3.0, -1.0]), bl.tensor([1.0, 1.0]))
    Tensor(0.5)
    """

    def measure(prediction: Tensor, target: Tensor) -> Tensor:
        positive = prediction > threshold
        wanted = reshape(target > (0 if target.dtype.kind in "iu" else 0.5), positive.shape)
        return _mean(positive == wanted)

    return measure


def accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """The share of examples whose largest output is that of their class.

    Parameters
    ----------
    prediction : Tensor of shape (n, ..., classes)
        Logits, log-probabilities or probabilities.
    target : Tensor of int, shape (n, ...), or of shape (n, ..., classes)
        Class numbers, or a share for each class.

    Examples
    --------
    >>> import backlight as bl
    >>> accuracy(bl.tensor([[2.0, 1.0], [0.0, 3.0]]), bl.tensor([0, 0]))
    Tensor(0.5)
    """
    chosen = record(ARGMAX, (prediction,), {"axes": (prediction.ndim - 1,)})
    if target.shape == prediction.shape:
        wanted = record(ARGMAX, (target,), {"axes": (target.ndim - 1,)})
    elif target.shape == chosen.shape and target.dtype.kind in "iu":
        wanted = record(CAST, (target,), {"dtype": np.dtype(np.int64)})
    else:
        raise ShapeError(
            f"accuracy takes one class number or one share per class for each example, and for "
            f"predictions of shape {prediction.shape} the targets are {target.spec}."
        )
    return _mean(chosen == wanted)


def _difference(prediction: Tensor, target: Tensor) -> Tensor:
    if prediction.shape != target.shape:
        raise ShapeError(
            f"This metric compares entry by entry, and the predictions have shape "
            f"{prediction.shape} and the targets {target.shape}."
        )
    if target.dtype != prediction.dtype:
        target = record(CAST, (target,), {"dtype": prediction.dtype})
    return prediction - target


def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of |prediction − target|.

    Examples
    --------
    >>> import backlight as bl
    >>> mean_absolute_error(bl.tensor([1.0, 2.0]), bl.tensor([0.0, 4.0]))
    Tensor(1.5)
    """
    return _mean(record(ABS, (_difference(prediction, target),)))


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of (prediction − target)².

    Examples
    --------
    >>> import backlight as bl
    >>> mean_squared_error(bl.tensor([1.0, 2.0]), bl.tensor([0.0, 4.0]))
    Tensor(2.5)
    """
    difference = _difference(prediction, target)
    return _mean(difference * difference)


NAMED: Mapping[str, MetricFunction] = MappingProxyType(
    {
        "accuracy": accuracy,
        "mean_absolute_error": mean_absolute_error,
        "mean_squared_error": mean_squared_error,
    }
)
"""The metrics that can be asked for by name."""

RESERVED = frozenset({"loss", "learning_rate", "seconds"})
"""Keys of the history that no metric may take."""


def resolve(
    wanted: Sequence[str | MetricFunction], own_accuracy: MetricFunction | None
) -> tuple[Metric, ...]:
    """Return the metrics for names and functions.

    Parameters
    ----------
    wanted : sequence of str or callable
    own_accuracy : callable or None
        What ``"accuracy"`` means for the loss at hand; with one, it is measured unasked.

    Raises
    ------
    UnknownNameError
        For a name that is none of `NAMED`.
    UsageError
        When two metrics have one name.
    """
    found: list[Metric] = []
    if own_accuracy is not None:
        found.append(Metric("accuracy", own_accuracy))
    for each in wanted:
        if callable(each):
            name = getattr(each, "__name__", type(each).__name__)
            found.append(Metric("metric" if name == "<lambda>" else name, each))
        elif isinstance(each, str) and each in NAMED:
            if each != "accuracy" or own_accuracy is None:
                found.append(Metric(each, NAMED[each]))
        else:
            raise UnknownNameError(
                f"There is no metric {each!r}{did_you_mean(str(each), NAMED)}; choose among "
                f"{', '.join(NAMED)}, or pass a function of prediction and target."
            )
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1 or name in RESERVED or name.startswith("validation_"):
            raise UsageError(
                f"Two entries of the history would be called {name!r}; give the metric's function "
                f"a name of its own."
            )
    return tuple(found)


def higher_is_better(name: str) -> bool:
    """Tell whether a larger value of a metric is better, by its name.

    Examples
    --------
    >>> higher_is_better("validation_accuracy"), higher_is_better("validation_loss")
    (True, False)
    """
    return name.endswith(("accuracy", "score", "r2", "precision", "recall", "f1", "auc"))
