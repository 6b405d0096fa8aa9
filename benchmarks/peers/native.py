"""Backlight: `bl.fit` with the native executor, one compiled program for all steps.

One call of `fit` lasts as long as the process trains: a callback at the end of an epoch waits for
the next request.  What is timed is the epochs themselves, `run.history["seconds"]`.
"""

from __future__ import annotations

import queue
import threading

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
    """A call of `fit` on a thread of its own, which takes epochs when it is told to."""

    def __init__(self, network: Network, threads: int, shuffle: bool) -> None:
        self.net = make_network(network)
        self.network = network
        self.threads = threads
        self.shuffle = shuffle
        self._wanted: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[float | BaseException] = queue.SimpleQueue()
        self._left = -1  # the first epoch only shows that everything is compiled
        self._spent = 0.0
        self._thread = threading.Thread(target=self._fit, daemon=True)
        self._first: tuple[Arrays, bool] | None = None

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        self._wanted.put(epochs)
        if self._thread.ident is None:
            self._thread.start()
        found = self._done.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def weights(self) -> Arrays:
        """See `benchmarks.worker.Trainer`."""
        return [np.array(each.value) for each in self.net.parameters().values()]

    def close(self) -> None:
        """End the call of `fit`."""
        if self._thread.is_alive():
            self._wanted.put(0)
            self._thread.join()

    def __del__(self) -> None:
        self.close()

    def _fit(self) -> None:
        X, y = data_of(self.network)
        binary = self.network.binary
        try:
            self._left = self._wanted.get()
            bl.fit(
                self.net,
                (X, y.astype(np.float32)[:, None] if binary else y),
                loss=bl.nn.binary_cross_entropy_with_logits if binary else bl.nn.cross_entropy,
                optimizer=optimizer_of(self.network),
                epochs=10**9,
                batch_size=self.network.batch,
                shuffle=self.shuffle,
                callbacks=[self._after_epoch],
                executor="native",
                threads=self.threads,
            )
        except BaseException as error:  # noqa: BLE001 (it is raised again where it is waited for)
            self._done.put(error)

    def _after_epoch(self, state: bl.train.callbacks.RunState) -> bool:
        self._spent += state.history["seconds"][-1]
        self._left -= 1
        if self._left:
            return False
        self._done.put(self._spent)
        self._left, self._spent = self._wanted.get(), 0.0
        return self._left == 0


def train(network: Network, threads: int, shuffle: bool) -> Training:
    """Return Backlight's trainer."""
    return Training(network, threads, shuffle)
