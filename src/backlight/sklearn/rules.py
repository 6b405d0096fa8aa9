"""scikit-learn's update rules as graph nodes, with every option a number given at run time.

Because the options are inputs of the graph, one compiled program serves every learning rate,
penalty and momentum: a search over them compiles nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backlight.functions import astype, sqrt
from backlight.graph.primitive import Dtype
from backlight.tensor import FLOAT64, Tensor

Scalars = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rule:
    """How gradients become changes.

    Attributes
    ----------
    adaptive : bool
        Adam; otherwise gradient descent with momentum.
    """

    adaptive: bool

    @property
    def slots(self) -> tuple[str, ...]:
        """The running averages that are kept for each parameter."""
        return ("m", "v") if self.adaptive else ("velocity",)

    @property
    def options(self) -> tuple[str, ...]:
        """The numbers that the rule needs beside the learning rate."""
        if self.adaptive:
            return ("beta_1", "beta_2", "epsilon")
        return ("momentum", "nesterovs_momentum")

    def scalars(self, rate: Tensor, step: Tensor, options: Scalars, dtype: Dtype) -> Scalars:
        """Build the scalars of one step, in float64 and cast once.

        For Adam the rate is η·√(1 − β₂ᵗ)/(1 − β₁ᵗ), with ε added to √v as it is: the order of
        computation that D. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015),
        give at the end of section 2.
        """
        made = dict(options)
        if self.adaptive:
            t = astype(step, FLOAT64) + 1.0
            beta_1, beta_2 = options["beta_1"], options["beta_2"]
            rate = rate * sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)
            made |= {"rest_1": 1.0 - beta_1, "rest_2": 1.0 - beta_2}
        else:
            ahead = options["nesterovs_momentum"]  # 1 or 0
            made["lead"] = ahead * options["momentum"] + (1.0 - ahead)
            made["own"] = ahead * rate
        made["rate"] = rate
        return {name: astype(each, dtype) for name, each in made.items()}

    def apply(
        self, parameter: Tensor, g: Tensor, slots: Mapping[str, Tensor], scalars: Scalars
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Build a parameter's new value and its new running averages.

        Gradient descent keeps the change itself, v ← μ·v − η·g, so that a learning rate that
        changes does not act on what came before; θ ← θ + v, and in Nesterov's form
        θ ← θ + μ·v − η·g (I. Sutskever et al., 2013).  Both are θ ← θ + a·v − b·g, with a = 1 and
        b = 0 for the first, so that one program serves both.
        """
        rate = scalars["rate"]
        if not self.adaptive:
            momentum = scalars["momentum"]
            velocity = momentum * slots["velocity"] - rate * g
            change = scalars["lead"] * velocity - scalars["own"] * g
            return parameter + change, {"velocity": velocity}
        m = scalars["beta_1"] * slots["m"] + scalars["rest_1"] * g
        v = scalars["beta_2"] * slots["v"] + scalars["rest_2"] * (g * g)
        return parameter - rate * m / (sqrt(v) + scalars["epsilon"]), {"m": m, "v": v}
