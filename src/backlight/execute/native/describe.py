"""What a compiled program will do, in words and numbers: its memory and its kernels, in order.

`describe` takes a `NativeProgram` and gives a `PlanDescription`, which prints as text for people
and gives the same as plain data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from backlight.execute.description import (
    KernelDescription,
    PlaceDescription,
    PlanDescription,
    ValueDescription,
)
from backlight.execute.native.batch import BatchSize
from backlight.execute.native.effort import flops
from backlight.execute.native.formula import formula
from backlight.execute.native.plan import Plan
from backlight.execute.native.program import NativeProgram
from backlight.execute.native.storage import Storage, can_lower
from backlight.graph.node import Node
from backlight.graph.primitive import Kind, Shape
from backlight.ops.index import GATHER, SCATTER_ADD


def describe(program: NativeProgram) -> PlanDescription:
    """Say what a program will do.

    Parameters
    ----------
    program : NativeProgram

    Returns
    -------
    PlanDescription

    Examples
    --------
    >>> import backlight as bl
    >>> graph = bl.trace(lambda w, x: bl.tanh(x @ w), bl.ones((3, 4)), bl.ones((2, 3)))
    >>> [kernel.what for kernel in describe(NativeProgram(graph)).kernels]
    ['matrix product 2×3×4', 'loop over 8 entries']
    """
    plan = program.plan
    nodes = plan.graph.nodes
    lowered = program.lowered
    kernels = tuple(
        _kernel(plan, number, members, members[0] in lowered.shared)
        for number, members in enumerate(plan.groups, start=1)
    )
    stored = {Storage.INPUT: list[int](), Storage.CONSTANT: list[int]()}
    for index in plan.needed:
        if plan.storage[index] in stored and not plan.is_number(index):
            stored[plan.storage[index]].append(index)
    outputs = set(plan.graph.outputs)
    inline = [k for k in plan.needed if plan.storage[k] is Storage.INLINE]
    views = {k for k in inline if nodes[k].primitive.kind is Kind.MOVE and plan.view(k)}
    return PlanDescription(
        passes=program.passes,
        inputs=_values(plan, stored[Storage.INPUT]),
        constants=_values(plan, stored[Storage.CONSTANT]),
        results=tuple(
            value
            for kernel, members in zip(kernels, plan.groups, strict=True)
            for value, index in zip(kernel.results, members, strict=True)
            if index in outputs
        ),
        kernels=kernels,
        places=_places(plan),
        arena=plan.arena,
        workspace=lowered.workspace,
        inlined=tuple(nodes[k].name for k in inline if k not in views),
        views=tuple(nodes[k].name for k in inline if k in views),
        callbacks=tuple(sorted({nodes[k].primitive.name for k in lowered.callbacks})),
        threads=program.threads,
        lengths=program.lengths,
        flops=sum(each.flops for each in kernels),
        reads=sum(each.reads for each in kernels),
        writes=sum(each.writes for each in kernels),
    )


def shape_text(shape: Shape) -> str:
    """Write a shape: ``32×10``, ``B×10`` where the first axis is the batch.

    Examples
    --------
    >>> shape_text((32, 10)), shape_text(()), shape_text((BatchSize(1, 32), 10))
    ('32×10', 'number', 'B×10')
    """
    if not shape:
        return "number"
    return "×".join(_size_text(each) for each in shape)


def _size_text(size: int) -> str:
    if isinstance(size, BatchSize):
        return "B" if size.factor == 1 else f"{size.factor}B"
    return str(size)


def _entries(shape: Shape) -> int:
    return int(math.prod(shape))


def _bytes(node: Node) -> int:
    return _entries(node.shape) * node.dtype.itemsize


def _values(plan: Plan, indices: Iterable[int]) -> tuple[ValueDescription, ...]:
    found = []
    for index in indices:
        node = plan.graph.nodes[index]
        found.append(
            ValueDescription(node.name, shape_text(node.shape), str(node.dtype), _bytes(node))
        )
    return tuple(found)


def _kernel(plan: Plan, number: int, members: Sequence[int], shared: bool) -> KernelDescription:
    nodes = plan.graph.nodes
    results = []
    for index in members:
        node = nodes[index]
        over = plan.alias.get(index)
        results.append(
            ValueDescription(
                node.name,
                shape_text(node.shape),
                str(node.dtype),
                _bytes(node),
                formula(plan, index),
                "" if over is None else nodes[over].name,
            )
        )
    return KernelDescription(
        number,
        _what(plan, members),
        tuple(results),
        sum(flops(plan, index) for index in members),
        _read(plan, members),
        sum(_bytes(nodes[index]) for index in members),
        not can_lower(nodes[members[0]]),
        shared,
    )


def _read(plan: Plan, members: Sequence[int]) -> int:
    """Bytes that a kernel reads, each stored value once; of a gather only what it takes."""
    nodes = plan.graph.nodes
    taken: dict[int, int] = {}
    for index in plan.reads(members):
        if not plan.is_number(index):
            taken[index] = _bytes(nodes[index])
    waiting = list(members)
    while waiting:
        node = nodes[waiting.pop()]
        if node.primitive is GATHER and node.inputs[0] in taken:
            taken[node.inputs[0]] = min(taken[node.inputs[0]], _bytes(node))
        waiting.extend(k for k in node.inputs if plan.storage[k] is Storage.INLINE)
    return sum(taken.values())


def _what(plan: Plan, members: Sequence[int]) -> str:
    """Say what a kernel is, in a few words."""
    nodes = plan.graph.nodes
    node = nodes[members[0]]
    kind = node.primitive.kind
    if not can_lower(node):
        return f"Python, called for {node.primitive.name}"
    if kind is Kind.CONTRACT:
        return _product(plan, node)
    if kind is Kind.REDUCE:
        source = nodes[node.inputs[0]]
        return f"{node.primitive.name} of {shape_text(source.shape)} to {shape_text(node.shape)}"
    if kind is Kind.RANDOM:
        return f"{_entries(node.shape):,} random numbers"
    if kind is Kind.SCAN:
        return f"{node.primitive.name.replace('_', ' ')} of {shape_text(node.shape)}"
    if node.primitive is SCATTER_ADD:
        taken = _entries(nodes[node.inputs[0]].shape)
        return f"{taken:,} entries added up into {_entries(node.shape):,} places"
    if kind is Kind.ELEMENTWISE and node.shape == ():
        return "one number" if len(members) == 1 else f"{len(members)} numbers"
    count = "one entry" if _entries(node.shape) == 1 else f"{_entries(node.shape):,} entries"
    if kind is Kind.MOVE and all(plan.view(each) is not None for each in node.inputs):
        return f"copy of {count}"
    return f"loop over {count}"


def _product(plan: Plan, node: Node) -> str:
    nodes = plan.graph.nodes
    left, right, result = (node.attributes[key] for key in ("left", "right", "result"))
    sizes = dict(zip(left, nodes[node.inputs[0]].shape, strict=True))
    sizes |= dict(zip(right, nodes[node.inputs[1]].shape, strict=True))
    summed = [label for label in left if label not in result]
    if len(left) == len(right) == len(result) == 2 and len(summed) == 1:
        m, n = (_size_text(sizes[label]) for label in result)
        return f"matrix product {m}×{_size_text(sizes[summed[0]])}×{n}"
    over = shape_text(tuple(sizes[label] for label in summed)) if summed else "nothing"
    return f"contraction to {shape_text(node.shape)}, summed over {over}"


def _places(plan: Plan) -> tuple[PlaceDescription, ...]:
    """List the places of the working memory, by where they begin."""
    found: dict[int, list[int]] = {}
    for index in plan.kernels:
        if index in plan.offsets:
            found.setdefault(plan.offsets[index], []).append(index)
    nodes = plan.graph.nodes
    return tuple(
        PlaceDescription(
            offset,
            max(_bytes(nodes[k]) for k in found[offset]),
            tuple(nodes[k].name for k in found[offset]),
        )
        for offset in sorted(found)
    )
