"""What all losses share: taking arguments in, matching shapes, weighting and averaging."""

from __future__ import annotations

import math
from typing import Literal

from numpy.typing import ArrayLike

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.graph.primitive import Dtype, Shape
from backlight.nn.module import as_input
from backlight.ops.compose import broadcast_to, reshape
from backlight.ops.convert import CAST
from backlight.ops.reduce import SUM
from backlight.tensor import Tensor, literal, weak_dtype

Reduction = Literal["mean", "sum", "none"]
Data = Tensor | ArrayLike


def floating_prediction(name: str, value: Data) -> Tensor:
    """Return a prediction as a tensor, or raise when it is not floating-point."""
    made = as_input(value, "prediction")
    if made.dtype.kind != "f":
        raise DtypeError(
            f"{name}: the prediction must be floating-point, not {made.dtype}; convert with "
            f"bl.astype(x, …) first."
        )
    return made


def as_data(value: Data, name: str, dtype: Dtype) -> Tensor:
    """Return a target or weight; what is not floating-point yet takes the prediction's dtype."""
    if isinstance(value, (bool, int, float)):
        return literal(value, weak_dtype(float(value), [dtype]))
    made = as_input(value, name)
    converted: Tensor = made if made.dtype.kind == "f" else CAST(made, dtype=dtype)
    return converted


def require_same_shape(name: str, prediction: Tensor, target: Tensor) -> None:
    """Raise unless prediction and target match entry by entry."""
    mine, other = prediction.shape, target.shape
    if mine == other:
        return
    if [size for size in mine if size != 1] == [size for size in other if size != 1]:
        remedy = f"reshape one of them, as in bl.reshape(target, {mine})"
    elif () in (mine, other):
        remedy = f"for the same target everywhere pass bl.full({mine}, …)"
    else:
        remedy = "give one target for each entry of the prediction"
    raise ShapeError(
        f"{name}: the prediction has shape {mine} and the target {other}, and they must match; "
        f"{remedy}."
    )


def reduced(name: str, losses: Tensor, weights: Data | None, reduction: Reduction) -> Tensor:
    """Weight the losses of the entries and add them up or average them."""
    if reduction not in ("mean", "sum", "none"):
        raise UsageError(f"{name} has reduction='mean', 'sum' or 'none', not {reduction!r}.")
    shape = losses.shape
    spread = None if weights is None else _spread(name, weights, shape, losses.dtype)
    weighted = losses if spread is None else losses * spread
    if reduction == "none":
        return weighted
    axes = tuple(range(len(shape)))
    total: Tensor = SUM(weighted, axes=axes) if axes else weighted
    if reduction == "sum":
        return total
    if math.prod(shape) == 0:
        raise ShapeError(
            f"{name}: the mean over no entries (shape {shape}) has no value; use "
            f"reduction='sum', which is 0, or pass at least one example."
        )
    if spread is None:
        return total if math.prod(shape) == 1 else total / float(math.prod(shape))
    whole: Tensor = broadcast_to(spread, shape)
    return total / (SUM(whole, axes=axes) if axes else whole)


def _spread(name: str, weights: Data, shape: Shape, dtype: Dtype) -> Tensor:
    """Weights with axes of size 1 for those of the losses that they do not have."""
    made = as_data(weights, "weights", dtype)
    if made.shape != shape[: made.ndim]:
        raise ShapeError(
            f"{name}: the weights have shape {made.shape} and the losses {shape}; give one weight "
            f"for each example, of shape {shape[:1]}."
        )
    if made.dtype != dtype:  # a weight does not decide the precision of the loss
        made = CAST(made, dtype=dtype)
    spread: Tensor = reshape(made, (*made.shape, *(1,) * (len(shape) - made.ndim)))
    return spread
