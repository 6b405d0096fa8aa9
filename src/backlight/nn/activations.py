"""Activations, as functions and as modules.

The functions come from `backlight.functions.activations`; each module holds the options of one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from numpy.typing import ArrayLike

from backlight.functions.activations import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from backlight.nn.module import Module
from backlight.tensor import Tensor

__all__ = [
    "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh", "softmax",
    "log_softmax",
    "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "Sigmoid", "Tanh", "Softmax",
    "LogSoftmax",
]  # fmt: skip


class Activation(Module):
    """An activation as a module: no parameters, only options."""

    rectifying: ClassVar[bool] = False
    """Whether layers before it start from He et al. 2015 in a `Sequential`."""

    def configuration(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # all are dataclasses


@dataclass(frozen=True, eq=False, repr=False)
class ReLU(Activation):
    """The module of `relu`."""

    rectifying: ClassVar[bool] = True

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return relu(x)


@dataclass(frozen=True, eq=False, repr=False)
class LeakyReLU(Activation):
    """The module of `leaky_relu`."""

    rectifying: ClassVar[bool] = True
    slope: float = 0.01

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return leaky_relu(x, self.slope)


@dataclass(frozen=True, eq=False, repr=False)
class ELU(Activation):
    """The module of `elu`."""

    rectifying: ClassVar[bool] = True
    alpha: float = 1.0

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return elu(x, self.alpha)


@dataclass(frozen=True, eq=False, repr=False)
class GELU(Activation):
    """The module of `gelu`."""

    rectifying: ClassVar[bool] = True
    approximate: Literal["none", "tanh"] = "none"

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return gelu(x, self.approximate)


@dataclass(frozen=True, eq=False, repr=False)
class SiLU(Activation):
    """The module of `silu`."""

    rectifying: ClassVar[bool] = True

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return silu(x)


@dataclass(frozen=True, eq=False, repr=False)
class Softplus(Activation):
    """The module of `softplus`."""

    rectifying: ClassVar[bool] = True

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return softplus(x)


@dataclass(frozen=True, eq=False, repr=False)
class Sigmoid(Activation):
    """The module of `sigmoid`."""

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return sigmoid(x)


@dataclass(frozen=True, eq=False, repr=False)
class Tanh(Activation):
    """The module of `tanh`."""

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return tanh(x)


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Activation):
    """The module of `softmax`."""

    axis: int = -1

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return softmax(x, self.axis)


@dataclass(frozen=True, eq=False, repr=False)
class LogSoftmax(Activation):
    """The module of `log_softmax`."""

    axis: int = -1

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        return log_softmax(x, self.axis)


_RECTIFYING = (relu, leaky_relu, elu, gelu, silu, softplus)


def is_rectifying(activation: object) -> bool:
    """Tell whether an activation, module or function, is of the ReLU family.

    Examples
    --------
    >>> is_rectifying(GELU()), is_rectifying(relu), is_rectifying(tanh)
    (True, True, False)
    """
    if isinstance(activation, Activation):
        return activation.rectifying
    return any(activation is each for each in _RECTIFYING)
