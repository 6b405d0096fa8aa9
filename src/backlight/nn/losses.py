"""Losses: one number that says how far predictions are from their targets.

Each takes a prediction, a target and, optionally, one weight per example, and is recorded as one
composite.  Shapes must match: nothing is broadcast silently.
"""

from __future__ import annotations

import math

import numpy as np

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.functions.composite import composite
from backlight.graph.primitive import Shape
from backlight.nn.activations import log_softmax, softplus
from backlight.nn.module import as_input
from backlight.nn.reduction import (
    Data,
    Reduction,
    as_data,
    floating_prediction,
    reduced,
    require_same_shape,
)
from backlight.ops.compose import reshape
from backlight.ops.convert import CAST
from backlight.ops.exponential import LOG, LOG1P
from backlight.ops.index import GATHER
from backlight.ops.logical import EQUAL, NOT_EQUAL
from backlight.ops.piecewise import ABS, MINIMUM
from backlight.ops.reduce import SUM
from backlight.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber",
    "l1",
    "mse",
    "nll",
    "squared_error",
]


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


@composite()
def squared_error(
    prediction: Data, target: Data, *, weights: Data | None = None, reduction: Reduction = "sum"
) -> Tensor:
    """Return Σ (prediction − target)², the sum over all entries.

    Parameters
    ----------
    prediction : Tensor of float, any shape
    target : Tensor of the same shape
        Integers and Booleans are converted to the prediction's dtype.
    weights : Tensor, optional
        One number w per example, or per entry: of the shape of the loss's leading axes.
    reduction : {"sum", "mean", "none"}
        The sum Σwℓ, the mean Σwℓ/Σw, or wℓ for every entry.

    Returns
    -------
    Tensor
        A scalar, or of the prediction's shape without a reduction.

    Raises
    ------
    ShapeError
        When shapes differ, or for the mean over no entries.
    DtypeError
        When the prediction is not floating-point.

    Examples
    --------
    >>> squared_error([1.0, 4.0], [1.0, 2.0])
    Tensor(4.)
    """
    squares = _squares("squared_error", prediction, target)
    return reduced("squared_error", squares, weights, reduction)


@composite()
def mse(
    prediction: Data, target: Data, *, weights: Data | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Return the mean of (prediction − target)² over all entries.

    Takes and raises the same as `squared_error`.

    Examples
    --------
    >>> mse([1.0, 4.0], [1.0, 2.0])
    Tensor(2.)
    >>> mse([1.0, 4.0], [1.0, 2.0], weights=[3.0, 1.0])
    Tensor(1.)
    """
    return reduced("mse", _squares("mse", prediction, target), weights, reduction)


def _squares(name: str, prediction: Data, target: Data) -> Tensor:
    return _difference(name, prediction, target) ** 2.0


def _difference(name: str, prediction: Data, target: Data) -> Tensor:
    predicted = floating_prediction(name, prediction)
    wanted = as_data(target, "target", predicted.dtype)
    require_same_shape(name, predicted, wanted)
    return predicted - wanted


@composite()
def l1(
    prediction: Data, target: Data, *, weights: Data | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Return the mean of |prediction − target|, whose derivative at 0 is taken as 0.

    Takes and raises the same as `squared_error`.

    Examples
    --------
    >>> l1([1.0, 4.0], [1.0, 2.0])
    Tensor(1.)
    """
    distance: Tensor = ABS(_difference("l1", prediction, target))
    return reduced("l1", distance, weights, reduction)


@composite()
def huber(
    prediction: Data,
    target: Data,
    *,
    delta: float = 1.0,
    weights: Data | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the mean of ½d² where |d| ≤ delta and delta·(|d| − ½·delta) elsewhere.

    d is prediction − target.  P. J. Huber, "Robust estimation of a location parameter", Annals of
    Mathematical Statistics 35, 1964.

    Parameters
    ----------
    prediction, target, weights, reduction
        As for `squared_error`.
    delta : float
        The distance at which the parabola turns into a line; positive.

    Raises
    ------
    UsageError
        When delta is not positive.

    Examples
    --------
    >>> huber([1.0, 4.0], [0.0, 0.0], reduction="none")
    Tensor([0.5, 3.5])
    """
    if not delta > 0:
        raise UsageError(f"huber needs a positive delta, not {delta!r}.")
    distance: Tensor = ABS(_difference("huber", prediction, target))
    near: Tensor = MINIMUM(distance, float(delta))
    # Both branches at once: with c = min(|d|, δ) they are c·(|d| − c/2).
    return reduced("huber", near * (distance - 0.5 * near), weights, reduction)


# ── two classes ──────────────────────────────────────────────────────────────────────────────────


@composite()
def binary_cross_entropy(
    prediction: Data, target: Data, *, weights: Data | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Return the mean of −(y·ln p + (1 − y)·ln(1 − p)) for probabilities p and targets y.

    0·ln 0 counts as 0, and nothing is clipped: a prediction of exactly 0 for the target 1 costs
    infinitely much.  For the output of a linear layer use `binary_cross_entropy_with_logits`.

    Parameters
    ----------
    prediction : Tensor of float, any shape
        Probabilities, 0 ≤ p ≤ 1.
    target : Tensor of the same shape
        0, 1 or probabilities between; integers and Booleans are converted.
    weights, reduction
        As for `squared_error`.

    Raises
    ------
    UsageError
        When a prediction whose value is known is not between 0 and 1.
    ShapeError
        When shapes differ, or for the mean over no entries.

    Examples
    --------
    >>> binary_cross_entropy([0.5, 0.5], [1, 0], reduction="none")
    Tensor([0.693147, 0.693147])
    """
    name = "binary_cross_entropy"
    p = floating_prediction(name, prediction)
    y = as_data(target, "target", p.dtype)
    require_same_shape(name, p, y)
    _check_probabilities(p)
    # Where y is 0 (or 1) the logarithm is that of 1, so that its product with 0 is 0.
    hit: Tensor = LOG(p + CAST(EQUAL(y, 0.0), dtype=p.dtype))
    miss: Tensor = LOG1P(-(p * CAST(NOT_EQUAL(y, 1.0), dtype=p.dtype)))
    return reduced(name, -(y * hit + (1.0 - y) * miss), weights, reduction)


def _check_probabilities(p: Tensor) -> None:
    value = p.known_value
    if value is None:
        return
    outside = np.asarray(value)[(np.asarray(value) < 0) | (np.asarray(value) > 1)]
    if outside.size:
        raise UsageError(
            f"binary_cross_entropy takes probabilities and was given {outside[0]:.6g}; pass "
            f"logits to binary_cross_entropy_with_logits, or apply sigmoid first."
        )


@composite()
def binary_cross_entropy_with_logits(
    prediction: Data, target: Data, *, weights: Data | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Return the mean of −(y·ln σ(x) + (1 − y)·ln(1 − σ(x))) for logits x and targets y.

    Written as y·softplus(−x) + (1 − y)·softplus(x), which neither overflows nor cancels; the
    derivative by x is σ(x) − y everywhere.

    Takes and raises the same as `squared_error`.

    Examples
    --------
    >>> binary_cross_entropy_with_logits([0.0, 1e4], [1, 1], reduction="none")
    Tensor([0.693147, 0.      ])
    """
    name = "binary_cross_entropy_with_logits"
    x = floating_prediction(name, prediction)
    y = as_data(target, "target", x.dtype)
    require_same_shape(name, x, y)
    return reduced(name, y * softplus(-x) + (1.0 - y) * softplus(x), weights, reduction)


# ── several classes ──────────────────────────────────────────────────────────────────────────────


@composite()
def cross_entropy(
    prediction: Data,
    target: Data,
    *,
    label_smoothing: float = 0.0,
    weights: Data | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the mean of −Σₖ yₖ·ln softmax(x)ₖ for logits x and target classes y.

    Parameters
    ----------
    prediction : Tensor of float, shape (…, k)
        Logits: one score per class along the last axis, before any softmax.
    target : Tensor
        Either integers of shape (…), the classes 0 to k − 1, or a distribution over the classes
        of the logits' shape (one-hot or probabilities).
    label_smoothing : float
        How much of the target, from 0 to 1, is spread evenly over all classes (C. Szegedy et al.,
        "Rethinking the Inception architecture for computer vision", CVPR 2016).
    weights, reduction
        As for `squared_error`, one loss per example.

    Returns
    -------
    Tensor
        A scalar, or of shape (…) without a reduction.

    Raises
    ------
    ShapeError
        When shapes do not fit, or when a class whose value is known is out of range.
    DtypeError
        When classes are not integers.
    UsageError
        When the smoothing is not between 0 and 1.

    Notes
    -----
    The derivative by the logits is softmax(x) − y, divided by the number of examples for the
    mean.  While a function is traced the classes are not known and cannot be checked.

    Examples
    --------
    >>> cross_entropy([[0.0, 0.0], [0.0, 1.0]], [1, 1], reduction="none")
    Tensor([0.693147, 0.313262])
    """
    name = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise UsageError(f"{name} needs 0 ≤ label_smoothing ≤ 1, not {label_smoothing!r}.")
    logits = _scores(name, prediction)
    classes = logits.shape[-1]
    given = as_input(target, "target")
    logs = log_softmax(logits)
    if given.shape == logits.shape:
        shares = given if given.dtype.kind == "f" else CAST(given, dtype=logits.dtype)
        losses = -_along_classes(shares * logs)
    else:
        losses = -_chosen(name, logs, given)
    if label_smoothing:
        even = -_along_classes(logs) / float(classes)
        losses = (1.0 - label_smoothing) * losses + label_smoothing * even
    return reduced(name, losses, weights, reduction)


@composite()
def nll(
    prediction: Data, target: Data, *, weights: Data | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Return the mean of −xₜ for log-probabilities x, such as those of `log_softmax`, and class t.

    Parameters
    ----------
    prediction : Tensor of float, shape (…, k)
        Log-probabilities along the last axis.
    target : Tensor of int, shape (…)
        The classes 0 to k − 1.
    weights, reduction
        As for `cross_entropy`.

    Raises
    ------
    ShapeError, DtypeError
        As for `cross_entropy`.

    Examples
    --------
    >>> nll([[-0.5, -0.9]], [1])
    Tensor(0.9)
    """
    logs = _scores("nll", prediction)
    chosen = _chosen("nll", logs, as_input(target, "target"))
    return reduced("nll", -chosen, weights, reduction)


def _scores(name: str, prediction: Data) -> Tensor:
    made = floating_prediction(name, prediction)
    if made.ndim == 0 or made.shape[-1] == 0:
        raise ShapeError(
            f"{name} needs one score per class along the last axis, and the prediction has shape "
            f"{made.shape}."
        )
    return made


def _along_classes(x: Tensor) -> Tensor:
    result: Tensor = SUM(x, axes=(x.ndim - 1,))
    return result


def _chosen(name: str, scores: Tensor, target: Tensor) -> Tensor:
    """The score of the target class of each example."""
    batch, classes = scores.shape[:-1], scores.shape[-1]
    _check_classes(name, scores.shape, target)
    if not batch:
        single: Tensor = GATHER(scores, target, axis=0)
        return single
    # One row of all scores, and the position of each example's class in it.
    count = math.prod(batch)
    starts = np.arange(0, count * classes, classes, dtype=np.int64).reshape(batch)
    wide = target if target.dtype == np.int64 else CAST(target, dtype=np.dtype(np.int64))
    chosen: Tensor = GATHER(reshape(scores, (count * classes,)), wide + starts, axis=0)
    return chosen


def _check_classes(name: str, scores: Shape, target: Tensor) -> None:
    """Raise unless there is one class, an integer in range, for each example."""
    batch, classes = scores[:-1], scores[-1]
    if target.shape != batch:
        if target.shape == (*batch, 1):
            remedy = "drop its last axis, as in target[..., 0]"
        else:
            remedy = f"give classes of shape {batch} or a distribution of shape {scores}"
            if name == "nll":
                remedy = f"give classes of shape {batch}"
        raise ShapeError(
            f"{name}: the prediction has shape {scores} and the target {target.shape}; {remedy}."
        )
    if target.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: classes must be integers, not {target.dtype}; convert with "
            f"bl.astype(target, bl.int64)."
        )
    value = target.known_value
    if value is None or np.size(value) == 0:
        return
    low, high = int(np.min(value)), int(np.max(value))
    if low < 0 or high >= classes:
        raise ShapeError(
            f"{name}: the target holds class {low if low < 0 else high}, and the prediction has "
            f"scores for the classes 0 to {classes - 1}."
        )
