"""The loop around a graph, in machine code: gather a batch, run, carry the results over.

Between two runs nothing is allocated and Python is not asked.  The loop stops early when the first
recorded number is not finite, or when a position in the data was out of range.  Numbers too small
for full precision (denormals) count as zero inside it, and only there: an optimizer's averages
decay into them, and the processor computes with them many times slower.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from backlight.execute.iteration import Iteration
from backlight.execute.native.inner import Inner
from backlight.execute.native.kernels_library import shared
from backlight.execute.native.lowered import LOOP, OUT_OF_RANGE
from backlight.execute.native.number import memory_type
from backlight.execute.native.sequence import Sequenced
from backlight.execute.native.team import FAULT, part, sized
from backlight.graph.graph import Graph

I64 = ir.IntType(64)
I32 = ir.IntType(32)
I8 = ir.IntType(8)
PTR = ir.PointerType()
VOID = ir.VoidType()
DOUBLE = ir.DoubleType()
"""What the loop returns when a position was out of range."""

FLUSH = 0x8040
"""Bits of the x86 control register MXCSR: results and operands that are denormal count as zero
(Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, section 10.2.3)."""

FLUSH_ARM = 1 << 24
"""The same in the Arm register FPCR (Arm Architecture Reference Manual, FPCR.FZ)."""


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What the loop is given; see `write_loop`."""

    tables: Any
    arena: Any
    callback: Any
    sources: Any
    rows: Any
    starts: Any
    count: Any
    recorded: Any
    thread: Any
    threads: Any
    team: Any


def write_loop(
    module: ir.Module,
    sequence: Sequenced,
    graph: Graph,
    arguments: Sequence[int],
    alias: Mapping[int, int],
    iteration: Iteration,
    batch: int,
) -> ir.Function:
    """Add the loop to a module.

    It takes two tables of addresses (for full batches and for shorter ones, which differ in
    constants that depend on the length), the arena, the callback, the addresses of the arrays that
    rows are gathered from, the row numbers (int64, all runs one after the other), where each run's
    begin among them (int64, one more than there are runs), how many runs, where the recorded
    numbers go (float64, one line per run), the number of this thread and of all, and the team's
    memory; it returns how many runs gave a finite number.
    """
    kind = ir.FunctionType(I64, [PTR] * 6 + [I64, PTR, I64, I64, PTR])
    loop = ir.Function(module, kind, LOOP)
    given = _Arguments(*loop.args)
    builder = ir.IRBuilder(loop.append_basic_block("entry"))
    control = _flush_denormals(builder, module)
    barrier = shared(module, Inner("barrier"))
    place = {node: k for k, node in enumerate(arguments)}
    full_table = builder.load(given.tables, typ=PTR)
    other_table = builder.load(builder.gep(given.tables, [I64(1)], source_etype=PTR), typ=PTR)

    def address(node: int) -> Any:
        slot = builder.gep(full_table, [I64(place[node])], source_etype=PTR)
        return builder.load(slot, typ=PTR)

    scratch, full_list, other_list = sequence.room(builder, given.arena, given.thread)
    sequence.find(builder, full_table, given.arena, full_list)
    sequence.find(builder, other_table, given.arena, other_list)
    pointers = {node: address(node) for node in arguments}
    origins = [
        builder.load(builder.gep(given.sources, [I64(k)], source_etype=PTR), typ=PTR)
        for k in range(len(iteration.gathered))
    ]
    entry = builder.block
    head = loop.append_basic_block("run")
    following = loop.append_basic_block("next")
    finished = loop.append_basic_block("finished")
    bad = loop.append_basic_block("bad")
    builder.cbranch(builder.icmp_signed(">", given.count, I64(0)), head, finished)

    builder.position_at_end(head)
    run = builder.phi(I64)
    run.add_incoming(I64(0), entry)
    start = builder.load(builder.gep(given.starts, [run], source_etype=I64), typ=I64)
    next_run = builder.add(run, I64(1))
    stop = builder.load(builder.gep(given.starts, [next_run], source_etype=I64), typ=I64)
    length = builder.sub(stop, start)
    is_full = builder.icmp_signed("==", length, I64(batch)) if batch else ir.IntType(1)(1)
    places = builder.select(is_full, full_list, other_list)
    lines = builder.gep(given.rows, [start], source_etype=I64)
    for position, origin in zip(iteration.gathered, origins, strict=True):
        node = graph.nodes[graph.inputs[position]]
        width = int(math.prod(node.shape[1:])) * node.dtype.itemsize
        target = pointers[graph.inputs[position]]
        _gather(builder, module, target, origin, lines, sized(builder, node.shape[0], length),
                width, given)  # fmt: skip
    builder.call(barrier, [given.team, given.threads])
    status = sequence.run(
        builder, places, scratch,
        [given.callback, length, given.thread, given.threads, given.team],
    )  # fmt: skip
    fault = _shared_fault(builder, status, given.team)
    builder.call(barrier, [given.team, given.threads])
    status = builder.load_atomic(fault, "acquire", 8, typ=I64)
    values = _recorded(builder, graph, pointers, iteration)
    with builder.if_then(builder.icmp_unsigned("==", given.thread, I64(0))):
        line = builder.mul(run, I64(iteration.recorded))
        for k, value in enumerate(values):
            slot = builder.gep(given.recorded, [builder.add(line, I64(k))], source_etype=DOUBLE)
            builder.store(value, slot)
        _carry(builder, module, graph, pointers, alias, iteration)
    assert values, "an iteration records at least one number"
    first = values[0]
    builder.cbranch(builder.icmp_signed("!=", status, I64(0)), bad, following)

    builder.position_at_end(following)
    # x − x is 0 for finite numbers and NaN for all others.
    finite = builder.fcmp_ordered("==", builder.fsub(first, first), DOUBLE(0.0))
    more = builder.and_(finite, builder.icmp_signed("<", next_run, given.count))
    reached = builder.select(finite, next_run, run)
    run.add_incoming(next_run, following)
    builder.cbranch(more, head, finished)

    builder.position_at_end(bad)
    _restore(builder, module, control)
    builder.ret(I64(OUT_OF_RANGE))
    builder.position_at_end(finished)
    done = builder.phi(I64)
    done.add_incoming(I64(0), entry)
    done.add_incoming(reached, following)
    _restore(builder, module, control)
    builder.ret(done)
    return loop


def _recorded(
    builder: ir.IRBuilder, graph: Graph, pointers: Mapping[int, Any], iteration: Iteration
) -> list[Any]:
    """Load the numbers that every run records, as doubles."""
    found = []
    for index in graph.outputs[: iteration.recorded]:
        dtype = graph.nodes[index].dtype
        value = builder.load(pointers[index], typ=memory_type(dtype))
        found.append(builder.fpext(value, DOUBLE) if dtype.itemsize == 4 else value)
    return found


def _carry(
    builder: ir.IRBuilder,
    module: ir.Module,
    graph: Graph,
    pointers: Mapping[int, Any],
    alias: Mapping[int, int],
    iteration: Iteration,
) -> None:
    """Copy results to where the next run reads them, and count."""
    for out, into in iteration.carried:
        result, given = graph.outputs[out], graph.inputs[into]
        if result == given or alias.get(result) == given:
            continue
        node = graph.nodes[given]
        size = int(math.prod(node.shape)) * node.dtype.itemsize
        _copy(builder, module, pointers[given], pointers[result], I64(size))
    counter = pointers[graph.inputs[iteration.counter]]
    builder.store(builder.add(builder.load(counter, typ=I64), I64(1)), counter)


def _shared_fault(builder: ir.IRBuilder, status: Any, team: Any) -> Any:
    """Tell all threads of a fault that this one has found; return where they look."""
    place = builder.gep(team, [I64(FAULT)], source_etype=I8)
    with builder.if_then(builder.icmp_signed("!=", status, I32(0))):
        builder.atomic_rmw("xchg", place, I64(1), "release")
    return place


def _gather(
    builder: ir.IRBuilder, module: ir.Module, target: Any, origin: Any, lines: Any, count: Any,
    width: int, given: _Arguments,
) -> None:  # fmt: skip
    """Copy this thread's part of the rows of one run to where the graph reads them."""
    begin, end = part(builder, count, I64(1), given.thread, given.threads)
    before = builder.block
    head = builder.append_basic_block("gather")
    done = builder.append_basic_block("gathered")
    builder.cbranch(builder.icmp_unsigned("<", begin, end), head, done)
    builder.position_at_end(head)
    number = builder.phi(I64)
    number.add_incoming(begin, before)
    row = builder.load(builder.gep(lines, [number], source_etype=I64), typ=I64)
    source = builder.gep(origin, [builder.mul(row, I64(width))], source_etype=I8)
    place = builder.gep(target, [builder.mul(number, I64(width))], source_etype=I8)
    _copy(builder, module, place, source, I64(width))
    after = builder.add(number, I64(1))
    number.add_incoming(after, head)
    builder.cbranch(builder.icmp_unsigned("<", after, end), head, done)
    builder.position_at_end(done)


def _copy(builder: ir.IRBuilder, module: ir.Module, into: Any, source: Any, size: Any) -> None:
    name = "llvm.memcpy.p0.p0.i64"
    function = module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(VOID, [PTR, PTR, I64, ir.IntType(1)])
        function = ir.Function(module, kind, name)
    builder.call(function, [into, source, size, ir.IntType(1)(0)])


# ── denormals ────────────────────────────────────────────────────────────────────────────────


def _flush_denormals(builder: ir.IRBuilder, module: ir.Module) -> Any:
    """Let denormals count as zero; return what the processor was told before, None elsewhere."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        slots = [builder.alloca(I32) for _ in range(2)]
        builder.call(_intrinsic(module, "llvm.x86.sse.stmxcsr", VOID, [PTR]), [slots[0]])
        before = builder.load(slots[0], typ=I32)
        builder.store(builder.or_(before, I32(FLUSH)), slots[1])
        builder.call(_intrinsic(module, "llvm.x86.sse.ldmxcsr", VOID, [PTR]), [slots[1]])
        return slots[0]
    if machine in ("aarch64", "arm64"):
        before = builder.call(_intrinsic(module, "llvm.aarch64.get.fpcr", I64, []), [])
        after = builder.or_(before, I64(FLUSH_ARM))
        builder.call(_intrinsic(module, "llvm.aarch64.set.fpcr", VOID, [I64]), [after])
        return before
    return None


def _restore(builder: ir.IRBuilder, module: ir.Module, control: Any) -> None:
    """Tell the processor what it had been told before."""
    if control is None:
        return
    if control.type == I64:
        builder.call(_intrinsic(module, "llvm.aarch64.set.fpcr", VOID, [I64]), [control])
    else:
        builder.call(_intrinsic(module, "llvm.x86.sse.ldmxcsr", VOID, [PTR]), [control])


def _intrinsic(module: ir.Module, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    found = module.globals.get(name)
    return found or ir.Function(module, ir.FunctionType(result, list(arguments)), name)
