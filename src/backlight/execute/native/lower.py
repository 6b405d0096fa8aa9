"""From a plan to LLVM: one function per kernel, and one that calls them in order.

The main function takes the addresses of inputs, constants and outputs, an arena for everything
between, and calls the kernels one after the other: no Python and no allocation inside.  Several
threads can run it together: each takes its share of the large kernels and waits at a barrier where
one kernel needs what another thread has computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.iteration import Iteration
from backlight.execute.native.effort import seconds
from backlight.execute.native.kernels import Kernel
from backlight.execute.native.loop import write_loop
from backlight.execute.native.plan import Plan
from backlight.execute.native.storage import Storage, can_lower
from backlight.execute.native.team import Schedule, write_barrier, write_share
from backlight.execute.native.writer import I32, I64, PTR, VOID, Share, Value

MAIN = "backlight_main"

WORTH_SHARING = 8e-6
"""Seconds from which a kernel is divided among threads: a few times what a barrier costs."""


@dataclass(slots=True)
class Lowered:
    """LLVM code for a plan.

    Attributes
    ----------
    module : ir.Module or None
        None when the code was compiled before.
    arguments : tuple of int
        The nodes whose addresses the main function takes, in order: inputs, constants, outputs.
    callbacks : tuple of int
        Nodes that Python evaluates, because their record has no lowering.
    workspace : int
        Bytes behind the arena that matrix products copy parts of their operands to, for each
        thread.
    shared : frozenset of int
        The first nodes of the kernels that threads divide among themselves.
    seconds : float
        About how long one run takes on one thread.
    divisible : float
        How much of that threads can divide.
    """

    module: ir.Module | None
    arguments: tuple[int, ...]
    callbacks: tuple[int, ...] = ()
    workspace: int = 0
    shared: frozenset[int] = frozenset()
    seconds: float = 0.0
    divisible: float = 0.0


@dataclass(frozen=True, slots=True)
class _Call:
    """One kernel as the main function calls it; without a function, Python is called back."""

    members: tuple[int, ...]
    reads: tuple[int, ...]
    function: ir.Function | None = None
    share: Share | None = None


def lower(plan: Plan, iteration: Iteration | None = None, batch: int = 0) -> Lowered:
    """Write the LLVM module of a plan.

    Parameters
    ----------
    plan : Plan
    iteration : Iteration, optional
        Also write the function that runs the graph over and over.
    batch : int
        The full batch length, where sizes depend on it.

    Returns
    -------
    Lowered
    """
    module = ir.Module(name="backlight")
    graph = plan.graph
    arguments = _arguments(plan, iteration)
    callbacks: list[int] = []
    calls: list[_Call] = []
    workspace, total, divisible = 0, 0.0, 0.0
    for members in plan.groups:
        needed = sorted(k for k in plan.reads(members) if not plan.is_number(k))
        if not can_lower(graph.nodes[members[0]]):
            callbacks.append(members[0])
            calls.append(_Call(members, tuple(needed)))
            continue
        overwritten = {plan.alias[k] for k in members if k in plan.alias}
        pointed = [k for k in needed if k not in overwritten]
        kernel = Kernel(module, plan, members, pointed)
        function = kernel.build()
        effort = seconds(plan, members)
        share = kernel.share if effort > WORTH_SHARING else None
        calls.append(_Call(members, tuple(pointed), function, share or _all(kernel.share)))
        workspace = max(workspace, -(-kernel.workspace // 64) * 64)
        total += effort
        divisible += effort if share is not None else 0.0
    schedule = Schedule(plan) if divisible else None
    main = _main(module, plan, arguments, calls, workspace, schedule)
    if iteration is not None:
        write_loop(module, main, graph, arguments, plan.alias, iteration, batch)
    shared = frozenset(each.members[0] for each in calls if _divided(each))
    return Lowered(module, arguments, tuple(callbacks), workspace, shared, total, divisible)


def _all(share: Share | None) -> Share | None:
    """The share of a kernel that is too small to be divided: one part."""
    return None if share is None else Share(share.total, 0)


def _divided(call: _Call) -> bool:
    return call.share is not None and call.share.unit > 0


def _arguments(plan: Plan, iteration: Iteration | None) -> tuple[int, ...]:
    graph = plan.graph
    given = [k for k in plan.needed if plan.storage[k] is Storage.INPUT]
    fixed = [
        k for k in plan.needed if plan.storage[k] is Storage.CONSTANT and not plan.is_number(k)
    ]
    outputs = set(graph.outputs)
    results = [k for k in plan.kernels if k in outputs]
    if iteration is not None:
        # What only an iteration looks at has a place in the table too.
        known = set(given)
        given = [k for k in graph.inputs if k not in known] + given
    return (*given, *fixed, *results)


def _main(
    module: ir.Module,
    plan: Plan,
    arguments: Sequence[int],
    calls: Sequence[_Call],
    workspace: int,
    schedule: Schedule | None,
) -> ir.Function:
    """Write the function that calls all kernels.

    It takes the table of addresses, the arena, the callback, the batch length, the number of this
    thread and of all threads, and the team's memory; it returns whether a position was out of
    range.
    """
    kind = ir.FunctionType(I32, [PTR, PTR, PTR, I64, I64, I64, PTR])
    main = ir.Function(module, kind, MAIN)
    builder = ir.IRBuilder(main.append_basic_block("entry"))
    table, arena, callback, batch, thread, threads, team = main.args
    status = builder.alloca(I32, name="status")
    builder.store(I32(0), status)
    pointers: dict[int, Value] = {}
    for place, index in enumerate(arguments):
        slot = builder.gep(table, [I64(place)], source_etype=PTR)
        pointers[index] = builder.load(slot, typ=PTR)
    bytes_ = ir.IntType(8)
    for index, offset in plan.offsets.items():
        pointers[index] = builder.gep(arena, [I64(offset)], source_etype=bytes_)
    own = builder.add(I64(plan.arena), builder.mul(thread, I64(workspace)))
    scratch = builder.gep(arena, [own], source_etype=bytes_)
    barrier = write_barrier(module)
    first = builder.icmp_unsigned("==", thread, I64(0))
    back = ir.FunctionType(VOID, [I32])
    number = 0
    alone: ir.Block | None = None  # where kernels that one thread runs are written, while open

    def together() -> None:
        """Close the part that only the first thread runs."""
        nonlocal alone
        if alone is not None:
            builder.branch(alone)
            builder.position_at_end(alone)
            alone = None

    for call in calls:
        divided = _divided(call)
        if schedule is not None and schedule.must_wait(call.members, call.reads, divided):
            together()
            builder.call(barrier, [team, threads])
        if divided:
            together()
        elif alone is None:
            inside = builder.append_basic_block("first")
            alone = builder.append_basic_block("all")
            builder.cbranch(first, inside, alone)
            builder.position_at_end(inside)
        if call.function is None:
            builder.call(_Callee(callback, back), [I32(number)])
            number += 1
            continue
        begin, end = I64(0), I64(0)
        if call.share is not None:
            begin, end = write_share(builder, call.share, batch, thread, threads)
        outs = [pointers[k] for k in call.members]
        reads = [pointers[k] for k in call.reads]
        builder.call(call.function, [*outs, *reads, status, scratch, batch, begin, end])
    together()
    builder.ret(builder.load(status, typ=I32))
    return main


class _Callee(ir.Value):  # type: ignore[misc]  # llvmlite is not typed
    """A pointer that is known to be a function of a given type."""

    def __init__(self, pointer: Value, kind: ir.FunctionType) -> None:
        self.pointer = pointer
        self.type = pointer.type
        self.function_type = kind

    def get_reference(self) -> str:
        """Write it as LLVM does."""
        return str(self.pointer.get_reference())
