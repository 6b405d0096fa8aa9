"""Backlight: `bl.fit` with the native executor, one compiled program for all steps.

What is timed is the epochs themselves, `run.history["seconds"]`: tracing and compiling are measured
elsewhere.
"""

from __future__ import annotations

import numpy as np

import backlight as bl
from benchmarks.networks import Arrays, Network, data_of, first_weights


def make_network(network: Network) -> bl.nn.Sequential:
    """Return the network with its first weights."""
    weights = first_weights(network)
    act = bl.nn.ReLU if network.activation == "relu" else bl.nn.Sigmoid
    layers: list[object] = []
    for W, b in zip(weights[::2], weights[1::2], strict=True):
        linear = bl.nn.Linear(W.shape[1], W.shape[0])
        linear.weight.assign(W)
        linear.bias.assign(b)
        layers += [linear, act()]
    return bl.nn.Sequential(*layers[:-1])


def optimizer_of(network: Network) -> bl.optim.Optimizer:
    """Return its optimizer."""
    make = bl.optim.SGD if network.optimizer == "sgd" else bl.optim.Adam
    return make(network.rate)


class Training:
    """Epochs by calls of `fit`, each going on with the network as the one before left it."""

    def __init__(self, network: Network, threads: int, shuffle: bool) -> None:
        self.net = make_network(network)
        self.network = network
        self.threads = threads
        self.shuffle = shuffle

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        X, y = data_of(self.network)
        binary = self.network.binary
        run = bl.fit(
            self.net,
            (X, y.astype(np.float32)[:, None] if binary else y),
            loss=bl.nn.binary_cross_entropy_with_logits if binary else bl.nn.cross_entropy,
            optimizer=optimizer_of(self.network),
            metrics=None,  # as its peers: the loss alone
            epochs=epochs,
            batch_size=self.network.batch,
            shuffle=self.shuffle,
            executor="native",
            threads=self.threads,
        )
        return sum(run.history["seconds"])

    def weights(self) -> Arrays:
        """See `benchmarks.worker.Trainer`."""
        return [np.array(each.value) for each in self.net.parameters().values()]

    def close(self) -> None:
        """Nothing is left open."""


def train(network: Network, threads: int, shuffle: bool) -> Training:
    """Return Backlight's trainer."""
    return Training(network, threads, shuffle)
