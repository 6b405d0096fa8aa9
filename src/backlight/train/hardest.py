"""Which training examples a network finds hardest: a way to find mislabelled rows.

A row whose label contradicts rows like it keeps a large loss, and a large gradient of its own,
when the others are learnt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.differentiate.transforms import per_example_grad
from backlight.errors import UsageError
from backlight.graph.primitive import Array
from backlight.nn import running, substitute
from backlight.tensor import Tensor, quiet, tensor
from backlight.train.engine import EVALUATION_BATCH, Engine
from backlight.train.objective import default_of
from backlight.train.step import Arrays

MOST_BYTES = 64 * 2**20
"""How much memory the gradients of the examples looked at together may take."""
KEYS = ("loss", "gradient")


@dataclass(frozen=True, eq=False)
class Hardest:
    """The hardest examples, the hardest first; printing it gives a table.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Their positions among the training examples.
    losses : ndarray of float64, shape (n,)
    gradient_norms : ndarray of float64, shape (n,)
        Of the gradient of the example's own loss with respect to all parameters.
    targets : ndarray of shape (n, ...)
    outputs : ndarray of shape (n, ...)
        What the network gives for them.
    typical_loss : float
        The median over all examples.
    """

    rows: Array
    losses: Array
    gradient_norms: Array
    targets: Array
    outputs: Array
    typical_loss: float

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        header = ("row", "loss", "gradient", "target", "predicted")
        cells = [
            (
                str(int(self.rows[k])),
                f"{self.losses[k]:.4g}",
                f"{self.gradient_norms[k]:.4g}",
                _short(self.targets[k]),
                _predicted(self.outputs[k], self.targets[k]),
            )
            for k in range(len(self))
        ]
        widths = [max(len(row[k]) for row in (header, *cells)) for k in range(5)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in (header, *cells)
        ]
        return "\n".join([*lines, f"The loss of a typical example is {self.typical_loss:.4g}."])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "rows": self.rows.tolist(),
            "losses": self.losses.tolist(),
            "gradient_norms": self.gradient_norms.tolist(),
            "targets": self.targets.tolist(),
            "outputs": self.outputs.tolist(),
            "typical_loss": self.typical_loss,
        }


def _short(value: Array) -> str:
    return np.array2string(np.asarray(value), precision=4, separator=" ", threshold=4)


def _predicted(output: Array, target: Array) -> str:
    """Write an output, or for a class number the class that it stands for."""
    if np.asarray(target).dtype.kind in "iu" and output.ndim == 1 and output.size > 1:
        return str(int(output.argmax()))
    return _short(output)


def hardest(engine: Engine, parameters: Arrays, count: int, by: str) -> Hardest:
    """Rank the training examples.

    Parameters
    ----------
    engine : Engine
    parameters : dict of str to ndarray
    count : int
    by : {"loss", "gradient"}

    Raises
    ------
    UsageError
        For another way of ranking, or a count below 1.
    """
    if by not in KEYS:
        raise UsageError(f"by must be one of {', '.join(map(repr, KEYS))}, not {by!r}.")
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise UsageError(f"count must be a whole number from 1 on, not {count!r}.")
    n = len(engine.train)
    every = np.arange(n)
    losses = np.concatenate([each for _, each in _losses(engine, parameters, every)])
    scores = losses if by == "loss" else gradient_norms(engine, parameters, every)
    # NaN is as hard as can be; equal examples keep their order.
    order = np.argsort(-np.where(np.isnan(scores), np.inf, scores), kind="stable")[:count]
    norms = scores[order] if by == "gradient" else gradient_norms(engine, parameters, order)
    outputs = np.concatenate([each for each, _ in _losses(engine, parameters, order)])
    targets = np.asarray(engine.train.y[order])
    return Hardest(order, losses[order], norms, targets, outputs, float(np.median(losses)))


def _losses(engine: Engine, parameters: Arrays, rows: Array) -> Iterator[tuple[Array, Array]]:
    """Yield outputs and losses of examples, in evaluation mode, a part at a time."""
    model, train = engine.model, engine.train
    alone = _one_by_one(model.objective.function)
    given = {name: tensor(each) for name, each in parameters.items()}
    for start in range(0, len(rows), EVALUATION_BATCH):
        part = rows[start : start + EVALUATION_BATCH]
        X, y = np.asarray(train.X[part]), np.asarray(train.y[part])
        with quiet(), substitute(model.net, given), running(training=False):
            output = model.net(tensor(X))
            target = model.objective.fitted(tensor(y), output.spec)
            if alone is not None:
                found = np.asarray(alone(output, target).value, np.float64).reshape(len(part), -1)
                sums = model.objective.reduction == "sum"
                losses = found.sum(axis=1) if sums else found.mean(axis=1)
            else:
                losses = np.array(
                    [
                        model.objective(output[k : k + 1], target[k : k + 1], None).item()
                        for k in range(len(part))
                    ],
                    np.float64,
                )
        yield np.asarray(output.value), losses


def _one_by_one(function: Callable[..., Tensor]) -> Callable[..., Tensor] | None:
    """Return the loss without its reduction, where it has that option."""
    if default_of(function, "reduction") is None:
        return None
    return functools.partial(function, reduction="none")


def gradient_norms(engine: Engine, parameters: Arrays, rows: Array) -> Array:
    """Return the norm of the gradient of each example's own loss, in evaluation mode."""
    model, train = engine.model, engine.train
    own = {name: parameters[name] for name in engine.trained}
    fixed = {name: tensor(each) for name, each in parameters.items() if name not in own}

    def loss(inner: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        with substitute(model.net, {**fixed, **inner}), running(training=False):
            output = model.net(x[None])
        return model.objective(output, model.objective.fitted(y[None], output.spec), None)

    size = sum(each.size * 8 for each in own.values())
    together = max(min(MOST_BYTES // max(size, 1), 256), 1)
    gradients = per_example_grad(loss)
    found = []
    with quiet():
        for start in range(0, len(rows), together):
            part = rows[start : start + together]
            done = gradients(own, np.asarray(train.X[part]), np.asarray(train.y[part]))
            squares = np.zeros(len(part))
            for each in done.values():
                flat = np.asarray(each.value, np.float64).reshape(len(part), -1)
                squares += (flat**2).sum(axis=1)
            found.append(np.sqrt(squares))
    return np.concatenate(found)
