"""All parameters as one float64 vector, as L-BFGS wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from backlight.errors import UsageError
from backlight.graph.primitive import Array

Vector = npt.NDArray[np.float64]
Arrays = dict[str, Array]
ValueAndGrad = Callable[[Arrays], tuple[float, Mapping[str, Array]]]
"""From parameters by name to the loss and its gradients under the same names."""


def evaluate(parameters: Arrays, value_and_grad: ValueAndGrad) -> tuple[float, Vector]:
    """Return the loss and its gradient, the latter as one vector.

    Raises
    ------
    UsageError
        When a gradient is missing or does not have its parameter's shape.
    """
    loss, gradients = value_and_grad(dict(parameters))
    for name, each in parameters.items():
        if name not in gradients:
            raise UsageError(f"LBFGS: value_and_grad gave no gradient for {name}.")
        if np.shape(gradients[name]) != each.shape:
            raise UsageError(
                f"LBFGS: value_and_grad gave {name}, of shape {each.shape}, a gradient of shape "
                f"{np.shape(gradients[name])}."
            )
    return float(loss), flatten({name: gradients[name] for name in parameters})


def flatten(arrays: Mapping[str, Array]) -> Vector:
    """Return arrays one after the other.

    Examples
    --------
    >>> flatten({"w": np.array([[1.0, 2.0]]), "b": np.array(3.0)})
    array([1., 2., 3.])
    """
    parts = [np.asarray(each, np.float64).reshape(-1) for each in arrays.values()]
    return np.concatenate(parts)


def unflatten(vector: Vector, like: Arrays) -> Arrays:
    """Return a vector as arrays of given names, shapes and dtypes; the inverse of `flatten`."""
    arrays = {}
    first = 0
    for name, each in like.items():
        last = first + each.size
        # A step that is far too long may not fit in float32; the search then shortens it.
        with np.errstate(over="ignore"):
            arrays[name] = vector[first:last].reshape(each.shape).astype(each.dtype)
        first = last
    return arrays
