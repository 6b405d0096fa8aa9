"""The layers: fully connected, dropout, flattening."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from backlight.errors import DtypeError, ShapeError, UnknownNameError, UsageError
from backlight.graph.primitive import Array
from backlight.graph.scope import current_scope
from backlight.nn import init
from backlight.nn.module import Module, as_input, mode
from backlight.ops.contract import CONTRACT
from backlight.ops.convert import CAST
from backlight.ops.logical import GREATER_EQUAL
from backlight.ops.move import RESHAPE
from backlight.ops.random import RANDOM_UNIFORM
from backlight.tensor import Tensor, param, record
from backlight.trace import module_path

__all__ = ["Dropout", "Flatten", "Linear"]

_INITIALIZERS: Mapping[str, init.Initializer] = {
    each.__name__: each
    for each in (
        init.zeros, init.constant, init.uniform, init.normal, init.truncated_normal,
        init.glorot_uniform, init.glorot_normal, init.he_uniform, init.he_normal,
        init.lecun_uniform, init.lecun_normal, init.orthogonal,
    )
}  # fmt: skip


def _place(layer: object) -> str:
    """How messages call the layer that is running: by its name in the network and its kind."""
    path = module_path(current_scope())
    kind = type(layer).__name__
    return f"{path} ({kind})" if path else kind


def _stream(text: str) -> int:
    """A number of a stream of random numbers that belongs to a text."""
    return zlib.crc32(text.encode())


def _count(value: object, what: str) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # that it may fail is the point
    except TypeError:
        number = 0
    if number < 1:
        raise UsageError(f"Linear needs a positive number of {what}, not {value!r}.")
    return number


class Linear(Module):
    """A fully connected layer: y = x Wᵀ + b, entry by entry y_j = Σₖ W_jk·x_k + b_j.

    Parameters
    ----------
    inputs, outputs : int
        The number of entries along the last axis before and after.
    bias : bool
        Whether b is there.
    init : str, callable or array_like, optional
        How the weight starts: the name of a function of `backlight.nn.init` (``"he_normal"``), a
        function like those, or the weight itself, of shape (outputs, inputs).  The default is
        Glorot and Bengio 2010; in a `Sequential` it is He et al. 2015 when an activation of the
        ReLU family follows.  The bias starts at 0.
    dtype : dtype
        float32 or float64.
    seed : int, optional
        Where the random numbers of the weight start from.  Without one the layer takes its
        numbers from the `Sequential` that it is put into, or from `initialize`.  On its own it
        then draws with seed 0 from a stream that depends on the sizes, so that two such layers of
        the same sizes start the same.

    Attributes
    ----------
    weight : Tensor, shape (outputs, inputs)
        Entry [j, k] goes from node k to node j.
    bias : Tensor, shape (outputs,), or None

    Raises
    ------
    UsageError, ShapeError, DtypeError
        For sizes below 1, an initial weight of another shape, or another dtype.

    Examples
    --------
    >>> layer = Linear(3, 2, seed=0)
    >>> layer([[1.0, 2.0, 3.0]]).shape
    (1, 2)
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        init: str | init.Initializer | ArrayLike | None = None,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self.inputs = _count(inputs, "inputs")
        self.outputs = _count(outputs, "outputs")
        self.seed = seed
        self._given, self.init = _starting_rule(init, (self.outputs, self.inputs))
        stream = _stream(f"linear {self.outputs} {self.inputs}")
        values = self._drawn_values("glorot_uniform", seed or 0, stream, dtype)
        self.weight = param(values, "weight")
        self.bias = param(np.zeros(self.outputs, values.dtype), "bias") if bias else None
        # Which tensor, and which of its values, was drawn here: `initialize` replaces no others.
        self._drawn = (self.weight.serial, self.weight.assigned)

    def _drawn_values(self, default: str, seed: int, stream: int, dtype: DTypeLike) -> Array:
        shape = (self.outputs, self.inputs)
        kind = init.floating(dtype)
        if self._given is not None and not callable(self._given):
            return np.asarray(self._given, kind)
        rule = self._given or _INITIALIZERS[self.init or default]
        values = np.asarray(rule(shape, seed, stream, kind), kind)
        if values.shape != shape:
            raise ShapeError(
                f"The initial weight of Linear({self.inputs}, {self.outputs}) must have shape "
                f"{shape} (outputs, inputs), not {values.shape}."
            )
        return values

    @property
    def fresh(self) -> bool:
        """Whether the weight is still the one that was drawn without a seed of the layer's own."""
        drawn = (self.weight.serial, self.weight.assigned)
        given = self._given is not None and not callable(self._given)
        return self.seed is None and not given and drawn == self._drawn

    def draw(self, seed: int, stream: int, default: str = "glorot_uniform") -> None:
        """Draw the weight anew, by the rule ``default`` unless the layer has one of its own."""
        self.weight.assign(self._drawn_values(default, seed, stream, self.weight.dtype))
        self._drawn = (self.weight.serial, self.weight.assigned)

    def configuration(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "bias": self.bias is not None,
            "init": self.init,
            "dtype": str(self.weight.dtype),
            "seed": self.seed,
        }

    def label(self) -> str:
        options = self.configuration()
        defaults = {"bias": True, "init": None, "dtype": "float32", "seed": None}
        shown = [f", {k}={options[k]!r}" for k, usual in defaults.items() if options[k] != usual]
        return f"Linear({self.inputs}, {self.outputs}{''.join(shown)})"

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        x = as_input(x)
        if x.dtype.kind != "f":
            raise DtypeError(
                f"{_place(self)} takes a floating-point input, not {x.dtype}; convert with "
                f"bl.astype(x, {self.weight.dtype}) first."
            )
        if x.ndim == 0 or x.shape[-1] != self.inputs:
            found = f"{x.shape[-1]} in an input of shape {x.shape}" if x.ndim else "a single number"
            raise ShapeError(
                f"{_place(self)} takes {self.inputs} entries along the last axis and was given "
                f"{found}."
            )
        free, row, summed = tuple(range(x.ndim - 1)), x.ndim - 1, x.ndim
        inner, across = (*free, summed), (row, summed)
        # For a single example the weight stands first, as in W x.
        z: Tensor = (
            CONTRACT(x, self.weight, left=inner, right=across, result=(*free, row))
            if free
            else CONTRACT(self.weight, x, left=across, right=inner, result=(row,))
        )
        return z if self.bias is None else z + self.bias


def _starting_rule(
    rule: str | init.Initializer | ArrayLike | None, shape: tuple[int, int]
) -> tuple[Any, str | None]:
    """Sort out a layer's ``init``: a function or array that was given, and the name of a rule."""
    if rule is None:
        return None, None
    if isinstance(rule, str):
        if rule not in _INITIALIZERS:
            raise UnknownNameError(
                f"There is no initialization {rule!r}; choose from {', '.join(_INITIALIZERS)}."
            )
        return None, rule
    if callable(rule):
        name = getattr(rule, "__name__", "")
        return (None, name) if _INITIALIZERS.get(name) is rule else (rule, None)
    values = np.array(rule.value if isinstance(rule, Tensor) else rule)
    if values.dtype.kind not in "iuf":
        raise DtypeError(f"The initial weight must hold real numbers, not {values.dtype}.")
    if values.shape != shape:
        raise ShapeError(
            f"The initial weight of Linear({shape[1]}, {shape[0]}) must have shape {shape} "
            f"(outputs, inputs), not {values.shape}."
        )
    return values, None


class Dropout(Module):
    """While training, set each entry to 0 with chance p and divide the others by 1 − p.

    The division keeps the expected value, so nothing needs to change in evaluation, where the
    layer passes its input on (N. Srivastava et al., "Dropout", JMLR 15, 2014).

    Parameters
    ----------
    p : float
        The chance of dropping an entry, 0 ≤ p < 1.

    Raises
    ------
    UsageError
        For another p, or when it runs in training without a seed.

    Notes
    -----
    It acts inside ``running(training=True, seed=…, step=…)``.  Which entries it drops depends on
    the seed, the step, the layer's name in the network and how often it was used in the block.

    Examples
    --------
    >>> Dropout(0.5)([1.0, 2.0])
    Tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise UsageError(f"Dropout needs a chance 0 ≤ p < 1, not {p!r}.")
        self.p = float(p)

    def configuration(self) -> dict[str, Any]:
        return {"p": self.p}

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        x = as_input(x)
        if x.dtype.kind != "f":
            raise DtypeError(f"{_place(self)} takes a floating-point input, not {x.dtype}.")
        now = mode()
        if not now.training or self.p == 0:
            return x
        if now.seed is None or now.step is None:
            raise UsageError(
                f"{_place(self)} needs a seed while training: "
                f"nn.running(training=True, seed=0, step=…)."
            )
        source = f"dropout {module_path(current_scope())}"
        use = now.uses[source]
        now.uses[source] += 1
        attributes = {"stream": _stream(f"{source} {use}"), "shape": x.shape, "dtype": x.dtype}
        numbers = record(RANDOM_UNIFORM, (now.seed, now.step), attributes)
        kept: Tensor = CAST(GREATER_EQUAL(numbers, self.p), dtype=x.dtype)
        return x * (kept * (1.0 / (1.0 - self.p)))


class Flatten(Module):
    """Make one axis of all axes from ``start_axis`` on.

    Parameters
    ----------
    start_axis : int
        1 by default, so that the axis of the examples stays; 0 for a single example.

    Raises
    ------
    UsageError, ShapeError
        For a negative ``start_axis``, or an input without that axis.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((5, 2, 3))).shape
    (5, 6)
    """

    def __init__(self, start_axis: int = 1) -> None:
        if start_axis < 0:
            raise UsageError(f"Flatten counts start_axis from the front, not {start_axis}.")
        self.start_axis = start_axis

    def configuration(self) -> dict[str, Any]:
        return {"start_axis": self.start_axis}

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        x = as_input(x)
        if x.ndim <= self.start_axis:
            raise ShapeError(
                f"{_place(self)} starts at axis {self.start_axis}, and the input of shape "
                f"{x.shape} has no such axis; use Flatten(start_axis=0) for a single example."
            )
        kept = x.shape[: self.start_axis]
        merged = int(np.prod(x.shape[self.start_axis :], dtype=np.int64))
        result: Tensor = x if x.ndim == len(kept) + 1 else RESHAPE(x, shape=(*kept, merged))
        return result
