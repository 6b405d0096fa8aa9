"""What all update rules share: names, state, clipping, weight decay and the learning rate.

An optimizer takes parameters, their gradients and its state, all by name, and builds the new ones
as graph nodes.  A rule says only how one parameter changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from backlight.errors import ShapeError, UsageError
from backlight.functions import astype
from backlight.graph.primitive import Array, Dtype
from backlight.graph.scope import open_scope
from backlight.nn import parameters as parameters_of
from backlight.optim.clip import Clip
from backlight.optim.options import NOT_NEGATIVE, Json, Range, check_ranges, to_dict
from backlight.optim.schedules import Rate, check_rate, rate_at
from backlight.tensor import FLOAT64, Tensor, as_tensor, quiet, tensor

Tensors = dict[str, Tensor]
"""A tensor for each parameter name."""

Slots = dict[str, dict[str, Array]]
"""The state of an optimizer: slot name → parameter name → array."""


@dataclass(frozen=True)
class StepState:
    """What a loop written by hand keeps between two calls of `Optimizer.step`.

    Attributes
    ----------
    step : int
        How many steps were taken.
    slots : dict of str to dict of str to ndarray
        The running averages of the rule: slot name → parameter name → array.
    """

    step: int
    slots: Slots


class Scalars:
    """The scalars of one step, computed in float64 and cast once to each dtype that needs them."""

    def __init__(self, values: Mapping[str, Tensor], dtypes: Iterable[Dtype]) -> None:
        self._cast = {
            (name, dtype): astype(value, dtype)
            for dtype in dict.fromkeys(dtypes)
            for name, value in values.items()
        }

    def get(self, name: str, dtype: Dtype) -> Tensor:
        """Return a scalar in a parameter's dtype."""
        return self._cast[name, dtype]


@dataclass(frozen=True)
class Optimizer(ABC):
    """The base of all update rules.

    Parameters
    ----------
    learning_rate : float or callable
        A positive number, or a schedule that makes one from the step.
    weight_decay : float
        λ in g ← g + λ·θ, the gradient of the penalty ½·λ·‖θ‖², added after clipping.
    clip : Clip, optional
        `ByValue` or `ByNorm`, applied to the gradients first.

    Attributes
    ----------
    ranges : mapping of str to Range
        The numbers that each option may take.
    """

    ranges: ClassVar[dict[str, Range]] = {}
    learning_rate: Rate
    weight_decay: float = field(default=0.0, kw_only=True)
    clip: Clip | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_rate(self, "learning_rate")
        check_ranges(self, {"weight_decay": NOT_NEGATIVE, **self.ranges})
        if self.clip is not None and not isinstance(self.clip, Clip):
            raise UsageError(
                f"{type(self).__name__}: clip must be ByValue(limit), ByNorm(limit) or None, not "
                f"{self.clip!r}."
            )

    # ── what a rule says ─────────────────────────────────────────────────────────────────────

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the running averages that the rule keeps for each parameter."""
        return ()

    @abstractmethod
    def change(self, g: Tensor, slots: Tensors, scalars: Scalars) -> tuple[Tensor, Tensors]:
        """Build the change of one parameter.

        Parameters
        ----------
        g : Tensor
            Its gradient, clipped and with the weight decay added.
        slots : dict of str to Tensor
            Its running averages.
        scalars : Scalars
            ``"descent"``, which is −η, and what `scalars` returned.

        Returns
        -------
        Tensor
            What is to be added to the parameter.
        dict of str to Tensor
            Its new running averages.
        """

    def scalars(self, step: Tensor) -> Tensors:
        """Build the float64 scalars that depend on the step only, such as bias corrections."""
        return {}

    def slot_start(self, slot: str) -> float:
        """Return the value that every entry of a running average starts with."""
        return 0.0

    def decay(self, change: Tensor, parameter: Tensor, scalars: Scalars) -> Tensor:
        """Return the change with a weight decay that does not go through the rule."""
        return change

    @property
    def coupled_decay(self) -> float:
        """The weight decay that is added to the gradient."""
        return float(self.weight_decay)

    # ── what an optimizer does ───────────────────────────────────────────────────────────────

    def initial_state(self, parameters: Mapping[str, Any]) -> Slots:
        """Return the state before the first step.

        Parameters
        ----------
        parameters : mapping of str to Tensor or ndarray

        Returns
        -------
        dict of str to dict of str to ndarray
            Slot name → parameter name → array of the parameter's shape and dtype.

        Examples
        --------
        >>> import numpy as np
        >>> from backlight.optim import Adam
        >>> Adam().initial_state({"w": np.ones(2)})
        {'m': {'w': array([0., 0.])}, 'v': {'w': array([0., 0.])}}
        """
        return {
            slot: {
                name: np.full(each.shape, self.slot_start(slot), each.dtype)
                for name, each in parameters.items()
            }
            for slot in self.slots
        }

    def update(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        state: Mapping[str, Mapping[str, Tensor]],
        *,
        step: Tensor,
        scale: Tensor | float = 1.0,
    ) -> tuple[Tensors, dict[str, Tensors]]:
        """Build one step: the new parameters and the new state.

        Parameters
        ----------
        parameters, gradients : mapping of str to Tensor
            Under the same names, of the same shapes.
        state : mapping of str to mapping of str to Tensor
            Of the form of `initial_state`.
        step : Tensor of shape () and an integer dtype
            The number of the step; the first is 0.
        scale : Tensor of shape () or float
            Multiplies the learning rate, as `ReduceOnPlateau` asks.

        Returns
        -------
        new_parameters : dict of str to Tensor
        new_state : dict of str to dict of str to Tensor

        Raises
        ------
        UsageError
            When a gradient or a part of the state is missing, or the step is not an integer.
        ShapeError
            When a gradient does not have its parameter's shape.

        Examples
        --------
        >>> import backlight as bl
        >>> from backlight.optim import SGD
        >>> w, g = bl.tensor(1.0), bl.tensor(4.0)
        >>> new, _ = SGD(0.25).update({"w": w}, {"g": g}, {}, step=bl.tensor(0))
        Traceback (most recent call last):
        backlight.errors.UsageError: SGD.update: there is no gradient for w.
        >>> new, _ = SGD(0.25).update({"w": w}, {"w": g}, {}, step=bl.tensor(0))
        >>> new["w"]
        Tensor(0., name='new')
        """
        self._check(parameters, gradients, state)
        dtypes = [each.dtype for each in parameters.values()]
        scalars = Scalars(self._all_scalars(_step_number(step), scale), dtypes)
        gradients = {name: _named(gradients[name]) for name in parameters}
        if self.clip is not None:
            gradients = self.clip(gradients)
        new_parameters: Tensors = {}
        new_state: dict[str, Tensors] = {slot: {} for slot in self.slots}
        for name, given in parameters.items():
            parameter = as_tensor(given)
            with open_scope(name, "module"):
                g = gradients[name]
                if self.coupled_decay:
                    g = g + self.coupled_decay * parameter
                    g.name = "g_decayed"
                slots = {slot: as_tensor(state[slot][name]) for slot in self.slots}
                change, slots = self.change(g, slots, scalars)
                change = self.decay(change, parameter, scalars)
                change.name = "change"
                new = parameter + change
                new.name = "new"
            new_parameters[name] = new
            for slot in self.slots:
                new_state[slot][name] = slots[slot]
        return new_parameters, new_state

    def step(self, net: object, state: StepState | None = None, *, scale: float = 1.0) -> StepState:
        """Take one step of a loop written by hand: read ``.grad`` and assign the new values.

        Parameters
        ----------
        net : module or mapping of str to Tensor
            A network, or its parameters by name.
        state : StepState, optional
            What the last call returned; None at the first.
        scale : float
            Multiplies the learning rate.

        Returns
        -------
        StepState
            For the next call.

        Raises
        ------
        UsageError
            When a parameter has no gradient; it names them, and changes nothing.

        Examples
        --------
        >>> import backlight as bl
        >>> from backlight.optim import SGD
        >>> w, state = bl.param(4.0), None
        >>> for _ in range(3):
        ...     loss = w**2
        ...     loss.backward()
        ...     state = SGD(0.25).step({"w": w}, state)
        >>> w.item(), state.step
        (0.5, 3)
        """
        parameters = _parameters(net)
        missing = [name for name, each in parameters.items() if each.grad is None]
        if missing:
            raise UsageError(
                f"There is no gradient for {', '.join(missing)}: call backward() on a loss that "
                f"depends on {'it' if len(missing) == 1 else 'them'} before each step."
            )
        state = state or StepState(0, self.initial_state(parameters))
        with quiet():
            new, slots = self.update(
                {name: tensor(each.value) for name, each in parameters.items()},
                {name: tensor(each.grad) for name, each in parameters.items()},
                {
                    slot: {name: tensor(array) for name, array in arrays.items()}
                    for slot, arrays in state.slots.items()
                },
                step=tensor(int(state.step)),
                scale=float(scale),
            )
        for name, each in parameters.items():
            each.assign(new[name].value)
        kept = {
            slot: {name: each.value for name, each in averages.items()}
            for slot, averages in slots.items()
        }
        return StepState(state.step + 1, kept)

    def to_dict(self) -> Json:
        """Return the optimizer as plain JSON; `backlight.optim.from_dict` reads it.

        Examples
        --------
        >>> from backlight.optim import SGD
        >>> SGD(0.1).to_dict()["learning_rate"]
        0.1
        """
        return to_dict(self)

    # ── parts of update ──────────────────────────────────────────────────────────────────────

    def _all_scalars(self, step: Tensor, scale: Tensor | float) -> Tensors:
        rate = rate_at(self.learning_rate, step)
        if isinstance(scale, Tensor) or scale != 1.0:
            rate = rate * scale
        if rate.inputs and rate.name is None:
            rate.name = "learning_rate"
        return {"descent": -rate, **self.scalars(step)}

    def _check(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        state: Mapping[str, Mapping[str, Tensor]],
    ) -> None:
        who = f"{type(self).__name__}.update"
        for name, parameter in parameters.items():
            if name not in gradients:
                raise UsageError(f"{who}: there is no gradient for {name}.")
            if gradients[name].shape != parameter.shape:
                raise ShapeError(
                    f"{who}: {name} has shape {parameter.shape} and its gradient "
                    f"{gradients[name].shape}; they must match."
                )
            for slot in self.slots:
                if name not in state.get(slot, {}):
                    raise UsageError(
                        f"{who}: the state has no {slot!r} for {name}; begin with initial_state."
                    )


def _step_number(step: Tensor) -> Tensor:
    number = as_tensor(step)
    if number.shape != () or number.dtype.kind not in "iu":
        raise UsageError(f"The step must be one integer that counts from 0, not {number.spec}.")
    return number


def _named(gradient: Tensor) -> Tensor:
    """Call a gradient g where nobody has named it."""
    made = as_tensor(gradient)
    if made.inputs and made.name is None:
        made.name = "g"
    return made


def _parameters(net: object) -> Mapping[str, Tensor]:
    return net if isinstance(net, Mapping) else parameters_of(net)


def count(step: Tensor) -> Tensor:
    """Return t = step + 1 in float64: the number of the step as papers count, from 1."""
    t = astype(step, FLOAT64) + 1.0
    t.name = "t"
    return t
