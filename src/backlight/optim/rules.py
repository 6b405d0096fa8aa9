"""Update rules: how a gradient becomes the change of a parameter.

Each rule is the published one, written once as a function that builds graph nodes, so that it can
be run, compiled and explained.  θ is a parameter, g its gradient, η the learning rate and t the
number of the step, counted from 1; products and powers of vectors are entry by entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from backlight.errors import UsageError
from backlight.functions import maximum, sqrt
from backlight.optim.optimizer import Optimizer, Scalars, Tensors, count
from backlight.optim.options import NOT_NEGATIVE, POSITIVE, UNIT, Range, check_flag
from backlight.optim.schedules import Rate
from backlight.tensor import Tensor


def _named(tensor: Tensor, name: str) -> Tensor:
    tensor.name = name
    return tensor


def _average(old: Tensor, new: Tensor, keep: float, name: str) -> Tensor:
    """Move a running average: keep a part of the old one and take the rest from the new value."""
    return _named(keep * old + (1.0 - keep) * new, name)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

    Without momentum θ ← θ − η·g.  With momentum μ

    v ← μ·v + g,  θ ← θ − η·v

    (Polyak, "Some methods of speeding up the convergence of iteration methods", 1964), and in
    Nesterov's form θ ← θ − η·(g + μ·v) (Nesterov 1983; Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013).  Sutskever et al. keep η·v instead of v;
    the two are the same as long as η does not change.

    Parameters
    ----------
    learning_rate : float or callable
        η > 0, or a schedule.
    momentum : float
        μ, from 0 to below 1.
    nesterov : bool
        Whether to use Nesterov's form; it needs a momentum.
    weight_decay, clip
        See `Optimizer`.

    Examples
    --------
    >>> import backlight as bl
    >>> opt = SGD(0.1, momentum=0.9)
    >>> w = {"w": bl.tensor(1.0)}
    >>> new, state = opt.update(w, {"w": bl.tensor(2.0)}, opt.initial_state(w), step=bl.tensor(0))
    >>> new["w"].item(), state["v"]["w"].item()
    (0.8, 2.0)
    """

    ranges: ClassVar[dict[str, Range]] = {"momentum": UNIT}
    learning_rate: Rate = 1e-2
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "nesterov")
        if self.nesterov and not self.momentum:
            raise UsageError("SGD: nesterov=True needs a momentum above 0, such as 0.9.")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("v",) if self.momentum else ()

    def change(self, g: Tensor, slots: Tensors, scalars: Scalars) -> tuple[Tensor, Tensors]:
        descent = scalars.get("descent", g.dtype)
        if not self.momentum:
            return descent * g, {}
        momentum = float(self.momentum)
        v = _named(momentum * slots["v"] + g, "v")
        ahead = g + momentum * v if self.nesterov else v
        return descent * ahead, {"v": v}


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moments.

    m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,
    m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ),
    θ ← θ − η·m̂ / (√v̂ + ε)

    Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Parameters
    ----------
    learning_rate : float or callable
        η > 0, or a schedule.
    beta1, beta2 : float
        β₁ and β₂, from 0 to below 1.
    epsilon : float
        ε > 0.
    weight_decay, clip
        See `Optimizer`.

    Examples
    --------
    >>> import backlight as bl
    >>> opt = Adam(0.1)
    >>> w = {"w": bl.tensor(1.0)}
    >>> new, _ = opt.update(w, {"w": bl.tensor(2.0)}, opt.initial_state(w), step=bl.tensor(0))
    >>> round(new["w"].item(), 6)
    0.9
    """

    ranges: ClassVar[dict[str, Range]] = {"beta1": UNIT, "beta2": UNIT, "epsilon": POSITIVE}
    learning_rate: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    @property
    def slots(self) -> tuple[str, ...]:
        return ("m", "v")

    def scalars(self, step: Tensor) -> Tensors:
        t = count(step)
        return {
            "correction1": _named(1.0 - float(self.beta1) ** t, "correction1"),
            "correction2": _named(1.0 - float(self.beta2) ** t, "correction2"),
        }

    def change(self, g: Tensor, slots: Tensors, scalars: Scalars) -> tuple[Tensor, Tensors]:
        m = _average(slots["m"], g, float(self.beta1), "m")
        v = _average(slots["v"], g * g, float(self.beta2), "v")
        m_hat = _named(m / scalars.get("correction1", g.dtype), "m_hat")
        v_hat = _named(v / scalars.get("correction2", g.dtype), "v_hat")
        direction = m_hat / (sqrt(v_hat) + float(self.epsilon))
        return scalars.get("descent", g.dtype) * direction, {"m": m, "v": v}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with a weight decay of its own, which the running averages do not see.

    θ ← θ − η·(m̂ / (√v̂ + ε) + λ·θ), with m̂ and v̂ as in `Adam`

    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.  There the
    decay is multiplied by the schedule but not by the first learning rate α, so that the paper's
    λ is α·λ here; multiplying by the whole learning rate is what other libraries do.

    Parameters
    ----------
    learning_rate : float or callable
        η > 0, or a schedule.
    beta1, beta2 : float
        β₁ and β₂, from 0 to below 1.
    epsilon : float
        ε > 0.
    weight_decay : float
        λ.
    clip
        See `Optimizer`.

    Examples
    --------
    >>> import backlight as bl
    >>> opt = AdamW(0.1, weight_decay=0.5)
    >>> w = {"w": bl.tensor(1.0)}
    >>> new, _ = opt.update(w, {"w": bl.tensor(0.0)}, opt.initial_state(w), step=bl.tensor(0))
    >>> new["w"].item()
    0.95
    """

    weight_decay: float = field(default=1e-2, kw_only=True)

    @property
    def coupled_decay(self) -> float:
        return 0.0

    def decay(self, change: Tensor, parameter: Tensor, scalars: Scalars) -> Tensor:
        if not self.weight_decay:
            return change
        pull = _named(float(self.weight_decay) * parameter, "decay")
        return change + scalars.get("descent", parameter.dtype) * pull


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Gradients divided by the root of a running average of their squares.

    v ← ρ·v + (1 − ρ)·g²,  θ ← θ − η·g / (√v + ε)

    Hinton, "Neural networks for machine learning", lecture 6e (2012), which has no ε.  Centered,
    the root is √(v − m²) with m ← ρ·m + (1 − ρ)·g, an estimate of the standard deviation (Graves,
    "Generating sequences with recurrent neural networks", 2013, equations 38 to 41, whose ε is
    inside the root); rounding cannot make it negative here.  With a momentum μ
    u ← μ·u + g / (√v + ε),  θ ← θ − η·u.

    Parameters
    ----------
    learning_rate : float or callable
        η > 0, or a schedule.
    rho : float
        ρ, from 0 to below 1.
    epsilon : float
        ε > 0.
    momentum : float
        μ, from 0 to below 1.
    centered : bool
        Whether to subtract the square of the mean gradient.
    weight_decay, clip
        See `Optimizer`.

    Examples
    --------
    >>> import backlight as bl
    >>> opt = RMSprop(0.1, rho=0.75)
    >>> w = {"w": bl.tensor(1.0)}
    >>> new, state = opt.update(w, {"w": bl.tensor(2.0)}, opt.initial_state(w), step=bl.tensor(0))
    >>> round(new["w"].item(), 6), state["v"]["w"].item()
    (0.8, 1.0)
    """

    ranges: ClassVar[dict[str, Range]] = {"rho": UNIT, "epsilon": POSITIVE, "momentum": UNIT}
    learning_rate: Rate = 1e-3
    rho: float = 0.9
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "centered")

    @property
    def slots(self) -> tuple[str, ...]:
        mean = ("m",) if self.centered else ()
        velocity = ("u",) if self.momentum else ()
        return ("v", *mean, *velocity)

    def change(self, g: Tensor, slots: Tensors, scalars: Scalars) -> tuple[Tensor, Tensors]:
        rho = float(self.rho)
        v = _average(slots["v"], g * g, rho, "v")
        new, variance = {"v": v}, v
        if self.centered:
            m = _average(slots["m"], g, rho, "m")
            variance = _named(maximum(v - m * m, 0.0), "variance")
            new["m"] = m
        direction = g / (sqrt(variance) + float(self.epsilon))
        if self.momentum:
            direction = _named(float(self.momentum) * slots["u"] + direction, "u")
            new["u"] = direction
        return scalars.get("descent", g.dtype) * direction, new


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares so far.

    s ← s + g²,  θ ← θ − η·g / (√s + ε)

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization" (2011), with diagonal matrices; ε is their δ.

    Parameters
    ----------
    learning_rate : float or callable
        η > 0, or a schedule.
    initial : float
        What s starts with.
    epsilon : float
        ε > 0.
    weight_decay, clip
        See `Optimizer`.

    Examples
    --------
    >>> import backlight as bl
    >>> opt = Adagrad(0.1)
    >>> w = {"w": bl.tensor(1.0)}
    >>> new, state = opt.update(w, {"w": bl.tensor(2.0)}, opt.initial_state(w), step=bl.tensor(0))
    >>> round(new["w"].item(), 6), state["s"]["w"].item()
    (0.9, 4.0)
    """

    ranges: ClassVar[dict[str, Range]] = {"initial": NOT_NEGATIVE, "epsilon": POSITIVE}
    learning_rate: Rate = 1e-2
    initial: float = 0.0
    epsilon: float = 1e-10

    @property
    def slots(self) -> tuple[str, ...]:
        return ("s",)

    def slot_start(self, slot: str) -> float:
        return float(self.initial)

    def change(self, g: Tensor, slots: Tensors, scalars: Scalars) -> tuple[Tensor, Tensors]:
        s = _named(slots["s"] + g * g, "s")
        direction = g / (sqrt(s) + float(self.epsilon))
        return scalars.get("descent", g.dtype) * direction, {"s": s}


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Changes of about the size of earlier changes, whatever the size of the gradients.

    v ← ρ·v + (1 − ρ)·g²,  δ = g·√(u + ε) / √(v + ε),
    u ← ρ·u + (1 − ρ)·δ²,  θ ← θ − η·δ

    Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1, where η is 1.

    Parameters
    ----------
    learning_rate : float or callable
        η > 0, or a schedule.
    rho : float
        ρ, from 0 to below 1.
    epsilon : float
        ε > 0; it also sets the size of the first changes.
    weight_decay, clip
        See `Optimizer`.

    Examples
    --------
    >>> import backlight as bl
    >>> opt = Adadelta()
    >>> w = {"w": bl.tensor(1.0)}
    >>> new, _ = opt.update(w, {"w": bl.tensor(2.0)}, opt.initial_state(w), step=bl.tensor(0))
    >>> round(new["w"].item(), 6)
    0.996838
    """

    ranges: ClassVar[dict[str, Range]] = {"rho": UNIT, "epsilon": POSITIVE}
    learning_rate: Rate = 1.0
    rho: float = 0.9
    epsilon: float = 1e-6

    @property
    def slots(self) -> tuple[str, ...]:
        return ("v", "u")

    def change(self, g: Tensor, slots: Tensors, scalars: Scalars) -> tuple[Tensor, Tensors]:
        rho, epsilon = float(self.rho), float(self.epsilon)
        v = _average(slots["v"], g * g, rho, "v")
        delta = _named(sqrt(slots["u"] + epsilon) / sqrt(v + epsilon) * g, "delta")
        u = _average(slots["u"], delta * delta, rho, "u")
        return scalars.get("descent", g.dtype) * delta, {"v": v, "u": u}
