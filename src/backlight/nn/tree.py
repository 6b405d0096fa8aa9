"""What is inside a network: its parameters and modules by name, for any Python object.

A parameter is a tensor made by `bl.param`.  It is found in attributes, lists, tuples and dicts,
directly or inside other modules, and named by the way there: ``layers.0.weight``.  A module is
any object that can be called, a `Module` or an instance of a plain class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backlight.errors import DtypeError, ShapeError, UnknownNameError, UsageError
from backlight.graph.primitive import Array
from backlight.ops.leaf import PARAMETER
from backlight.tensor import Tensor, as_tensor

_PLAIN = (str, int, float, bool, type(None), np.ndarray, np.generic, type)
_FOREIGN = ("builtins", "functools", "numpy")


class Slot(NamedTuple):
    """One place inside a network: the way there, what holds it, and what is there."""

    path: str
    holder: object
    key: Any
    value: Any


class Frame(NamedTuple):
    """The network that is being computed: where its modules are, and the innermost one."""

    paths: Mapping[int, Slot]
    module: object


active_frame: ContextVar[Frame | None] = ContextVar("backlight_network", default=None)


def is_module(value: object) -> bool:
    """Tell whether an object is a module: callable, with attributes, and not a mere function.

    An instance of a dataclass may hold parameters without being callable.

    Examples
    --------
    >>> class Double:
    ...     def __call__(self, x):
    ...         return 2 * x
    >>> is_module(Double()), is_module(print), is_module(Double)
    (True, False, False)
    """
    if isinstance(value, _PLAIN) or not (callable(value) or dataclasses.is_dataclass(value)):
        return False
    home = type(value).__module__
    if home.startswith("backlight.") and not home.startswith("backlight.nn."):
        return False  # a compiled function, a graph: no part of a network
    return home not in _FOREIGN


def is_parameter(value: object) -> bool:
    """Tell whether an object is a tensor that was made by `bl.param`."""
    return type(value) is Tensor and value.primitive is PARAMETER


def _attributes(module: object) -> list[tuple[Any, Any]]:
    """The attributes of an object in the order of their definition, slots last."""
    found = list(getattr(module, "__dict__", {}).items())
    for cls in reversed(type(module).__mro__):
        names = cls.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__") and hasattr(module, name):
                found.append((name, getattr(module, name)))
    return found


def _entries(value: object) -> list[tuple[Any, Any]]:
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if isinstance(value, dict):
        return list(value.items())
    return _attributes(value)


def walk(net: object) -> Iterator[Slot]:
    """Yield every place that holds a parameter, a container or a module, in order of definition.

    What is shared is yielded at each of its places and entered at the first one only, so a
    network may contain itself.
    """
    entered: set[int] = set()
    waiting = [Slot("", None, None, net)]
    while waiting:
        slot = waiting.pop()
        value = slot.value
        if slot.holder is not None:
            if isinstance(value, _PLAIN):
                continue
            if is_parameter(value):
                yield slot
                continue
            if not isinstance(value, (list, tuple, dict)) and not is_module(value):
                continue
        elif isinstance(value, (*_PLAIN, Tensor)):
            raise UsageError(
                f"A network is an object that holds parameters, not a {type(net).__name__}."
            )
        yield slot
        if id(value) in entered:
            continue
        entered.add(id(value))
        start = f"{slot.path}." if slot.path else ""
        for key, entry in reversed(_entries(value)):
            waiting.append(Slot(f"{start}{key}", value, key, entry))


def parameters(net: object) -> dict[str, Tensor]:
    """Return the parameters of a network by name.

    Parameters
    ----------
    net : object
        A `Module`, an instance of a plain class, or a list, tuple or dict of them.

    Returns
    -------
    dict of str to Tensor
        In the order in which the attributes were defined.  A parameter that is used in several
        places has the name of the first one.  Sets are not looked into, having no order.

    Notes
    -----
    A parameter without a name of its own gets this one, so that derivations and drawings use it.

    Examples
    --------
    >>> import backlight as bl
    >>> class Line:
    ...     def __init__(self):
    ...         self.slope, self.offset = bl.param(2.0), bl.param(1.0)
    ...     def __call__(self, x):
    ...         return self.slope * x + self.offset
    >>> list(parameters(Line()))
    ['slope', 'offset']
    """
    found: dict[str, Tensor] = {}
    names: dict[int, str] = {}
    for slot in walk(net):
        if is_parameter(slot.value) and id(slot.value) not in names:
            if slot.path in found:
                raise UsageError(
                    f"Two parameters would be called {slot.path!r}; rename a key or attribute."
                )
            names[id(slot.value)] = slot.path
            found[slot.path] = slot.value
            _give_name(slot.value, slot.path)
    return found


def _give_name(tensor: Tensor, path: str) -> None:
    """Name a parameter by its place, or lengthen a name that is the end of it."""
    name = tensor.name
    if name is None or path.endswith(f".{name}"):
        tensor.name = path


def named_modules(net: object) -> dict[str, object]:
    """Return a network and the modules inside it by name; its own name is empty.

    Examples
    --------
    >>> from backlight.nn import Linear, ReLU, Sequential
    >>> list(named_modules(Sequential(Linear(2, 3), ReLU(), seed=0)))
    ['', 'layers.0', 'layers.1']
    """
    return {slot.path: slot.value for slot in module_slots(net).values()}


def module_slots(net: object) -> dict[int, Slot]:
    """Return the first place of each module by its identity, and name the parameters met."""
    found: dict[int, Slot] = {}
    for slot in walk(net):
        value = slot.value
        if is_parameter(value):
            _give_name(value, slot.path)
        elif slot.holder is None or callable(value):
            found.setdefault(id(value), slot)
    return found


@contextmanager
def substitute(net: object, replacements: Mapping[str, Tensor | ArrayLike]) -> Iterator[None]:
    """Let a network compute with other tensors in place of its parameters.

    Parameters
    ----------
    net : object
        As for `parameters`.
    replacements : mapping of str to Tensor
        By the names of `parameters`; those that are not named stay.  A shared parameter is
        replaced everywhere.

    Raises
    ------
    UnknownNameError
        For a name that is no parameter's.
    ShapeError
        For a replacement of another shape.

    Notes
    -----
    The attributes of the network are exchanged and, whatever happens inside the block, put back.
    Two threads must not do this to one network at the same time.

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.nn import Linear
    >>> line = Linear(1, 1, init=[[2.0]], dtype="float64")
    >>> with substitute(line, {"weight": bl.tensor([[3.0]])}):
    ...     line([1.0])
    Tensor([3.])
    >>> line([1.0])
    Tensor([2.])
    """
    known = parameters(net)
    _check_replacements(known, replacements)
    by_identity = {id(known[name]): as_tensor(each) for name, each in replacements.items()}
    changes = list(_changes(net, by_identity))
    token = active_frame.set(Frame(module_slots(net), None))
    try:
        for slot, new in changes:
            _put(slot, new)
        yield
    finally:
        for slot, _ in reversed(changes):
            _put(slot, slot.value)
        active_frame.reset(token)


def _check_replacements(
    known: Mapping[str, Tensor], replacements: Mapping[str, Tensor | ArrayLike]
) -> None:
    unknown = [name for name in replacements if name not in known]
    if unknown:
        raise UnknownNameError(
            f"The network has no parameter {_listed(unknown)}; it has {_listed(known)}."
        )
    for name, new in replacements.items():
        shape = new.shape if isinstance(new, Tensor) else np.shape(new)
        if shape != known[name].shape:
            raise ShapeError(
                f"The parameter {name!r} has shape {known[name].shape} and cannot be replaced by "
                f"a tensor of shape {shape}."
            )


def _changes(net: object, new: Mapping[int, Tensor]) -> Iterator[tuple[Slot, object]]:
    """The places that change and what they will hold; a tuple is replaced as a whole."""
    for slot in walk(net):
        if isinstance(slot.holder, tuple):
            continue
        if isinstance(slot.value, tuple):
            rebuilt = _rebuilt(slot.value, new)
            if rebuilt is slot.value:
                continue
            if slot.holder is None:
                raise UsageError(
                    "The parameters of a bare tuple cannot be exchanged; use a list or a class."
                )
            yield slot, rebuilt
        elif id(slot.value) in new:
            yield slot, new[id(slot.value)]


def _rebuilt(value: tuple[Any, ...], new: Mapping[int, Tensor]) -> tuple[Any, ...]:
    """The tuple with parameters exchanged; the tuple itself when none of them is in it."""
    parts = [
        _rebuilt(each, new) if isinstance(each, tuple) else new.get(id(each), each)
        for each in value
    ]
    if all(part is each for part, each in zip(parts, value, strict=True)):
        return value
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def _put(slot: Slot, value: object) -> None:
    """Write to a place, past properties and frozen dataclasses."""
    if isinstance(slot.holder, (list, dict)):
        slot.holder[slot.key] = value
    elif slot.key in getattr(slot.holder, "__dict__", {}):
        vars(slot.holder)[slot.key] = value
    else:
        object.__setattr__(slot.holder, slot.key, value)


def state(net: object) -> dict[str, Array]:
    """Return copies of the values of all parameters by name, to be kept and given to `load`.

    Examples
    --------
    >>> from backlight.nn import Linear
    >>> {name: array.shape for name, array in state(Linear(2, 3)).items()}
    {'weight': (3, 2), 'bias': (3,)}
    """
    return {name: np.array(each.value) for name, each in parameters(net).items()}


def load(net: object, arrays: Mapping[str, ArrayLike]) -> None:
    """Give every parameter of a network a new value.

    Parameters
    ----------
    net : object
    arrays : mapping of str to array_like
        One array for each name of `parameters`; each is converted to its parameter's dtype.

    Raises
    ------
    UnknownNameError
        When names are missing or unexpected; the message lists all of them, and wrong shapes too.
    ShapeError
        When only shapes are wrong.
    DtypeError
        When an array does not hold real numbers.

    Notes
    -----
    After an error the network is as it was.
    """
    known = parameters(net)
    values = {name: np.asarray(each) for name, each in arrays.items()}
    missing = [name for name in known if name not in values]
    unexpected = [name for name in values if name not in known]
    wrong = [
        f"{name} has shape {values[name].shape} instead of {each.shape}"
        for name, each in known.items()
        if name in values and values[name].shape != each.shape
    ]
    problems = [
        *([f"missing {_listed(missing)}"] if missing else []),
        *([f"unexpected {_listed(unexpected)}"] if unexpected else []),
        *wrong,
    ]
    if problems:
        kind = UnknownNameError if missing or unexpected else ShapeError
        raise kind(f"The arrays do not fit the network: {'; '.join(problems)}.")
    for name, value in values.items():
        if value.dtype.kind not in "iuf":
            raise DtypeError(f"The array for {name} holds {value.dtype}, not real numbers.")
    for name, each in known.items():
        each.assign(values[name])


def _listed(names: object) -> str:
    """Names as a readable list, cut short when there are many."""
    listed = [repr(name) for name in names]  # type: ignore[attr-defined]
    if len(listed) > 12:
        return f"{', '.join(listed[:12])} and {len(listed) - 12} more"
    return ", ".join(listed) or "none"
