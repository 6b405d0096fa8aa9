"""A recorded computation once more in float64, whatever precision it was written in.

Rounding to float32 would drown a numerical derivative, so the gradient checker works on the
shadow: the same nodes, with every floating-point value and conversion in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from backlight.graph.primitive import Kind
from backlight.ops.convert import CAST
from backlight.ops.leaf import CONSTANT
from backlight.tensor import FLOAT64, Tensor, leaf, literal, quiet, record
from backlight.trace import history


def shadow(
    outputs: Sequence[Tensor], replaced: Mapping[Tensor, Tensor] | None = None
) -> list[Tensor]:
    """Record again in float64, with some tensors replaced by others.

    Parameters
    ----------
    outputs : sequence of Tensor
        With values.
    replaced : mapping of Tensor to Tensor, optional
        What stands for a tensor and for everything behind it.

    Returns
    -------
    list of Tensor
        One per output.  What is float64 already and depends on nothing replaced stays as it is.

    Examples
    --------
    >>> import backlight as bl
    >>> x = bl.tensor([1.0, 2.0], dtype="float32")
    >>> shadow([x * x])[0].dtype
    dtype('float64')
    """
    made = {each.serial: other for each, other in (replaced or {}).items()}
    with quiet():
        for node in history(outputs):
            if node.serial in made:
                continue
            operands = [made.get(each.serial, each) for each in node.inputs]
            changed = any(a is not b for a, b in zip(operands, node.inputs, strict=True))
            if changed or (node.dtype.kind == "f" and node.dtype != FLOAT64):
                made[node.serial] = _again(node, operands)
    return [made.get(each.serial, each) for each in outputs]


def _again(node: Tensor, operands: list[Tensor]) -> Tensor:
    if not node.inputs:
        value = np.asarray(node.value, np.float64)
        if node.primitive is CONSTANT:
            return literal(value)
        return leaf(node.primitive, literal(value).spec, value, node.name, node.site)
    attributes = dict(node.attributes)
    if node.primitive is CAST and np.dtype(attributes["dtype"]).kind == "f":
        attributes["dtype"] = FLOAT64
    if node.primitive.kind is Kind.RANDOM:  # the same numbers, not other ones with more digits
        made = record(CAST, (record(node.primitive, operands, attributes),), {"dtype": FLOAT64})
    else:
        made = record(node.primitive, operands, attributes)
    made.site, made.scope = node.site, node.scope
    return made
