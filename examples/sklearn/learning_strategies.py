"""How the loss falls: gradient descent with several learning rates and momenta, and Adam.

Four small problems, seven strategies, one curve each.  Which one is best depends on the problem
and on the learning rate; that Adam needs the least care is what most people take home.  After the
idea of scikit-learn's example "Compare Stochastic learning strategies for MLPClassifier".

    python examples/sklearn/learning_strategies.py [--out learning_strategies.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from sklearn.datasets import load_digits, load_iris, make_circles, make_moons
from sklearn.preprocessing import MinMaxScaler

sys.path.insert(0, str(Path(__file__).resolve().parent))

from both import run
from pictures import Panel

SGD = {"solver": "sgd", "learning_rate_init": 0.2, "momentum": 0.0}
STRATEGIES = {
    "constant": {**SGD},
    "constant, momentum": {**SGD, "momentum": 0.9, "nesterovs_momentum": False},
    "constant, Nesterov": {**SGD, "momentum": 0.9},
    "falling": {**SGD, "learning_rate": "invscaling"},
    "falling, momentum": {
        **SGD, "learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": False,
    },
    "falling, Nesterov": {**SGD, "learning_rate": "invscaling", "momentum": 0.9},
    "Adam": {"solver": "adam", "learning_rate_init": 0.01},
}  # fmt: skip


def problems() -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Name features, labels and the number of epochs."""
    X, y = load_digits(return_X_y=True)
    return {
        "iris": (*load_iris(return_X_y=True), 200),
        "digits": (X[:600], y[:600], 15),
        "circles": (*make_circles(noise=0.2, factor=0.5, random_state=1), 200),
        "moons": (*make_moons(noise=0.3, random_state=0), 200),
    }


def panels(library: ModuleType) -> list[Panel]:
    """Train with each strategy on each problem."""
    found = []
    for name, (X, y, epochs) in problems().items():
        scaled = MinMaxScaler().fit_transform(X)
        curves, best = {}, 0.0
        for strategy, options in STRATEGIES.items():
            model = library.MLPClassifier(max_iter=epochs, random_state=0, **options)
            model.fit(scaled, y)
            curves[strategy] = model.loss_curve_
            best = max(best, model.score(scaled, y))
        found.append(Panel(name, curves=curves, note=f"best {best:.3f}"))
    return found


if __name__ == "__main__":
    title = "Loss by epoch, and the best score on the training set"
    sys.exit(run(__doc__, panels, title, columns=4, legend=list(STRATEGIES)))
