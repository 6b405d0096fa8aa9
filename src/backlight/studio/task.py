"""What a network is trained on, as people see it and as the network sees it.

A `Task` holds the examples in both forms, and turns a network's outputs into classes,
probabilities or numbers in their units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.data import Dataset, Preprocessor, Standardizer
from backlight.graph.primitive import Array
from backlight.nn import running, substitute
from backlight.studio.asking import Json
from backlight.tensor import quiet, tensor
from backlight.train.step import Arrays

AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Task:
    """The examples of a training.

    Attributes
    ----------
    dataset : Dataset
        As people know it, in its own units; training rows only.
    features : Standardizer, Preprocessor or None
        What is done to features.
    targets : Standardizer or None
        What is done to a regression's targets.
    dtype : str
        Of the network.
    link : {"softmax", "logistic", "none"}
        What makes probabilities of outputs.
    """

    dataset: Dataset
    features: Standardizer | Preprocessor | None = None
    targets: Standardizer | None = None
    dtype: str = "float32"
    link: str = "softmax"

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes; None for a regression."""
        return self.dataset.class_names

    @property
    def width(self) -> int:
        """The number of features, before the preprocessing."""
        return int(np.prod(self.dataset.X.shape[1:]))

    @property
    def seen(self) -> int:
        """The number of features that the network sees."""
        return int(self.inputs(self.dataset.X[:1]).shape[1])

    @property
    def plane(self) -> bool:
        """Whether the features are two numbers, so that examples are points of a plane."""
        return self.width == 2 and _numeric(self.dataset)

    @property
    def line(self) -> bool:
        """Whether there is one feature, a number."""
        return self.width == 1 and _numeric(self.dataset)

    def inputs(self, X: Array) -> Array:
        """Return rows as the network sees them."""
        rows = np.asarray(X).reshape(len(X), -1)
        ready = rows if self.features is None else self.features.apply(rows.astype(np.float64))
        return np.ascontiguousarray(ready, dtype=self.dtype)

    def wanted(self) -> Array:
        """Return the targets as the loss takes them."""
        y = self.dataset.y
        if self.classes is not None:
            return y
        numbers = y.reshape(len(y), -1).astype(np.float64)
        ready = numbers if self.targets is None else self.targets.apply(numbers)
        return np.ascontiguousarray(ready, dtype=self.dtype)

    def outputs(self, net: Any, parameters: Arrays, X: Array) -> Array:
        """Return a network's raw outputs for rows in their own units, (n, outputs) float64."""
        given = {name: tensor(each) for name, each in parameters.items()}
        parts = []
        with quiet(), substitute(net, given), running(training=False):
            for start in range(0, max(len(X), 1), AT_ONCE):
                made = net(tensor(self.inputs(X[start : start + AT_ONCE])))
                parts.append(np.asarray(made.value, np.float64))
        whole = np.concatenate(parts)
        return whole.reshape(len(whole), -1)

    def probabilities(self, outputs: Array) -> Array:
        """Return the probability of each class, (n, classes)."""
        if self.link == "none":
            return outputs
        with np.errstate(over="ignore", invalid="ignore"):
            if outputs.shape[1] == 1:
                second = 1.0 / (1.0 + np.exp(-outputs)) if self.link == "logistic" else outputs
                return np.concatenate([1.0 - second, second], axis=1)
            powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            shares: Array = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def numbers(self, outputs: Array) -> Array:
        """Return predictions of numbers in their units; of labels, their probabilities."""
        if self.link == "logistic":  # several labels: the probability of each
            with np.errstate(over="ignore"):
                shares: Array = 1.0 / (1.0 + np.exp(-outputs))
            return shares
        if self.targets is None:
            return outputs
        found: Array = outputs * self.targets.scale + self.targets.mean
        return found

    @property
    def metric(self) -> str | None:
        """What is measured beside the loss."""
        return "mean absolute error" if self.classes is None else "accuracy"

    def to_dict(self) -> Json:
        """Describe it for the page."""
        data = self.dataset
        return {
            "kind": data.task,
            "classes": None if data.class_names is None else list(data.class_names),
            "features": list(data.feature_names[:1024]),
            "rows": len(data),
            "shape": list(data.X.shape[1:]),
            "image": None if data.image_shape is None else list(data.image_shape),
            "data": data.name,
            "target": data.target_name,
            "metric": self.metric,
        }


def _numeric(dataset: Dataset) -> bool:
    return all(each.plain for each in dataset.columns or ())
