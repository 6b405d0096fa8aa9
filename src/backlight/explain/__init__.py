"""Explaining: why a derivative is the number that it is, in symbols, in numbers, path by path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from backlight.errors import GradientError, ShapeError, UnknownNameError, UsageError
from backlight.late import import_late
from backlight.record import Trace, trace_of
from backlight.tensor import Tensor
from backlight.trace import capture

if TYPE_CHECKING:
    from backlight.explain.derivation import Derivation
    from backlight.explain.numeric import NumericCheck
    from backlight.explain.paths import Path, Paths
else:
    import_late(
        __name__,
        {
            "backlight.explain.derivation": ("Derivation",),
            "backlight.explain.numeric": ("NumericCheck",),
            "backlight.explain.paths": ("Path", "Paths"),
        },
    )

__all__ = ["Derivation", "NumericCheck", "Path", "Paths", "explain"]

_WEIGHT = re.compile(r"^(?P<name>[^\[\]]+?)\s*(?:\[(?P<index>[\d\s,\-]*)\])?$")


def parse_weight(text: str) -> tuple[str, tuple[int, ...] | None]:
    """Split ``layers.0.weight[3,1]`` into a name and an index.

    Raises
    ------
    UsageError
        When the text has another form.

    Examples
    --------
    >>> parse_weight("layers.0.weight[3,1]")
    ('layers.0.weight', (3, 1))
    """
    match = _WEIGHT.match(text.strip())
    parts = [] if match is None or match["index"] is None else match["index"].split(",")
    if match is None or any(not re.fullmatch(r"\s*-?\d+\s*", part) for part in parts):
        raise UsageError(
            f"{text!r} is not a weight; write its name and, for one entry, its index, as in "
            f"layers.0.weight[3,1]."
        )
    index = tuple(int(part) for part in parts) if match["index"] is not None else None
    return match["name"].strip(), index


def explain(
    loss: Tensor | Trace,
    target: Any = None,
    *,
    index: tuple[int, ...] | int | None = None,
    weight: str | None = None,
    fold: bool = True,
) -> Any:
    """Explain why a derivative is the number that it is.

    Parameters
    ----------
    loss : Tensor or Trace
        A scalar with a value, or a recorded run.
    target : Tensor, str or network
        What to differentiate by: a tensor of the computation, a node's name, or a network together
        with ``weight``.
    index : tuple of int, optional
        One entry of the target, counted from 0.
    weight : str, optional
        A parameter's name with an optional index, ``layers.0.weight[3,1]``.
    fold : bool
        Show composites such as a softmax as one step; False opens them.

    Returns
    -------
    Derivation
        For one scalar.
    TensorDerivation
        For a whole tensor.

    Raises
    ------
    UnknownNameError
        When no tensor of that name is part of the computation.
    ShapeError
        When the index is out of range.
    GradientError
        When no gradient reaches the target.

    Examples
    --------
    >>> import backlight as bl
    >>> w, x, y = bl.param(1.0, name="w"), bl.tensor(1.0, name="x"), bl.tensor(2.0, name="y")
    >>> s = w * x - y
    >>> print(bl.explain(s**2, w).title)
    ∂L/∂w = −2
    """
    if weight is not None:
        name, parsed = parse_weight(weight)
        if index is not None and parsed is not None:
            raise UsageError("Give the index either in weight= or in index=, not in both.")
        index = parsed if index is None else index
        trace = trace_of(loss)
        node = trace.graph.index(name)
    elif isinstance(target, Tensor):
        if target.dtype.kind != "f":
            raise GradientError(
                f"{target.name or 'The target'} is {target.dtype}, and only floating-point numbers "
                f"carry a gradient."
            )
        trace, node = _find(loss, target)
    elif isinstance(target, str):
        trace = trace_of(loss)
        node = trace.graph.index(target)
    else:
        raise UsageError(
            "bl.explain needs a tensor, a node's name, or a network with weight='name[index]'."
        )
    found = trace.graph.nodes[node]
    if trace.gradients[node] is None:
        raise GradientError(
            f"No gradient of the loss reaches {found.name}; bl.why_no_grad says why."
        )
    if index is None and found.shape != ():
        from backlight.explain.whole import TensorDerivation

        return TensorDerivation(trace, node, fold)
    from backlight.explain.derivation import Derivation
    from backlight.explain.entries import Entry

    return Derivation(trace, Entry(node, flat_index(found.name, found.shape, index)), fold)


def flat_index(name: str, shape: tuple[int, ...], index: tuple[int, ...] | int | None) -> int:
    """Return the row-major position of an index, or raise with the ranges that exist."""
    places = () if index is None else (index,) if isinstance(index, int) else tuple(index)
    if not all(isinstance(each, (int, np.integer)) for each in places):
        raise UsageError(f"An index is made of whole numbers, not {index!r}.")
    if len(places) != len(shape):
        raise ShapeError(
            f"{name} has shape {shape}, so one entry is chosen by {len(shape)} "
            f"number{'s'[: len(shape) != 1]}, not {len(places)}."
        )
    for axis, (place, size) in enumerate(zip(places, shape, strict=True)):
        if not -size <= place < size:
            raise ShapeError(
                f"Index {place} is out of range for axis {axis} of {name}, which has "
                f"{f'{size} entries (0 to {size - 1})' if size else 'no entries'}."
            )
    positive = tuple(place % size for place, size in zip(places, shape, strict=True))
    return int(np.ravel_multi_index(positive, shape)) if shape else 0


def _check_reached(loss: Tensor, target: Tensor) -> None:
    """Raise with the place where every path from a tensor to the loss ends."""
    from backlight.explain.no_grad import why_no_grad

    found = why_no_grad(loss, target)
    if found.kind in ("cut", "integer path", "no rule"):
        raise GradientError(found.sentence)


def _find(loss: Tensor | Trace, target: Tensor) -> tuple[Trace, int]:
    """Return a trace of the loss that reaches a tensor, and the tensor's node."""
    if isinstance(loss, Trace):
        if target.name is None:
            raise UsageError("In a trace a tensor is chosen by its name; pass the name.")
        return loss, loss.graph.index(target.name)
    _, tensors = capture([loss])
    for node, each in enumerate(tensors):
        if each is target:
            try:
                trace = trace_of(loss, target)
            except GradientError:  # the loss is no scalar, or depends on no parameter
                _check_reached(loss, target)
                raise
            if trace.gradients[node] is None:
                _check_reached(loss, target)
            return trace, node
    raise UnknownNameError(
        f"{target.name or 'That tensor'} is no part of the computation of "
        f"{loss.name or 'the loss'}; bl.why_no_grad says more."
    )
