"""What the nodes of the first layer look for: their weights, drawn as images of 8 × 8 pixels.

A network of sixteen hidden nodes learns the handwritten digits for a few epochs.  Each node has
one weight for each pixel, so that its weights are an image: red where ink speaks for it, blue
where ink speaks against it.  Nodes that show only noise have not learnt yet, or never will.  After
the idea of scikit-learn's example "Visualization of MLP weights on MNIST".

    python examples/sklearn/first_layer_weights.py [--out first_layer_weights.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from sklearn.model_selection import train_test_split

import backlight as bl

sys.path.insert(0, str(Path(__file__).resolve().parent))

from both import run
from pictures import Panel


def panels(library: ModuleType) -> list[Panel]:
    """Fit one network and draw each of its hidden nodes."""
    digits = bl.data.load("digits")
    X1, X2, y1, y2 = train_test_split(
        np.asarray(digits.X, np.float64).reshape(-1, 64), digits.y, test_size=0.3, random_state=0
    )
    model = library.MLPClassifier(
        (16,), max_iter=25, alpha=1e-4, solver="sgd", learning_rate_init=0.2, batch_size=64,
        random_state=1,
    ).fit(X1, y1)  # fmt: skip
    weights = model.coefs_[0].T
    largest = np.abs(weights).max()
    note = f"{model.score(X2, y2):.3f}"
    return [
        Panel(f"node {k}", each.reshape(8, 8) / largest, note=note if k == 0 else "")
        for k, each in enumerate(weights)
    ]


if __name__ == "__main__":
    sys.exit(run(__doc__, panels, "Weights of sixteen hidden nodes; test score", columns=8))
