"""Why training had to stop: the first value of a step that is not finite, by name and place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backlight.graph.primitive import Array
from backlight.tensor import Tensor
from backlight.trace import capture


def first_nonfinite(loss: Tensor) -> str:
    """Say which value of a computation is the first that is not finite.

    Parameters
    ----------
    loss : Tensor
        With a value.

    Returns
    -------
    str
        A clause without a full stop; empty when everything is finite.

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.tensor import quiet
    >>> w = bl.param([1.0, 0.0], name="w")
    >>> with quiet():
    ...     ratio = 1.0 / w
    >>> first_nonfinite(ratio)
    'the first value that is not finite is ratio[1] = inf, the result of div (...)'
    """
    graph, tensors = capture([loss])
    for node, each in zip(graph.nodes, tensors, strict=True):
        value = each.value
        if value.dtype.kind != "f" or np.isfinite(value).all():
            continue
        found = np.unravel_index(int(np.argmin(np.isfinite(value))), value.shape)
        index = f"[{', '.join(str(k) for k in found)}]" if found else ""
        source = "" if node.is_leaf else f", the result of {node.primitive.name}"
        place = f" ({node.location})" if node.location is not None else ""
        return (
            f"the first value that is not finite is {node.name}{index} = {value[found]:g}"
            f"{source}{place}"
        )
    return ""


def first_spoilt(parameters: Mapping[str, Array]) -> str:
    """Say which parameter is not finite any more, in a clause."""
    for name, value in parameters.items():
        finite = np.isfinite(value)
        if not finite.all():
            found = np.unravel_index(int(np.argmin(finite)), value.shape)
            index = f"[{', '.join(str(k) for k in found)}]" if found else ""
            return f"the update made {name}{index} = {value[found]:g}"
    return ""


def message(what: str, step: int, epoch: int, batch: int, cause: str, learning_rate: float) -> str:
    """Write the one sentence that says where training stopped, why, and what may help."""
    because = f": {cause}" if cause else ""
    return (
        f"Training stopped because {what} is no longer finite at step {step} (epoch {epoch}, "
        f"batch {batch}){because}; the network keeps its last finite parameters, and a learning "
        f"rate lower than {learning_rate:g} may help."
    )
