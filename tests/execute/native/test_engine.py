"""Compiling: what is accepted, how long code lives, threads, forks, memory."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import weakref
from ctypes import CFUNCTYPE, c_int64
from functools import partial
from pathlib import Path

import pytest
from llvmlite import ir

from backlight.execute.native import CompileError, Library, compile_module, host, inspect_module
from backlight.execute.native.aside import Aside
from backlight.execute.native.engine import LOCK, Pipeline, compile_object

INT = ir.IntType(64)
UNARY = CFUNCTYPE(c_int64, c_int64)


def multiplier(factor: int, name: str = "f") -> ir.Module:
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(INT, [INT]), name)
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(builder.mul(function.args[0], INT(factor)))
    return module


def test_a_function_is_callable_and_its_times_are_known() -> None:
    library = compile_module(multiplier(3))
    assert library.function("f", UNARY)(14) == 42
    times = library.times
    assert min(times.build, times.parse, times.optimise, times.emit, times.load) > 0
    assert times.total == pytest.approx(
        times.build + times.parse + times.optimise + times.emit + times.load
    )


def test_a_function_that_does_not_exist_is_an_error() -> None:
    library = compile_module(multiplier(3))
    for name in ("g", "", "llvm.memcpy", "printf"):
        with pytest.raises(CompileError, match="no function"):
            library.function(name, UNARY)


def test_a_declared_function_is_not_one_of_the_library() -> None:
    module = multiplier(3)
    ir.Function(module, ir.FunctionType(INT, [INT]), "outside")
    with pytest.raises(CompileError, match="outside"):
        compile_module(module).function("outside", UNARY)


def test_code_that_llvm_does_not_accept_is_an_error() -> None:
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(INT, [INT]), "f")
    function.append_basic_block()  # a block without an end
    with pytest.raises(CompileError, match="LLVM does not accept"):
        compile_module(module)
    module = multiplier(3)
    block = module.get_global("f").entry_basic_block
    block.instructions[0] = ir.instructions.Instruction(
        block, ir.IntType(32), "add", [INT(1), INT(2)]
    )
    with pytest.raises(CompileError, match="LLVM does not accept"):
        compile_module(module)


def test_an_error_names_the_function() -> None:
    def broken() -> tuple[ir.Module, ir.IRBuilder]:
        module = multiplier(3, "fine")
        function = ir.Function(module, ir.FunctionType(INT, [INT]), "kernel_7")
        multiplied = ir.IRBuilder(function.append_basic_block())
        ir.Function(module, ir.FunctionType(INT, [INT]), "declared")
        return module, multiplied

    unended, _ = broken()
    with pytest.raises(CompileError) as raised:
        compile_module(unended)
    assert raised.value.function == "kernel_7"
    unordered, builder = broken()
    one = builder.add(builder.function.args[0], INT(1), name="one")
    builder.ret(builder.add(one, INT(1), name="two"))
    instructions = builder.block.instructions
    instructions[0], instructions[1] = instructions[1], instructions[0]
    with pytest.raises(CompileError) as raised:
        compile_module(unordered)
    assert raised.value.function == "kernel_7"


def test_object_code_loads_again() -> None:
    first = compile_module(multiplier(5))
    again = Library(*first.code, names=["f"])
    assert again.function("f", UNARY)(8) == 40


def test_a_library_is_freed_when_nothing_uses_it() -> None:
    library = compile_module(multiplier(3))
    function = library.function("f", UNARY)
    watch = weakref.ref(library)
    del library
    gc.collect()
    assert watch() is not None, "a function keeps its code alive"
    assert function(2) == 6
    del function
    gc.collect()
    assert watch() is None


def resident() -> int:
    """Return the bytes of memory that the process holds, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_many_compilations_do_not_leak() -> None:
    for factor in range(30):
        compile_module(multiplier(factor)).function("f", UNARY)(1)
    gc.collect()
    before = resident()
    for factor in range(150):
        compile_module(multiplier(factor)).function("f", UNARY)(1)
    gc.collect()
    assert resident() - before < 150 * 20_000


def test_threads_compile_and_run_at_once() -> None:
    failures = []

    def work(seed: int) -> None:
        for factor in range(seed, seed + 10):
            if compile_module(multiplier(factor)).function("f", UNARY)(7) != 7 * factor:
                failures.append(factor)

    threads = [threading.Thread(target=work, args=(10 * k,)) for k in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []


def test_what_is_compiled_aside_is_the_same_to_the_byte() -> None:
    writers = [partial(multiplier, factor) for factor in range(3, 9)]
    with LOCK:
        aside = Aside(writers, Pipeline.EXPLICIT)
        own = [compile_object(multiplier(factor), Pipeline.EXPLICIT) for factor in range(3, 9)]
        made = aside.results()
        assert aside.results() == made
    assert [each.code for each in made] == [each.code for each in own]
    library = Library(made[4].code, names=made[4].names)
    assert library.function("f", UNARY)(6) == 42


def test_an_error_aside_is_raised_where_the_code_is_asked_for() -> None:
    def unended() -> ir.Module:
        module = ir.Module()
        function = ir.Function(module, ir.FunctionType(INT, [INT]), "f")
        function.append_basic_block()
        return module

    with LOCK:
        aside = Aside([partial(multiplier, 3), unended], Pipeline.EXPLICIT)
        for _ in range(2):
            with pytest.raises(CompileError, match="does not accept"):
                aside.results()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python warns of forks beside threads
def test_a_child_has_what_its_parent_was_compiling_aside() -> None:
    for factor in range(3, 8):
        with LOCK:
            aside = Aside([partial(multiplier, factor)] * 3, Pipeline.EXPLICIT)
            child = os.fork()
            if child == 0:
                last = aside.results()[-1]
                found = Library(last.code, names=last.names).function("f", UNARY)(2)
                os._exit(0 if found == 2 * factor else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python warns of forks beside threads
def test_a_child_uses_old_code_and_compiles_new_while_a_thread_of_the_parent_compiles() -> None:
    function = compile_module(multiplier(3)).function("f", UNARY)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            compile_module(multiplier(2))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                fine = function(5) == 15
                fine = fine and compile_module(multiplier(4)).function("f", UNARY)(5) == 20
                os._exit(0 if fine else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        thread.join()


def test_the_host_is_described() -> None:
    assert host() is host()
    assert host().lanes(32) == 2 * host().lanes(64)
    assert host().vector_bits in (128, 256, 512)


def test_optimised_code_and_assembly_can_be_read() -> None:
    assert "define" in inspect_module(multiplier(3))
    assert "f:" in inspect_module(multiplier(3), assembly=True)


def test_many_functions_share_a_module() -> None:
    module = multiplier(3)
    other = ir.Function(module, ir.FunctionType(ir.DoubleType(), [ir.DoubleType()]), "half")
    builder = ir.IRBuilder(other.append_basic_block())
    builder.ret(builder.fmul(other.args[0], ir.DoubleType()(0.5)))
    library = compile_module(module)
    half = library.function("half", CFUNCTYPE(ctypes.c_double, ctypes.c_double))
    assert half(3.0) == 1.5
    assert library.function("f", UNARY)(2) == 6
