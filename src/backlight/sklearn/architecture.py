"""The network of an estimator: its layers, their activations, their dropout, their first weights.

An `Architecture` says what a network is and can be compared and hashed; `network` makes one from
it, `first_weights` draws its weights, and `outputs` runs it with NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from backlight import nn
from backlight.errors import UsageError
from backlight.graph.primitive import Array
from backlight.tensor import Tensor, quiet, tensor

Function = Callable[[Tensor], Tensor]
Activation = str | Function
"""The name of an activation, or a function of a tensor."""

_MODULES: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "logistic": nn.Sigmoid,
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "softplus": nn.Softplus,
    }
)
_IDENTITY = "identity"
_LOGISTIC = "logistic"

ACTIVATIONS = (_IDENTITY, *_MODULES)
"""The names that `activation` takes: scikit-learn's four and those of `backlight.nn`."""


@dataclass(frozen=True)
class Architecture:
    """Everything about a network but the values of its weights.

    Attributes
    ----------
    sizes : tuple of int
        The number of features, of nodes in each hidden layer, and of outputs.
    activations : tuple of str or callable
        One for each hidden layer.
    dropout : tuple of float
        The chance of dropping a node, for each hidden layer.
    dtype : str
        float32 or float64.
    """

    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]
    dropout: tuple[float, ...]
    dtype: str

    @property
    def random(self) -> bool:
        """Whether training needs random numbers inside the network."""
        return any(self.dropout)

    @property
    def products(self) -> int:
        """How many multiplications one example takes in one forward pass."""
        return sum(a * b for a, b in pairwise(self.sizes))


def hidden_sizes(given: object) -> tuple[int, ...]:
    """Return the sizes of the hidden layers, given as one number or several.

    Raises
    ------
    UsageError
        When one is not a whole number from 1 on.

    Examples
    --------
    >>> hidden_sizes(100), hidden_sizes([8, 4]), hidden_sizes(())
    ((100,), (8, 4), ())
    """
    listed: list[Any] = list(given) if isinstance(given, (Sequence, np.ndarray)) else [given]
    for each in listed:
        whole = isinstance(each, (int, np.integer)) and not isinstance(each, bool)
        if not whole or each < 1:
            raise UsageError(
                f"hidden_layer_sizes must be > 0, and whole numbers, not {each!r}; name each "
                f"hidden layer's number of nodes, as in (100, 50)."
            )
    return tuple(int(each) for each in listed)


def per_layer(given: object, layers: int, name: str) -> tuple[Any, ...]:
    """Return one value for each hidden layer, given as one for all or as several.

    Raises
    ------
    UsageError
        When there are more or fewer than hidden layers.

    Examples
    --------
    >>> per_layer("relu", 2, "activation"), per_layer(["relu", "tanh"], 2, "activation")
    (('relu', 'relu'), ('relu', 'tanh'))
    """
    if isinstance(given, str) or not isinstance(given, (Sequence, np.ndarray)):
        return (given,) * layers
    if len(given) != layers:
        raise UsageError(
            f"{name} lists {len(given)} values and there are {layers} hidden layers; give one for "
            f"each, or one for all."
        )
    return tuple(given)


def activations(given: object, layers: int) -> tuple[Activation, ...]:
    """Return the activation of each hidden layer.

    Raises
    ------
    UsageError
        When one does not exist.
    """
    found = per_layer(given, layers, "activation")
    for each in found:
        if not callable(each) and each not in ACTIVATIONS:
            raise UsageError(
                f"activation {each!r} does not exist; choose from {', '.join(ACTIVATIONS)}, or "
                f"give a function of a tensor."
            )
    return cast(tuple[Activation, ...], found)


def dropout(given: object, layers: int) -> tuple[float, ...]:
    """Return the chance of dropping a node for each hidden layer.

    Raises
    ------
    UsageError
        When one is not from 0 to below 1.
    """
    found = per_layer(given, layers, "dropout")
    for each in found:
        if isinstance(each, (bool, str)) or not 0.0 <= each < 1.0:
            raise UsageError(f"dropout must be a chance from 0 to below 1, not {each!r}.")
    return tuple(float(each) for each in found)


def _layer(activation: Activation) -> Function | None:
    """Return what stands behind a fully connected layer, None for nothing."""
    if not isinstance(activation, str):
        return activation
    made = _MODULES.get(activation)
    return None if made is None else made()


def network(architecture: Architecture, weights: Sequence[Array] | None = None) -> nn.Sequential:
    """Make the network; it ends with the values before the output activation.

    Parameters
    ----------
    architecture : Architecture
    weights : sequence of ndarray, optional
        Weight (outputs, inputs) and bias of each layer, in turn; zeros without them.

    Examples
    --------
    >>> network(Architecture((4, 8, 3), ("tanh",), (0.5,), "float32"))
    Sequential: 67 parameters
      layers.0  Linear(4, 8)    weight (8, 4), bias (8,)  40
      layers.1  Tanh()
      layers.2  Dropout(p=0.5)
      layers.3  Linear(8, 3)    weight (3, 8), bias (3,)  27
    """
    layers: list[Any] = []
    for k, (inputs, outs) in enumerate(pairwise(architecture.sizes)):
        start = np.zeros((outs, inputs)) if weights is None else weights[2 * k]
        layers.append(nn.Linear(inputs, outs, init=start, dtype=architecture.dtype))
        if weights is not None:
            layers[-1].bias.assign(weights[2 * k + 1])
        if k == len(architecture.activations):
            break
        if (made := _layer(architecture.activations[k])) is not None:
            layers.append(made)
        if architecture.dropout[k]:
            layers.append(nn.Dropout(architecture.dropout[k]))
    return nn.Sequential(*layers)


def first_weights(
    architecture: Architecture, random: np.random.RandomState
) -> tuple[list[Array], list[Array]]:
    """Draw the first weights, of shape (inputs, outputs), and the first biases.

    They are uniform within ±√(c/(inputs + outputs)) with c = 6, and c = 2 where a logistic
    activation follows (X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010); the output layer takes the c of the one before.  The
    numbers are those that scikit-learn draws from the same random state.
    """
    weights: list[Array] = []
    biases: list[Array] = []
    last = len(architecture.activations) - 1
    for k, (inputs, outs) in enumerate(pairwise(architecture.sizes)):
        kind = architecture.activations[min(k, last)] if last >= 0 else _IDENTITY
        bound = math.sqrt((2.0 if kind == _LOGISTIC else 6.0) / (inputs + outs))
        weights.append(random.uniform(-bound, bound, (inputs, outs)).astype(architecture.dtype))
        biases.append(random.uniform(-bound, bound, outs).astype(architecture.dtype))
    return weights, biases


def outputs(
    architecture: Architecture, X: Any, weights: Sequence[Array], biases: Sequence[Array]
) -> Array:
    """Return the values before the output activation.

    Parameters
    ----------
    architecture : Architecture
    X : ndarray or sparse matrix of shape (n, features)
    weights, biases : sequence of ndarray
        Of shapes (inputs, outputs) and (outputs,).

    Returns
    -------
    ndarray of shape (n, outputs)
    """
    found: Array = X
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        found = np.asarray(found @ weight) + bias
        if k < len(architecture.activations):
            layer = _layer(architecture.activations[k])
            found = found if layer is None else applied(layer, found)
    return found


def applied(function: Function, values: Array) -> Array:
    """Return a function of tensors, applied to an array."""
    with quiet():
        return np.asarray(function(tensor(values)).value)
