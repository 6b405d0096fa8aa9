"""scikit-learn: `MLPClassifier.fit`, warm-started so that one call trains many epochs."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.networks import Arrays, Network, data_of, first_weights
from benchmarks.worker import Trainer


class Training(Trainer):
    """One classifier; `fit` goes on from its weights with a fresh optimizer state."""

    def __init__(self, network: Network, shuffle: bool) -> None:
        self.X, self.y = data_of(network)
        options: dict[str, Any] = {"momentum": 0.0, "nesterovs_momentum": False}
        self.classifier = MLPClassifier(
            network.sizes[1:-1],
            activation="relu" if network.activation == "relu" else "logistic",
            solver=network.optimizer,
            alpha=0.0,
            batch_size=network.batch,
            learning_rate_init=network.rate,
            shuffle=shuffle,
            random_state=0,
            tol=0.0,
            n_iter_no_change=10**9,
            warm_start=True,
            **(options if network.optimizer == "sgd" else {}),
        )
        warnings.simplefilter("ignore")  # that it has not converged is intended
        self.classifier.set_params(max_iter=1)
        # The shapes of the weights come from a first call; then they are given their values.
        self.classifier.fit(self.X, self.y)
        weights = first_weights(network)
        for k, (W, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
            self.classifier.coefs_[k] = np.ascontiguousarray(W.T)
            self.classifier.intercepts_[k] = b.copy()

    def run(self, epochs: int) -> float:
        """See `benchmarks.worker.Trainer`."""
        self.classifier.set_params(max_iter=epochs)
        begun = time.perf_counter()
        self.classifier.n_iter_ = 0
        self.classifier.fit(self.X, self.y)
        return time.perf_counter() - begun

    def weights(self) -> Arrays:
        """See `benchmarks.worker.Trainer`."""
        found: Arrays = []
        for W, b in zip(self.classifier.coefs_, self.classifier.intercepts_, strict=True):
            found += [W.T, b]
        return found


def train(network: Network, threads: int, shuffle: bool) -> Training:
    """Return scikit-learn's trainer; BLAS has been told how many threads to use."""
    return Training(network, shuffle)
