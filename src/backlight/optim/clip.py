"""Clipping: gradients that are too large are made smaller before an optimizer uses them.

Both ways take the gradients of all parameters by name and give them back under the same names,
as graph nodes named ``g_clipped``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from backlight.functions import astype, maximum, minimum, sqrt
from backlight.functions import sum as sum_of
from backlight.graph.scope import open_scope
from backlight.optim.options import POSITIVE, Json, Range, check_ranges, to_dict
from backlight.tensor import FLOAT64, Tensor, as_tensor, literal


@dataclass(frozen=True)
class Clip(ABC):
    """The base of all ways of clipping.

    Parameters
    ----------
    limit : float
        The largest value that is left as it is.
    """

    ranges: ClassVar[dict[str, Range]] = {"limit": POSITIVE}
    limit: float

    def __post_init__(self) -> None:
        check_ranges(self, self.ranges)

    @abstractmethod
    def __call__(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the clipped gradients.

        Parameters
        ----------
        gradients : mapping of str to Tensor
            The gradient of each parameter.

        Returns
        -------
        dict of str to Tensor
            Of the same shapes and dtypes.
        """

    def to_dict(self) -> Json:
        """Return it as plain JSON; `backlight.optim.from_dict` reads it."""
        return to_dict(self)


@dataclass(frozen=True)
class ByValue(Clip):
    """Clip each entry of each gradient to the interval from −limit to limit.

    gᵢ ← min(max(gᵢ, −limit), limit)

    Examples
    --------
    >>> import backlight as bl
    >>> ByValue(1.0)({"w": bl.tensor([-3.0, 0.5, 2.0])})["w"]
    Tensor([-1. ,  0.5,  1. ], name='g_clipped')
    """

    def __call__(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        limit = float(self.limit)
        clipped = {}
        for name, gradient in gradients.items():
            with open_scope(name, "module"):
                clipped[name] = minimum(maximum(gradient, -limit), limit)
                clipped[name].name = "g_clipped"
        return clipped


@dataclass(frozen=True)
class ByNorm(Clip):
    """Scale all gradients together so that their common length is at most a limit.

    g ← g · limit / max(‖g‖, limit), with ‖g‖ = √(Σ gᵢ²) over the entries of all parameters

    This is min(1, limit/‖g‖) without a division by zero, so that zero gradients stay zero.  Its
    direction does not change.  Pascanu, Mikolov and Bengio, "On the difficulty of training
    recurrent neural networks" (2013), algorithm 1.  The squares are added in float64, where those
    of float32 gradients cannot overflow; a gradient that is not finite makes all of them NaN or
    zero, as a length that is not finite must.

    Examples
    --------
    >>> import backlight as bl
    >>> ByNorm(1.0)({"w": bl.tensor([3.0]), "b": bl.tensor([4.0])})
    {'w': Tensor([0.6], name='g_clipped'), 'b': Tensor([0.8], name='g_clipped')}
    """

    def __call__(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        limit = float(self.limit)
        norm = global_norm(gradients)
        factor = limit / maximum(norm, limit)
        factor.name = "clip_factor"
        factors = {
            dtype: astype(factor, dtype)
            for dtype in dict.fromkeys(each.dtype for each in gradients.values())
        }
        clipped = {}
        for name, gradient in gradients.items():
            with open_scope(name, "module"):
                clipped[name] = gradient * factors[gradient.dtype]
                clipped[name].name = "g_clipped"
        return clipped


def global_norm(gradients: Mapping[str, Tensor]) -> Tensor:
    """Return the Euclidean length of all gradients taken as one vector.

    Parameters
    ----------
    gradients : mapping of str to Tensor

    Returns
    -------
    Tensor of shape () and dtype float64
        Added up in the order of the sorted names, so that it does not depend on theirs.

    Examples
    --------
    >>> import backlight as bl
    >>> global_norm({"w": bl.tensor([3.0, 0.0]), "b": bl.tensor(4.0)}).item()
    5.0
    """
    total: Tensor | None = None
    for name in sorted(gradients):
        with open_scope(name, "module"):
            wide = astype(as_tensor(gradients[name]), FLOAT64)
            squares = sum_of(wide * wide)
        total = squares if total is None else total + squares
    norm = sqrt(literal(0.0, FLOAT64) if total is None else total)
    norm.name = "g_norm"
    return norm
