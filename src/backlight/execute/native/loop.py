"""The loop around a graph, in machine code: gather a batch, run, carry the results over.

Between two runs nothing is allocated and Python is not asked.  The loop stops early when the first
recorded number is not finite, or when a position in the data was out of range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import ir

from backlight.execute.iteration import Iteration
from backlight.execute.native.number import memory_type
from backlight.graph.graph import Graph

I64 = ir.IntType(64)
I32 = ir.IntType(32)
I8 = ir.IntType(8)
PTR = ir.PointerType()
DOUBLE = ir.DoubleType()
LOOP = "backlight_loop"
OUT_OF_RANGE = -1
"""What the loop returns when a position was out of range."""


def write_loop(
    module: ir.Module,
    main: ir.Function,
    graph: Graph,
    arguments: Sequence[int],
    alias: Mapping[int, int],
    iteration: Iteration,
) -> ir.Function:
    """Add the loop to a module.

    It takes the table of addresses, the arena, the callback, the addresses of the arrays that
    rows are gathered from, the row numbers (int64, one line per run), how many runs, and where the
    recorded numbers go (float64, one line per run); it returns how many runs gave a finite number.
    """
    kind = ir.FunctionType(I64, [PTR, PTR, PTR, PTR, PTR, I64, PTR])
    loop = ir.Function(module, kind, LOOP)
    table, arena, callback, sources, rows, count, recorded = loop.args
    builder = ir.IRBuilder(loop.append_basic_block("entry"))
    place = {node: k for k, node in enumerate(arguments)}

    def address(node: int) -> Any:
        slot = builder.gep(table, [I64(place[node])], source_etype=PTR)
        return builder.load(slot, typ=PTR)

    pointers = {node: address(node) for node in arguments}
    origins = [
        builder.load(builder.gep(sources, [I64(k)], source_etype=PTR), typ=PTR)
        for k in range(len(iteration.gathered))
    ]
    entry = builder.block
    head = loop.append_basic_block("run")
    following = loop.append_basic_block("next")
    finished = loop.append_basic_block("finished")
    bad = loop.append_basic_block("bad")
    builder.cbranch(builder.icmp_signed(">", count, I64(0)), head, finished)

    builder.position_at_end(head)
    run = builder.phi(I64)
    run.add_incoming(I64(0), entry)
    for position, origin in zip(iteration.gathered, origins, strict=True):
        node = graph.nodes[graph.inputs[position]]
        width = math.prod(node.shape[1:]) * node.dtype.itemsize
        target = pointers[graph.inputs[position]]
        _gather(builder, module, target, origin, rows, run, node.shape[0], width)
    status = builder.call(main, [table, arena, callback])
    outputs = graph.outputs
    first = None
    for k in range(iteration.recorded):
        node = graph.nodes[outputs[k]]
        found = builder.load(pointers[outputs[k]], typ=memory_type(node.dtype))
        wide = builder.fpext(found, DOUBLE) if node.dtype.itemsize == 4 else found
        line = builder.mul(run, I64(iteration.recorded))
        slot = builder.gep(recorded, [builder.add(line, I64(k))], source_etype=DOUBLE)
        builder.store(wide, slot)
        first = wide if first is None else first
    for out, into in iteration.carried:
        result, given = outputs[out], graph.inputs[into]
        if result == given or alias.get(result) == given:
            continue
        node = graph.nodes[given]
        size = math.prod(node.shape) * node.dtype.itemsize
        _copy(builder, module, pointers[given], pointers[result], I64(size))
    counter = pointers[graph.inputs[iteration.counter]]
    builder.store(builder.add(builder.load(counter, typ=I64), I64(1)), counter)
    builder.cbranch(builder.icmp_signed("!=", status, I32(0)), bad, following)

    builder.position_at_end(following)
    after = builder.add(run, I64(1))
    assert first is not None, "an iteration records at least one number"
    # x − x is 0 for finite numbers and NaN for all others.
    finite = builder.fcmp_ordered("==", builder.fsub(first, first), DOUBLE(0.0))
    more = builder.and_(finite, builder.icmp_signed("<", after, count))
    run.add_incoming(after, following)
    builder.cbranch(more, head, finished)

    builder.position_at_end(bad)
    builder.ret(I64(OUT_OF_RANGE))
    builder.position_at_end(finished)
    done = builder.phi(I64)
    done.add_incoming(I64(0), entry)
    done.add_incoming(_selected(builder, following, finite, after, run), following)
    builder.ret(done)
    return loop


def _selected(builder: ir.IRBuilder, block: Any, finite: Any, after: Any, run: Any) -> Any:
    """The number of good runs, worked out in the block that decides whether to go on."""
    with builder.goto_block(block):
        return builder.select(finite, after, run)


def _gather(
    builder: ir.IRBuilder, module: ir.Module, target: Any, origin: Any, rows: Any, run: Any,
    count: int, width: int,
) -> None:  # fmt: skip
    """Copy the rows of one run to where the graph reads them."""
    before = builder.block
    head = builder.append_basic_block("gather")
    done = builder.append_basic_block("gathered")
    line = builder.mul(run, I64(count))
    builder.branch(head)
    builder.position_at_end(head)
    number = builder.phi(I64)
    number.add_incoming(I64(0), before)
    slot = builder.gep(rows, [builder.add(line, number)], source_etype=I64)
    row = builder.load(slot, typ=I64)
    source = builder.gep(origin, [builder.mul(row, I64(width))], source_etype=I8)
    place = builder.gep(target, [builder.mul(number, I64(width))], source_etype=I8)
    _copy(builder, module, place, source, I64(width))
    after = builder.add(number, I64(1))
    number.add_incoming(after, head)
    builder.cbranch(builder.icmp_signed("<", after, I64(count)), head, done)
    builder.position_at_end(done)


def _copy(builder: ir.IRBuilder, module: ir.Module, into: Any, source: Any, size: Any) -> None:
    name = "llvm.memcpy.p0.p0.i64"
    function = module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [PTR, PTR, I64, ir.IntType(1)])
        function = ir.Function(module, kind, name)
    builder.call(function, [into, source, size, ir.IntType(1)(0)])
