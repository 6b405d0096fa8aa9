"""JAX: a jitted step, and its fastest form, whole epochs as one compiled `lax.scan`.

Parameters and the optimizer's state are donated, so that XLA updates them in place.  The order of
an epoch is drawn by NumPy, which is faster on a processor than `jax.random.permutation`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.networks import Arrays, Network, data_of, first_weights
from benchmarks.worker import Trainer

State = tuple[Any, ...]


def loss_function(network: Network) -> Callable[..., Any]:
    """Return the mean loss of a batch as a function of the weights."""
    act = jax.nn.relu if network.activation == "relu" else jax.nn.sigmoid

    def loss(weights: list[tuple[Any, Any]], X: Any, y: Any) -> Any:
        a = X
        for k, (W, b) in enumerate(weights):
            z = a @ W.T + b
            a = act(z) if k < len(weights) - 1 else z
        if network.binary:
            z = a[:, 0]
            return jnp.mean(jnp.logaddexp(0.0, z) - y * z)
        logs = jax.nn.log_softmax(a)
        return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1))

    return loss


def step_function(network: Network) -> Callable[[State, Any, Any], tuple[State, Any]]:
    """Return a step: from the state and a batch to the new state and the loss."""
    value_and_grad = jax.value_and_grad(loss_function(network))
    rate = network.rate
    tree_map = jax.tree_util.tree_map

    def sgd(state: State, X: Any, y: Any) -> tuple[State, Any]:
        (weights,) = state
        loss, gradients = value_and_grad(weights, X, y)
        return (tree_map(lambda w, g: w - rate * g, weights, gradients),), loss

    def adam(state: State, X: Any, y: Any) -> tuple[State, Any]:
        weights, m, v, t = state
        loss, gradients = value_and_grad(weights, X, y)
        t = t + 1
        m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        first, second = 1 - 0.9**t, 1 - 0.999**t
        weights = tree_map(
            lambda w, m, v: w - rate * (m / first) / (jnp.sqrt(v / second) + 1e-8), weights, m, v
        )
        return (weights, m, v, t), loss

    return sgd if network.optimizer == "sgd" else adam


def start(network: Network) -> State:
    """Return the state before the first step."""
    arrays = [jnp.asarray(each) for each in first_weights(network)]
    weights = list(zip(arrays[::2], arrays[1::2], strict=True))
    if network.optimizer == "sgd":
        return (weights,)
    zeros = jax.tree_util.tree_map(jnp.zeros_like, weights)
    also = jax.tree_util.tree_map(jnp.zeros_like, weights)
    return (weights, zeros, also, jnp.float32(0))


class Training(Trainer):
    """What both forms share."""

    def __init__(self, network: Network, shuffle: bool) -> None:
        X, y = data_of(network)
        self.network = network
        self.X, self.y = jnp.asarray(X), jnp.asarray(y.astype(np.int32))
        if network.binary:
            self.y = self.y.astype(jnp.float32)
        self.state = start(network)
        self.shuffle = shuffle
        self.generator = np.random.default_rng(0)
        self.step = step_function(network)

    def order(self) -> np.ndarray:
        """Return the rows of each step of an epoch."""
        n = self.network.examples
        rows = np.arange(n, dtype=np.int32)
        if self.shuffle:
            self.generator.shuffle(rows)
        return rows.reshape(self.network.steps, self.network.batch)

    def weights(self) -> Arrays:
        """See `benchmarks.worker.Trainer`."""
        return [np.asarray(each) for pair in self.state[0] for each in pair]


class Scan(Training):
    """An epoch is one call."""

    def __init__(self, network: Network, shuffle: bool) -> None:
        super().__init__(network, shuffle)

        def epoch(state: State, X: Any, y: Any, order: Any) -> tuple[State, Any]:
            def body(state: State, rows: Any) -> tuple[State, Any]:
                return self.step(state, X[rows], y[rows])

            return jax.lax.scan(body, state, order)

        self.epoch = jax.jit(epoch, donate_argnums=0)

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        begun = time.perf_counter()
        for _ in range(epochs):
            self.state, losses = self.epoch(self.state, self.X, self.y, self.order())
        jax.block_until_ready((self.state, losses))
        return time.perf_counter() - begun


class Steps(Training):
    """Each step is one call, as in JAX's own first examples."""

    def __init__(self, network: Network, shuffle: bool) -> None:
        super().__init__(network, shuffle)
        step = self.step
        self.jitted = jax.jit(
            lambda state, X, y, rows: step(state, X[rows], y[rows]), donate_argnums=0
        )

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        begun = time.perf_counter()
        for _ in range(epochs):
            for rows in self.order():
                self.state, loss = self.jitted(self.state, self.X, self.y, rows)
        jax.block_until_ready((self.state, loss))
        return time.perf_counter() - begun


def scan(network: Network, threads: int, shuffle: bool) -> Scan:
    """Return the trainer whose epochs are compiled."""
    return Scan(network, shuffle)


def step(network: Network, threads: int, shuffle: bool) -> Steps:
    """Return the trainer whose steps are compiled."""
    return Steps(network, shuffle)
