"""The functions that a formula may call.

They are the elementwise primitives and reductions of the registry of the moment, a few of their
common names, and the activations that are made of several primitives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import numpy as np

from backlight.errors import BacklightError
from backlight.functions import activations
from backlight.graph.primitive import Kind, Primitive, Spec
from backlight.ops import registry
from backlight.ops.exponential import LOG, SIGMOID
from backlight.ops.piecewise import MAXIMUM, MINIMUM, SIGN
from backlight.ops.trigonometric import ACOS, ASIN, ATAN
from backlight.tensor import Tensor

_ALIASES: Mapping[str, Primitive] = {
    "ln": LOG,
    "sigma": SIGMOID,
    "σ": SIGMOID,
    "max": MAXIMUM,
    "min": MINIMUM,
    "sgn": SIGN,
    "arcsin": ASIN,
    "arccos": ACOS,
    "arctan": ATAN,
}
_LETTERS = frozenset({"sigma", "σ"})  # also common names of variables
MEAN = "mean"
COMPOSITES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "elu": activations.elu,
    "gelu": activations.gelu,
    "leaky_relu": activations.leaky_relu,
    "log_softmax": activations.log_softmax,
    "silu": activations.silu,
    "softmax": activations.softmax,
    "softplus": activations.softplus,
}


def function_names() -> tuple[str, ...]:
    """Return the names of all functions that a formula may call, sorted.

    Examples
    --------
    >>> "tanh" in function_names()
    True
    """
    usable = (name for name, primitive in registry().items() if arity(primitive) is not None)
    return tuple(sorted({*usable, *_ALIASES, *COMPOSITES, MEAN}))


def functions_named(name: str) -> list[Primitive]:
    """Return what a name may call; ``max`` is one of two values and of all entries of one."""
    found = [_ALIASES.get(name), registry().get(name)]
    kinds = (Kind.ELEMENTWISE, Kind.REDUCE)
    return [each for each in found if each is not None and each.kind in kinds]


def is_reserved(name: str) -> bool:
    """Tell whether a name is a function's and cannot be a variable's."""
    return name not in _LETTERS and (name in COMPOSITES or bool(functions_named(name)))


def accepts(primitive: Primitive, count: int) -> bool:
    """Tell whether a primitive takes so many values and needs nothing else."""
    if primitive.kind is Kind.REDUCE:
        return count == 1
    parameters = inspect.signature(primitive.specify).parameters.values()
    variable = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    needed = [
        each
        for each in parameters
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if not count or (not variable and count != len(needed)):
        return False
    for dtype in (np.float64, np.bool_, np.int64):
        try:
            primitive.specify(*[Spec((), np.dtype(dtype))] * count)
        except (BacklightError, TypeError, ValueError, LookupError):
            continue
        return True
    return False


def arity(primitive: Primitive) -> int | None:
    """Return how many values a primitive takes, or None when a formula cannot call it."""
    if primitive.kind not in (Kind.ELEMENTWISE, Kind.REDUCE):
        return None
    return next((count for count in range(1, 5) if accepts(primitive, count)), None)
