"""Layers one after the other, their starting weights, and their description as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from numpy.typing import ArrayLike

from backlight.errors import UnknownNameError, UsageError
from backlight.nn import activations, layers
from backlight.nn.layers import Dropout, Flatten, Linear
from backlight.nn.module import Module, as_input
from backlight.nn.tree import named_modules
from backlight.tensor import Tensor

__all__ = ["Sequential", "from_dict", "initialize"]

Layer = Callable[..., Any]


class Sequential(Module):
    """Layers one after the other: the result of each is the input of the next.

    Parameters
    ----------
    *layers : callable
        Modules, instances of plain classes, or functions such as `relu`.
    seed : int, optional
        Where the starting weights come from; 0 when not given.  Each `Linear` without a seed or
        weight of its own, and not trained or loaded yet, draws from the stream numbered by its
        position, by He et al. 2015 when an activation of the ReLU family follows (dropout and
        flattening do not count) and by Glorot and Bengio 2010 otherwise.

    Attributes
    ----------
    layers : list

    Raises
    ------
    UsageError
        When something is not a layer.

    Examples
    --------
    >>> from backlight.nn import ReLU
    >>> net = Sequential(Linear(64, 128), ReLU(), Linear(128, 10), seed=0)
    >>> net
    Sequential: 9,610 parameters
      layers.0  Linear(64, 128)  weight (128, 64), bias (128,)  8,320
      layers.1  ReLU()
      layers.2  Linear(128, 10)  weight (10, 128), bias (10,)   1,290
    """

    def __init__(self, *layers: Layer, seed: int | None = None) -> None:
        for position, layer in enumerate(layers):
            if isinstance(layer, type) or not callable(layer):
                raise UsageError(
                    f"Layer {position} of Sequential is {layer!r}, which is not a layer; pass "
                    f"layers such as Linear(2, 3) and ReLU(), one by one."
                )
        self.layers = list(layers)
        self.seed = seed
        self._initialize()

    def _chain(self) -> list[object]:
        """The layers with those of inner chains that have no seed of their own put in place."""
        found: list[object] = []
        waiting: list[object] = [*reversed(self.layers)]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Sequential) and each.seed is None:
                waiting.extend(reversed(each.layers))
            else:
                found.append(each)
        return found

    def _initialize(self) -> None:
        chain = self._chain()
        done: set[int] = set()
        for position, layer in enumerate(chain):
            if isinstance(layer, Linear) and layer.fresh and id(layer) not in done:
                done.add(id(layer))
                rule = "he_uniform" if _leads_to_relu(chain[position + 1 :]) else "glorot_uniform"
                layer.draw(self.seed or 0, position, rule)

    def configuration(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def label(self) -> str:
        return f"Sequential({'' if self.seed is None else f'seed={self.seed}'})"

    def to_dict(self) -> dict[str, Any]:
        """Return the architecture as plain data for JSON; `from_dict` builds it again.

        The numbers themselves are not part of it; `state` gives them.  A function or an array
        that was given as a layer's ``init`` is left out.

        Raises
        ------
        UsageError
            When a layer is not one of Backlight's own modules.
        """
        described = []
        for position, layer in enumerate(self.layers):
            if isinstance(layer, Sequential):
                described.append(layer.to_dict())
                continue
            kind = type(layer).__name__
            if not isinstance(layer, Module) or _KINDS.get(kind) is not type(layer):
                raise UsageError(
                    f"layers.{position} is {kind}, which has no description; only the layers of "
                    f"backlight.nn do."
                )
            described.append({"kind": kind, **layer.configuration()})
        return {"kind": "Sequential", "seed": self.seed, "layers": described}

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        result: Any = as_input(x)
        for layer in self.layers:
            result = layer(result)
        made: Tensor = result
        return made

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, position: int) -> Layer:
        return self.layers[position]


def _leads_to_relu(following: list[object]) -> bool:
    """Whether the next layer that is no dropout or flattening is of the ReLU family."""
    for each in following:
        if not isinstance(each, (Dropout, Flatten)):
            return activations.is_rectifying(each)
    return False


def initialize(net: object, *, seed: int) -> None:
    """Draw the weights of every `Linear` in a network from streams of their own.

    For networks of one's own class; `Sequential` does it by itself.  A layer with a seed or a
    weight of its own, and one that was trained or loaded, stays as it is.

    Parameters
    ----------
    net : object
        Any network; its layers are numbered in the order of `named_modules`.
    seed : int

    Examples
    --------
    >>> class Net:
    ...     def __init__(self):
    ...         self.first, self.second = Linear(2, 2), Linear(2, 2)
    ...         initialize(self, seed=0)
    ...     def __call__(self, x):
    ...         return self.second(self.first(x))
    >>> net = Net()
    >>> bool((net.first.weight.value == net.second.weight.value).any())
    False
    """
    linear = [each for each in named_modules(net).values() if isinstance(each, Linear)]
    for stream, layer in enumerate(linear):
        if layer.fresh:
            layer.draw(seed, stream)


_KINDS: Mapping[str, type[Module]] = {
    name: kind
    for name, kind in (*vars(activations).items(), *vars(layers).items())
    if name in (*activations.__all__, *layers.__all__) and isinstance(kind, type)
}


def from_dict(description: Mapping[str, Any]) -> Module:
    """Build the layers that `Sequential.to_dict` described.

    Parameters
    ----------
    description : mapping
        ``{"kind": "Linear", "inputs": 2, …}`` or ``{"kind": "Sequential", "layers": […], …}``.

    Raises
    ------
    UnknownNameError
        For a kind that does not exist.
    UsageError
        For options that the kind does not take.

    Examples
    --------
    >>> net = Sequential(Linear(2, 3), Dropout(0.1), seed=4)
    >>> from_dict(net.to_dict()).to_dict() == net.to_dict()
    True
    """
    options = {key: value for key, value in description.items() if key != "kind"}
    kind = str(description.get("kind"))
    if kind == "Sequential":
        inner = [from_dict(each) for each in options.pop("layers", ())]
        return _built("Sequential", Sequential, inner, options)
    if kind not in _KINDS:
        raise UnknownNameError(
            f"There is no layer {kind!r}; choose from Sequential, {', '.join(_KINDS)}."
        )
    return _built(kind, _KINDS[kind], [], options)


def _built(
    kind: str, cls: Callable[..., Module], layers: list[Module], options: dict[str, Any]
) -> Module:
    try:
        return cls(*layers, **options)
    except TypeError as error:
        raise UsageError(f"The options {options} do not describe a {kind}: {error}.") from error
