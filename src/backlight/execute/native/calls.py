"""How a program calls its kernels: a table in its data, and one function that goes through it.

The function is compiled once for a processor and shared by all programs, like the inner functions
of matrix products.  Each thread goes through the whole table: it takes its share of kernels that
are divided, leaves the others to the first thread, and waits where the table says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from backlight.execute.native.batch import BatchSize
from backlight.execute.native.matmul_vectors import call_pointer, loop
from backlight.execute.native.team import part
from backlight.execute.native.writer import I32, I64, PTR, VOID, Share, Value

I8 = ir.IntType(8)

KERNEL = (
    ("pointers", PTR),
    ("status", PTR),
    ("scratch", PTR),
    ("batch", I64),
    ("begin", I64),
    ("end", I64),
)
"""What every kernel is called with; the first is a list of the addresses that it works on."""

PLACES = (("sources", PTR), ("count", I64), ("table", PTR), ("arena", PTR), ("found", PTR))
"""Parameters of the function that lists the addresses of a program."""

CALLS = (
    ("program", PTR),
    ("count", I64),
    ("pointers", PTR),
    ("status", PTR),
    ("scratch", PTR),
    ("callback", PTR),
    ("batch", I64),
    ("thread", I64),
    ("threads", I64),
    ("team", PTR),
)
"""Parameters of the function that calls the kernels."""

WAITS, DIVIDED = 1, 2
"""What the flags of a call mean: all threads come together before it; each does a part of it."""

ENTRY = ir.LiteralStructType([PTR, I64, I64, I64, I64, I64])
"""A call: the kernel (none when Python is called back), where its addresses begin in the list (or
the number of the callback), flags, and what is divided: a fixed size, a multiple of the batch
length, and what parts are multiples of."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel as the program calls it; without a function, Python is called back."""

    function: ir.Function | None
    first: int
    flags: int
    share: Share | None

    def entry(self) -> ir.Constant:
        """Return it as a line of the table."""
        fixed = factor = unit = 0
        if self.share is not None:
            unit = self.share.unit
            if isinstance(self.share.total, BatchSize):
                factor = self.share.total.factor
            else:
                fixed = self.share.total
        function = ir.Constant(PTR, None)
        if self.function is not None:
            function = ir.FormattedConstant(PTR, self.function.get_reference())
        numbers = [I64(each) for each in (self.first, self.flags, fixed, factor, unit)]
        return ir.Constant.literal_struct([function, *numbers])


def constant_list(module: ir.Module, name: str, kind: ir.Type, entries: Sequence[Value]) -> Value:
    """Add a constant array to a module."""
    whole = ir.ArrayType(kind, len(entries))
    found = ir.GlobalVariable(module, whole, name)
    found.linkage = "internal"
    found.global_constant = True
    found.initializer = ir.Constant(whole, list(entries))
    return ir.FormattedConstant(PTR, found.get_reference())


def callable_kernel(module: ir.Module, kernel: ir.Function, count: int) -> ir.Function:
    """Add the function by which a kernel is called: it looks up so many addresses in its list."""
    kernel.attributes.add("alwaysinline")
    kind = ir.FunctionType(VOID, [each for _, each in KERNEL])
    function = ir.Function(module, kind, f"call_{kernel.name}")
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    pointers, *rest = function.args
    found = []
    for number in range(count):
        place = builder.gep(pointers, [I64(number)], source_etype=PTR)
        found.append(builder.load(place, typ=PTR))
    builder.call(kernel, [*found, *rest])
    builder.ret_void()
    return function


def write_places(function: ir.Function) -> None:
    """Write the function that lists the addresses of a program.

    Each source is a position in the table, or the complement of an offset in the arena.
    """
    sources, count, table, arena, found = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    with loop(builder, I64(0), count, 1, "place") as number:
        source = builder.load(builder.gep(sources, [number], source_etype=I64), typ=I64)
        into = builder.gep(found, [number], source_etype=PTR)
        given = builder.icmp_signed(">=", source, I64(0))
        with builder.if_else(given) as (known, own):
            with known:
                slot = builder.gep(table, [source], source_etype=PTR)
                builder.store(builder.load(slot, typ=PTR), into)
            with own:
                offset = builder.xor(source, I64(-1))
                builder.store(builder.gep(arena, [offset], source_etype=I8), into)
    builder.ret_void()


def write_calls(function: ir.Function, barrier: ir.Function) -> None:
    """Write the function that goes through a program's table."""
    (program, count, pointers, status, scratch, callback, batch, thread, threads,
     team) = function.args  # fmt: skip
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    first = builder.icmp_unsigned("==", thread, I64(0))
    alone = builder.icmp_unsigned("==", threads, I64(1))
    with loop(builder, I64(0), count, 1, "call") as number:
        line = builder.gep(program, [number], source_etype=ENTRY)

        def column(place: int, kind: ir.Type = I64, line: Value = line) -> Value:
            slot = builder.gep(line, [I32(0), I32(place)], source_etype=ENTRY)
            return builder.load(slot, typ=kind)

        kernel, start, flags = column(0, PTR), column(1), column(2)
        with builder.if_then(_has(builder, flags, WAITS)):
            builder.call(barrier, [team, threads])
        divided = _has(builder, flags, DIVIDED)
        with builder.if_then(builder.or_(first, divided)):
            total = builder.add(column(3), builder.mul(column(4), batch))
            whole = builder.or_(alone, builder.not_(divided))
            before = builder.block
            with builder.if_then(builder.not_(whole)):
                cut = part(builder, total, column(5), thread, threads)
                inside = builder.block
            begin, end = builder.phi(I64), builder.phi(I64)
            for each, all_of_it, own in ((begin, I64(0), cut[0]), (end, total, cut[1])):
                each.add_incoming(all_of_it, before)
                each.add_incoming(own, inside)
            is_kernel = builder.icmp_unsigned("!=", kernel, ir.Constant(PTR, None))
            with builder.if_else(is_kernel) as (compiled, python):
                with compiled:
                    own = builder.gep(pointers, [start], source_etype=PTR)
                    arguments = [own, status, scratch, batch, begin, end]
                    call_pointer(builder, kernel, KERNEL, arguments)
                with python:
                    call_pointer(builder, callback, (("number", I32),), [builder.trunc(start, I32)])
    builder.ret_void()


def _has(builder: ir.IRBuilder, flags: Value, flag: int) -> Value:
    return builder.icmp_unsigned("!=", builder.and_(flags, I64(flag)), I64(0))
