"""The base class of layers and networks, and the mode in which they run.

A `Module` finds its parameters by attribute and records what it computes under a scope named
after its place in the network that was called, such as ``layers.0``.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from backlight.errors import DtypeError
from backlight.graph.primitive import Array
from backlight.graph.scope import open_scope
from backlight.nn.tree import (
    Frame,
    active_frame,
    load,
    module_slots,
    named_modules,
    parameters,
    state,
)
from backlight.tensor import INT64, Tensor, as_tensor, literal, tensor


def as_input(value: Tensor | ArrayLike, name: str | None = None) -> Tensor:
    """Return a tensor unchanged, and data as a leaf of its own."""
    return value if isinstance(value, Tensor) else tensor(value, name)


def _scoped(call: Callable[..., Any]) -> Callable[..., Any]:
    """Record a module's computation under its name in the network that was called."""

    @functools.wraps(call)
    def run(self: Module, *arguments: Any, **options: Any) -> Any:
        frame = active_frame.get()
        if frame is not None and frame.module is self:
            return call(self, *arguments, **options)  # by way of super().__call__
        if frame is None or id(self) not in frame.paths:
            frame = Frame(module_slots(self), self)  # the outermost module names the others
        path = frame.paths[id(self)].path
        token = active_frame.set(Frame(frame.paths, self))
        try:
            with open_scope(path, "module") as scope:
                result = call(self, *arguments, **options)
        finally:
            active_frame.reset(token)
        if isinstance(result, Tensor):
            scope.result = result.serial
        return result

    return run


class Module:
    """A part of a network: an object with parameters that can be called.

    Deriving from it is a convenience; an instance of any class with ``__call__`` can be part of a
    network too, and `parameters`, `named_modules`, `substitute` and `load` work on both.

    Notes
    -----
    What ``__call__`` records carries a scope named after the module's place in the network that
    was called, which is the empty name for the network itself.

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.nn import Linear, Module, relu
    >>> class Net(Module):
    ...     def __init__(self):
    ...         self.fc1 = Linear(2, 3, seed=1)
    ...         self.fc2 = Linear(3, 1, seed=2)
    ...     def __call__(self, x):
    ...         return self.fc2(relu(self.fc1(x)))
    >>> list(Net().parameters())
    ['fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias']
    """

    if TYPE_CHECKING:
        __call__: Callable[..., Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        call = cls.__dict__.get("__call__")
        if call is not None:
            type.__setattr__(cls, "__call__", _scoped(call))

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters by name; see `backlight.nn.parameters`."""
        return parameters(self)

    def named_modules(self) -> dict[str, object]:
        """Return this module and the ones inside it by name."""
        return named_modules(self)

    def state(self) -> dict[str, Array]:
        """Return copies of the parameters' values by name."""
        return state(self)

    def load(self, arrays: Mapping[str, ArrayLike]) -> None:
        """Give every parameter a new value; see `backlight.nn.load`."""
        load(self, arrays)

    def configuration(self) -> dict[str, Any]:
        """Return the options that this module was made with, where they are worth showing."""
        return {}

    def label(self) -> str:
        """Return the one-line text for this module alone."""
        options = ", ".join(f"{key}={value!r}" for key, value in self.configuration().items())
        return f"{type(self).__name__}({options})"

    def __repr__(self) -> str:
        return describe(self)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        from backlight.report.display import network_display  # only notebooks ask

        return network_display(describe(self))


def describe(net: object) -> str:
    """Return a table of a network's modules with the shapes and numbers of their parameters.

    Examples
    --------
    >>> from backlight.nn import Linear, ReLU, Sequential
    >>> print(describe(Sequential(Linear(2, 3), ReLU(), seed=0)))
    Sequential: 9 parameters
      layers.0  Linear(2, 3)  weight (3, 2), bias (3,)  9
      layers.1  ReLU()
    """
    own: dict[str, list[str]] = {}
    count: Counter[str] = Counter()
    modules = named_modules(net)
    found = parameters(net)
    for name, each in found.items():
        parts = name.split(".")
        # The innermost module above the parameter; lists and dicts between are part of the name.
        cut = next(k for k in range(len(parts) - 1, -1, -1) if ".".join(parts[:k]) in modules)
        path = ".".join(parts[:cut])
        own.setdefault(path, []).append(f"{'.'.join(parts[cut:])} {each.shape}")
        count[path] += math.prod(each.shape)
    rows = [
        (path, _label(module), ", ".join(own.get(path, ())), f"{count[path]:,}" * (count[path] > 0))
        for path, module in modules.items()
        if path
    ]
    total = sum(math.prod(each.shape) for each in found.values())
    if not rows:
        inside = f"  {', '.join(own.get('', ()))}" if own else ""
        return f"{_label(net)}{inside}{f'  {total:,}' if total else ''}"
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    lines = [f"{type(net).__name__}: {total:,} parameters"]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join(("", *cells, row[3])).rstrip())
    return "\n".join(lines)


def _label(module: object) -> str:
    return module.label() if isinstance(module, Module) else f"{type(module).__name__}()"


@dataclass(frozen=True, slots=True)
class Mode:
    """How networks run at the moment.

    Attributes
    ----------
    training : bool
        Whether layers such as `Dropout` act.
    seed, step : Tensor or None
        Integer scalars from which random numbers are made.
    uses : Counter of str
        How often each source of random numbers was used inside the block.
    """

    training: bool = False
    seed: Tensor | None = None
    step: Tensor | None = None
    uses: Counter[str] = field(default_factory=Counter)


_mode: ContextVar[Mode | None] = ContextVar("backlight_mode", default=None)


def mode() -> Mode:
    """Return the mode that `running` set; evaluation unless it did."""
    return _mode.get() or Mode()


@contextmanager
def running(
    *, training: bool, seed: Tensor | int | None = None, step: Tensor | int | None = None
) -> Iterator[Mode]:
    """Run networks in training or in evaluation mode inside the block.

    Parameters
    ----------
    training : bool
        Whether layers such as `Dropout` act; outside of any such block they do not.
    seed : int or integer scalar Tensor, optional
        Where random numbers start from.
    step : int or integer scalar Tensor, optional
        The number of the training step, 0 by default: every step has numbers of its own.

    Raises
    ------
    DtypeError
        When seed or step is not one integer.

    Examples
    --------
    >>> from backlight.nn import Dropout
    >>> with running(training=True, seed=0, step=3):
    ...     kept = Dropout(0.5)([1.0, 1.0, 1.0, 1.0])
    >>> sorted(set(kept.value.tolist()) | {0.0, 2.0})
    [0.0, 2.0]
    """
    chosen = Mode(training, _integer(seed, "seed"), _integer(0 if step is None else step, "step"))
    token = _mode.set(chosen)
    try:
        yield chosen
    finally:
        _mode.reset(token)


def _integer(value: Tensor | int | None, name: str) -> Tensor | None:
    if value is None:
        return None
    made = literal(value, INT64) if type(value) is int else as_tensor(value)
    if made.shape != () or made.dtype.kind not in "iu":
        raise DtypeError(f"The {name} of running() must be one integer, not {made.spec}.")
    return made
