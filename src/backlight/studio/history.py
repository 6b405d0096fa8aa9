"""The numbers of every step of a training, kept as flat arrays and read by many.

One thread appends; others read what is there already, so that every page gets every number, once
and in order.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from backlight.graph.primitive import Array
from backlight.report.payload import plain
from backlight.studio.asking import Json


class StepHistory:
    """Loss, gradient norm, learning rate and metrics of each step.

    Parameters
    ----------
    metrics : sequence of str
        Their names.

    Examples
    --------
    >>> import numpy as np
    >>> history = StepHistory(["accuracy"])
    >>> history.extend(np.array([0.5]), np.array([0.1]), np.array([2.0]), np.array([[1.0]]))
    >>> history.between(0, 1)["loss"]
    [0.5]
    """

    def __init__(self, metrics: Sequence[str] = ()) -> None:
        self.metrics = tuple(metrics)
        self._loss = array("d")
        self._rate = array("d")
        self._norm = array("d")
        self._metrics = [array("d") for _ in self.metrics]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, losses: Array, rates: Array, norms: Array | None, metrics: Array) -> None:
        """Append the numbers of some steps."""
        self._loss.extend(losses.tolist())
        self._rate.extend(rates.tolist())
        self._norm.extend([float("nan")] * len(losses) if norms is None else norms.tolist())
        for kept, column in zip(self._metrics, metrics.T.tolist(), strict=True):
            kept.extend(column)
        self._count += len(losses)  # last: readers see only what is complete

    @property
    def last_loss(self) -> float | None:
        """The loss of the last step, or None before the first."""
        return self._loss[self._count - 1] if self._count else None

    @property
    def last_norm(self) -> float | None:
        """The gradient's norm at the last step."""
        return self._norm[self._count - 1] if self._count else None

    def last_metrics(self) -> dict[str, float]:
        """The metrics of the last step by name."""
        if not self._count:
            return {}
        return {
            name: kept[self._count - 1]
            for name, kept in zip(self.metrics, self._metrics, strict=True)
        }

    def between(self, start: int, end: int) -> Json:
        """Return every number of the steps from ``start`` up to, but not including, ``end``."""
        return self._listed(range(start, min(end, self._count)))

    def spread(self, start: int, end: int, most: int) -> Json:
        """Return the numbers of at most ``most`` steps, evenly spaced, with ``every``."""
        end = min(end, self._count)
        every = max(-(-(end - start) // max(most, 1)), 1)
        steps = range(start, max(end, start), every)
        listed = self._listed(steps)
        return {"from": start, "end": end, "every": every, "step": list(steps), **listed}

    def _listed(self, steps: range) -> Json:
        made: Json = plain(
            {
                "loss": [self._loss[k] for k in steps],
                "gradient_norm": [self._norm[k] for k in steps],
                "learning_rate": [self._rate[k] for k in steps],
                "metrics": {
                    name: [kept[k] for k in steps]
                    for name, kept in zip(self.metrics, self._metrics, strict=True)
                },
            }
        )
        return made
