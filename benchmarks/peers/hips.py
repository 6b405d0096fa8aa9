"""autograd: NumPy functions differentiated as they run, with the update written in NumPy."""

from __future__ import annotations

import time
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad

from benchmarks.networks import Arrays, Network, data_of, first_weights
from benchmarks.worker import Trainer


class Training(Trainer):
    """The loop of autograd's own neural-network example, with its optimizers in place."""

    def __init__(self, network: Network, shuffle: bool) -> None:
        self.network, self.shuffle = network, shuffle
        self.X, self.y = data_of(network)
        self.parameters = first_weights(network)
        self.m = [np.zeros_like(each) for each in self.parameters]
        self.v = [np.zeros_like(each) for each in self.parameters]
        self.t = 0
        self.generator = np.random.default_rng(0)
        self.value_and_grad = value_and_grad(self._loss)

    def _loss(self, parameters: list[Any], X: np.ndarray, y: np.ndarray) -> Any:
        a: Any = X
        last = len(parameters) - 2
        for k in range(0, len(parameters), 2):
            z = anp.dot(a, parameters[k].T) + parameters[k + 1]
            if k < last:
                relu = self.network.activation == "relu"
                a = anp.maximum(z, 0) if relu else 1 / (1 + anp.exp(-z))
        if self.network.binary:
            z = z[:, 0]
            return anp.mean(anp.logaddexp(np.float32(0), z) - y.astype(np.float32) * z)
        shifted = z - anp.max(z, axis=1, keepdims=True)
        logs = shifted - anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
        return -anp.mean(logs[np.arange(len(y)), y])

    def _update(self, gradients: list[np.ndarray]) -> None:
        rate = np.float32(self.network.rate)
        if self.network.optimizer == "sgd":
            for w, g in zip(self.parameters, gradients, strict=True):
                w -= rate * g
            return
        self.t += 1
        first, second = np.float32(1 - 0.9**self.t), np.float32(1 - 0.999**self.t)
        b1, b2 = np.float32(0.9), np.float32(0.999)
        for w, g, m, v in zip(self.parameters, gradients, self.m, self.v, strict=True):
            m *= b1
            m += (1 - b1) * g
            v *= b2
            v += (1 - b2) * g * g
            w -= rate * (m / first) / (np.sqrt(v / second) + np.float32(1e-8))

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        n, batch = self.network.examples, self.network.batch
        begun = time.perf_counter()
        for _ in range(epochs):
            order = self.generator.permutation(n) if self.shuffle else np.arange(n)
            for start in range(0, n, batch):
                rows = order[start : start + batch]
                _, gradients = self.value_and_grad(self.parameters, self.X[rows], self.y[rows])
                self._update(gradients)
        return time.perf_counter() - begun

    def weights(self) -> Arrays:
        """See `benchmarks.worker.Trainer`."""
        return [np.array(each) for each in self.parameters]


def train(network: Network, threads: int, shuffle: bool) -> Training:
    """Return autograd's trainer; BLAS has been told how many threads to use."""
    return Training(network, shuffle)
