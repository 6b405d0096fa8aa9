"""The eager backward pass: `Tensor.backward`, on arrays and without recording.

It takes the same steps as `reverse.sweep`, in the same order, so the gradients are the same bit
for bit; but each node's rules are replayed on arrays by its pullback, and only the gradients stay.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from backlight.differentiate.pullback import pullback_of
from backlight.differentiate.replay import Use, form_of, keep_replay, replay_of
from backlight.differentiate.reverse import (
    check_scalar,
    contribute,
    dependent,
    guarded_nodes,
    missing_rule,
    parameters_of,
)
from backlight.errors import BacklightWarning, GradientError, ShapeError
from backlight.graph.primitive import Primitive, Spec
from backlight.ops.leaf import INPUT
from backlight.ops.piecewise import WHERE
from backlight.tensor import Tensor, leaf, literal, quiet
from backlight.trace import history


def backward(output: Tensor, seed: Any = None, *, accumulate: bool = False) -> None:
    """Run the backward pass of eager tensors and store the gradients on them.

    See `Tensor.backward`.
    """
    order = history([output])
    _check_current(order)
    start = _start(output, seed)
    if not output.tracked:
        dependent(order, parameters_of(order))  # names a primitive that lacks a rule
        raise GradientError(
            f"{output.name or 'This tensor'} depends on no parameter, so there is nothing to "
            f"differentiate; make the leaf with bl.param, or see bl.why_no_grad."
        )
    suspect: list[Tensor] = []
    with quiet():
        for each, gradient in zip(order, _gradients(order, output, start), strict=True):
            if accumulate:
                if gradient is None:
                    continue
                if each.grad is not None:
                    gradient = each.grad + gradient
            each.keep_gradient(gradient)
            if gradient is None or each.inputs:
                continue
            # A sum of squares is finite only if all of them are; it may overflow: look again then.
            if not math.isfinite(np.vdot(gradient, gradient)):
                suspect.append(each)
    if suspect:
        _warn_of_nonfinite(suspect)


def _check_current(order: Sequence[Tensor]) -> None:
    """Raise when a leaf was given another value after something was computed from it."""
    newest = max([each._assigned for each in order])
    if newest < 0:
        return
    for each in order:
        if newest > each.serial and any(operand.assigned > each.serial for operand in each.inputs):
            raise GradientError(
                f"A parameter was assigned a new value after {each.name or 'the loss'} was "
                f"recorded, so its derivatives would mix two states; record the loss again."
            )


def _start(output: Tensor, seed: Any) -> Any:
    """Return the gradient of the output itself."""
    if output.known_value is None:
        raise GradientError("A traced tensor has no gradients of its own; use bl.grad(f).")
    if seed is None:
        check_scalar(output, "backward()")
        return output.dtype.type(1)
    start = literal(seed.value if isinstance(seed, Tensor) else seed, output.dtype)
    if start.shape != output.shape:
        raise ShapeError(
            f"The seed has shape {start.shape} and the tensor {output.shape}; they must match."
        )
    return start.known_value


@lru_cache(maxsize=1024)
def _flowing(primitive: Primitive, count: int) -> tuple[bool, ...]:
    return tuple(primitive.flows(position) for position in range(count))


def _uses(order: Sequence[Tensor]) -> list[Use]:
    """Return the nodes on the way from a parameter to the output, operands first."""
    reached: set[int] = set()
    found: list[Use] = []
    for each in order:
        inputs = each.inputs
        if not inputs:
            if each.tracked:
                reached.add(each.serial)
        elif each.tracked:
            flowing = _flowing(each.primitive, len(inputs))
            positions: tuple[int, ...] = ()
            for position, operand in enumerate(inputs):
                if operand.serial in reached and flowing[position]:
                    positions += (position,)
            if positions:
                reached.add(each.serial)
                found.append((each, positions))
        elif not each.primitive.differentiable:
            for position, operand in enumerate(inputs):
                if operand.serial in reached:
                    missing_rule(each, position)
    return found


def _gradients(order: Sequence[Tensor], output: Tensor, start: Any) -> list[Any]:
    """Return the gradient of every tensor, None where no path leads from it to the output."""
    form = form_of(order)
    replay = None if form is None else replay_of(form)
    if replay is not None:
        return replay(start, order)
    uses = _uses(order)
    if output.inputs and (not uses or uses[-1][0] is not output):
        return [None] * len(order)
    guarded: Collection[int] = ()
    if WHERE in [each.primitive for each in order]:
        guarded = guarded_nodes(order)
    if form is not None:
        keep_replay(form, order, uses, guarded)
    found = _one_by_one(uses, guarded, {output.serial: start})
    return [found.get(each.serial) for each in order]


def _one_by_one(
    uses: Sequence[Use], guarded: Collection[int], gradients: dict[int, Any]
) -> dict[int, Any]:
    """Add the gradient of every node that contributes to one that is there, by serial."""
    for node, positions in reversed(uses):
        serial = node.serial
        upstream = gradients.get(serial)
        if upstream is None:
            continue
        inputs = node.inputs
        pullback = pullback_of(node, positions, serial in guarded)
        if pullback is None:
            contributions = _contributions(node, positions, upstream, serial in guarded)
        else:
            contributions = pullback(
                upstream, node.known_value, [each.known_value for each in inputs]
            )
        for position, contribution in zip(positions, contributions, strict=True):
            serial = inputs[position].serial
            if serial in gradients:
                contribution = gradients[serial] + contribution
            gradients[serial] = contribution
    return gradients


def _contributions(
    node: Tensor, positions: tuple[int, ...], upstream: Any, guarded: bool
) -> list[Any]:
    """Run rules that have to see the values, as those of a user's own operation may."""
    carried = leaf(INPUT, Spec(node.shape, node.dtype), upstream)
    return [contribute(node, each, carried, guarded).value.value for each in positions]


def _warn_of_nonfinite(leaves: Sequence[Tensor]) -> None:
    for each in leaves:
        gradient = each.grad
        if gradient is None or np.all(np.isfinite(gradient)):
            continue
        place = each.location
        warnings.warn(
            f"The gradient of {each.name or 'a parameter'}"
            f"{f' ({place})' if place is not None else ''} is not finite; bl.find_nonfinite(loss) "
            f"names the first such node.",
            BacklightWarning,
            stacklevel=4,
        )
        return
