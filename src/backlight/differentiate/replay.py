"""Replays: a whole eager backward pass as one list of evaluations, for graphs seen before.

A training loop written by hand records the same graph at every step.  Its backward pass is put
together once, from the pullbacks of its nodes, and then runs on the new values; nothing is
decided, looked up or built again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from backlight.differentiate.pullback import (
    Evaluation,
    Pullback,
    constants_of,
    looks_at_constants,
    picked,
    pullback_of,
)
from backlight.tensor import Tensor

LARGEST = 2000
"""Graphs with more nodes are not kept."""

LIMIT = 256
"""So many graphs are kept; then they are seen anew."""

Use = tuple[Tensor, tuple[int, ...]]
"""A node that gradients pass through, and the operands that they go to."""

Form = tuple[Any, ...]
"""What two graphs have in common that have the same backward pass."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The backward pass of graphs of one form.

    Attributes
    ----------
    constants : tuple
        The numbers that the derivative rules contain.
    steps : tuple of Evaluation
        Each appends one value to: the gradient of the output, the value of every node, constants.
    results : tuple of (int, int)
        For each node with a gradient its number and the place of the gradient.
    """

    constants: tuple[Any, ...]
    steps: tuple[Evaluation, ...]
    results: tuple[tuple[int, int], ...]

    def __call__(self, start: Any, order: Sequence[Tensor]) -> list[Any]:
        """Return the gradient of every node, None where there is none."""
        found = [start, *[each._value for each in order], *self.constants]
        append = found.append
        for evaluate, pick in self.steps:
            append(evaluate(*pick(found)))
        gradients: list[Any] = [None] * len(order)
        for number, place in self.results:
            gradients[number] = found[place]
        return gradients


_SEEN, _NEVER = object(), object()
"""Stand for the replay of a form that was met once, for only the second time is it worth making,
and of one whose rules have to see the values."""

_KEPT: dict[Form, Any] = {}


def form_of(order: Sequence[Tensor]) -> Form | None:
    """Return the form of a graph, given by its tensors in order; None for one that is not kept."""
    if len(order) > LARGEST:
        return None
    number: dict[int, int] = {}
    form: list[Any] = []
    for each in order:
        number[each.serial] = len(number)
        inputs = each.inputs
        if inputs:
            primitive = each.primitive
            form.append(primitive)
            for operand in inputs:
                form.append(number[operand.serial])
            if each.attributes:
                form.extend(each.attributes.items())
            if looks_at_constants(primitive):
                form.append(constants_of(each))
            if not primitive.pure:  # its shape may depend on more than its operands
                form += (each.shape, each.dtype)
        else:
            form += (each.shape, each.dtype, each.tracked)
    return tuple(form)


def replay_of(form: Form) -> Replay | None:
    """Return the replay for a form, or None when there is none."""
    try:
        found = _KEPT.get(form)
    except TypeError:  # an attribute that does not hash, of a user's own operation
        return None
    return found if isinstance(found, Replay) else None


def keep_replay(
    form: Form, order: Sequence[Tensor], uses: Sequence[Use], guarded: Collection[int]
) -> None:
    """Note that a form was met, and make its replay when it is met again.

    Parameters
    ----------
    form : Form
    order : sequence of Tensor
        The graph; its last tensor is the output.
    uses : sequence of Use
        The nodes that gradients pass through, operands first.
    guarded : collection of int
        Their serial numbers, where zeros of the upstream gradient must win.
    """
    try:
        met = _KEPT.get(form)
    except TypeError:  # an attribute that does not hash, of a user's own operation
        return
    if met is _NEVER:
        return
    if len(_KEPT) >= LIMIT:
        _KEPT.clear()
    _KEPT[form] = _SEEN if met is None else _made(order, uses, guarded)


def _made(
    order: Sequence[Tensor], uses: Sequence[Use], guarded: Collection[int]
) -> Replay | object:
    pullbacks: list[Pullback] = []
    for node, positions in uses:
        pullback = pullback_of(node, positions, node.serial in guarded)
        if pullback is None:
            return _NEVER
        pullbacks.append(pullback)
    number = {each.serial: index for index, each in enumerate(order)}
    constants = [each for pullback in pullbacks for each in pullback.constants]
    first_constant = 1 + len(order) + len(constants)
    place = first_constant  # of the next value that is computed
    gradients = {len(order) - 1: 0}
    steps: list[tuple[Callable[..., Any], tuple[int, ...]]] = []
    for (node, positions), pullback in zip(reversed(uses), reversed(pullbacks), strict=True):
        first_constant -= len(pullback.constants)
        own = number[node.serial]
        if own not in gradients:
            continue
        operands = [number[each.serial] for each in node.inputs]
        places = [gradients[own], 1 + own, *[1 + each for each in operands]]
        places += range(first_constant, first_constant + len(pullback.constants))
        for evaluate, taken in pullback.calls:
            steps.append((evaluate, tuple(places[each] for each in taken)))
            places.append(place)
            place += 1
        for position, result in zip(positions, pullback.results, strict=True):
            operand = operands[position]
            if operand in gradients:
                steps.append((operator.add, (gradients[operand], places[result])))
                gradients[operand] = place
                place += 1
            else:
                gradients[operand] = places[result]
    return Replay(
        tuple(constants),
        tuple((evaluate, picked(taken)) for evaluate, taken in steps),
        tuple(gradients.items()),
    )
