"""Batching: turn a computation written for one example into one for a batch of them.

Each recorded node is recorded once more with a leading batch axis, by one rule per kind of
primitive, so that a batch runs as one vectorised program and not as a Python loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backlight.errors import ShapeError, UsageError
from backlight.graph.primitive import Kind, Spec
from backlight.graph.pytree import flatten, unflatten
from backlight.ops.compose import broadcast_to, permute, reshape
from backlight.ops.convert import CAST
from backlight.ops.index import ARGSORT, GATHER, SCATTER_ADD
from backlight.ops.leaf import INPUT
from backlight.ops.logical import GREATER_EQUAL, LESS, LOGICAL_AND
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.piecewise import WHERE
from backlight.tensor import INT64, Tensor, as_tensor, leaf, literal, quiet, record
from backlight.trace import argument_names, as_output, history

Batched = list[Tensor | None]
"""For each operand its batched form, or None when all examples share it."""

Rule = Callable[[Tensor, Batched, int], Tensor | None]
"""``rule(node, batched, count)`` returns the batched node, or None when it has to be a loop."""


def batch(outputs: Sequence[Tensor], examples: Mapping[Tensor, Tensor], count: int) -> list[Tensor]:
    """Record a computation again for a whole batch.

    Parameters
    ----------
    outputs : sequence of Tensor
        Results for one example.
    examples : mapping of Tensor to Tensor
        For each tensor that differs between examples the same with a leading batch axis.
    count : int
        The number of examples.

    Returns
    -------
    list of Tensor
        Each output with a leading axis of ``count`` entries.

    Examples
    --------
    >>> import backlight as bl
    >>> x = bl.tensor(0.0)
    >>> batch([x * x + 1.0], {x: bl.tensor([1.0, 2.0, 3.0])}, 3)[0]
    Tensor([ 2.,  5., 10.])
    """
    made = {each.serial: batched for each, batched in examples.items()}
    given = set(made)
    with quiet():
        for node in history(outputs):
            if node.serial in given:
                continue
            batched: Batched = [made.get(operand.serial) for operand in node.inputs]
            if all(each is None for each in batched):
                continue
            rule = RULES.get(node.primitive.kind)
            result = None if rule is None else rule(node, batched, count)
            if result is None:
                result = _loop(node, batched, count)
            result.site, result.scope = node.site, node.scope
            made[node.serial] = result
        return [
            made[each.serial] if each.serial in made else broadcast_to(each, (count, *each.shape))
            for each in outputs
        ]


def vectorize(
    function: Callable[..., Any], in_axes: int | Sequence[int | None] | None = 0
) -> Callable[..., Any]:
    """Make a function of one example a function of a batch.

    Parameters
    ----------
    function : callable
        Takes and returns tensors, or nested dicts, lists and tuples of them.
    in_axes : int, None or a sequence of them
        For each positional argument the axis that counts the examples; None for an argument that
        all examples share.

    Returns
    -------
    callable
        Its results have the batch as their first axis.

    Raises
    ------
    UsageError
        When ``in_axes`` does not fit the arguments, or no argument has a batch axis.
    ShapeError
        When the batch axes differ in length.

    Examples
    --------
    >>> import backlight as bl
    >>> import numpy as np
    >>> dot = vectorize(lambda a, b: a @ b, in_axes=(0, None))
    >>> dot(np.eye(3), np.array([1.0, 2.0, 3.0]))
    Tensor([1., 2., 3.])
    """

    def run(*arguments: Any, **options: Any) -> Any:
        axes = _axes_per_argument(in_axes, len(arguments))
        names = argument_names(function, arguments)
        examples: dict[Tensor, Tensor] = {}
        passed = []
        for argument, axis, labels in zip(arguments, axes, names, strict=True):
            if axis is None:
                passed.append(argument)
                continue
            leaves, tree = flatten(argument)
            ones = []
            for value, label in zip(leaves, labels, strict=True):
                moved = _front(as_tensor(value), axis, label)
                one = leaf(INPUT, Spec(moved.shape[1:], moved.dtype), None, label)
                examples[one] = moved
                ones.append(one)
            passed.append(unflatten(tree, ones))
        count = _count(examples)
        results, tree = flatten(function(*passed, **options))
        outputs = batch([as_output(each) for each in results], examples, count)
        return unflatten(tree, outputs)

    return run


def _axes_per_argument(
    in_axes: int | Sequence[int | None] | None, count: int
) -> tuple[int | None, ...]:
    axes = (in_axes,) * count if in_axes is None or isinstance(in_axes, int) else tuple(in_axes)
    if len(axes) != count:
        raise UsageError(
            f"vectorize: in_axes names {len(axes)} arguments and the function was called with "
            f"{count}; give one axis (or None) per argument."
        )
    return axes


def _count(examples: Mapping[Tensor, Tensor]) -> int:
    sizes = {each.shape[0] for each in examples.values()}
    if not sizes:
        raise UsageError("vectorize: no argument has a batch axis; call the function itself.")
    if len(sizes) > 1:
        listed = " and ".join(
            f"{one.name} ({batched.shape[0]})" for one, batched in examples.items()
        )
        raise ShapeError(f"The arguments hold different numbers of examples: {listed}.")
    return sizes.pop()


def _front(value: Tensor, axis: int, name: str) -> Tensor:
    if not -value.ndim <= axis < value.ndim:
        raise ShapeError(
            f"{name} has shape {value.shape} and so no axis {axis} that could count examples."
        )
    axis %= value.ndim
    order = (axis, *(k for k in range(value.ndim) if k != axis))
    result: Tensor = permute(value, order)
    return result


# ── one rule per kind ────────────────────────────────────────────────────────────────────────────


def _elementwise(node: Tensor, batched: Batched, count: int) -> Tensor | None:
    """Line the batch axis up in front of all broadcast axes."""
    operands = [
        own if each is None else _align(each, own.shape, node.ndim, count)
        for own, each in zip(node.inputs, batched, strict=True)
    ]
    return record(node.primitive, operands, node.attributes)


def _align(x: Tensor, shape: tuple[int, ...], ndim: int, count: int) -> Tensor:
    result: Tensor = reshape(x, (count, *(1,) * (ndim - len(shape)), *shape))
    return result


def _reduce(node: Tensor, batched: Batched, count: int) -> Tensor | None:
    if len(batched) != 1 or set(node.attributes) != {"axes"}:
        return None
    axes = tuple(axis + 1 for axis in node.attributes["axes"])
    return record(node.primitive, batched, {"axes": axes})


def _scan(node: Tensor, batched: Batched, count: int) -> Tensor | None:
    if len(batched) != 1 or "axis" not in node.attributes:
        return None
    axis = node.attributes["axis"] + 1
    return record(node.primitive, batched, {**node.attributes, "axis": axis})


def _contract(node: Tensor, batched: Batched, count: int) -> Tensor | None:
    left, right, result = (node.attributes[key] for key in ("left", "right", "result"))
    new = max((*left, *right, -1)) + 1
    operands = [
        own if each is None else each for own, each in zip(node.inputs, batched, strict=True)
    ]
    return record(
        node.primitive,
        operands,
        {
            "left": left if batched[0] is None else (new, *left),
            "right": right if batched[1] is None else (new, *right),
            "result": (new, *result),
        },
    )


def _move(node: Tensor, batched: Batched, count: int) -> Tensor | None:
    primitive, attributes = node.primitive, node.attributes
    if primitive is CONCAT:
        operands = [
            broadcast_to(own, (count, *own.shape)) if each is None else each
            for own, each in zip(node.inputs, batched, strict=True)
        ]
        return record(CONCAT, operands, {"axis": attributes["axis"] + 1})
    (x,) = batched
    assert x is not None
    if primitive is RESHAPE:
        changed: dict[str, Any] = {"shape": (count, *attributes["shape"])}
    elif primitive is BROADCAST:
        x = _align(x, node.inputs[0].shape, node.ndim, count)
        changed = {"shape": (count, *attributes["shape"])}
    elif primitive is PERMUTE:
        changed = {"axes": (0, *(axis + 1 for axis in attributes["axes"]))}
    elif primitive is FLIP:
        changed = {"axes": tuple(axis + 1 for axis in attributes["axes"])}
    elif primitive is SLICE:
        first = {"starts": 0, "stops": count, "steps": 1}
        changed = {key: (first[key], *attributes[key]) for key in first}
    elif primitive is PAD:
        changed = {key: (0, *attributes[key]) for key in ("before", "after", "between")}
    else:
        return None
    return record(primitive, (x,), {**attributes, **changed})


def _index(node: Tensor, batched: Batched, count: int) -> Tensor | None:
    if node.primitive is GATHER:
        return _gather(node, batched, count)
    if node.primitive is SCATTER_ADD:
        return _scatter(node, batched, count)
    if node.primitive is ARGSORT:
        return _scan(node, batched, count)
    return None


def _gather(node: Tensor, batched: Batched, count: int) -> Tensor:
    own, index = node.inputs
    axis = node.attributes["axis"]
    x, positions = batched
    if positions is None:
        return record(GATHER, (x, index), {"axis": axis + 1})
    if x is None:
        taken = record(GATHER, (own, positions), {"axis": axis})
        order = (axis, *(k for k in range(taken.ndim) if k != axis))
        moved: Tensor = permute(taken, order)
        return moved
    # Put the examples one below the other along the indexed axis, and shift the positions.
    size = own.shape[axis]
    rest = [k + 1 for k in range(own.ndim) if k != axis]
    lined = permute(x, (0, axis + 1, *rest))
    merged = reshape(lined, (count * size, *lined.shape[2:]))
    taken = record(GATHER, (merged, _shifted(positions, size, count)), {"axis": 0})
    inner = range(1, 1 + index.ndim)
    others = list(range(1 + index.ndim, taken.ndim))
    result: Tensor = permute(taken, (0, *others[:axis], *inner, *others[axis:]))
    return result


def _scatter(node: Tensor, batched: Batched, count: int) -> Tensor:
    own, index = node.inputs
    axis, size = node.attributes["axis"], node.attributes["size"]
    x, positions = batched
    if positions is None:
        return record(SCATTER_ADD, (x, index), {"axis": axis + 1, "size": size})
    if x is None:
        x = broadcast_to(own, (count, *own.shape))
    inner = range(axis + 1, axis + 1 + index.ndim)
    others = [k for k in range(1, x.ndim) if k not in inner]
    lined = permute(x, (0, *inner, *others))
    added = record(
        SCATTER_ADD,
        (lined, _shifted(positions, size, count)),
        {"axis": 0, "size": count * size},
    )
    apart = reshape(added, (count, size, *added.shape[1:]))
    rest = list(range(2, apart.ndim))
    result: Tensor = permute(apart, (0, *rest[:axis], 1, *rest[axis:]))
    return result


def _shifted(positions: Tensor, size: int, count: int) -> Tensor:
    """Return positions in the merged axis; a position out of range stays out of range."""
    positions = record(CAST, (positions,), {"dtype": INT64})
    shape = (count, *(1,) * (positions.ndim - 1))
    starts = literal(np.arange(count, dtype=positions.dtype).reshape(shape) * size)
    counted = WHERE(LESS(positions, 0), positions + size, positions)
    inside = LOGICAL_AND(GREATER_EQUAL(counted, 0), LESS(counted, size))
    result: Tensor = WHERE(inside, counted + starts, count * size)
    return result


def _loop(node: Tensor, batched: Batched, count: int) -> Tensor:
    """Record a node once per example and put the results one above the other."""
    if count == 0:
        return literal(np.zeros((0, *node.shape), node.dtype))
    rows = []
    for k in range(count):
        operands = [
            own if each is None else each[k] for own, each in zip(node.inputs, batched, strict=True)
        ]
        row = record(node.primitive, operands, node.attributes)
        rows.append(reshape(row, (1, *node.shape)))
    return record(CONCAT, rows, {"axis": 0})


RULES: Mapping[Kind, Rule] = {
    Kind.ELEMENTWISE: _elementwise,
    Kind.REDUCE: _reduce,
    Kind.SCAN: _scan,
    Kind.CONTRACT: _contract,
    Kind.MOVE: _move,
    Kind.INDEX: _index,
}
"""How each kind takes a batch axis; random numbers and custom operations become a loop."""
