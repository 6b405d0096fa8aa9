"""Reverse mode: one sweep from the outputs to the leaves, by the chain rule.

Each node's gradient is the sum of its incoming contributions, each *local derivative × upstream
gradient*; the contributions stay visible one by one.  Rules build graph nodes, so a backward pass
can be differentiated, compiled and explained like anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backlight.errors import GradientError, MissingRuleError, ShapeError
from backlight.graph.primitive import Kind, Primitive
from backlight.graph.scope import open_scope
from backlight.ops.compose import permute, reshape
from backlight.ops.convert import CAST
from backlight.ops.logical import (
    EQUAL,
    ISFINITE,
    LOGICAL_AND,
    LOGICAL_NOT,
    LOGICAL_OR,
    NOT_EQUAL,
)
from backlight.ops.move import unbroadcast
from backlight.ops.piecewise import WHERE, ZEROS_LIKE
from backlight.ops.reduce import ANY, expand
from backlight.tensor import Tensor, literal, record
from backlight.trace import history


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one use of a value adds to its gradient.

    Attributes
    ----------
    consumer : Tensor
        The node that used the value.
    position : int
        As which of its operands.
    local : Tensor, float or None
        The local derivative, entry by entry; None where the operation is linear and carries the
        gradient back as a whole (a matrix product, a move).
    value : Tensor
        Local derivative × upstream gradient, of the shape of the value.
    """

    consumer: Tensor
    position: int
    local: Tensor | float | None
    value: Tensor


@dataclass(slots=True)
class Sweep:
    """The result of a backward pass.

    Attributes
    ----------
    order : list of Tensor
        Everything that the outputs were made from, operands first.
    gradients : dict of int to Tensor
        The gradient of each reached tensor by its serial number.
    contributions : dict of int to list of Contribution
        What each gradient is the sum of.
    """

    order: list[Tensor]
    gradients: dict[int, Tensor] = field(default_factory=dict)
    contributions: dict[int, list[Contribution]] = field(default_factory=dict)

    def gradient(self, tensor: Tensor) -> Tensor | None:
        """Return the gradient of a tensor, or None when no path leads to it."""
        return self.gradients.get(tensor.serial)


def carries(consumer: Tensor, position: int) -> bool:
    """Tell whether a gradient flows through one operand of a node."""
    return (
        consumer.dtype.kind == "f"
        and consumer.inputs[position].dtype.kind == "f"
        and consumer.primitive.flows(position)
    )


def missing_rule(consumer: Tensor, position: int) -> None:
    """Raise when a gradient ends at a node for no reason but that its record has no rule."""
    primitive = consumer.primitive
    if (
        consumer.dtype.kind == "f"
        and consumer.inputs[position].dtype.kind == "f"
        and not primitive.differentiable
        and not primitive.stops_gradient
    ):
        raise MissingRuleError(
            f"The primitive {primitive.name} has no derivative rule; give its record partials or "
            f"transposes, or say in stops_gradient why none exists."
        )


def dependent(order: Sequence[Tensor], leaves: Iterable[Tensor]) -> set[int]:
    """Return the serial numbers of the tensors through which gradients reach given leaves."""
    reached = {each.serial for each in leaves}
    for each in order:
        for position, operand in enumerate(each.inputs):
            if operand.serial not in reached:
                continue
            if carries(each, position):
                reached.add(each.serial)
                break
            missing_rule(each, position)
    return reached


def parameters_of(order: Sequence[Tensor]) -> list[Tensor]:
    """Return the leaves that gradients flow to."""
    return [each for each in order if each.tracked and not each.inputs]


def guarded_nodes(order: Sequence[Tensor]) -> set[int]:
    """Return the nodes whose value may be thrown away by a later ``where``.

    Behind such a node the upstream gradient holds exact zeros for what was not selected, and a
    zero must stay zero even where the local derivative is infinite or NaN.
    """
    guarded: set[int] = set()
    for each in reversed(order):
        if each.primitive is WHERE:
            guarded.update(operand.serial for operand in each.inputs[1:])
        elif each.serial in guarded:
            guarded.update(operand.serial for operand in each.inputs)
    return guarded


def local_derivative(consumer: Tensor, position: int) -> Any:
    """Build the local derivative of an elementwise or reducing node, or None for a linear one."""
    rule = consumer.primitive.partial(position)
    if rule is None:
        return None
    return rule(consumer, *consumer.inputs, **consumer.attributes)


def contribute(
    consumer: Tensor, position: int, upstream: Tensor, guarded: bool = False
) -> Contribution:
    """Carry an upstream gradient through one operand of a node.

    Parameters
    ----------
    consumer : Tensor
        The node whose gradient is ``upstream``.
    position : int
        The operand.
    upstream : Tensor
        Of the shape of ``consumer``.
    guarded : bool
        Whether exact zeros of ``upstream`` must win over infinite local derivatives.

    Raises
    ------
    MissingRuleError
        When the primitive has no rule for the operand.
    """
    primitive = consumer.primitive
    operand = consumer.inputs[position]
    transpose = primitive.transpose(position)
    if transpose is not None:
        value = _carry_back(consumer, position, upstream, guarded)
        if primitive.kind is Kind.ELEMENTWISE:
            value = unbroadcast(value, operand.shape)
        return Contribution(consumer, position, None, _fit(value, operand, primitive))
    local = local_derivative(consumer, position)
    if local is None:
        raise MissingRuleError(
            f"The primitive {primitive.name} has no derivative rule for its operand {position}."
        )
    if primitive.kind is Kind.REDUCE:
        upstream = expand(upstream, operand.shape, consumer.attributes["axes"])
    product = _chain(local, upstream, guarded)
    if primitive.kind is not Kind.REDUCE:
        product = unbroadcast(product, operand.shape)
    return Contribution(consumer, position, local, _fit(product, operand, primitive))


def _fit(value: Tensor, operand: Tensor, primitive: Primitive) -> Tensor:
    """Check that a rule gave a gradient of its operand's shape, and give it the operand's dtype."""
    if value.shape != operand.shape:
        raise ShapeError(
            f"The derivative rule of {primitive.name} gave a gradient of shape {value.shape} for "
            f"an operand of shape {operand.shape}; the record is wrong."
        )
    if value.dtype is not operand.dtype and value.dtype != operand.dtype:
        return record(CAST, (value,), {"dtype": operand.dtype})
    return value


def _chain(local: Any, upstream: Tensor, guarded: bool) -> Tensor:
    """Multiply a local derivative with the upstream gradient."""
    if isinstance(local, (int, float)):
        if local == 1:
            return upstream
        if local == -1:
            return -upstream
        if local == 0:
            return record(ZEROS_LIKE, (upstream,))
        return upstream * local
    if guarded:
        # Only the local derivative is replaced, and only where it is not finite, so that the
        # product still changes with the upstream gradient when it is differentiated again.
        lost = LOGICAL_AND(EQUAL(upstream, 0.0), LOGICAL_NOT(ISFINITE(local)))
        local = WHERE(lost, 0.0, local)
    product: Tensor = local * upstream
    return product


def _carry_back(consumer: Tensor, position: int, upstream: Tensor, guarded: bool) -> Tensor:
    primitive = consumer.primitive
    rule = primitive.transpose(position)
    assert rule is not None
    inputs = consumer.inputs
    if guarded and primitive.kind is Kind.CONTRACT:
        inputs = _masked_operands(consumer, position, upstream)
    attributes = dict(consumer.attributes)
    if primitive.variadic:
        attributes["position"] = position
    value: Tensor = rule(upstream, consumer, *inputs, **attributes)
    return value


def _masked_operands(consumer: Tensor, position: int, upstream: Tensor) -> tuple[Tensor, ...]:
    """Zero what is not finite in the other operand where it only meets exact zeros of upstream."""
    result = consumer.attributes["result"]
    other = 1 - position
    labels = consumer.attributes["right" if other else "left"]
    shared = [label for label in labels if label in result]
    axes = tuple(k for k, label in enumerate(result) if label not in shared)
    used = NOT_EQUAL(upstream, 0.0)
    used = ANY(used, axes=axes) if axes else used
    kept = [label for label in result if label in shared]
    order = tuple(kept.index(label) for label in labels if label in shared)
    used = permute(used, order)
    sizes = iter(used.shape)
    used = reshape(used, tuple(next(sizes) if label in shared else 1 for label in labels))
    operand = consumer.inputs[other]
    masked = WHERE(LOGICAL_OR(used, ISFINITE(operand)), operand, 0.0)
    return (consumer.inputs[0], masked) if other else (masked, consumer.inputs[1])


def sweep(
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor],
    wrt: Sequence[Tensor] | None = None,
    *,
    keep: bool = True,
) -> Sweep:
    """Run one backward pass.

    Parameters
    ----------
    outputs : sequence of Tensor
    seeds : sequence of Tensor
        The gradient of each output to start with.
    wrt : sequence of Tensor, optional
        The tensors whose gradients are wanted; by default everything that leads to a parameter.
    keep : bool
        Keep the contributions one by one.

    Returns
    -------
    Sweep
        With a gradient for every tensor on a path from ``wrt`` to an output.
    """
    order = history(outputs)
    leaves = parameters_of(order) if wrt is None else wrt
    reached = dependent(order, leaves)
    done = Sweep(order)
    gradients = done.gradients
    for output, seed in zip(outputs, seeds, strict=True):
        if output.serial in reached:
            earlier = gradients.get(output.serial)
            gradients[output.serial] = seed if earlier is None else earlier + seed
    guarded = guarded_nodes(order)
    with open_scope("backward", "backward"):
        for each in reversed(order):
            upstream = gradients.get(each.serial)
            if upstream is None:
                continue
            for position, operand in enumerate(each.inputs):
                serial = operand.serial
                if serial not in reached or not carries(each, position):
                    continue
                contribution = contribute(each, position, upstream, each.serial in guarded)
                if keep:
                    done.contributions.setdefault(serial, []).append(contribution)
                earlier = gradients.get(serial)
                value = contribution.value
                gradients[serial] = value if earlier is None else earlier + value
    return done


def check_scalar(output: Tensor, what: str) -> None:
    """Raise unless a tensor is one floating-point number."""
    if output.shape != ():
        raise GradientError(
            f"{what} needs a scalar, and {output.name or 'the result'} has shape {output.shape}; "
            f"reduce it with bl.sum or bl.mean, or give a seed of its shape."
        )
    if output.dtype.kind != "f":
        raise GradientError(
            f"{what} needs a floating-point result, and {output.name or 'it'} is {output.dtype}."
        )


def unit_seed(output: Tensor, what: str) -> Tensor:
    """Return the gradient 1 for a scalar output, or raise."""
    check_scalar(output, what)
    return literal(1.0, output.dtype)
