"""Forward mode: one pass from the leaves to the outputs that carries tangents along.

A tangent says how fast a value changes when the leaves move in a given direction.  It uses the
same records as reverse mode: local derivatives where there are some, and the operation itself
where it is linear.  Everything builds graph nodes, so the pass can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backlight.differentiate.reverse import (
    carries,
    contribute,
    local_derivative,
    missing_rule,
    sweep,
)
from backlight.errors import ShapeError
from backlight.graph.primitive import Kind
from backlight.graph.scope import open_scope
from backlight.ops.compose import broadcast_to
from backlight.ops.convert import CAST
from backlight.ops.leaf import INPUT
from backlight.ops.logical import EQUAL, ISFINITE, LOGICAL_AND, LOGICAL_NOT
from backlight.ops.move import PAD
from backlight.ops.piecewise import WHERE, ZEROS_LIKE
from backlight.ops.reduce import SUM
from backlight.tensor import Tensor, leaf, quiet, record
from backlight.trace import history

Tangents = dict[int, Tensor]


def push(outputs: Sequence[Tensor], tangents: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """Carry tangents forward.

    For ``y = f(x)`` and a direction ``t`` the tangent of ``y`` is the Jacobian of ``f`` times
    ``t`` (R. E. Wengert, "A simple automatic derivative evaluation program", CACM 7, 1964).

    Parameters
    ----------
    outputs : sequence of Tensor
    tangents : mapping of Tensor to Tensor
        For each tensor that moves its direction, of the same shape.  What lies behind such a
        tensor is not looked at.

    Returns
    -------
    list of Tensor
        One tangent per output, of its shape and dtype; zeros where nothing that moves leads to it.

    Raises
    ------
    ShapeError
        When a direction has another shape than its tensor.
    MissingRuleError
        When a primitive on the way has no derivative rule.

    Examples
    --------
    >>> import backlight as bl
    >>> x = bl.tensor([1.0, 2.0])
    >>> push([x * x], {x: bl.tensor([1.0, 10.0])})[0]
    Tensor([ 2., 40.])
    """
    moving: Tangents = {}
    for each, tangent in tangents.items():
        if tangent.shape != each.shape:
            raise ShapeError(
                f"The tangent of {each.name or 'an argument'} has shape {tangent.shape} and the "
                f"argument {each.shape}; they must match."
            )
        moving[each.serial] = _cast(tangent, each)
    given = set(moving)
    with quiet(), open_scope("tangents", "backward"):
        for each in history(outputs):
            if each.serial in given:
                continue
            tangent_of_each = _tangent(each, moving)
            if tangent_of_each is not None:
                moving[each.serial] = tangent_of_each
        return [
            moving[each.serial] if each.serial in moving else record(ZEROS_LIKE, (each,))
            for each in outputs
        ]


def _tangent(node: Tensor, moving: Tangents) -> Tensor | None:
    """Return the tangent of one node, or None when none of its operands moves."""
    reached = [
        position
        for position, operand in enumerate(node.inputs)
        if operand.serial in moving and _moves(node, position)
    ]
    if not reached:
        return None
    if node.primitive.kind is Kind.CUSTOM:
        return _transposed_twice(node, reached, moving)
    linear = [each for each in reached if node.primitive.transpose(each) is not None]
    terms = [
        _local_term(node, position, moving[node.inputs[position].serial])
        for position in reached
        if position not in linear
    ]
    if linear:
        terms += _linear_terms(node, linear, moving)
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return _cast(broadcast_to(total, node.shape), node)


def _moves(node: Tensor, position: int) -> bool:
    if carries(node, position):
        return True
    missing_rule(node, position)
    return False


def _cast(tangent: Tensor, like: Tensor) -> Tensor:
    if tangent.dtype == like.dtype:
        return tangent
    return record(CAST, (tangent,), {"dtype": like.dtype})


def _local_term(node: Tensor, position: int, tangent: Tensor) -> Tensor:
    """Local derivative × tangent, added up along the axes of a reduction."""
    local = local_derivative(node, position)
    product = _product(local, tangent, node.inputs[position].primitive is WHERE)
    if node.primitive.kind is Kind.REDUCE:
        return record(SUM, (product,), {"axes": node.attributes["axes"]})
    return product


def _product(local: Any, tangent: Tensor, after_where: bool) -> Tensor:
    if isinstance(local, (int, float)):
        if local == 1:
            return tangent
        if local == -1:
            return -tangent
        if local == 0:
            return record(ZEROS_LIKE, (tangent,))
        return tangent * local
    if after_where:
        # Reverse mode shields a zero upstream gradient by a ``where``; seen forwards the zero is
        # the local derivative here, and it must win over an infinite tangent just the same.
        lost = LOGICAL_AND(EQUAL(local, 0.0), LOGICAL_NOT(ISFINITE(tangent)))
        tangent = WHERE(lost, 0.0, tangent)
    product: Tensor = local * tangent
    return product


def _linear_terms(node: Tensor, positions: Sequence[int], moving: Tangents) -> list[Tensor]:
    """Apply a linear operation to the tangents of its operands.

    A contraction is linear in each operand by itself, so every moving operand gives a term; all
    others are linear in their operands together, and one application does.
    """
    attributes = dict(node.attributes)
    if node.primitive is PAD:
        attributes["fill"] = 0.0  # the fill value does not move
    if node.primitive.kind is Kind.CONTRACT:
        return [
            record(
                node.primitive,
                [moving[x.serial] if k == position else x for k, x in enumerate(node.inputs)],
                attributes,
            )
            for position in positions
        ]
    operands = [
        moving[operand.serial]
        if position in positions
        else record(ZEROS_LIKE, (operand,))
        if node.primitive.transpose(position) is not None
        else operand
        for position, operand in enumerate(node.inputs)
    ]
    return [record(node.primitive, operands, attributes)]


def _transposed_twice(node: Tensor, positions: Sequence[int], moving: Tangents) -> Tensor:
    """Derive the tangent from the backward rule alone.

    The rule maps an upstream gradient u to Jᵀu.  That is linear in u, and its own transpose,
    applied to a tangent t, is Jt (J. Townsend, "A new trick for calculating Jacobian vector
    products", 2017).
    """
    known = all(each.known_value is not None for each in node.inputs)
    zeros = np.zeros(node.shape, node.dtype) if known else None
    upstream = leaf(INPUT, node.spec, zeros, "u")
    carried = [contribute(node, position, upstream).value for position in positions]
    seeds = [moving[node.inputs[position].serial] for position in positions]
    tangent = sweep(carried, seeds, wrt=[upstream]).gradient(upstream)
    return record(ZEROS_LIKE, (node,)) if tangent is None else tangent
