"""The loss of a training run and what is known about it.

It takes any loss function and says which targets it wants, how it combines the examples of a
batch, and which accuracy belongs to it; unknown functions are taken as they are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.graph.primitive import Spec
from backlight.nn import losses
from backlight.ops.compose import reshape
from backlight.ops.convert import CAST
from backlight.tensor import Tensor, record
from backlight.train.metrics import MetricFunction, accuracy, accuracy_above

LossFunction = Callable[..., Tensor]
Targets = Literal["classes", "binary", "numbers", "unknown"]


@dataclass(frozen=True)
class Objective:
    """A loss function with what training has to know about it.

    Attributes
    ----------
    function : callable
        ``function(prediction, target)`` or ``function(prediction, target, weights=…)``.
    name : str
        What it is called in messages and stored runs.
    targets : {"classes", "binary", "numbers", "unknown"}
        Class numbers (or shares), one 0 or 1 for each output, real numbers, or whatever a
        function of the user's own takes.
    reduction : {"mean", "sum"}
        Whether the loss of a batch is a mean or a sum over its examples.
    accuracy : callable or None
        The accuracy that fits the function's predictions.
    """

    function: LossFunction
    name: str
    targets: Targets
    reduction: Literal["mean", "sum"]
    accuracy: MetricFunction | None = None

    def __call__(self, prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        """Compute the loss of a batch.

        Raises
        ------
        ShapeError
            When the result is not one number, or the shapes do not fit.
        DtypeError
            When the dtypes do not fit, or the result is not floating-point.
        """
        options = {} if weights is None else {"weights": weights}
        try:
            loss = self.function(prediction, target, **options)
        except (ShapeError, DtypeError) as error:
            raise type(error)(
                f"The loss {self.name} does not take predictions of {prediction.spec} with "
                f"targets of {target.spec}: {error}"
            ) from error
        if not isinstance(loss, Tensor):
            raise UsageError(
                f"The loss {self.name} must return a tensor, not {type(loss).__name__}."
            )
        if loss.shape != ():
            raise ShapeError(
                f"The loss {self.name} gave a result of shape {loss.shape} and must give one "
                f"number; use reduction='mean', or take the mean in your function."
            )
        if loss.dtype.kind != "f":
            raise DtypeError(f"The loss {self.name} gave {loss.dtype}; it must be floating-point.")
        return loss

    def fitted(self, target: Tensor, prediction: Spec) -> Tensor:
        """Return targets in the dtype and with the trailing axes of size 1 of the predictions."""
        numbers = self.targets in ("binary", "numbers")
        if target.dtype != prediction.dtype and (numbers or target.dtype.kind == "f"):
            target = record(CAST, (target,), {"dtype": prediction.dtype})
        if target.dtype.kind == "f" and without_ones(target.shape) == without_ones(
            prediction.shape
        ):
            made: Tensor = reshape(target, prediction.shape)
            return made
        return target


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its trailing axes of size 1, the first axis aside.

    Examples
    --------
    >>> without_ones((5, 1)), without_ones((5,)), without_ones((1, 1))
    ((5,), (5,), (1,))
    """
    end = len(shape)
    while end > 1 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]


_CLASSES = (losses.cross_entropy, losses.nll)
_NUMBERS = (losses.squared_error, losses.mse, losses.l1, losses.huber)


def describe_loss(function: LossFunction) -> Objective:
    """Find out what training has to know about a loss function.

    Parameters
    ----------
    function : callable
        One of `backlight.nn`, with options bound by `functools.partial` or not, or one's own.

    Raises
    ------
    UsageError
        When it cannot be called, or gives a loss for each example.

    Examples
    --------
    >>> from backlight.nn import cross_entropy, squared_error
    >>> describe_loss(cross_entropy).targets, describe_loss(squared_error).reduction
    ('classes', 'sum')
    """
    if not callable(function):
        raise UsageError(
            f"loss must be a function of prediction and target such as bl.nn.mse, not {function!r}."
        )
    base: object = function
    while isinstance(base, functools.partial):
        base = base.func
    name = getattr(base, "__name__", type(base).__name__)
    reduction = default_of(function, "reduction")
    if reduction == "none":
        raise UsageError(
            f"The loss {name} with reduction='none' gives a number for each example; training "
            f"needs reduction='mean' or 'sum'."
        )
    combined: Literal["mean", "sum"] = "sum" if reduction == "sum" else "mean"
    if any(base is each for each in _CLASSES):
        return Objective(function, name, "classes", combined, accuracy)
    if base is losses.binary_cross_entropy_with_logits:
        return Objective(function, name, "binary", combined, accuracy_above(0.0))
    if base is losses.binary_cross_entropy:
        return Objective(function, name, "binary", combined, accuracy_above(0.5))
    if any(base is each for each in _NUMBERS):
        return Objective(function, name, "numbers", combined)
    return Objective(function, name, "unknown", combined)


def default_of(function: LossFunction, option: str) -> object:
    """Return what a function's option is when it is not given, or None."""
    try:
        parameter = inspect.signature(function).parameters.get(option)
    except (TypeError, ValueError):
        return None
    return None if parameter is None else parameter.default
