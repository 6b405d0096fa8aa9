"""From a plan to LLVM: one function per kernel, and one that calls them in order.

The main function takes the addresses of inputs, constants and outputs, an arena for everything
between, and calls the kernels one after the other: no Python and no allocation inside.  Several
threads can run it together: each takes its share of the large kernels and waits at a barrier where
one kernel needs what another thread has computed.
"""

from __future__ import annotations

from llvmlite import ir

from backlight.execute.iteration import Iteration
from backlight.execute.native.calls import DIVIDED, WAITS, Call, callable_kernel
from backlight.execute.native.effort import WORTH_SHARING, flops, seconds
from backlight.execute.native.engine import EXPLICIT
from backlight.execute.native.kernels import Kernel
from backlight.execute.native.loop import write_loop
from backlight.execute.native.lowered import MAIN, Lowered
from backlight.execute.native.plan import Plan
from backlight.execute.native.sequence import Sequenced
from backlight.execute.native.storage import Storage, can_lower
from backlight.execute.native.team import Schedule
from backlight.execute.native.writer import I32, I64, PTR

WORTH_VECTORS = 4096
"""Operations from which plain loops should be turned into vector instructions."""


def lower(
    plan: Plan,
    iteration: Iteration | None = None,
    batch: int = 0,
    worth_sharing: float = WORTH_SHARING,
) -> Lowered:
    """Write the LLVM module of a plan.

    Parameters
    ----------
    plan : Plan
    iteration : Iteration, optional
        Also write the function that runs the graph over and over.
    batch : int
        The full batch length, where sizes depend on it.
    worth_sharing : float
        Seconds from which a kernel is divided among threads.

    Returns
    -------
    Lowered
    """
    module = ir.Module(name="backlight")
    graph = plan.graph
    arguments = _arguments(plan, iteration)
    callbacks: list[int] = []
    calls: list[Call] = []
    nodes: list[int] = []
    divided: set[int] = set()
    workspace, total, divisible = 0, 0.0, 0.0
    plain = False
    schedule = Schedule(plan)
    for members in plan.groups:
        needed = sorted(k for k in plan.reads(members) if not plan.is_number(k))
        if not can_lower(graph.nodes[members[0]]):
            flags = WAITS if schedule.must_wait(members, needed, False) else 0
            calls.append(Call(None, len(callbacks), flags, None))
            callbacks.append(members[0])
            continue
        overwritten = {plan.alias[k] for k in members if k in plan.alias}
        pointed = [k for k in needed if k not in overwritten]
        kernel = Kernel(module, plan, members, pointed)
        function = callable_kernel(module, kernel.build(), len(members) + len(pointed))
        effort = seconds(plan, members)
        total += effort
        plain = plain or (kernel.plain and sum(flops(plan, k) for k in members) > WORTH_VECTORS)
        workspace = max(workspace, -(-kernel.workspace // 64) * 64)
        flags = 0
        if kernel.share is not None and effort > worth_sharing:
            flags = DIVIDED
            divided.add(members[0])
            divisible += effort
        if schedule.must_wait(members, pointed, flags == DIVIDED):
            flags |= WAITS
        calls.append(Call(function, len(nodes), flags, kernel.share))
        nodes.extend([*members, *pointed])
    if not plain:
        module.add_named_metadata(EXPLICIT)
    sequence = Sequenced(module, calls, nodes, arguments, plan.offsets, plan.arena, workspace)
    _main(module, sequence)
    if iteration is not None:
        write_loop(module, sequence, graph, arguments, plan.alias, iteration, batch)
    return Lowered(
        module, arguments, tuple(callbacks), sequence.thread_bytes, frozenset(divided), total,
        divisible,
    )  # fmt: skip


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


def _main(module: ir.Module, sequence: Sequenced) -> ir.Function:
    """Write the function that calls all kernels.

    It takes the table of addresses, the arena, the callback, the batch length, the number of this
    thread and of all threads, and the team's memory; it returns whether a position was out of
    range.
    """
    kind = ir.FunctionType(I32, [PTR, PTR, PTR, I64, I64, I64, PTR])
    main = ir.Function(module, kind, MAIN)
    builder = ir.IRBuilder(main.append_basic_block("entry"))
    table, arena, callback, batch, thread, threads, team = main.args
    scratch, pointers, _ = sequence.room(builder, arena, thread)
    sequence.find(builder, table, arena, pointers)
    rest = [callback, batch, thread, threads, team]
    builder.ret(sequence.run(builder, pointers, scratch, rest))
    return main
