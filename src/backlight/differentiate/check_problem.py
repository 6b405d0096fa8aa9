"""What a gradient check works on: the variables of a computation and how to record it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backlight.differentiate.numeric import Line, Values
from backlight.differentiate.reverse import sweep
from backlight.differentiate.shadow import shadow
from backlight.errors import GradientError, UsageError
from backlight.graph.pytree import flatten, unflatten
from backlight.ops.compose import reshape
from backlight.ops.convert import IDENTITY
from backlight.ops.leaf import INPUT
from backlight.ops.move import CONCAT
from backlight.ops.piecewise import ZEROS_LIKE
from backlight.tensor import Tensor, leaf, literal, quiet, record
from backlight.trace import argument_names, as_output

Recorder = Callable[[Sequence[Tensor]], list[Tensor]]
"""Records the computation on given variables and returns its outputs."""


@dataclass(frozen=True)
class Problem:
    """A computation to check: its variables and how to record it on others."""

    names: list[str]
    values: list[Values]
    recorder: Recorder

    def record(self, values: Sequence[Values]) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs, joined to one float64 vector, and the variables."""
        variables = []
        for name, value in zip(self.names, values, strict=True):
            start = leaf(INPUT, literal(value).spec, value.copy(), name)
            variable = record(IDENTITY, (start,))
            variable.name = name
            variables.append(variable)
        with quiet():
            outputs = shadow(self.recorder(variables))
            lined = [reshape(each, (each.size,)) for each in outputs]
            joined = lined[0] if len(lined) == 1 else record(CONCAT, lined, {"axis": 0})
        return joined, variables

    def line(self, directions: Sequence[Values | None], weights: Values) -> Line:
        """Return the weighted outputs along a line through the point."""

        def at(t: float) -> Values:
            moved = [
                value if direction is None else value + t * direction
                for value, direction in zip(self.values, directions, strict=True)
            ]
            with np.errstate(all="ignore"):
                result: Values = weights @ self.record(moved)[0].value
            return result

        return at

    def gradient(self, weights: Values) -> Problem:
        """Return the problem of checking the gradient of one combination of the outputs."""

        def recorder(variables: Sequence[Tensor]) -> list[Tensor]:
            outputs = shadow(self.recorder(variables))
            seeds = []
            start = 0
            for each in outputs:
                part = weights[start : start + each.size].reshape(each.shape)
                seeds.append(literal(part))
                start += each.size
            done = sweep(outputs, seeds, wrt=variables)
            found = [done.gradient(each) for each in variables]
            return [
                record(ZEROS_LIKE, (variable,)) if gradient is None else gradient
                for gradient, variable in zip(found, variables, strict=True)
            ]

        return replace(self, recorder=recorder)


def function_problem(
    function: Callable[..., Any], arguments: tuple[Any, ...], argnums: int | Sequence[int] | None
) -> Problem:
    """Return the problem of checking a function at its arguments; see `check_gradients`."""
    count = len(arguments)
    listed = range(count) if argnums is None else np.atleast_1d(np.asarray(argnums)).tolist()
    if any(not isinstance(each, int) or not -count <= each < count for each in listed):
        raise UsageError(
            f"check_gradients: argnums={argnums!r} names an argument that is not there; the "
            f"function was called with {count}."
        )
    chosen = {each % count for each in listed}
    leaves, tree = flatten(tuple(arguments))
    names = [name for group in argument_names(function, arguments) for name in group]
    owner = [k for k, each in enumerate(arguments) for _ in flatten(each)[0]]
    passed = [each.value if isinstance(each, Tensor) else each for each in leaves]
    places = [
        k
        for k, each in enumerate(passed)
        if owner[k] in chosen and np.asarray(each).dtype.kind == "f"
    ]
    if not places or (argnums is not None and {owner[k] for k in places} != chosen):
        raise GradientError(
            "check_gradients found no floating-point numbers in an argument that it should "
            "check; pass floats, such as 2.0 instead of 2."
        )
    fixed = [literal(each) if isinstance(each, np.ndarray) else each for each in passed]

    def recorder(variables: Sequence[Tensor]) -> list[Tensor]:
        filled = list(fixed)
        for place, variable in zip(places, variables, strict=True):
            filled[place] = variable
        outputs = [as_output(each) for each in flatten(function(*unflatten(tree, filled)))[0]]
        floating = [each for each in outputs if each.dtype.kind == "f"]
        if not floating:
            raise GradientError("check_gradients needs a function with a floating-point result.")
        return floating

    values = [np.array(passed[k], np.float64) for k in places]
    return Problem([names[k] for k in places], values, recorder)


def loss_problem(loss: Tensor, parameters: Mapping[str, Tensor]) -> Problem:
    """Return the problem of checking a recorded loss; see `check_loss`."""
    chosen = {name: each for name, each in parameters.items() if each.dtype.kind == "f"}
    if not chosen or loss.dtype.kind != "f":
        raise GradientError("check_loss needs a floating-point loss and floating-point parameters.")
    originals = list(chosen.values())

    def recorder(variables: Sequence[Tensor]) -> list[Tensor]:
        return shadow([loss], dict(zip(originals, variables, strict=True)))

    values = [np.array(each.value, np.float64) for each in originals]
    return Problem(list(chosen), values, recorder)
