"""Pullbacks: the derivative rules of one operation as a short list of evaluations, kept for reuse.

A rule builds graph nodes.  In an eager backward pass nobody looks at these nodes, so the rule runs
once on operands without values, and what it recorded is replayed on arrays for every operation of
the same primitive, attributes, shapes and dtypes: the same evaluations in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from backlight.differentiate.reverse import contribute
from backlight.errors import TracedValueError
from backlight.graph.primitive import Primitive
from backlight.ops.leaf import INPUT
from backlight.tensor import Tensor

LIMIT = 4096
"""So many pullbacks are kept; then they are made anew."""

Evaluation = tuple[Callable[..., Any], Callable[[list[Any]], Sequence[Any]]]
"""What to call, and how to pick its operands out of the values so far."""


def picked(places: Sequence[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """Return the function that picks the values at given places out of a list."""
    if len(places) == 1:
        return itemgetter(slice(places[0], places[0] + 1))  # a list of one, not the one itself
    return itemgetter(*places)


@dataclass(frozen=True, slots=True)
class Pullback:
    """The contributions of one operation to the gradients of its operands, on arrays.

    Attributes
    ----------
    constants : tuple
        The numbers that the rules themselves contain.
    calls : tuple of (callable, tuple of int)
        Each appends one value to: upstream gradient, output, operands, constants.  The integers
        are the places of what it takes.
    results : tuple of int
        The places of the contributions.
    steps : tuple of Evaluation
        The calls, ready to run.

    Examples
    --------
    >>> import backlight as bl
    >>> y = bl.tensor(3.0) * bl.tensor(5.0)
    >>> pullback = pullback_of(y, (0, 1), False)
    >>> [float(each) for each in pullback(2.0, 15.0, [3.0, 5.0])]
    [10.0, 6.0]
    """

    constants: tuple[Any, ...]
    calls: tuple[tuple[Callable[..., Any], tuple[int, ...]], ...]
    results: tuple[int, ...]
    steps: tuple[Evaluation, ...]

    def __call__(self, upstream: Any, output: Any, operands: Sequence[Any]) -> list[Any]:
        """Return one contribution per differentiated operand."""
        found = [upstream, output, *operands, *self.constants]
        for evaluate, pick in self.steps:
            found.append(evaluate(*pick(found)))
        return [found[place] for place in self.results]


class _Symbol(Tensor):
    """An operand without a value that tells whether a rule asked for the number it may be."""

    __slots__ = ("asked", "number")

    def __init__(self, like: Tensor, number: float | None) -> None:
        super().__init__(INPUT, (), {}, like.shape, like.dtype, None, False, like.site, "")
        self.number = number
        self.asked = False

    @property
    def constant(self) -> float | None:
        self.asked = True
        return self.number


_BY_CONSTANTS = object()
"""Stands for the rules that look at the constants among the operands, as that of a power does."""

_KEPT: dict[Any, Any] = {}
_ASKING: set[Primitive] = set()


def looks_at_constants(primitive: Primitive) -> bool:
    """Tell whether a rule of a primitive was seen to look at constants among its operands."""
    return primitive in _ASKING


def constants_of(node: Tensor) -> tuple[float | str | None, ...]:
    """Return the constants among the operands of a node, for comparing."""
    # Both zeros are equal, and no NaN equals another.
    return tuple(
        each if each is None or each > 0 else repr(each)
        for each in [operand.constant for operand in node.inputs]
    )


def pullback_of(node: Tensor, positions: tuple[int, ...], guarded: bool) -> Pullback | None:
    """Return the pullback of a node, or None when its rules have to see the values.

    Parameters
    ----------
    node : Tensor
    positions : tuple of int
        The operands to differentiate with respect to.
    guarded : bool
        Whether exact zeros of the upstream gradient must win over infinite local derivatives.

    Raises
    ------
    MissingRuleError, ShapeError
        As `contribute` does.
    """
    primitive, attributes = node.primitive, node.attributes
    key: tuple[Any, ...] = (
        primitive,
        positions,
        guarded,
        tuple(attributes.items()) if attributes else None,
        *[each.shape for each in node.inputs],
        *[each.dtype for each in node.inputs],
    )
    try:
        found = _KEPT.get(key, _KEPT)
    except TypeError:  # an attribute that does not hash, of a user's own operation
        return None
    if found is _BY_CONSTANTS:
        key = (*key, *constants_of(node))
        found = _KEPT.get(key, _KEPT)
    if found is not _KEPT:
        kept: Pullback | None = found
        return kept
    if len(_KEPT) >= LIMIT:
        _KEPT.clear()
    made, asked = _made(node, positions, guarded)
    if asked and len(key) == 4 + 2 * len(node.inputs):
        _KEPT[key] = _BY_CONSTANTS
        _ASKING.add(primitive)
        return pullback_of(node, positions, guarded)
    _KEPT[key] = made
    return made


def _made(node: Tensor, positions: tuple[int, ...], guarded: bool) -> tuple[Pullback | None, bool]:
    """Run the rules of a node on symbols; also tell whether they looked at constants."""
    if not node.primitive.pure:
        return None, False
    operands = tuple(_Symbol(each, each.constant) for each in node.inputs)
    given = (node.primitive, operands, node.attributes, node.shape, node.dtype)
    output = Tensor(*given, None, False, node.site, "")
    upstream = _Symbol(node, None)
    try:
        results = [contribute(output, each, upstream, guarded).value for each in positions]
    except TracedValueError:  # a user's rule that branches on values
        return None, False
    return (
        _listed((upstream, output, *operands), results),
        any(each.asked for each in operands),
    )


def _listed(given: Sequence[Tensor], results: Sequence[Tensor]) -> Pullback | None:
    """Write down what was recorded between given tensors and results."""
    place = {each.serial: index for index, each in enumerate(given)}
    found: dict[int, Tensor] = {}
    waiting = list(results)
    while waiting:
        each = waiting.pop()
        if each.serial not in place and each.serial not in found:
            found[each.serial] = each
            if each.known_value is None:
                waiting.extend(each.inputs)
    order = [found[serial] for serial in sorted(found)]
    constants = [each for each in order if each.known_value is not None]
    computed = [each for each in order if each.known_value is None]
    if not all(each.primitive.pure for each in computed):
        return None
    place |= {each.serial: len(given) + index for index, each in enumerate((*constants, *computed))}
    calls = tuple(
        (
            partial(each.primitive.evaluate, np, **each.attributes),
            tuple(place[operand.serial] for operand in each.inputs),
        )
        for each in computed
    )
    return Pullback(
        tuple(each.known_value for each in constants),
        calls,
        tuple(place[each.serial] for each in results),
        tuple((evaluate, picked(places)) for evaluate, places in calls),
    )
