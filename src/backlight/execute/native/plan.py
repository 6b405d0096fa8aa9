"""What the machine will do: storage for every node of a graph, and loops in order.

A plan is made from the graph alone, without LLVM.  Each node is either stored in a buffer by a
kernel of its own, shown as a view of another node's buffer, or *inlined*: computed where it is
used, inside the loop of the node that uses it.  Buffers share one arena; a buffer's place is used
again as soon as nothing reads it any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from backlight.execute.native.arena import allocate
from backlight.execute.native.groups import access, group, overwritten, reads
from backlight.execute.native.storage import Storage, View, choose_storage, view_of
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array

NOTHING: Mapping[int, Array] = MappingProxyType({})


@dataclass(slots=True)
class Plan:
    """The plan of one graph.

    Attributes
    ----------
    graph : Graph
    needed : tuple of int
        The nodes that the outputs depend on, in order.
    storage : dict of int to Storage
    groups : tuple of tuple of int
        The kernels in order: the nodes that each of them computes in one pass.
    varying : frozenset of int
        Constants that are read from memory, because their value depends on the batch length.
    offsets : dict of int to int
        Byte offset of each stored node in the arena.
    arena : int
        Bytes of the arena.
    alias : dict of int to int
        Results that are written over the input whose next value they are.
    """

    graph: Graph
    needed: tuple[int, ...]
    storage: dict[int, Storage]
    groups: tuple[tuple[int, ...], ...] = ()
    varying: frozenset[int] = frozenset()
    offsets: dict[int, int] = field(default_factory=dict)
    arena: int = 0
    alias: dict[int, int] = field(default_factory=dict)

    @property
    def kernels(self) -> tuple[int, ...]:
        """The stored nodes in the order in which they are computed."""
        return tuple(member for members in self.groups for member in members)

    def is_number(self, index: int) -> bool:
        """Whether a node is one constant number, written into the code."""
        return (
            self.storage[index] is Storage.CONSTANT
            and self.graph.nodes[index].shape == ()
            and index not in self.varying
        )

    def reads(self, members: Sequence[int]) -> set[int]:
        """Return the stored nodes that a kernel reads and does not compute itself."""
        found = set().union(*(reads(self.graph, self.storage, each) for each in members))
        return found.difference(members)

    def is_flat(self, index: int) -> bool:
        """Whether a node's loop can count entries: all in it has its shape, or is one number."""
        return access(self.graph, self.storage, index).flat

    def view(self, index: int) -> View | None:
        """Return how a node lies in a buffer, following inlined moves; None when it does not."""
        return view_of(self.graph, self.storage, index)


def make_plan(
    graph: Graph,
    carried: Sequence[tuple[int, int]] = (),
    varying: Mapping[int, Array] = NOTHING,
) -> Plan:
    """Decide what is stored, what is computed in place, and which loops share one pass.

    Parameters
    ----------
    graph : Graph
    carried : sequence of (int, int)
        Pairs of nodes (result, input): the result is the input's value in the next iteration.
    varying : mapping of int to ndarray
        Constants whose value depends on the batch length.

    Returns
    -------
    Plan
    """
    needed = needed_nodes(graph)
    storage = choose_storage(graph, needed)
    kernels = tuple(k for k in needed if storage[k] is Storage.BUFFER)
    groups = group(graph, storage, kernels)
    alias = overwritten(graph, storage, groups, carried)
    offsets, size = allocate(graph, storage, groups)
    return Plan(graph, needed, storage, groups, frozenset(varying), offsets, size, alias)


def needed_nodes(graph: Graph) -> tuple[int, ...]:
    """Return the nodes that the outputs depend on, in order."""
    nodes = graph.nodes
    wanted = bytearray(len(nodes))
    for index in graph.outputs:
        wanted[index] = 1
    for index in range(len(nodes) - 1, -1, -1):
        if wanted[index]:
            for operand in nodes[index].inputs:
                wanted[operand] = 1
    return tuple([index for index, each in enumerate(wanted) if each])
