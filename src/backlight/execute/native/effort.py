"""About how long a kernel takes, to decide whether threads are worth their while.

Estimates for one present-day core; they only need to be right within a factor of two or three.
"""

from __future__ import annotations

import math

from backlight.execute.native.groups import reads
from backlight.execute.native.plan import Plan
from backlight.execute.native.storage import Storage
from backlight.graph.primitive import Kind

PRODUCTS_PER_SECOND = 60e9
"""Multiply-adds of a matrix product."""

BYTES_PER_SECOND = 40e9
"""Read and written from the second or third level of cache."""

ENTRIES_PER_SECOND = 8e9
"""Elementwise results; each inlined operation counts."""

WORTH_SHARING = 8e-6
"""Seconds from which a kernel is divided among threads: a few times what a barrier costs."""


def flops(plan: Plan, index: int) -> int:
    """Return the multiplications and additions of a node's loop: two for each term of a sum."""
    nodes = plan.graph.nodes
    node = nodes[index]
    size = int(math.prod(node.shape))
    if node.primitive.kind is Kind.CONTRACT:
        sizes: dict[object, int] = {}
        for side, operand in zip(("left", "right"), node.inputs, strict=True):
            sizes |= dict(zip(node.attributes[side], nodes[operand].shape, strict=True))
        return 2 * math.prod(int(each) for each in sizes.values())
    if node.primitive.kind is Kind.REDUCE:
        size = int(math.prod(nodes[node.inputs[0]].shape))
    work = 0
    waiting = [index]
    while waiting:
        each = nodes[waiting.pop()]
        work += each.primitive.kind not in (Kind.MOVE, Kind.INDEX)
        waiting.extend(k for k in each.inputs if plan.storage[k] is Storage.INLINE)
    return size * work


def seconds(plan: Plan, members: tuple[int, ...]) -> float:
    """Return about how long one thread takes for a kernel."""
    nodes = plan.graph.nodes
    touched = set(members).union(*(reads(plan.graph, plan.storage, each) for each in members))
    traffic = sum(int(math.prod(nodes[k].shape)) * nodes[k].dtype.itemsize for k in touched)
    work = sum(flops(plan, each) for each in members)
    if nodes[members[0]].primitive.kind is Kind.CONTRACT:
        return max(work / 2 / PRODUCTS_PER_SECOND, traffic / BYTES_PER_SECOND)
    return max(work / ENTRIES_PER_SECOND, traffic / BYTES_PER_SECOND)
