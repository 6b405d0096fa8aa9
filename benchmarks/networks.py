"""The networks that every library trains, their data and first weights, and what they cost.

A `Network` says everything that makes work equal: layers, batch, loss, optimizer, data.  It crosses
from process to process as JSON; data and weights are made from it anew, the same everywhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

Arrays = list[np.ndarray]

RATES: Mapping[str, float] = {"sgd": 0.05, "adam": 1e-3}
"""The learning rate of each optimizer; Adam has β₁ = 0.9, β₂ = 0.999, ε = 1e-8."""


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron and the data that it is trained on.

    Attributes
    ----------
    name : str
    sizes : tuple of int
        Inputs, hidden layers, outputs.  One output means two classes with a logistic loss, more
        mean cross-entropy.
    batch : int
    examples : int
        A multiple of the batch: no library has a ragged last batch.
    activation : {"relu", "sigmoid"}
        Of the hidden layers.
    optimizer : {"sgd", "adam"}
    data : {"xor", "random", "digits", "fashion-mnist"}
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    examples: int
    activation: Literal["relu", "sigmoid"] = "relu"
    optimizer: Literal["sgd", "adam"] = "adam"
    data: Literal["xor", "random", "digits", "fashion-mnist"] = "random"

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.examples // self.batch

    @property
    def rate(self) -> float:
        """The learning rate."""
        return RATES[self.optimizer]

    @property
    def binary(self) -> bool:
        """Whether there is one output for two classes."""
        return self.sizes[-1] == 1

    @property
    def weights(self) -> int:
        """How many weights and biases there are."""
        return sum(a * b + b for a, b in itertools.pairwise(self.sizes))

    @property
    def operations(self) -> int:
        """Floating-point operations in the matrix products of a step."""
        return sum(2 * math.prod(each.sizes) for each in self.products())

    def products(self) -> list[Product]:
        """List the matrix products of a training step.

        A dense layer has three: forward, the gradient of its weights, and the gradient of its
        inputs, which the first layer does not need.
        """
        found = []
        for layer, (inputs, outputs) in enumerate(itertools.pairwise(self.sizes)):
            found.append(Product("forward", self.batch, outputs, inputs))
            if layer:
                found.append(Product("data", self.batch, outputs, inputs))
            found.append(Product("weight", self.batch, outputs, inputs))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it; `from_dict` goes back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Network:
        """Make a network from what `to_dict` gave."""
        return cls(**{**found, "sizes": tuple(found["sizes"])})


@dataclass(frozen=True)
class Product:
    """A matrix product of a dense layer.

    Attributes
    ----------
    kind : {"forward", "data", "weight"}
        X·Wᵀ, G·W or Gᵀ·X, for W of shape (outputs, inputs).
    batch, outputs, inputs : int
    """

    kind: str
    batch: int
    outputs: int
    inputs: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows and columns of the result, and the length of the sums."""
        if self.kind == "forward":
            return self.batch, self.outputs, self.inputs
        if self.kind == "data":
            return self.batch, self.inputs, self.outputs
        return self.outputs, self.inputs, self.batch


NETWORKS: Mapping[str, Network] = {
    each.name: each
    for each in (
        Network("xor", (2, 4, 1), 4, 4096, activation="sigmoid", data="xor"),
        Network("tab", (20, 64, 64, 1), 32, 4096),
        Network("digits", (64, 128, 10), 32, 1792, data="digits"),
        Network("mnist", (784, 256, 128, 10), 64, 3200),
        Network("wide", (784, 1024, 1024, 10), 128, 1280),
    )
}
"""The five networks of the table; `with_optimizer` gives each with SGD and with Adam."""

FASHION = Network("fashion-mnist", (784, 256, 128, 10), 64, 59_968, data="fashion-mnist")
"""One epoch of Fashion-MNIST, its last 32 examples left out so that all batches are full."""


def growth(quick: bool = False) -> list[Network]:
    """Return networks whose width, depth or batch grows."""
    base = Network("growth", (64, 128, 128, 10), 32, 2048)
    widths = [32, 512] if quick else [32, 128, 512]
    depths = [1, 8] if quick else [1, 3, 8]
    batches = [8, 256] if quick else [8, 64, 512]
    found = [replace(base, name=f"width {width}", sizes=(64, width, width, 10)) for width in widths]
    found += [
        replace(base, name=f"depth {depth}", sizes=(64, *[64] * depth, 10)) for depth in depths
    ]
    found += [replace(base, name=f"batch {batch}", batch=batch) for batch in batches]
    return found


def with_optimizer(network: Network, optimizer: str) -> Network:
    """Return a network trained by another optimizer."""
    if optimizer not in RATES:
        raise ValueError(f"There is no optimizer {optimizer!r} here.")
    return replace(network, optimizer=optimizer)


def data_of(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples: float32 features (n, inputs) and int64 classes (n,).

    The random ones have features in [0, 1), as pixels have, half a pattern of the class and half
    noise, so that there is something to learn.
    """
    if network.data == "xor":
        X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        y = np.array([0, 1, 1, 0], np.int64)
        repeats = network.examples // len(X)
        return np.tile(X, (repeats, 1)), np.tile(y, repeats)
    if network.data in ("digits", "fashion-mnist"):
        return _loaded(network)
    generator = np.random.default_rng(7)
    classes = max(network.sizes[-1], 2)
    patterns = generator.random((classes, network.sizes[0]), np.float32)
    y = generator.integers(0, classes, network.examples)
    noise = generator.random((network.examples, network.sizes[0]), np.float32)
    return (patterns[y] + noise) / 2, y


def _loaded(network: Network) -> tuple[np.ndarray, np.ndarray]:
    from backlight.data import load

    found = load(network.data)
    X = np.asarray(found.X[: network.examples], np.float32)
    y = np.asarray(found.y[: network.examples], np.int64)
    return np.ascontiguousarray(X), np.ascontiguousarray(y)


def first_weights(network: Network) -> Arrays:
    """Return W₁, b₁, W₂, b₂, …: float32, each W of shape (outputs, inputs), uniform in ±1/√inputs.

    These are the starting values that PyTorch gives a linear layer (LeCun et al. 1998, "Efficient
    BackProp", has the same scale).
    """
    generator = np.random.default_rng(11)
    found: Arrays = []
    for inputs, outputs in itertools.pairwise(network.sizes):
        bound = 1 / math.sqrt(inputs)
        found.append(generator.uniform(-bound, bound, (outputs, inputs)).astype(np.float32))
        found.append(generator.uniform(-bound, bound, outputs).astype(np.float32))
    return found


def loss_of(network: Network, weights: Arrays, X: np.ndarray, y: np.ndarray) -> float:
    """Return the mean loss over examples in float64: the judge of every library's result."""
    a = X.astype(np.float64)
    layers = [(weights[k], weights[k + 1]) for k in range(0, len(weights), 2)]
    for k, (W, b) in enumerate(layers):
        z = a @ W.astype(np.float64).T + b
        if k == len(layers) - 1:
            break
        a = np.maximum(z, 0) if network.activation == "relu" else 1 / (1 + np.exp(-z))
    if network.binary:
        z = z[:, 0]
        return float(np.mean(np.logaddexp(0, z) - y * z))
    largest = z.max(axis=1, keepdims=True)
    logs = z - largest - np.log(np.exp(z - largest).sum(axis=1, keepdims=True))
    return float(-np.mean(logs[np.arange(len(y)), y]))
