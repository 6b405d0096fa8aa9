"""Several threads running one program: how work is divided, and where they wait for each other.

All threads run the same code with numbers of their own.  A kernel is either divided, each thread
taking a part of its entries, or left to the first thread.  `Schedule` says before which kernels
all must wait.  Nothing that is computed depends on the number of threads: a part of a kernel gives
the bits that the whole would.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.native.batch import BatchSize
from backlight.execute.native.plan import Plan
from backlight.execute.native.storage import Storage
from backlight.execute.native.writer import I32, I64, PTR, VOID, Value

BARRIER = (("team", PTR), ("threads", I64))
"""Parameters of the function in which threads wait for each other."""

ARRIVED, ROUND, FAULT = 0, 64, 128

SPINS = 2000
"""How often a thread looks before it lets others have the core."""


class Schedule:
    """Decides where threads must wait, kernel by kernel in the order in which they run.

    Two kernels conflict when one writes what the other reads or writes.  Kernels that the first
    thread runs alone come in its own order.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._since: list[tuple[bool, _Places, _Places]] = []

    def must_wait(self, members: Iterable[int], reads: Iterable[int], divided: bool) -> bool:
        """Whether all threads must have come this far before a kernel begins."""
        writes, used = self._places(members), self._places(reads)
        for before, written, read in self._since:
            alone = not before and not divided
            if alone:
                continue
            if written.meets(writes) or written.meets(used) or read.meets(writes):
                self._since = [(divided, writes, used)]
                return True
        self._since.append((divided, writes, used))
        return False

    def _places(self, nodes: Iterable[int]) -> _Places:
        plan = self._plan
        named: set[int] = set()
        spans: list[tuple[int, int]] = []
        for each in nodes:
            if each in plan.offsets:
                node = plan.graph.nodes[each]
                size = max(int(math.prod(node.shape)), 1) * node.dtype.itemsize
                spans.append((plan.offsets[each], plan.offsets[each] + size))
            elif plan.storage[each] is not Storage.CONSTANT:
                named.add(plan.alias.get(each, each))
        return _Places(frozenset(named), tuple(spans))


@dataclass(frozen=True, slots=True)
class _Places:
    """Memory that a kernel touches: what has memory of its own, and parts of the arena."""

    named: frozenset[int]
    spans: tuple[tuple[int, int], ...]

    def meets(self, other: _Places) -> bool:
        """Whether both touch some of the same memory."""
        return not self.named.isdisjoint(other.named) or any(
            begin < end2 and begin2 < end
            for begin, end in self.spans
            for begin2, end2 in other.spans
        )


def part(
    builder: ir.IRBuilder, total: Value, unit: Value, thread: Value, threads: Value
) -> tuple[Value, Value]:
    """Divide a range at multiples of a unit; return where this thread's part begins and ends."""
    units = builder.udiv(builder.add(total, builder.sub(unit, I64(1))), unit)

    def cut(number: Value) -> Value:
        at = builder.mul(builder.udiv(builder.mul(units, number), threads), unit)
        return builder.select(builder.icmp_unsigned("<", at, total), at, total)

    return cut(thread), cut(builder.add(thread, I64(1)))


def sized(builder: ir.IRBuilder, number: int, batch: Value) -> Value:
    """A size as a value: fixed, or a multiple of the batch length."""
    if not isinstance(number, BatchSize):
        return I64(number)
    return builder.mul(batch, I64(number.factor), flags=["nuw", "nsw"])


def write_barrier(barrier: ir.Function) -> None:
    """Write the function in which all threads wait for the last of them; see Mellor-Crummey and
    Scott, "Algorithms for scalable synchronization", 1991, section 3.1, for sense reversal.

    The last to arrive starts the next round.  Who waits looks again and again, and after a while
    lets the system run something else in between.
    """
    team, threads = barrier.args
    builder = ir.IRBuilder(barrier.append_basic_block("entry"))
    bytes_ = ir.IntType(8)
    several = barrier.append_basic_block("several")
    out = barrier.append_basic_block("out")
    builder.cbranch(builder.icmp_unsigned(">", threads, I64(1)), several, out)
    builder.position_at_end(several)
    arrived = builder.gep(team, [I64(ARRIVED)], source_etype=bytes_)
    round_ = builder.gep(team, [I64(ROUND)], source_etype=bytes_)
    mine = builder.load_atomic(round_, "acquire", 8, typ=I64)
    before = builder.atomic_rmw("add", arrived, I64(1), "acq_rel")
    last = barrier.append_basic_block("last")
    wait = barrier.append_basic_block("wait")
    is_last = builder.icmp_unsigned("==", builder.add(before, I64(1)), threads)
    builder.cbranch(is_last, last, wait)

    builder.position_at_end(last)
    builder.atomic_rmw("xchg", arrived, I64(0), "monotonic")
    builder.atomic_rmw("add", round_, I64(1), "release")
    builder.branch(out)

    builder.position_at_end(wait)
    looked = builder.phi(I64)
    looked.add_incoming(I64(0), several)
    now = builder.load_atomic(round_, "acquire", 8, typ=I64)
    again = barrier.append_basic_block("again")
    builder.cbranch(builder.icmp_unsigned("==", now, mine), again, out)
    builder.position_at_end(again)
    _pause(builder)
    more = builder.add(looked, I64(1))
    patient = barrier.append_basic_block("patient")
    yielding = barrier.append_basic_block("yielding")
    builder.cbranch(builder.icmp_unsigned("<", more, I64(SPINS)), patient, yielding)
    builder.position_at_end(yielding)
    builder.call(_yield(barrier.module), [])
    builder.branch(patient)
    builder.position_at_end(patient)
    looked.add_incoming(more, patient)
    builder.branch(wait)

    builder.position_at_end(out)
    builder.ret_void()


def _pause(builder: ir.IRBuilder) -> None:
    """Tell the processor that this is a loop that waits, where there is a word for it."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        builder.call(_intrinsic(builder.module, "llvm.x86.sse2.pause", []), [])
    elif machine in ("aarch64", "arm64"):
        builder.call(_intrinsic(builder.module, "llvm.aarch64.hint", [I32]), [I32(1)])


def _intrinsic(module: ir.Module, name: str, arguments: list[ir.Type]) -> ir.Function:
    found = module.globals.get(name)
    return found or ir.Function(module, ir.FunctionType(VOID, arguments), name)


def _yield(module: ir.Module) -> ir.Function:
    """The C library's function that lets other threads run."""
    name = "SwitchToThread" if os.name == "nt" else "sched_yield"
    found = module.globals.get(name)
    return found or ir.Function(module, ir.FunctionType(I32, []), name)
