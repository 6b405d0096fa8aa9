"""The kernels of one program as data: their table, and where each finds what it works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.native.calls import ENTRY, Call, constant_list
from backlight.execute.native.inner import Inner
from backlight.execute.native.kernels_library import shared
from backlight.execute.native.writer import I32, I64, PTR, Value, entry_alloca

LINE = 64
"""Bytes of a cache line."""

I8 = ir.IntType(8)


@dataclass(slots=True)
class Sequenced:
    """Writes the calls of a program's kernels.

    Parameters
    ----------
    module : ir.Module
    calls : sequence of Call
    nodes : sequence of int
        What each call is given, all one after the other.
    arguments : sequence of int
        The nodes of the program's table of addresses.
    offsets : mapping of int to int
        Where other nodes are in the arena.
    arena, workspace : int
        Bytes of the arena that all threads use, and of what kernels of one thread need after it.
    """

    module: ir.Module
    calls: Sequence[Call]
    nodes: Sequence[int]
    arguments: Sequence[int]
    offsets: Mapping[int, int]
    arena: int
    workspace: int

    @property
    def list_bytes(self) -> int:
        """The size of a list of addresses."""
        return -(-max(len(self.nodes), 1) * 8 // LINE) * LINE

    @property
    def thread_bytes(self) -> int:
        """What each thread needs after the arena: for its kernels, and two lists of addresses."""
        return self.workspace + 2 * self.list_bytes

    def room(
        self, builder: ir.IRBuilder, arena: Value, thread: Value
    ) -> tuple[Value, Value, Value]:
        """Return this thread's memory: for its kernels, and for two lists."""
        own = builder.add(I64(self.arena), builder.mul(thread, I64(self.thread_bytes)))
        starts = (0, self.workspace, self.workspace + self.list_bytes)
        scratch, first, second = (
            builder.gep(arena, [builder.add(own, I64(start))], source_etype=I8) for start in starts
        )
        return scratch, first, second

    def find(self, builder: ir.IRBuilder, table: Value, arena: Value, into: Value) -> None:
        """Write a list of all addresses that the kernels are given."""
        position = {node: place for place, node in enumerate(self.arguments)}
        sources = [
            I64(~self.offsets[node] if node in self.offsets else position[node])
            for node in self.nodes
        ]
        name = "backlight_places"
        found = self.module.globals.get(name)
        if found is None:
            pointer = constant_list(self.module, name, I64, sources)
        else:
            pointer = ir.FormattedConstant(PTR, found.get_reference())
        count = I64(len(sources))
        function = shared(self.module, Inner("places"))
        builder.call(function, [pointer, count, table, arena, into])

    def run(
        self, builder: ir.IRBuilder, pointers: Value, scratch: Value, rest: Sequence[Value]
    ) -> Value:
        """Call all kernels; return whether one met a position that is out of range.

        The rest is the callback, the batch length, the thread and their number, and the team.
        """
        name = "backlight_calls"
        found = self.module.globals.get(name)
        if found is None:
            program = constant_list(self.module, name, ENTRY, [each.entry() for each in self.calls])
        else:
            program = ir.FormattedConstant(PTR, found.get_reference())
        status = entry_alloca(builder, I32)
        builder.store(I32(0), status)
        function = shared(self.module, Inner("calls"))
        count = I64(len(self.calls))
        builder.call(function, [program, count, pointers, status, scratch, *rest])
        return builder.load(status, typ=I32)
