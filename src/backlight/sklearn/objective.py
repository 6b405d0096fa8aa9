"""What an estimator minimises: the loss of each example, and what becomes of the outputs.

It takes the name of a loss or a function of the user's own and gives an `Objective`, which builds
graph nodes; the penalty on the weights and the average over a batch are added by `total`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from backlight import nn
from backlight.errors import ShapeError, UsageError
from backlight.functions import astype, equal, exp, log
from backlight.functions import sum as total_of
from backlight.graph.primitive import Array
from backlight.sklearn.architecture import applied
from backlight.tensor import Tensor

Loss = Callable[..., Tensor]
OutputActivation = str

_OUTPUT: Mapping[str, Callable[[Tensor], Tensor] | None] = MappingProxyType(
    {"identity": None, "logistic": nn.sigmoid, "softmax": nn.softmax, "exp": exp}
)


def _squared(prediction: Tensor, target: Tensor) -> Tensor:
    return 0.5 * nn.squared_error(prediction, target, reduction="none")


def _poisson(prediction: Tensor, target: Tensor) -> Tensor:
    """Half the Poisson deviance y·ln(y/μ) − y + μ with μ = exp(prediction), where 0·ln 0 is 0."""
    own = target * log(target + astype(equal(target, 0.0), target.dtype)) - target
    return own - target * prediction + exp(prediction)


def _classes(prediction: Tensor, target: Tensor) -> Tensor:
    return nn.cross_entropy(prediction, target, reduction="none")


def _yes_or_no(prediction: Tensor, target: Tensor) -> Tensor:
    return nn.binary_cross_entropy_with_logits(prediction, target, reduction="none")


_NAMED: Mapping[str, Loss] = MappingProxyType(
    {"softmax": _classes, "logistic": _yes_or_no, "identity": _squared, "exp": _poisson}
)


@dataclass(frozen=True)
class Objective:
    """A loss with the output activation that belongs to it.

    Attributes
    ----------
    output : {"identity", "logistic", "softmax", "exp"}
        The output activation, ``out_activation_``.
    own : callable or None
        A loss of the user's own; otherwise the one that goes with the output activation.
    """

    output: OutputActivation
    own: Loss | None = None

    @property
    def averages_outputs(self) -> bool:
        """Whether the reported loss is a mean over the outputs, where training uses the sum.

        So it is for scikit-learn's squared error.
        """
        return self.own is None and _NAMED[self.output] is _squared

    def entries(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Build the loss of each example, the sum over its outputs.

        Parameters
        ----------
        prediction : Tensor of shape (n, outputs)
            Before the output activation.
        target : Tensor of the same shape and dtype

        Returns
        -------
        Tensor of shape (n,)

        Raises
        ------
        UsageError, ShapeError
            When a loss of the user's own gives something else.
        """
        if self.own is None:
            found = _NAMED[self.output](prediction, target)
        else:
            found = self._own_entries(self.own, prediction, target)
        return total_of(found, axis=1) if found.ndim == 2 else found

    @staticmethod
    def _own_entries(loss: Loss, prediction: Tensor, target: Tensor) -> Tensor:
        options = {"reduction": "none"} if _takes_reduction(loss) else {}
        found = loss(prediction, target, **options)
        if not isinstance(found, Tensor):
            raise UsageError(f"The loss must return a tensor, not {type(found).__name__}.")
        n = prediction.shape[0]
        if found.ndim not in (1, 2) or found.shape[0] != n:
            raise ShapeError(
                f"The loss gave a result of shape {found.shape} for {n} examples; return one "
                f"number for each example (shape ({n},)) or for each of its outputs, without a "
                f"sum or mean over the examples."
            )
        return found

    def activated(self, values: Array) -> Array:
        """Apply the output activation to an array."""
        function = _OUTPUT[self.output]
        return values if function is None else applied(function, values)


def _takes_reduction(loss: Loss) -> bool:
    bound = isinstance(loss, functools.partial) and "reduction" in loss.keywords
    try:
        return not bound and "reduction" in inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False


def penalty(weights: Sequence[Tensor]) -> Tensor:
    """Build ½·Σ‖W‖² over the weights; biases are not penalised."""
    squares = [total_of(each * each) for each in weights]
    found = squares[0]
    for each in squares[1:]:
        found = found + each
    return 0.5 * found


def explained_loss(
    objective: Objective,
    prediction: Tensor,
    target: Tensor,
    weights: Tensor | None,
    decay: Tensor | None,
) -> Tensor:
    """Build the loss that a fit minimises, Σwℓ/Σw and the penalty, for reading.

    Parameters
    ----------
    objective : Objective
    prediction, target : Tensor of shape (n, outputs)
    weights : Tensor of shape (n,) or None
    decay : Tensor or None
        The penalty, already multiplied by α.
    """
    entries = objective.entries(prediction, target)
    total = total_of(entries if weights is None else entries * weights)
    if decay is not None:
        total = total + decay
    share = float(prediction.shape[0]) if weights is None else total_of(weights)
    loss = total if share == 1.0 else total / share
    loss.name = "loss"
    return loss
