"""`compile`: a Python function, traced once for each kind of arguments and then only run.

It takes any function of tensors and gives one that is called in the same way; programs are kept
for the most recent kinds of arguments.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.errors import BacklightWarning, DtypeError, UsageError
from backlight.execute.description import PlanDescription
from backlight.execute.executors import Executable, check_name, explain, program
from backlight.graph.collector import collector_held
from backlight.graph.primitive import Array, Dtype, Spec
from backlight.graph.pytree import Tree, flatten, leaf_names, unflatten
from backlight.ops.leaf import INPUT
from backlight.tensor import FLOAT64, Tensor, leaf, tensor
from backlight.trace import argument_names, as_output, capture_since

KEPT_PROGRAMS = 32
"""How many kinds of arguments one compiled function remembers."""

Slot = Spec | tuple[Hashable, ...]
"""What a program depends on in one argument: its shape and dtype, or its type and fixed value."""


@dataclass(frozen=True, eq=False, slots=True)
class _Entry:
    """One program with what surrounds it."""

    executable: Executable
    closed_over: tuple[Tensor, ...]
    results: Tree


class Compiled:
    """A function that is traced once for each kind of arguments; see `compile`."""

    def __init__(self, function: Callable[..., Any], executor: str) -> None:
        self._function = function
        self._executor = executor
        self._entries: OrderedDict[tuple[Tree, tuple[Slot, ...]], _Entry] = OrderedDict()
        self._said_another = False
        functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        name = getattr(self._function, "__name__", type(self._function).__name__)
        return f"<compiled {name} ({self._executor}, {len(self._entries)} programs)>"

    @property
    def programs(self) -> int:
        """How many programs are kept at present."""
        return len(self._entries)

    def explain_plan(self) -> PlanDescription:
        """Say what the machine does for the most recent kind of arguments.

        Returns
        -------
        PlanDescription
            Kernels in order, memory, and costs; it prints as text, and ``to_dict()`` gives the
            same as data.  Before the first call, and for the reference executor, it is a sentence.

        Examples
        --------
        >>> import backlight as bl
        >>> square = compile(lambda x: x * x)
        >>> square.explain_plan()
        Nothing is compiled yet; call the function once, then ask again.
        """
        if not self._entries:
            sentence = "Nothing is compiled yet; call the function once, then ask again."
            return PlanDescription(sentence)
        return explain(next(reversed(self._entries.values())).executable)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function; see `compile`."""
        leaves, tree = flatten((arguments, options))
        if any(isinstance(each, Tensor) and _recording(each) for each in leaves):
            return self._function(*arguments, **options)
        beside = {
            each.dtype
            for each in leaves
            if isinstance(each, (Tensor, np.ndarray, np.generic)) and each.dtype.kind == "f"
        }
        slots: list[Slot] = []
        values: list[Array] = []
        for each in leaves:
            value = _dynamic(each, beside)
            if value is None:
                slots.append(_fixed(each))
            else:
                slots.append(Spec(value.shape, value.dtype))
                values.append(value)
        key = (tree, tuple(slots))
        entry = self._entries.get(key)
        if entry is None:
            self._say_another(leaves, tree, slots)
            entry = self._trace(leaves, tree, slots)
            self._entries[key] = entry
            if len(self._entries) > KEPT_PROGRAMS:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        values.extend(each.known_value for each in entry.closed_over)
        outputs = entry.executable.run(values)
        return unflatten(entry.results, [_result(each) for each in outputs])

    def _say_another(self, leaves: Sequence[Any], tree: Tree, slots: Sequence[Slot]) -> None:
        """Say, once, that another shape costs another compilation."""
        if self._executor == "reference" or self._said_another:
            return
        for known_tree, known in self._entries:
            if known_tree != tree or len(known) != len(slots):
                continue
            changed = [
                place
                for place, (a, b) in enumerate(zip(known, slots, strict=True))
                if isinstance(a, Spec) and isinstance(b, Spec) and a != b
            ]
            if not changed:
                continue
            self._said_another = True
            place = changed[0]
            name = _names(self._function, leaves, tree)[place]
            called = getattr(self._function, "__name__", type(self._function).__name__)
            warnings.warn(
                f"{called} is compiled again, because {name} is now {slots[place]} and was "
                f"{known[place]}; each kind of arguments has a program of its own, of which "
                f"{KEPT_PROGRAMS} are kept. It is said once.",
                BacklightWarning,
                stacklevel=3,
            )
            return

    def _trace(self, leaves: Sequence[Any], tree: Tree, slots: Sequence[Slot]) -> _Entry:
        """Call the function on placeholders and make a program of what it recorded."""
        names = _names(self._function, leaves, tree)
        start = tensor(0.0).serial  # what is older than this was made outside the function
        given: list[Any] = []
        placeholders: list[Tensor] = []
        for each, slot, name in zip(leaves, slots, names, strict=True):
            if not isinstance(slot, Spec):
                given.append(each)
                continue
            placeholder = leaf(INPUT, slot, None, name)
            given.append(placeholder)
            placeholders.append(placeholder)
        arguments, options = unflatten(tree, given)
        with collector_held():
            results, shape_of_results = flatten(self._function(*arguments, **options))
            graph, closed_over = capture_since(
                [as_output(each) for each in results], placeholders, start
            )
            results.clear()  # and with them all that was recorded
            executable = program(graph, self._executor)
        return _Entry(executable, closed_over, shape_of_results)


def _recording(argument: Tensor) -> bool:
    """Whether a call with this argument must be recorded, for a gradient or an outer trace."""
    return argument.tracked or argument.known_value is None


def _dynamic(argument: Any, beside: set[Dtype]) -> Array | None:
    """Return the value of an argument that programs take at run time, None for a fixed one."""
    if isinstance(argument, Tensor):
        return argument.value
    if isinstance(argument, (np.ndarray, np.generic)):
        array = np.asarray(argument)
        if array.dtype.kind not in "biuf":
            raise DtypeError(
                f"A compiled function takes Booleans, integers or floating-point numbers, not "
                f"arrays of {array.dtype}."
            )
        return array
    # A float takes the dtype of the arrays beside it, as Python scalars do; with two to choose
    # from, the choice depends on where it is used, so that the value must be fixed.
    if type(argument) is float and len(beside) < 2:
        return np.asarray(argument, dtype=next(iter(beside), FLOAT64))
    return None


def _fixed(argument: Any) -> tuple[Hashable, ...]:
    """Return the slot of an argument whose value the program is made for."""
    try:
        hash(argument)
    except TypeError:
        raise UsageError(
            f"A compiled function takes tensors, arrays, numbers and hashable Python values, not "
            f"{type(argument).__name__}; convert it to an array or a tuple."
        ) from None
    kind: type = type(argument)  # True and 1 are equal but not the same argument
    return (kind, argument.hex() if kind is float else argument)


def _names(function: Callable[..., Any], leaves: Sequence[Any], tree: Tree) -> list[str]:
    """Name the leaves of the arguments as the function's signature does."""
    arguments, options = unflatten(tree, leaves)
    groups = argument_names(function, arguments)
    for key in sorted(options, key=str):
        groups.append(leaf_names(flatten(options[key])[1], key))
    return list(itertools.chain.from_iterable(groups))


def _result(value: Array) -> Tensor:
    """Wrap an output that nobody else holds, without copying it."""
    value.flags.writeable = False
    stored = value if value.shape else value[()]
    return leaf(INPUT, Spec(value.shape, value.dtype), stored)


def compile(function: Callable[..., Any], executor: str = "native") -> Compiled:
    """Return a function that does the same and is traced only once for each kind of arguments.

    Two calls are of one kind when their arguments have the same containers, shapes and dtypes and
    the same fixed values.  Arrays, tensors and Python floats may change from call to call; Python
    integers, Booleans, strings, None and other objects are fixed values.  A float takes the dtype
    of the floating-point arrays beside it.

    Parameters of a network that the function uses are read at every call, so that training is
    seen; other Python values that it closes over are read only when it is traced.

    A call with a tensor that carries a gradient is recorded as if ``function`` itself had been
    called, so that compiled functions can be differentiated.

    Parameters
    ----------
    function : callable
        Takes and returns tensors, or nested dicts, lists and tuples of them.
    executor : str
        How it is run: ``"native"`` makes machine code, ``"reference"`` is NumPy.  That machine
        code is made again for another shape is said, once.

    Returns
    -------
    Compiled
        Its results are tensors without a history.

    Raises
    ------
    UsageError
        For an executor that does not exist, or something that cannot be called.
    TracedValueError
        At a call, when the function branches on a tensor's value.

    Examples
    --------
    >>> import backlight as bl
    >>> square = compile(lambda x: x * x)
    >>> square(bl.tensor([1.0, 3.0])), square(bl.tensor([2.0, 4.0])), square.programs
    (Tensor([1., 9.]), Tensor([ 4., 16.]), 1)
    """
    check_name(executor)
    if not callable(function):
        raise UsageError(
            f"bl.compile takes a function, not {type(function).__name__}; pass the function "
            f"itself without calling it."
        )
    return Compiled(function, executor)
