"""All rows or all columns of a Jacobian in one batched pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backlight.differentiate.batching import batch
from backlight.differentiate.calls import Call, pull
from backlight.differentiate.forward import push
from backlight.graph.primitive import Shape
from backlight.ops.compose import permute, reshape
from backlight.ops.leaf import INPUT
from backlight.tensor import Tensor, leaf, literal


def _unit_vectors(of: Tensor) -> tuple[Tensor, Tensor]:
    """Return a stand-in of a tensor's shape and, stacked, all unit vectors of that shape."""
    stand_in = leaf(INPUT, of.spec, None, "direction")
    units = np.eye(of.size, dtype=of.dtype).reshape(of.size, *of.shape)
    return stand_in, literal(units)


def rows(outputs: Sequence[Tensor], call: Call) -> list[list[Tensor]]:
    """One backward pass per output, over all its entries at once."""
    found = []
    for output in outputs:
        seed, units = _unit_vectors(output)
        gradients = pull([output], [seed], call)
        batched = batch(gradients, {seed: units}, output.size)
        found.append(
            [
                reshape(each, output.shape + variable.shape)
                for each, variable in zip(batched, call.variables, strict=True)
            ]
        )
    return found


def columns(outputs: Sequence[Tensor], variables: Sequence[Tensor]) -> list[list[Tensor]]:
    """One forward pass per variable, along all its entries at once."""
    found = []
    for variable in variables:
        direction, units = _unit_vectors(variable)
        batched = batch(push(outputs, {variable: direction}), {direction: units}, variable.size)
        found.append(
            [
                _last(each, variable.shape, output.shape)
                for each, output in zip(batched, outputs, strict=True)
            ]
        )
    return [list(row) for row in zip(*found, strict=True)]


def _last(batched: Tensor, argument: Shape, result: Shape) -> Tensor:
    """Put the batch axis last and open it into the argument's axes."""
    if batched.shape == argument + result and not result:
        return batched
    order = (*range(1, batched.ndim), 0)
    moved: Tensor = reshape(permute(batched, order), result + argument)
    return moved
