"""A validation set and its measurement after every epoch: outputs and loss in one call.

It takes the examples held back and gives, for the parameters of the moment, the network's outputs
before the output activation and the mean loss without the penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from backlight.graph.primitive import Array, Dtype
from backlight.sklearn.architecture import outputs
from backlight.sklearn.programs import Form, evaluation_program, length_of
from backlight.tensor import quiet, tensor


@dataclass(frozen=True, eq=False)
class Held:
    """A validation set.

    Attributes
    ----------
    X : ndarray or sparse matrix
    targets : ndarray of shape (n, outputs)
        As the loss takes them.
    weights : ndarray or None
    """

    X: Any
    targets: Array
    weights: Array | None


class Validation:
    """Measures a validation set, over and over, in the same memory.

    Parameters
    ----------
    held : Held
    form : Form
        Of the training: architecture, loss, executor and threads.
    """

    def __init__(self, held: Held, form: Form) -> None:
        self.held, self.form = held, form
        n, architecture = len(held.targets), form.architecture
        self.weights = np.ones(n) if held.weights is None else np.asarray(held.weights, np.float64)
        self.share = float(self.weights.sum())
        if form.objective.averages_outputs:
            self.share *= architecture.sizes[-1]
        self.run: Callable[[], None] | None = None
        if not isinstance(held.X, np.ndarray):
            return  # a sparse set may be too large to be made dense
        dtype, length = np.dtype(architecture.dtype), length_of(n)
        self.parameters: list[Array] = []
        for inputs, outs in pairwise(architecture.sizes):
            self.parameters += [np.zeros((outs, inputs), dtype), np.zeros(outs, dtype)]
        self.raw = np.zeros((length, architecture.sizes[-1]), dtype)
        self.entries = np.zeros(length, dtype)
        data = [_filled(each, length, dtype) for each in (held.X, held.targets)]
        program = evaluation_program(replace(form, rule=None, length=length, weighted=False))
        self.run = program.bound([*self.parameters, *data], [self.raw, self.entries])

    def __call__(self, parameters: Sequence[Array]) -> tuple[Array, float]:
        """Return outputs and loss for parameters in the network's layout.

        Parameters
        ----------
        parameters : sequence of ndarray
            Weight (outputs, inputs) and bias of each layer, in turn.

        Returns
        -------
        ndarray of shape (n, outputs)
            Overwritten by the next call.
        float
        """
        n = len(self.held.targets)
        if self.run is not None:
            for place, each in zip(self.parameters, parameters, strict=True):
                place[...] = each
            self.run()
            raw, entries = self.raw[:n], self.entries[:n]
        else:
            raw, entries = self._with_numpy(parameters)
        return raw, float(entries @ self.weights) / self.share

    def _with_numpy(self, parameters: Sequence[Array]) -> tuple[Array, Array]:
        architecture, objective = self.form.architecture, self.form.objective
        weights = [each.T for each in parameters[::2]]
        raw = outputs(architecture, self.held.X, weights, parameters[1::2])
        with quiet():
            targets = tensor(self.held.targets.astype(raw.dtype, copy=False))
            return raw, np.asarray(objective.entries(tensor(raw), targets).value)


def _filled(rows: Array, length: int, dtype: Dtype) -> Array:
    """Return rows filled up with zeros, themselves where nothing is missing."""
    if len(rows) == length:
        return np.ascontiguousarray(rows, dtype)
    found = np.zeros((length, *rows.shape[1:]), dtype)
    found[: len(rows)] = rows
    return found
