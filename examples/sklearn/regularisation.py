"""What the penalty does: the same network with a stronger and stronger α.

Three small problems with two features; each network colours the plane by the probability that it
gives to the red class.  Without a penalty the border bends round single points; with a strong one
it becomes straight.  After the idea of scikit-learn's example "Varying regularization in
Multi-layer Perceptron"; both libraries draw their sheet from the same seeds.

    python examples/sklearn/regularisation.py [--out regularisation.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from sklearn.datasets import make_circles, make_classification, make_moons
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parent))

from both import run
from pictures import Panel

STRENGTHS = (0.01, 0.1, 0.6, 3.0)
PIXELS = 48


def problems() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    X, y = make_classification(
        n_features=2, n_redundant=0, n_informative=2, n_clusters_per_class=1, random_state=1
    )
    X = X + np.random.default_rng(2).uniform(-1.0, 1.0, X.shape)
    return {
        "moons": make_moons(noise=0.3, random_state=0),
        "circles": make_circles(noise=0.2, factor=0.5, random_state=1),
        "two groups": (X, y),
    }


def panels(library: ModuleType) -> list[Panel]:
    """Fit one network for each problem and strength, and draw them."""
    found = []
    for name, (X, y) in problems().items():
        X1, X2, y1, y2 = train_test_split(X, y, test_size=0.4, random_state=0)
        low, high = X.min(axis=0) - 0.5, X.max(axis=0) + 0.5
        across, up = (np.linspace(low[k], high[k], PIXELS) for k in (0, 1))
        plane = np.stack(np.meshgrid(across, up[::-1]), axis=-1).reshape(-1, 2)
        for strength in STRENGTHS:
            model = make_pipeline(
                StandardScaler(),
                library.MLPClassifier(
                    (10, 10), solver="lbfgs", alpha=strength, max_iter=1000, random_state=1
                ),
            ).fit(X1, y1)
            share = model.predict_proba(plane)[:, 1].reshape(PIXELS, PIXELS)
            places = (X1 - low) / (high - low)
            points = [(*place, int(group)) for place, group in zip(places, y1, strict=True)]
            note = f"{model.score(X2, y2):.2f}"
            found.append(Panel(f"{name}, α = {strength:g}", 2 * share - 1, points, note=note))
    return found


if __name__ == "__main__":
    sys.exit(run(__doc__, panels, "The penalty α, and the score on the test set", columns=4))
