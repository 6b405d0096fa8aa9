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
from backlight.data import Column, Dataset, Preprocessor, Standardizer, preprocessing_from_dict
from backlight.data.rows import map_rows, pieces
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
        What the data has to have: the columns of a table, or the features of arrays.
    target_name : str
    class_names : tuple of str, or None
        None for regression.
    outputs : int
        How many numbers the network gives for each row: one for each class (two classes have
        two) or label, or one for each target of a regression.
    features : Standardizer, Preprocessor or None
        Learnt from the training rows alone; None for images, which stay between 0 and 1.
    targets : Standardizer or None
        For a regression.
    task : {"classification", "regression", "labels"}
    """

    feature_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None
    outputs: int
    features: Standardizer | Preprocessor | None
    targets: Standardizer | None
    task: str

    @classmethod
    def learn(cls, train: Dataset, *, standardize: bool = True) -> Recipe:
        """Decide everything from the training rows.

        Raises
        ------
        DataError
            When the features have no spread that float64 can hold.
        """
        features: Standardizer | Preprocessor | None = None
        if train.columns is not None:
            features = Preprocessor.fit(train.X, train.columns, scale=standardize)
        elif standardize and train.image_shape is None:
            features = Standardizer.fit(_rows(train.X))
        targets = None
        if train.task == "classification":
            outputs = len(train.class_names or ())
        else:
            numbers = _rows(train.y)
            outputs = numbers.shape[1]
            if standardize and train.task == "regression":
                targets = Standardizer.fit(numbers)
        return cls(
            train.feature_names,
            train.target_name,
            train.class_names,
            outputs,
            features,
            targets,
            train.task,
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that data has to have, with what they hold."""
        if isinstance(self.features, Preprocessor):
            return self.features.columns
        return tuple(Column(name) for name in self.feature_names)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of what the network sees, one for each of its inputs."""
        if isinstance(self.features, Preprocessor):
            return self.features.feature_names
        return self.feature_names

    @property
    def loss(self) -> Loss:
        """Cross-entropy of the logits for classes or labels, and for numbers the squared error."""
        if self.task == "labels":
            return nn.binary_cross_entropy_with_logits
        return nn.mse if self.class_names is None else nn.cross_entropy

    def network(
        self, hidden: Sequence[int], activation: str, dropout: float, seed: int
    ) -> nn.Sequential:
        """Build the network: linear layers with activations between them, and a linear output."""
        layers: list[nn.Module] = []
        width = len(self.input_names)
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
        single = np.dtype(np.float32)
        return ready if ready.dtype == single else map_rows(ready, lambda each: each, single)

    def wanted(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a target as the loss takes it: class codes, labels, or (n, k) scaled numbers."""
        if self.class_names is not None:
            return y
        numbers = _rows(y)
        return (numbers if self.targets is None else self.targets.apply(numbers)).astype(np.float32)

    def predict(self, net: Callable[[Floats], Tensor], X: Floats) -> Floats:
        """Return what people read: (n, classes) probabilities, or (n, k) numbers in their units.

        Of labels, each has a probability of its own.
        """
        parts = []
        for start in range(0, len(X), ROWS_AT_ONCE):
            with nn.running(training=False):
                outputs = net(self.inputs(X[start : start + ROWS_AT_ONCE])).value
            parts.append(np.asarray(outputs, np.float64))
        outputs = np.concatenate(parts) if parts else np.zeros((0, self.outputs))
        if self.task == "labels":
            with np.errstate(over="ignore"):  # exp(−x) may overflow to infinity, which is right
                chances: Floats = 1.0 / (1.0 + np.exp(-outputs))
            return chances
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
        does not vary.  Of labels, it is the share that is right, and that of rows all of whose
        labels are.  It takes the memory of a few thousand rows, however many there are.
        """
        right = rows = exact = 0
        squares: Floats = np.zeros(self.outputs)
        for X, y in zip(pieces(data.X, ROWS_AT_ONCE), pieces(data.y, ROWS_AT_ONCE), strict=True):
            predicted = self.predict(net, X)
            rows += len(X)
            if self.task == "labels":
                same = (predicted > 0.5) == (y > 0.5)
                right += int(np.count_nonzero(same))
                exact += int(np.count_nonzero(same.all(axis=1)))
            elif self.class_names is not None:
                right += int(np.count_nonzero(predicted.argmax(axis=1) == y))
            else:
                squares = squares + np.sum((_rows(y).astype(np.float64) - predicted) ** 2, axis=0)
        if self.task == "labels":
            return {"accuracy": right / (rows * self.outputs), "all_labels": exact / rows}
        if self.class_names is not None:
            return {"accuracy": right / rows}
        found = {"rmse": float(np.sqrt(np.mean(squares / rows)))}
        numbers = _rows(data.y).astype(np.float64)
        spread = np.sum((numbers - numbers.mean(axis=0)) ** 2, axis=0)
        if (spread > 0).all():
            found = {"r2": float(np.mean(1 - squares / spread)), **found}
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
            "task": self.task,
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
            classes, features, targets = (
                stored[part] for part in ("class_names", "features", "targets")
            )
            return cls(
                tuple(str(each) for each in stored["feature_names"]),
                str(stored["target_name"]),
                None if classes is None else tuple(str(each) for each in classes),
                int(stored["outputs"]),
                features if features is None else preprocessing_from_dict(features),
                targets if targets is None else Standardizer.from_dict(targets),
                str(stored.get("task", "regression" if classes is None else "classification")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                "The run does not say how its data was prepared, or says it wrongly; it was not "
                "saved by backlight train, or is damaged."
            ) from error


def _rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return one row of numbers for each example."""
    # A view of rows in a file would no longer be read from there.
    return values if values.ndim == 2 else values.reshape(len(values), -1)


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
