"""What ``backlight train`` decides from a data set: preprocessing, network, loss and targets.

A `Recipe` turns rows of data into what the network sees and its outputs into what people read;
it is stored with the run, so that ``backlight predict`` does the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from backlight import nn
from backlight.data import Dataset, Standardizer
from backlight.errors import DataError, RunError, UsageError
from backlight.tensor import Tensor

Floats = npt.NDArray[np.floating[Any]]
Loss = Callable[..., Tensor]

ACTIVATIONS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "softplus": nn.Softplus,
    }
)
MOST_LAYERS = 100
ROWS_AT_ONCE = 4096
"""How many rows a network sees at once outside training, which bounds the memory it takes."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """How rows become what a network sees, and its outputs what people read.

    Attributes
    ----------
    feature_names : tuple of str
    target_name : str
    class_names : tuple of str, or None
        None for regression.
    outputs : int
        How many numbers the network gives for each row: one for each class (two classes have
        two), or one for each target of a regression.
    features : Standardizer or None
        Learnt from the training rows alone; None for images, which stay between 0 and 1.
    targets : Standardizer or None
        For a regression.
    """

    feature_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None
    outputs: int
    features: Standardizer | None
    targets: Standardizer | None

    @classmethod
    def learn(cls, train: Dataset, *, standardize: bool = True) -> Recipe:
        """Decide everything from the training rows.

        Raises
        ------
        DataError
            When the features have no spread that float64 can hold.
        """
        wanted = standardize and train.image_shape is None
        features = Standardizer.fit(_rows(train.X)) if wanted else None
        if train.class_names is not None:
            outputs, targets = len(train.class_names), None
        else:
            numbers = _rows(train.y)
            outputs = numbers.shape[1]
            targets = Standardizer.fit(numbers) if standardize else None
        return cls(
            train.feature_names, train.target_name, train.class_names, outputs, features, targets
        )

    @property
    def task(self) -> str:
        """Classification or regression."""
        return "regression" if self.class_names is None else "classification"

    @property
    def loss(self) -> Loss:
        """Cross-entropy of the logits for classes, and the mean squared error for numbers."""
        return nn.mse if self.class_names is None else nn.cross_entropy

    def network(
        self, hidden: Sequence[int], activation: str, dropout: float, seed: int
    ) -> nn.Sequential:
        """Build the network: linear layers with activations between them, and a linear output."""
        layers: list[nn.Module] = []
        width = len(self.feature_names)
        for size in hidden:
            layers += [nn.Linear(width, size), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        layers.append(nn.Linear(width, self.outputs))
        return nn.Sequential(*layers, seed=seed)

    def inputs(self, X: Floats) -> Floats:
        """Return rows as the network sees them: (n, d), float32, standardized.

        Raises
        ------
        DataError
            When there are other features than in training.
        """
        rows = _rows(X)
        if rows.shape[1] != len(self.feature_names):
            raise DataError(
                f"The data has {rows.shape[1]} features and the network was trained on "
                f"{len(self.feature_names)}; give the same ones."
            )
        ready = rows if self.features is None else self.features.apply(rows)
        return ready.astype(np.float32)

    def wanted(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a target as the loss takes it: class codes, or (n, k) numbers of unit spread."""
        if self.class_names is not None:
            return y
        numbers = _rows(y)
        return (numbers if self.targets is None else self.targets.apply(numbers)).astype(np.float32)

    def predict(self, net: Callable[[Floats], Tensor], X: Floats) -> Floats:
        """Return what people read: (n, classes) probabilities, or (n, k) numbers in their units."""
        parts = []
        for start in range(0, len(X), ROWS_AT_ONCE):
            with nn.running(training=False):
                outputs = net(self.inputs(X[start : start + ROWS_AT_ONCE])).value
            parts.append(np.asarray(outputs, np.float64))
        outputs = np.concatenate(parts) if parts else np.zeros((0, self.outputs))
        if self.class_names is not None:
            powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
            return probabilities
        if self.targets is None:
            return outputs
        numbers: Floats = outputs * self.targets.scale + self.targets.mean
        return numbers

    def score(self, net: Callable[[Floats], Tensor], data: Dataset) -> dict[str, float]:
        """Return the accuracy, or for a regression R² and the root of the mean squared error.

        R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)², averaged over the targets; it is left out where a target
        does not vary.
        """
        predicted = self.predict(net, data.X)
        if self.class_names is not None:
            return {"accuracy": float(np.mean(predicted.argmax(axis=1) == data.y))}
        numbers = _rows(data.y).astype(np.float64)
        left = np.sum((numbers - predicted) ** 2, axis=0)
        spread = np.sum((numbers - numbers.mean(axis=0)) ** 2, axis=0)
        found = {"rmse": float(np.sqrt(np.mean((numbers - predicted) ** 2)))}
        if (spread > 0).all():
            found = {"r2": float(np.mean(1 - left / spread)), **found}
        return found

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "feature_names": list(self.feature_names),
            "target_name": self.target_name,
            "class_names": None if self.class_names is None else list(self.class_names),
            "outputs": self.outputs,
            "features": None if self.features is None else self.features.to_dict(),
            "targets": None if self.targets is None else self.targets.to_dict(),
        }

    @classmethod
    def from_dict(cls, stored: object) -> Recipe:
        """Rebuild what `to_dict` gave.

        Raises
        ------
        RunError
            When a part is missing or damaged.
        """
        try:
            if not isinstance(stored, Mapping):
                raise TypeError("not a mapping")
            classes = stored["class_names"]
            return cls(
                tuple(str(each) for each in stored["feature_names"]),
                str(stored["target_name"]),
                None if classes is None else tuple(str(each) for each in classes),
                int(stored["outputs"]),
                *(
                    None if stored[part] is None else Standardizer.from_dict(stored[part])
                    for part in ("features", "targets")
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                "The run does not say how its data was prepared, or says it wrongly; it was not "
                "saved by backlight train, or is damaged."
            ) from error


def _rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return one row of numbers for each example."""
    return values.reshape(len(values), -1)


def read_hidden(text: str) -> tuple[int, ...]:
    """Read the widths of the hidden layers.

    Raises
    ------
    UsageError
        When they are not whole numbers from 1 on.

    Examples
    --------
    >>> read_hidden("128,64"), read_hidden("none")
    ((128, 64), ())
    """
    if text.strip().lower() == "none":
        return ()
    widths = [each.strip() for each in text.split(",")]
    if not all(re.fullmatch(r"[1-9][0-9]{0,6}", each) for each in widths):
        raise UsageError(
            f"--hidden {text[:40]} is not a list of widths below 10,000,000; write, for example, "
            "--hidden 128,64 or --hidden none."
        )
    if len(widths) > MOST_LAYERS:
        raise UsageError(f"--hidden asks for {len(widths)} layers; give at most {MOST_LAYERS}.")
    return tuple(int(each) for each in widths)
