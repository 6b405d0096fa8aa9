"""tinygrad: a step under `TinyJit`, as in its own MNIST example."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
from tinygrad import Tensor, TinyJit, nn

from benchmarks.networks import Arrays, Network, data_of, first_weights
from benchmarks.worker import NotHereError, Trainer


class Training(Trainer):
    """The jitted step gathers its batch, differentiates and updates."""

    def __init__(self, network: Network, shuffle: bool) -> None:
        self.network, self.shuffle = network, shuffle
        X, y = data_of(network)
        self.X = Tensor(X).realize()
        self.y = Tensor(y.astype(np.float32) if network.binary else y.astype(np.int32)).realize()
        self.parameters = [Tensor(each).contiguous().realize() for each in first_weights(network)]
        for each in self.parameters:
            each.requires_grad_(True)
        make = nn.optim.SGD if network.optimizer == "sgd" else nn.optim.Adam
        self.optimizer = make(self.parameters, lr=network.rate)
        self.generator = np.random.default_rng(0)
        self.step = TinyJit(self._step)

    def _step(self, rows: Tensor) -> Tensor:
        with Tensor.train():
            self.optimizer.zero_grad()
            a, y = self.X[rows], self.y[rows]
            last = len(self.parameters) - 2
            for k in range(0, len(self.parameters), 2):
                a = a.linear(self.parameters[k].T, self.parameters[k + 1])
                if k < last:
                    a = a.relu() if self.network.activation == "relu" else a.sigmoid()
            if self.network.binary:
                loss = a[:, 0].binary_crossentropy_logits(y)
            else:
                loss = a.sparse_categorical_crossentropy(y)
            loss.backward()
            return loss.realize(*self.optimizer.schedule_step())

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        n, batch = self.network.examples, self.network.batch
        begun = time.perf_counter()
        for _ in range(epochs):
            order = np.arange(n, dtype=np.int32)
            if self.shuffle:
                self.generator.shuffle(order)
            for start in range(0, n, batch):
                loss = self.step(Tensor(order[start : start + batch]).realize())
        loss.item()
        return time.perf_counter() - begun

    def weights(self) -> Arrays:
        """See `benchmarks.worker.Trainer`."""
        return [each.numpy() for each in self.parameters]


def train(network: Network, threads: int, shuffle: bool) -> Training:
    """Return tinygrad's trainer."""
    if shutil.which(os.environ.get("CC", "clang")) is None:
        raise NotHereError("tinygrad compiles with clang, and there is none")
    return Training(network, shuffle)
