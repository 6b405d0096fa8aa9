"""Backlight's estimators beside scikit-learn's: same data, parameters, seed and number of epochs.

For each task both estimators are fitted in turn, in one process, several times over; reported are
the medians of the seconds, the median of the ratios of neighbouring fits, and the scores on data
that neither has seen.  ``tol=0`` and ``n_iter_no_change=inf`` keep both at it for all epochs.  The
first fit of Backlight, which compiles (or loads what was compiled in an earlier run), is reported
by itself.  ``limit`` is how many times as fast a fit could be in which nothing but the matrix
products took time, done by NumPy with the BLAS that scikit-learn uses too; where products are tiny,
that is NumPy's own overhead, which compiled code does not have.

    python benchmarks/sklearn_estimators.py [--rounds 5] [--only iris] [--float32] [--json FILE]

Goals: 10 times faster on small data, 3 times on Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets, neural_network
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import backlight as bl
from backlight import sklearn as estimators
from backlight.errors import DataError

SINGLE = {"dtype": "float32"}
"""Given float64 features, compute in float32 all the same."""

Data = tuple[np.ndarray, np.ndarray]
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """What both are to learn.

    Attributes
    ----------
    name : str
    load : callable
        Returns features and targets to train on, and to test on.
    options : dict
        Of both constructors.
    goal : float
        How many times faster Backlight is meant to be.
    rounds : int or None
        How often at most; None for no limit.
    own : dict
        Options that only Backlight's has.
    """

    name: str
    load: Callable[[], Split]
    options: dict[str, Any]
    goal: float
    rounds: int | None = None
    own: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    task: str
    goal: float
    dtype: str
    epochs: int = 0
    first_seconds: float = 0.0
    seconds: float = 0.0
    seconds_scikit_learn: float = 0.0
    seconds_products: float = 0.0
    ratio: float = 0.0
    limit: float = 0.0
    score: float = 0.0
    score_scikit_learn: float = 0.0
    ratios: list[float] = field(default_factory=list)


def split(data: Data) -> Split:
    X, y = data
    X1, X2, y1, y2 = train_test_split(X, y, random_state=0)
    scale = StandardScaler().fit(X1)
    return scale.transform(X1), y1, scale.transform(X2), y2


def fashion() -> Split:
    """60000 images to train on, 10000 to test on; DataError where they are not installed."""
    found = bl.data.load("fashion-mnist")
    X, y, test = np.asarray(found.X, np.float64), found.y, found.test
    assert test is not None
    return X.reshape(len(X), -1), y, np.asarray(test.X, np.float64).reshape(len(test.X), -1), test.y


def diabetes() -> Split:
    X, y = datasets.load_diabetes(return_X_y=True)
    return split((X, (y - y.mean()) / y.std()))


def tasks() -> list[Task]:
    def toy(loader: Callable[..., Data]) -> Callable[[], Split]:
        return lambda: split(loader(return_X_y=True))

    moons = lambda: split(datasets.make_moons(200, noise=0.2, random_state=0))  # noqa: E731
    return [
        Task("moons, 8 nodes, batch 8", moons,
             {"hidden_layer_sizes": (8,), "batch_size": 8, "max_iter": 100}, 10.0),
        Task("iris", toy(datasets.load_iris), {"max_iter": 200}, 10.0),
        Task("iris, batch 16", toy(datasets.load_iris),
             {"max_iter": 100, "batch_size": 16, "hidden_layer_sizes": (16, 16)}, 10.0),
        Task("breast cancer, batch 32", toy(datasets.load_breast_cancer),
             {"max_iter": 50, "batch_size": 32}, 10.0),
        Task("diabetes, sgd, batch 32", diabetes,
             {"max_iter": 50, "batch_size": 32, "solver": "sgd", "hidden_layer_sizes": (32,)},
             10.0),
        Task("digits", toy(datasets.load_digits), {"max_iter": 30}, 10.0),
        Task("digits, batch 32", toy(datasets.load_digits),
             {"max_iter": 20, "batch_size": 32}, 10.0),
        Task("Fashion-MNIST", fashion, {"max_iter": 2, "hidden_layer_sizes": (128,)}, 3.0, 3),
        # The same data, on which scikit-learn has no such choice.
        Task("digits in float32", toy(datasets.load_digits), {"max_iter": 30}, 10.0, own=SINGLE),
        Task("digits, batch 32, in float32", toy(datasets.load_digits),
             {"max_iter": 20, "batch_size": 32}, 10.0, own=SINGLE),
        Task("Fashion-MNIST in float32", fashion, {"max_iter": 2, "hidden_layer_sizes": (128,)},
             3.0, 3, own=SINGLE),
    ]  # fmt: skip


def pair(task: Task, y: np.ndarray) -> tuple[Any, Any]:
    """Return Backlight's estimator and scikit-learn's."""
    options = {"random_state": 0, "tol": 0.0, "n_iter_no_change": np.inf, **task.options}
    kind = "MLPRegressor" if y.dtype.kind == "f" else "MLPClassifier"
    mine = getattr(estimators, kind)(**options, **task.own)
    return mine, getattr(neural_network, kind)(**options)


def timed(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start


def products(fitted: Any, examples: int, batch: int, dtype: str) -> Callable[[], None]:
    """Return a function that does the matrix products of a fit and nothing else."""
    sizes = [fitted.coefs_[0].shape[0], *(each.shape[1] for each in fitted.coefs_)]
    rows = [np.ones((batch, size), dtype) for size in sizes]
    weights = [np.ones(each.shape, dtype) for each in fitted.coefs_]
    forward = [(rows[k], weight, rows[k + 1]) for k, weight in enumerate(weights)]
    backward = [(rows[k].T, rows[k + 1], weight) for k, weight in enumerate(weights)]
    # No derivative by the features is needed.
    deeper = [(rows[k + 1], weights[k].T, rows[k]) for k in range(1, len(weights))]
    made = [(a, b, np.empty_like(c)) for a, b, c in (*forward, *backward, *deeper)]
    steps = fitted.n_iter_ * -(-examples // batch)

    def run() -> None:
        for _ in range(steps):
            for a, b, out in made:
                np.matmul(a, b, out=out)

    return run


def seconds_of(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(task: Task, rounds: int, dtype: str) -> Result:
    """Fit both in turn."""
    X, y, X_test, y_test = task.load()
    X, X_test = X.astype(dtype), X_test.astype(dtype)
    mine, theirs = pair(task, y)
    found = Result(task.name, task.goal, dtype, first_seconds=timed(mine, X, y))
    batch = min(int(task.options.get("batch_size", 200)), len(X))
    only_products = products(mine, len(X), batch, dtype)
    times: list[tuple[float, float, float]] = []
    for k in range(rounds if task.rounds is None else min(rounds, task.rounds)):
        turn = ("mine", "theirs") if k % 2 else ("theirs", "mine")
        taken = {who: timed(mine if who == "mine" else theirs, X, y) for who in turn}
        times.append((taken["mine"], taken["theirs"], seconds_of(only_products)))
    assert mine.n_iter_ == theirs.n_iter_ and is_classifier(mine) == is_classifier(theirs)
    found.epochs = mine.n_iter_
    found.seconds = statistics.median(a for a, _, _ in times)
    found.seconds_scikit_learn = statistics.median(b for _, b, _ in times)
    found.seconds_products = statistics.median(c for _, _, c in times)
    found.ratios = [b / a for a, b, _ in times]
    found.ratio = statistics.median(found.ratios)
    found.limit = statistics.median(b / c for _, b, c in times)
    found.score = float(mine.score(X_test, y_test))
    found.score_scikit_learn = float(theirs.score(X_test, y_test))
    return found


def line(found: Result) -> str:
    return (
        f"{found.task:28}  {found.epochs:6} {found.first_seconds:7.3f}s {found.seconds:7.4f}s "
        f"{found.seconds_scikit_learn:7.4f}s {found.ratio:6.1f} {found.goal:5.0f} "
        f"{found.limit:6.1f}   "
        f"{found.score:.4f} {found.score_scikit_learn:.4f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    parser.add_argument("--float32", action="store_true", help="features in float32, for both")
    parser.add_argument("--json", type=Path, help="write the results here too")
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    dtype = "float32" if given.float32 else "float64"
    print(f"{'task (' + dtype + ')':26}  {'epochs':>6} {'first':>8} {'fit':>8} {'sklearn':>8} "
          f"{'times':>6} {'goal':>5} {'limit':>6}   score and scikit-learn's")  # fmt: skip
    results = []
    for task in tasks():
        if given.only.lower() not in task.name.lower():
            continue
        try:
            found = measure(task, given.rounds, dtype)
        except DataError as error:
            print(f"{task.name:26}  left out: {error}", file=sys.stderr)
            continue
        results.append(found)
        print(line(found), flush=True)
    if given.json is not None:
        text = json.dumps([asdict(each) for each in results], indent=1)
        given.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
