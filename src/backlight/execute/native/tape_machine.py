"""The machine code that runs a tape: a loop around one case for each different operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from backlight.execute.native.emit import Emitter, lower
from backlight.execute.native.number import BOOL, memory_type
from backlight.execute.native.tape import MOST_OPERANDS, TAPE, Operation

I64 = ir.IntType(64)
I32 = ir.IntType(32)
PTR = ir.PointerType()
VOID = ir.VoidType()


def machine(operations: Sequence[Operation]) -> ir.Module:
    """Write ``tape(instructions, results, count)``: a loop around one case for each operation."""
    module = ir.Module(name="tape")
    function = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR, I64]), TAPE)
    tape, results, count = function.args
    tape.add_attribute("noalias")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    head = builder.append_basic_block("instruction")
    following = builder.append_basic_block("next")
    done = builder.append_basic_block("done")
    before = builder.block
    builder.cbranch(builder.icmp_signed(">", count, I64(0)), head, done)

    builder.position_at_end(head)
    number = builder.phi(I64)
    number.add_incoming(I64(0), before)
    line = builder.mul(number, I64(MOST_OPERANDS + 1))

    def word(position: int) -> Any:
        at = builder.add(line, I64(position))
        return builder.load(builder.gep(tape, [at], source_etype=I32), typ=I32)

    switch = builder.switch(word(0), following)
    for code, operation in enumerate(operations):
        case = builder.append_basic_block(f"case{code}")
        switch.add_case(I32(code), case)
        builder.position_at_end(case)
        _write_case(builder, operation, results, number, word)
        builder.branch(following)

    builder.position_at_end(following)
    after = builder.add(number, I64(1))
    number.add_incoming(after, following)
    builder.cbranch(builder.icmp_signed("<", after, count), head, done)
    builder.position_at_end(done)
    builder.ret_void()
    return module


def _write_case(
    builder: ir.IRBuilder, operation: Operation, results: Any, number: Any, word: Any
) -> None:
    emitter = Emitter(builder)
    operands = []
    for position, dtype in enumerate(operation.operands, start=1):
        where = builder.sext(word(position), I64)
        kind = memory_type(dtype)
        found = builder.load(builder.gep(results, [where], source_etype=I64), typ=kind)
        if dtype == BOOL:
            found = builder.icmp_unsigned("!=", found, kind(0))
        operands.append(emitter.number(found, dtype))
    node = operation.node
    value = lower(emitter, node.primitive, operands, node.attributes)
    if value.dtype != node.dtype:
        value = emitter.cast(value, node.dtype)
    stored = value.value
    if node.dtype == BOOL:
        stored = builder.zext(stored, memory_type(BOOL))
    builder.store(stored, builder.gep(results, [number], source_etype=I64))
