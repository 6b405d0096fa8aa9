"""Training by L-BFGS on all examples at once, with SciPy's implementation as in scikit-learn.

The loss and its gradients come from a compiled program, in float64, summed over blocks of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backlight.graph.primitive import Array
from backlight.sklearn.course import Examples
from backlight.sklearn.programs import ArrayProgram

BLOCK = 4096
"""How many rows the gradient is computed for at a time."""


@dataclass(frozen=True)
class Found:
    """What the search ended with.

    Attributes
    ----------
    parameters : list of ndarray
    loss : float
    iterations : int
    message : str
        Why it stopped short; empty when it converged.
    """

    parameters: list[Array]
    loss: float
    iterations: int
    message: str


@dataclass(frozen=True)
class Limits:
    """When the search ends.

    Attributes
    ----------
    iterations, evaluations : int
    gradient : float
        Done when no entry of the gradient is larger.
    """

    iterations: int
    evaluations: int
    gradient: float


class Total:
    """The loss of all examples with its penalty, and its gradient, as a function of one vector.

    The program reads the parameters in one vector and writes the gradients to another, always in
    the same memory: looking for a dozen arrays anew would take longer than a small network does.
    """

    def __init__(
        self,
        program: ArrayProgram,
        examples: Examples,
        length: int,
        shapes: Sequence[tuple[int, ...]],
        alpha: float,
    ) -> None:
        self.examples = examples
        self.length = length
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)]).tolist()
        self.places = [(slice(*ends[k : k + 2]), tuple(shape)) for k, shape in enumerate(shapes)]
        self.decay = np.zeros(ends[-1])
        for place, shape in self.places:
            self.decay[place] = alpha * (len(shape) == 2)  # biases are free
        n = len(examples)
        weights = np.ones(n) if examples.weights is None else examples.weights
        self.weights = np.asarray(weights, np.float64)
        self.share = float(self.weights.sum()) or 1.0
        self.vector, self.gradient = np.zeros(ends[-1]), np.zeros(ends[-1])
        self.loss = np.zeros(())
        self.several = n > length
        self.block = self._block(0)
        if self.several:  # it is written to, and may be the user's own data so far
            self.block = [each.copy() for each in self.block]
        self.run = program.bound(
            [*self.split(self.vector), *self.block], [self.loss, *self.split(self.gradient)]
        )

    def _block(self, start: int) -> list[Array]:
        """Return a block of rows, filled up with rows that weigh nothing."""
        part = slice(start, start + self.length)
        X = self.examples.X[part]
        dense = X.toarray() if self.examples.sparse else X
        missing = self.length - dense.shape[0]
        found = []
        for each in (dense, self.examples.y[part], self.weights[part]):
            wide = [(0, missing), *[(0, 0)] * (each.ndim - 1)]
            filled = np.pad(each, wide) if missing else each
            found.append(np.ascontiguousarray(filled, np.float64))
        return found

    def split(self, vector: Array) -> list[Array]:
        """Return the parameters that a vector holds, as views."""
        return [vector[place].reshape(shape) for place, shape in self.places]

    def __call__(self, vector: Array) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        self.vector[:] = vector
        total = self.decay * vector
        loss = 0.5 * float(total.dot(vector))
        for start in range(0, len(self.examples), self.length):
            if self.several:
                for place, rows in zip(self.block, self._block(start), strict=True):
                    place[...] = rows
            self.run()
            loss += float(self.loss)
            total += self.gradient
        total /= self.share
        return loss / self.share, total


def minimize(
    total: Total,
    start: Sequence[Array],
    limits: Limits,
    each: Callable[[float, Array], bool],
) -> Found:
    """Search for the least loss.

    Parameters
    ----------
    total : Total
    start : sequence of ndarray
    limits : Limits
    each : callable
        Is told the loss and the vector of parameters after every iteration; the truth ends the
        search.

    Notes
    -----
    R. Byrd, P. Lu, J. Nocedal and C. Zhu, "A limited memory algorithm for bound constrained
    optimization" (1995), as implemented in SciPy.
    """
    # Here, because it takes a while to load.
    from scipy import optimize  # type: ignore[import-untyped]

    stopped = False

    def after(intermediate_result: optimize.OptimizeResult) -> None:
        nonlocal stopped
        value = float(intermediate_result.fun)
        if each(value, intermediate_result.x):
            stopped = True
            raise StopIteration

    found = optimize.minimize(
        total,
        np.concatenate([np.asarray(each, np.float64).ravel() for each in start]),
        method="L-BFGS-B",
        jac=True,
        callback=after,
        options={
            "maxfun": limits.evaluations,
            "maxiter": limits.iterations,
            "gtol": limits.gradient,
        },
    )
    message = "" if found.success or stopped else str(found.message)
    iterations = min(int(found.nit), limits.iterations)
    return Found(total.split(found.x), float(found.fun), iterations, message)
