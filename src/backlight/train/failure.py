"""Why training had to stop: the first value of a step that is not finite, by name and place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backlight.explain.nonfinite import NonFinite, find_nonfinite
from backlight.graph.primitive import Array
from backlight.train.run import ReplayedStep

_GRADIENT = "the first gradient"


def cause(replayed: ReplayedStep, *, gradients: bool) -> str:
    """Say which value or gradient of a step is the first that is not finite.

    Parameters
    ----------
    replayed : ReplayedStep
    gradients : bool
        Look at the backward pass too.

    Returns
    -------
    str
        A clause without a full stop; empty when everything is finite.
    """
    found = find_nonfinite(replayed.loss, gradients=gradients)
    return "" if found is None else clause(found, replayed.rows)


def clause(found: NonFinite, rows: Array) -> str:
    """Write a finding as one clause, with the position of the example among all examples."""
    entry = f"{found.name}[{', '.join(map(str, found.index))}]" if found.index else found.name
    backward = found.phase == "backward"
    text = (
        f"{_GRADIENT if backward else 'the first value'} that is not finite is "
        f"{'that of ' if backward else ''}{entry} = {found.value:g}"
    )
    if not found.leaf or backward:
        operands = ", ".join(map(str, found.operands))
        text += f", made by {found.operation}{f' from {operands}' if operands else ''}"
    alone = len(rows) == 1 and not found.leaf  # a batch of one example has no axis for it
    example = 0 if alone else found.example
    if example is not None and example < len(rows):
        text += f", for example {rows[example]}"
    return text if found.location is None else f"{text} ({found.location})"


def spoilt(parameters: Mapping[str, Array]) -> str:
    """Say which parameter is not finite, in a clause."""
    for name, value in parameters.items():
        finite = np.isfinite(value)
        if not finite.all():
            found = np.unravel_index(int(np.argmin(finite)), value.shape)
            index = f"[{', '.join(str(k) for k in found)}]" if found else ""
            return f"its gradients are finite, and its update made {name}{index} = {value[found]:g}"
    return ""


def message(what: str, step: int, epoch: int, batch: int, reason: str, learning_rate: float) -> str:
    """Write the one sentence that says where training stopped, why, and what may help."""
    because = f": {reason}" if reason else ""
    # At the first step nothing was learned yet: no learning rate is to blame.
    if step == 0 and what == "the loss":
        return (
            f"Training stopped because {what} is not finite at the first step{because}; the "
            f"network keeps its starting parameters."
        )
    kept = f"its last finite parameters, and a learning rate lower than {learning_rate:g} may help"
    if step == 0 and reason.startswith(_GRADIENT):
        kept = "its starting parameters"
    return (
        f"Training stopped because {what} is no longer finite at step {step} (epoch {epoch}, "
        f"batch {batch}){because}; the network keeps {kept}."
    )
