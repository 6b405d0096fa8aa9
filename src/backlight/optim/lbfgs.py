"""L-BFGS, for training on all examples at once.

It needs a function from parameters to the loss and its gradients and runs outside the graph, in
NumPy's float64.  One iteration is a function from a state to the next, so that it can be resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from backlight.errors import TrainingError, UsageError
from backlight.graph.primitive import Array
from backlight.optim.line_search import Trial, Wolfe, strong_wolfe
from backlight.optim.options import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Json,
    Range,
    check_choice,
    check_ranges,
    to_dict,
)
from backlight.optim.vectors import Arrays, ValueAndGrad, Vector, evaluate, flatten, unflatten

_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class LBFGSState:
    """Where an L-BFGS run stands.

    Attributes
    ----------
    parameters : dict of str to ndarray
        In the dtypes that it was started with.
    loss : float or None
        At these parameters; None before the first iteration.
    gradient : ndarray or None
        At these parameters, all in one float64 vector; None before the first iteration.
    changes, differences : tuple of ndarray
        The last changes of the parameters and of the gradient, oldest first: the pairs (s, y).
    iteration : int
        How many iterations were made.
    evaluations : int
        How often the loss was computed.
    converged : bool
        Whether a tolerance was met.
    reason : str
        Why there is nothing more to do; empty while there is.
    """

    parameters: Arrays
    loss: float | None = None
    gradient: Vector | None = None
    changes: tuple[Vector, ...] = ()
    differences: tuple[Vector, ...] = ()
    iteration: int = 0
    evaluations: int = 0
    converged: bool = False
    reason: str = ""


@dataclass(frozen=True)
class LBFGSResult:
    """What `LBFGS.minimize` found.

    Attributes
    ----------
    parameters : dict of str to ndarray
    loss : float
    iterations, evaluations : int
        How many iterations were made, and how often the loss was computed.
    converged : bool
        Whether a tolerance was met.
    reason : str
        Why it stopped, in words.
    state : LBFGSState
        From which `LBFGS.iterate` can go on.
    """

    parameters: Arrays
    loss: float
    iterations: int
    evaluations: int
    converged: bool
    reason: str
    state: LBFGSState


@dataclass(frozen=True)
class _Place:
    """A point on the line, with everything that was computed there."""

    parameters: Arrays
    point: Vector
    gradient: Vector


@dataclass(frozen=True)
class LBFGS:
    """The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno.

    The direction −H·g uses an approximation H of the inverse Hessian made from the last changes s
    of the parameters and y of the gradient, begun with sᵀy/yᵀy times the identity (Nocedal and
    Wright, "Numerical optimization", 2nd edition, 2006, algorithms 7.4 and 7.5).  The step length
    satisfies the strong Wolfe conditions (algorithms 3.5 and 3.6).

    Parameters
    ----------
    learning_rate : float
        The step length that is tried first, or the only one without a line search.
    history : int
        How many pairs (s, y) are kept.
    gradient_tolerance : float
        Done when no entry of the gradient is larger.
    change_tolerance : float
        Done when the loss changes by no larger a part of itself in one iteration.
    line_search : {"strong-wolfe", "none"}
        Whether to search for the step length.
    decrease, curvature : float
        c₁ and c₂ of the Wolfe conditions, 0 < c₁ < c₂ < 1.
    evaluations : int
        How often one line search may compute the loss.

    Examples
    --------
    >>> import numpy as np
    >>> def bowl(p):
    ...     return float(np.sum((p["x"] - 3.0) ** 2)), {"x": 2.0 * (p["x"] - 3.0)}
    >>> result = LBFGS().minimize(bowl, {"x": np.zeros(2)}, steps=20)
    >>> result.parameters["x"].round(6), result.converged
    (array([3., 3.]), True)
    """

    ranges: ClassVar[dict[str, Range]] = {
        "learning_rate": POSITIVE,
        "history": COUNT,
        "gradient_tolerance": NOT_NEGATIVE,
        "change_tolerance": NOT_NEGATIVE,
        "decrease": Range(0.0, 1.0, with_low=False),
        "curvature": Range(0.0, 1.0, with_low=False),
        "evaluations": COUNT,
    }
    learning_rate: float = 1.0
    history: int = 10
    gradient_tolerance: float = 1e-6
    change_tolerance: float = 1e-12
    line_search: str = "strong-wolfe"
    decrease: float = 1e-4
    curvature: float = 0.9
    evaluations: int = 25

    def __post_init__(self) -> None:
        check_ranges(self, self.ranges)
        check_choice(self, "line_search", ("strong-wolfe", "none"))
        if self.decrease >= self.curvature:
            raise UsageError(
                f"LBFGS: decrease must be below curvature, and {self.decrease!r} is not below "
                f"{self.curvature!r}."
            )

    def to_dict(self) -> Json:
        """Return the options as plain JSON; `backlight.optim.from_dict` reads it."""
        return to_dict(self)

    def start(self, parameters: Mapping[str, Array]) -> LBFGSState:
        """Return the state before the first iteration.

        Parameters
        ----------
        parameters : mapping of str to ndarray of float
            They are copied.

        Raises
        ------
        UsageError
            When there are none, or one is not floating-point.
        """
        copies = {name: np.array(each) for name, each in parameters.items()}
        if not copies:
            raise UsageError("LBFGS needs at least one parameter.")
        for name, each in copies.items():
            if each.dtype.kind != "f":
                raise UsageError(
                    f"LBFGS: {name} is {each.dtype}; parameters must be floating-point."
                )
        return LBFGSState(copies)

    def minimize(
        self,
        value_and_grad: ValueAndGrad,
        start: Mapping[str, Array],
        steps: int,
        callback: Callable[[LBFGSState], None] | None = None,
    ) -> LBFGSResult:
        """Iterate until a tolerance is met, nothing lower is found or the steps are used up.

        Parameters
        ----------
        value_and_grad : callable
            From ``{name: array}`` to the loss and ``{name: gradient}``.
        start : mapping of str to ndarray
            Where to begin.
        steps : int
            How many iterations at most.
        callback : callable, optional
            Called with the state after each iteration.

        Raises
        ------
        TrainingError
            When the loss or its gradient is not finite at the start, or at a step taken without
            a line search.
        UsageError
            When the gradients do not fit the parameters.
        """
        if not COUNT.holds(steps):
            raise UsageError(f"LBFGS.minimize: steps must be {COUNT}, not {steps!r}.")
        state = self.start(start)
        for _ in range(steps):
            state = self.iterate(state, value_and_grad)
            if callback is not None:
                callback(state)
            if state.reason:
                break
        assert state.loss is not None
        return LBFGSResult(
            state.parameters,
            state.loss,
            state.iteration,
            state.evaluations,
            state.converged,
            state.reason or f"all {steps} steps were made",
            state,
        )

    def iterate(self, state: LBFGSState, value_and_grad: ValueAndGrad) -> LBFGSState:
        """Make one iteration; a state that has its reason to stop is returned as it is.

        Parameters
        ----------
        state : LBFGSState
        value_and_grad : callable
            As for `minimize`.

        Raises
        ------
        TrainingError, UsageError
            As for `minimize`.
        """
        if state.reason:
            return state
        if state.loss is None or state.gradient is None:
            state = _evaluated(state, value_and_grad)
        assert state.loss is not None and state.gradient is not None
        if _largest(state.gradient) <= self.gradient_tolerance:
            return replace(state, converged=True, reason="the gradient is within its tolerance")
        found, state = self._along_a_line(state, value_and_grad)
        if found is None:
            return replace(state, reason="the line search found no lower loss")
        return self._moved(state, found)

    def _along_a_line(
        self, state: LBFGSState, value_and_grad: ValueAndGrad
    ) -> tuple[Trial[_Place] | None, LBFGSState]:
        """Find the next point; a failed search is repeated once along the gradient itself."""
        assert state.loss is not None and state.gradient is not None
        gradient = state.gradient
        direction = descent_direction(gradient, state.changes, state.differences)
        if not float(gradient @ direction) < 0.0:  # rounding, or NaN
            state = replace(state, changes=(), differences=())
            direction = -gradient
        line = _Line(state, direction, value_and_grad)
        trial = self._search(line)
        state = replace(state, evaluations=state.evaluations + line.evaluations)
        if trial is not None or not state.changes:
            return trial, state
        return self._along_a_line(replace(state, changes=(), differences=()), value_and_grad)

    def _search(self, line: _Line) -> Trial[_Place] | None:
        length = float(self.learning_rate)
        if not line.state.changes:
            # Nothing is known about the scale yet: let the first change have length 1 at most.
            length *= min(1.0, 1.0 / float(np.linalg.norm(line.direction)))
        if self.line_search == "strong-wolfe":
            wolfe = Wolfe(line.start, float(self.decrease), float(self.curvature))
            return strong_wolfe(line.trial, wolfe, length, int(self.evaluations))
        trial = line.trial(length)
        if not trial.finite:
            raise TrainingError(
                f"L-BFGS without a line search reached a loss of {trial.loss}; use "
                f'line_search="strong-wolfe" or a smaller learning rate.'
            )
        return trial

    def _moved(self, state: LBFGSState, found: Trial[_Place]) -> LBFGSState:
        assert state.loss is not None and state.gradient is not None
        change = found.place.point - flatten(state.parameters)
        difference = found.place.gradient - state.gradient
        changes, differences = state.changes, state.differences
        # Only a pair with sᵀy > 0 keeps H positive definite.
        if float(change @ difference) > _EPSILON * float(difference @ difference):
            changes = (*changes, change)[-int(self.history) :]
            differences = (*differences, difference)[-int(self.history) :]
        size = max(abs(state.loss), abs(found.loss))
        reason = ""
        if _largest(found.place.gradient) <= self.gradient_tolerance:
            reason = "the gradient is within its tolerance"
        elif abs(state.loss - found.loss) <= self.change_tolerance * size:
            reason = "the loss hardly changes any more"
        return LBFGSState(
            found.place.parameters,
            found.loss,
            found.place.gradient,
            changes,
            differences,
            state.iteration + 1,
            state.evaluations,
            bool(reason),
            reason,
        )


def descent_direction(
    gradient: Vector, changes: tuple[Vector, ...], differences: tuple[Vector, ...]
) -> Vector:
    """Return −H·g by the two loops of algorithm 7.4, without forming H.

    Parameters
    ----------
    gradient : ndarray of shape (n,)
    changes, differences : tuple of ndarray of shape (n,)
        The pairs (s, y), oldest first, each with sᵀy > 0.

    Returns
    -------
    ndarray of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> s, y = np.array([1.0, 0.0]), np.array([4.0, 0.0])  # the Hessian is 4 along the first axis
    >>> descent_direction(np.array([8.0, 1.0]), (s,), (y,))
    array([-2.  , -0.25])
    """
    q = gradient.copy()
    weights = []
    for s, y in zip(reversed(changes), reversed(differences), strict=True):
        weight = float(s @ q) / float(s @ y)
        weights.append(weight)
        q -= weight * y
    if changes:
        s, y = changes[-1], differences[-1]
        q *= float(s @ y) / float(y @ y)
    for s, y, weight in zip(changes, differences, reversed(weights), strict=True):
        q += (weight - float(y @ q) / float(s @ y)) * s
    return -q


class _Line:
    """The loss along a direction, and how often it was computed."""

    def __init__(self, state: LBFGSState, direction: Vector, value_and_grad: ValueAndGrad) -> None:
        assert state.loss is not None and state.gradient is not None
        self.state = state
        self.direction = direction
        self.evaluations = 0
        self._value_and_grad = value_and_grad
        place = _Place(state.parameters, flatten(state.parameters), state.gradient)
        self.start = Trial(0.0, state.loss, float(state.gradient @ direction), place)

    def trial(self, length: float) -> Trial[_Place]:
        """Compute the loss and its slope at a step length."""
        point = self.start.place.point + length * self.direction
        parameters = unflatten(point, self.state.parameters)
        self.evaluations += 1
        loss, gradient = evaluate(parameters, self._value_and_grad)
        # The point as rounded to the parameters' dtypes is the one that was evaluated.
        place = _Place(parameters, flatten(parameters), gradient)
        return Trial(length, loss, float(gradient @ self.direction), place)


def _evaluated(state: LBFGSState, value_and_grad: ValueAndGrad) -> LBFGSState:
    loss, gradient = evaluate(state.parameters, value_and_grad)
    if not math.isfinite(loss) or not np.all(np.isfinite(gradient)):
        raise TrainingError(
            f"L-BFGS cannot start: the loss is {loss} and "
            f"{int(np.sum(~np.isfinite(gradient)))} entries of its gradient are not finite; "
            f"bl.find_nonfinite(loss) names where that begins."
        )
    return replace(state, loss=loss, gradient=gradient, evaluations=state.evaluations + 1)


def _largest(gradient: Vector) -> float:
    return float(np.max(np.abs(gradient), initial=0.0))
