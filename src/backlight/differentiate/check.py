"""The gradient checker: derivatives by the records against differences, entry by entry.

It works in float64 whatever the precision of the computation, compares reverse and forward mode
(and the second order on request) by relative error, allows for what the differences themselves
may be off by, and recognises kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backlight.differentiate.check_problem import Problem, function_problem, loss_problem
from backlight.differentiate.forward import push
from backlight.differentiate.gradient_report import Comparison, GradientReport, KinkPoint
from backlight.differentiate.numeric import Estimate, Values, central, noise_level, one_sided
from backlight.differentiate.reverse import dependent, sweep
from backlight.errors import GradientError, UsageError
from backlight.tensor import Tensor, literal, quiet
from backlight.trace import history

UNIT_OUTPUTS = 32
"""Up to this many outputs are checked one by one; more by random combinations."""


def check_gradients(
    function: Callable[..., Any],
    *arguments: Any,
    tolerance: float = 1e-6,
    argnums: int | Sequence[int] | None = None,
    order: int = 1,
    samples: int = 100,
    seed: int = 0,
) -> GradientReport:
    """Check the derivatives of a function against numerical ones.

    A derivative passes when ``|analytic − numeric|``, less what the numeric one may be off by, is
    at most ``tolerance`` times the larger of the two.  Small gradients are held to the same
    relative standard as large ones.  Where the function has a kink, anything between the
    one-sided derivatives passes and is reported.

    Parameters
    ----------
    function : callable
        Returns a tensor, or nested dicts, lists and tuples of them.
    *arguments
        The point; it is never changed.  Everything is computed in float64.
    tolerance : float
        The relative error that passes.
    argnums : int or sequence of int, optional
        The arguments to check; all floating-point ones by default.
    order : {1, 2}
        2 checks the gradient of the gradient as well.
    samples : int
        Of more entries than this, so many are chosen at random, and random directions stand for
        the others.
    seed : int
        Of that choice.

    Returns
    -------
    GradientReport
        ``.ok``, ``.max_relative_error``, ``.worst``, ``.kinks``; printing it gives a table.

    Raises
    ------
    GradientError
        When there is nothing floating-point to check, or the function is not deterministic.
    UsageError
        For other orders, or ``argnums`` that name no argument.

    Examples
    --------
    >>> report = check_gradients(lambda x, y: x**2 * y, 3.0, 2.0)
    >>> report.ok, report.checked
    (True, 2)
    """
    if order not in (1, 2):
        raise UsageError(f"check_gradients checks order 1 or 2, not {order}.")
    problem = function_problem(function, arguments, argnums)
    return _check(problem, tolerance, order, samples, seed)


def check_loss(
    loss: Tensor,
    parameters: Mapping[str, Tensor],
    *,
    tolerance: float = 1e-6,
    samples: int = 50,
    seed: int = 0,
) -> GradientReport:
    """Check the gradients of a recorded loss with respect to its parameters.

    Parameters
    ----------
    loss : Tensor
        Recorded with values, of any shape.
    parameters : mapping of str to Tensor
        Leaves (or any tensors) that the loss was made from, by name.
    tolerance, samples, seed
        As in `check_gradients`.

    Returns
    -------
    GradientReport

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param([1.0, 2.0])
    >>> check_loss((w * w)[0], {"w": w}).ok
    True
    """
    return _check(loss_problem(loss, parameters), tolerance, 1, samples, seed)


def _check(
    problem: Problem, tolerance: float, order: int, samples: int, seed: int
) -> GradientReport:
    random = np.random.default_rng(seed)
    run = _Run(problem, tolerance, random, 1)
    checked, total = run.everything(samples)
    comparisons, kinks = run.comparisons, run.kinks
    if order == 2:
        weights = random.uniform(0.5, 1.5, run.outputs.size)
        second = _Run(problem.gradient(weights), tolerance, random, 2)
        second.everything(samples)
        comparisons += second.comparisons
        kinks += second.kinks
    return GradientReport(tuple(comparisons), tuple(kinks), checked, total, tolerance, seed)


class _Run:
    """One order of one check, while it runs."""

    def __init__(
        self, problem: Problem, tolerance: float, random: np.random.Generator, order: int
    ) -> None:
        self.problem = problem
        self.tolerance = tolerance
        self.random = random
        self.order = order
        self.comparisons: list[Comparison] = []
        self.kinks: list[KinkPoint] = []
        self.outputs, self.variables = problem.record(problem.values)
        again, _ = problem.record(problem.values)
        if not np.array_equal(self.outputs.value, again.value, equal_nan=True):
            raise GradientError(
                "The function gives different results for the same arguments, so that differences "
                "say nothing; fix its seed."
            )
        self.weights, self.labels = self._combinations()
        self.reverse = self._reverse()
        self.conventions = [self._kinks_behind(each) for each in self.variables]

    def everything(self, samples: int) -> tuple[int, int]:
        """Check entries, and directions where there are too many entries."""
        sizes = [each.size for each in self.problem.values]
        total = sum(sizes)
        entries = [(k, position) for k, size in enumerate(sizes) for position in range(size)]
        if total > samples:
            entries = self._sample(sizes, samples)
        for variable, position in entries:
            direction = np.zeros(sizes[variable])
            direction[position] = 1.0
            shape = self.problem.values[variable].shape
            index = tuple(int(each) for each in np.unravel_index(position, shape))
            self._compare(variable, direction.reshape(shape), index)
        if total > samples:
            for variable, value in enumerate(self.problem.values):
                direction = self.random.uniform(0.5, 1.5, value.shape) * _scales(value)
                self._compare(variable, direction, None)
        return len(entries), total

    def _sample(self, sizes: Sequence[int], samples: int) -> list[tuple[int, int]]:
        """Choose entries so that every argument gets its share."""
        share = max(1, samples // max(len(sizes), 1))
        return [
            (k, int(position))
            for k, size in enumerate(sizes)
            for position in np.sort(self.random.choice(size, min(share, size), replace=False))
        ]

    def _combinations(self) -> tuple[Values, list[str]]:
        """Return the combinations of outputs to differentiate, one per row, and their names."""
        size = self.outputs.size
        if size == 1:
            return np.ones((1, 1)), ["f"]
        if size <= UNIT_OUTPUTS:
            return np.eye(size), [f"f[{k}]" for k in range(size)]
        chosen = np.sort(self.random.choice(size, UNIT_OUTPUTS - 2, replace=False))
        combined = self.random.uniform(0.5, 1.5, (2, size)) * self.random.choice([-1, 1], (2, size))
        labels = [*(f"f[{k}]" for k in chosen), "(u₁·f)", "(u₂·f)"]
        return np.concatenate([np.eye(size)[chosen], combined]), labels

    def _reverse(self) -> list[list[Values]]:
        """Return one gradient per combination and variable, by reverse mode."""
        found = []
        with quiet():
            for weights in self.weights:
                done = sweep([self.outputs], [literal(weights)], wrt=self.variables)
                gradients = [done.gradient(each) for each in self.variables]
                found.append(
                    [
                        np.zeros(variable.shape) if each is None else np.asarray(each.value)
                        for each, variable in zip(gradients, self.variables, strict=True)
                    ]
                )
        return found

    def _kinks_behind(self, variable: Tensor) -> list[str]:
        """Return the conventions of all nodes that depend on a variable and stand at a kink."""
        order = history([self.outputs])
        reached = dependent(order, [variable])
        found: dict[str, None] = {}
        for node in order:
            kink = node.primitive.kink
            if kink is None or node.serial not in reached:
                continue
            values = [each.value for each in node.inputs]
            with np.errstate(all="ignore"):
                if np.any(kink.at(np, *values, **node.attributes)):
                    found[f"{node.primitive.name}: {kink.convention}"] = None
        return list(found)

    def _compare(self, k: int, direction: Values, index: tuple[int, ...] | None) -> None:
        """Compare the derivatives of every combination along one direction."""
        value = self.problem.values[k]
        directions = [direction if each == k else None for each in range(len(self.variables))]
        tangent = {self.variables[k]: literal(direction)}
        forward = self.weights @ push([self.outputs], tangent)[0].value
        with np.errstate(all="ignore"):
            backward = np.array([float(np.sum(row[k] * direction)) for row in self.reverse])
        line = self.problem.line(directions, self.weights)
        scales = _scales(value)
        size = float(scales.reshape(-1)[np.ravel_multi_index(index, value.shape)]) if index else 1.0
        if index == ():
            size = float(scales)
        noise = noise_level(line, 1.234e-7 * size)
        numeric = self._numeric(line, size, noise, (backward, forward))
        sides = None
        modes = (("reverse", backward), ("forward", forward))
        wrong = any(not self._agrees(numeric, analytic).all() for _, analytic in modes)
        if wrong or self.conventions[k]:
            sides = self._sides(line, size, noise)
        for row, label in enumerate(self.labels):
            self._report(k, index, row, label, numeric, sides, modes)

    def _numeric(
        self,
        line: Callable[[float], Values],
        size: float,
        noise: Values,
        analytic: tuple[Values, Values],
    ) -> Estimate:
        """Try smaller and smaller first steps until the answer is precise, and keep the best."""
        numeric = central(line, [0.05 * size], noise)
        for step in (0.5 * size, 1e-3 * size, 1e-5 * size):
            precise = numeric.error <= 0.01 * self.tolerance * np.abs(numeric.value)
            agreed = self._agrees(numeric, analytic[0]) & self._agrees(numeric, analytic[1])
            vanished = (numeric.error <= 1e-9) & (numeric.value == 0)
            if np.all(agreed & (precise | vanished)):
                break
            numeric = numeric.better_of(central(line, [step], noise))
        return numeric

    def _agrees(self, numeric: Estimate, analytic: Values) -> Any:
        return _relative(analytic, numeric.value, numeric.error) <= self.tolerance

    def _sides(
        self, line: Callable[[float], Values], size: float, noise: Values
    ) -> tuple[Estimate, Estimate]:
        steps = [1e-2 * size, 1e-4 * size]
        return one_sided(line, steps, noise, -1), one_sided(line, steps, noise, 1)

    def _report(
        self,
        k: int,
        index: tuple[int, ...] | None,
        row: int,
        label: str,
        numeric: Estimate,
        sides: tuple[Estimate, Estimate] | None,
        modes: tuple[tuple[str, Values], ...],
    ) -> None:
        name = self.problem.names[k]
        apart = sides is not None and _differ(sides[0], sides[1], row, self.tolerance)
        between = False
        if apart and sides is not None:
            left, right = float(sides[0].value[row]), float(sides[1].value[row])
            analytic = float(modes[0][1][row])
            said = "; ".join(self.conventions[k]) or "within the step of the difference"
            self.kinks.append(KinkPoint(name, index, label, analytic, left, right, said))
            slack = _slack(sides, row, self.tolerance * abs(analytic))
            low, high = min(left, right) - slack, max(left, right) + slack
            # At a jump no difference means anything, and the record's convention stands.
            jump = bool(np.isinf([left, right]).any() and self.conventions[k])
            between = all(
                low <= float(values[row]) <= high or (jump and np.isfinite(values[row]))
                for _, values in modes
            )
        for mode, values in modes:
            relative = _relative(values[row], numeric.value[row], numeric.error[row])
            self.comparisons.append(
                Comparison(
                    name,
                    index,
                    label,
                    mode,
                    self.order,
                    float(values[row]),
                    float(numeric.value[row]),
                    float(numeric.step[row]),
                    float(numeric.error[row]),
                    float(relative),
                    between,
                )
            )


def _scales(value: Values) -> Values:
    """Return how far each entry may be moved: its own size, or the largest one's if it is 0."""
    size = np.abs(value)
    largest = float(np.max(size, initial=0.0)) or 1.0
    return np.where(size > 0, size, largest)


def _relative(analytic: Any, numeric: Any, error: Any) -> Any:
    """Return the difference beyond the numeric error over the larger one; infinite if undefined."""
    with np.errstate(all="ignore"):
        beyond = np.maximum(np.abs(analytic - numeric) - error, 0.0)
        larger = np.maximum(np.abs(analytic), np.abs(numeric))
        relative = np.where(beyond == 0, 0.0, beyond / larger)
    return np.where(np.isfinite(analytic) & np.isfinite(error), relative, np.inf)


def _slack(sides: tuple[Estimate, Estimate], row: int, least: float) -> float:
    """Return how far the one-sided derivatives of a component may be off; 0 at a jump."""
    errors = [float(side.error[row]) for side in sides if np.isfinite(side.value[row])]
    return max(least, *errors) if len(errors) == 2 and np.all(np.isfinite(errors)) else least


def _differ(left: Estimate, right: Estimate, row: int, tolerance: float) -> bool:
    """Whether one-sided derivatives disagree by more than they may be off."""
    a, b = float(left.value[row]), float(right.value[row])
    if not (np.isfinite(a) and np.isfinite(b)):
        return bool(np.isinf(a) or np.isinf(b))
    off = float(left.error[row] + right.error[row])
    return abs(a - b) > 10 * off + 10 * tolerance * max(abs(a), abs(b))
