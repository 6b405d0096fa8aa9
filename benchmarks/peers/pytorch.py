"""PyTorch: eager, and with the whole forward and backward pass through `torch.compile`.

The optimizers are the fused ones, which update all parameters in one call; batches are gathered
from a tensor by index, which is many times faster than a `DataLoader` for data in memory.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

import numpy as np
import torch

from benchmarks.networks import Arrays, Network, data_of, first_weights
from benchmarks.worker import NotHereError, Trainer


def make_network(network: Network) -> torch.nn.Sequential:
    """Return the network with its first weights."""
    weights = first_weights(network)
    act = torch.nn.ReLU if network.activation == "relu" else torch.nn.Sigmoid
    layers: list[torch.nn.Module] = []
    for W, b in zip(weights[::2], weights[1::2], strict=True):
        linear = torch.nn.Linear(W.shape[1], W.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, act()]
    return torch.nn.Sequential(*layers[:-1])


def optimizer_of(network: Network, net: torch.nn.Module) -> torch.optim.Optimizer:
    """Return its optimizer, in the fused form."""
    make: Any = torch.optim.SGD if network.optimizer == "sgd" else torch.optim.Adam
    return make(net.parameters(), lr=network.rate, fused=True)


class Training(Trainer):
    """The usual loop: gather, forward, backward, step."""

    def __init__(self, network: Network, threads: int, shuffle: bool, compiled: bool) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        X, y = data_of(network)
        self.network, self.shuffle = network, shuffle
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)
        if network.binary:
            self.y = self.y.to(torch.float32)[:, None]
        self.net = make_network(network)
        self.optimizer = optimizer_of(network, self.net)
        lossf: Any = torch.nn.BCEWithLogitsLoss() if network.binary else torch.nn.CrossEntropyLoss()
        net = self.net

        def forward(X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return lossf(net(X), y)

        self.loss = torch.compile(forward) if compiled else forward

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        n, batch = self.network.examples, self.network.batch
        begun = time.perf_counter()
        for _ in range(epochs):
            order = torch.randperm(n) if self.shuffle else torch.arange(n)
            for start in range(0, n, batch):
                rows = order[start : start + batch]
                loss = self.loss(self.X[rows], self.y[rows])
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
        return time.perf_counter() - begun

    def weights(self) -> Arrays:
        """See `benchmarks.worker.Trainer`."""
        return [np.array(each.detach().numpy()) for each in self.net.parameters()]


def eager(network: Network, threads: int, shuffle: bool) -> Training:
    """Return the eager trainer."""
    return Training(network, threads, shuffle, compiled=False)


def compiled(network: Network, threads: int, shuffle: bool) -> Training:
    """Return the trainer whose forward and backward pass are compiled."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise NotHereError("torch.compile needs a C++ compiler, and there is none")
    return Training(network, threads, shuffle, compiled=True)
