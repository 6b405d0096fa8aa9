"""From LLVM's intermediate language to machine code for this processor, and back to nothing.

`compile_module` takes a module of llvmlite's IR builder, optimises it for the processor that runs
this, and gives a `Library`, whose functions can be called through ctypes.  A library keeps the
machine code alive for as long as it, or a function taken from it, is in use, and frees it then.

Threads and forks
-----------------
One compilation runs at a time in a process, and beside it what `aside` does on a thread of
its own.  The locks of both, and the one that llvmlite holds around its calls of LLVM, are also held
across `os.fork`, so that a child never inherits a half-finished call.  Compiled code holds no lock
and has no state of its own; any number of threads may call it, and a child process may go on using
what its parent compiled.  Each compilation has its own LLVM context, so nothing grows in the
process with the number of modules compiled.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm

from backlight.errors import BacklightError

if TYPE_CHECKING:
    from llvmlite import ir

LOCK = threading.RLock()
"""Held by whoever is inside LLVM, and across forks."""

UNFINISHED: list[Callable[[], None]] = []
"""Wait for what other threads are compiling; only looked at with `LOCK` held."""


def _hold() -> None:
    """Wait until no thread is inside LLVM, and keep all out."""
    LOCK.acquire()
    while UNFINISHED:
        UNFINISHED[0]()
    # Freeing a library takes only llvmlite's own lock.
    llvm.ffi.lib._lock.__enter__()


def _release() -> None:
    llvm.ffi.lib._lock.__exit__(None, None, None)
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)


class CompileError(BacklightError, RuntimeError):
    """Generated code that LLVM does not accept, or a function that it does not have.

    Attributes
    ----------
    function : str or None
        The name of the function that is at fault, where that is known: from it, whoever wrote the
        module can tell which operation it was.
    """

    def __init__(self, message: str, function: str | None = None) -> None:
        super().__init__(message)
        self.function = function


@dataclass(frozen=True, slots=True)
class Host:
    """The processor that code is made for.

    Attributes
    ----------
    triple, cpu, features : str
        In LLVM's words.
    vector_bits : int
        The width of its vector registers that code should use.
    """

    triple: str
    cpu: str
    features: str
    vector_bits: int

    def lanes(self, bits: int) -> int:
        """Return how many numbers of so many bits one vector register holds.

        Examples
        --------
        >>> Host("", "", "", 256).lanes(32)
        8
        """
        return max(self.vector_bits // bits, 1)


@cache
def host() -> Host:
    """Return the processor that runs this, found out once.

    Examples
    --------
    >>> host().vector_bits >= 64
    True
    """
    with LOCK:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        return Host(
            llvm.get_process_triple(),
            llvm.get_host_cpu_name(),
            features.flatten(),
            512 if features.get("avx512f") else 256 if features.get("avx") else 128,
        )


EXPLICIT = "backlight.explicit"
"""Metadata of modules whose loops are vectors already, or so short that it does not matter."""


class Pipeline(Enum):
    """Which of LLVM's passes to run."""

    FULL = "full"  #: all that make code faster
    PROGRAM = "program"  #: for programs without loops that need vectors
    EXPLICIT = "explicit"  #: a few, for code that is written with vectors already


@dataclass(frozen=True, slots=True)
class Times:
    """Where the seconds of one compilation went.

    Attributes
    ----------
    build : float
        Writing the module out as text, after whoever built it is done.
    parse, optimise, emit, load : float
        LLVM's reading of it, its passes, machine code, and making that callable.
    """

    build: float = 0.0
    parse: float = 0.0
    optimise: float = 0.0
    emit: float = 0.0
    load: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.build + self.parse + self.optimise + self.emit + self.load


class Library:
    """Machine code in memory, freed when neither it nor a function taken from it is in use.

    Attributes
    ----------
    code : tuple of bytes
        The object files that it was loaded from.
    names : frozenset of str
        The functions that they define.
    times : Times
        What compiling took.
    """

    __slots__ = ("__weakref__", "_engine", "code", "names", "times")

    def __init__(self, *code: bytes, names: Iterable[str], times: Times = Times()):
        """Load object files; `names` are the functions that they define.

        What they call and do not define must be known to the process, or LLVM ends it.
        """
        start = time.perf_counter()
        self.code = code
        self.names = frozenset(names)
        with LOCK:
            self._engine = _load(code)
            if self.names:  # asking for one makes all of the code ready to run
                self._engine.get_function_address(min(self.names))
        self.times = replace(times, load=time.perf_counter() - start)

    def function(self, name: str, signature: Any) -> Callable[..., Any]:
        """Return a compiled function as something that Python can call.

        Parameters
        ----------
        name : str
            Its name in the module.
        signature : ctypes function type
            For instance ``ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)``.

        Raises
        ------
        CompileError
            When the module has no such function.
        """
        found = signature(self.address(name))
        found.library = self  # the function keeps its code alive
        return found  # type: ignore[no-any-return]  # ctypes makes its types at run time

    def address(self, name: str) -> int:
        """Return where a function is; the address is good while this library is alive."""
        # LLVM ends the process on an unknown symbol, so it is never asked for one.
        if name not in self.names:
            raise CompileError(f"The compiled code has no function {name!r}.")
        with LOCK:
            return int(self._engine.get_function_address(name))


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """A compiled module that is not loaded.

    Attributes
    ----------
    code : bytes
        An object file.
    names : frozenset of str
        The functions that it defines.
    times : Times
        What compiling took.
    """

    code: bytes
    names: frozenset[str]
    times: Times


def compile_module(module: ir.Module, pipeline: Pipeline = Pipeline.FULL) -> Library:
    """Optimise a module for this processor and make its functions callable.

    Parameters
    ----------
    module : llvmlite.ir.Module
        Its triple is set to this machine's.
    pipeline : Pipeline
        Which passes to run.

    Raises
    ------
    CompileError
        When LLVM does not accept the module, or it has no memory for it.

    Examples
    --------
    >>> import ctypes
    >>> from llvmlite import ir
    >>> module = ir.Module()
    >>> signature = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
    >>> twice = ir.Function(module, signature, "twice")
    >>> builder = ir.IRBuilder(twice.append_basic_block())
    >>> _ = builder.ret(builder.add(twice.args[0], twice.args[0]))
    >>> library = compile_module(module)
    >>> library.function("twice", ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64))(21)
    42
    """
    # Here, because these functions are compiled with what stands in this file.
    from backlight.execute.native.inner import begin, link, used

    begin()
    made = compile_object(module, pipeline)
    link(used(module))
    return Library(made.code, names=made.names, times=made.times)


def compile_object(module: ir.Module, pipeline: Pipeline = Pipeline.FULL) -> ObjectCode:
    """Optimise a module for this processor and give its machine code; see `compile_module`."""
    if pipeline is Pipeline.FULL and EXPLICIT in module.namedmetadata:
        pipeline = Pipeline.PROGRAM
    with LOCK:
        start = time.perf_counter()
        text = written(module)
        spent = time.perf_counter() - start
        made = compile_text(text, pipeline, own_machine())
        return replace(made, times=replace(made.times, build=spent))


def compile_text(text: str, pipeline: Pipeline, machine: Any) -> ObjectCode:
    """Optimise what `written` gave and give its machine code; nobody else may use the machine."""
    clock = [time.perf_counter()]
    context = llvm.create_context()
    parsed = _parse(text, context)
    try:
        clock.append(time.perf_counter())
        _optimise(parsed, machine, pipeline)
        clock.append(time.perf_counter())
        names = frozenset(
            each.name
            for each in parsed.functions
            if not each.is_declaration and each.linkage == llvm.Linkage.external
        )
        code = _emit(parsed, machine)
        clock.append(time.perf_counter())
    finally:
        parsed.close()
        context.close()
    spans = [after - before for before, after in itertools.pairwise(clock)]
    return ObjectCode(code, names, Times(0.0, *spans))


def _emit(parsed: Any, machine: Any) -> bytes:
    """Return the machine code of a module.

    llvmlite lets one thread at a time call LLVM.  LLVM itself only asks that two threads have
    contexts and target machines of their own; this is by far the longest call, so it is made
    without llvmlite's lock.
    """
    lib = llvm.ffi.lib
    locked = lib.LLVMPY_TargetMachineEmitToMemory
    emit = getattr(locked, "_cfn", locked)
    with llvm.ffi.OutputString() as message:
        buffer = emit(machine, parsed, 1, message)
        if not buffer:
            raise CompileError(f"LLVM makes no machine code of a module: {message}")
    try:
        start, size = lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(start, size)
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(buffer)


def inspect_module(module: ir.Module, *, assembly: bool = False) -> str:
    """Return a module as LLVM leaves it: optimised IR, or the processor's assembly language."""
    with LOCK:
        context = llvm.create_context()
        machine = own_machine()
        parsed = _parse(written(module), context)
        try:
            _optimise(parsed, machine, Pipeline.FULL)
            return str(machine.emit_assembly(parsed) if assembly else parsed)
        finally:
            parsed.close()
            context.close()


def written(module: ir.Module) -> str:
    """Write a module out, with what holds for all code added to it."""
    module.triple = host().triple
    for function in module.functions:
        prefer_wide_vectors(function)
        if not function.is_declaration and "alwaysinline" not in function.attributes:
            # Kernels inlined into each other would be optimised as one large function, and equal
            # ones no longer be found; a call costs next to nothing.
            function.attributes.add("noinline")
    return str(module)


def prefer_wide_vectors(function: ir.Function) -> None:
    """Let LLVM use the widest registers; by itself it stops at 256 bits on AVX-512 machines."""
    # llvmlite's set accepts only attributes without a value.
    set.add(function.attributes, f'"prefer-vector-width"="{host().vector_bits}"')


def target_machine() -> Any:
    """Return a new target machine for this processor."""
    found = host()
    target = llvm.Target.from_triple(found.triple)
    return target.create_target_machine(
        cpu=found.cpu, features=found.features, opt=3, reloc="default", codemodel="jitdefault"
    )


@cache
def own_machine() -> Any:
    """Return a target machine that is used again, with what it has worked out about its target."""
    return target_machine()


def _parse(text: str, context: Any) -> Any:
    parsed = None
    try:
        parsed = llvm.parse_assembly(text, context)
        parsed.verify()
    except RuntimeError as error:
        # In this order: the collector may close a context before the modules in it.
        if parsed is not None:
            parsed.close()
        context.close()
        message = f"LLVM does not accept the generated code: {error}"
        raise CompileError(message, _function_at_fault(str(error), text)) from None
    return parsed


def _function_at_fault(message: str, text: str) -> str | None:
    """Return the function that an error of LLVM is about: by its line, or by what it quotes."""
    lines = text.replace('"', "").splitlines()
    placed = re.search(r"<string>:(\d+):", message)
    if placed:
        last = int(placed.group(1))
    else:
        quoted = message.strip().splitlines()[-1].strip()
        found = [number for number, line in enumerate(lines, 1) if line.strip() == quoted]
        last = found[0] if len(found) == 1 else 0
    for line in reversed(lines[:last]):
        defined = re.match(r"define .*?@([^( ]+)", line)
        if defined:
            return defined.group(1)
    return None


def _optimise(parsed: Any, machine: Any, pipeline: Pipeline) -> None:
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.loop_vectorization = True
    tuning.slp_vectorization = True
    tuning.loop_interleaving = True
    # Unrolled as well, the loops of a training step compile half as fast and run 4 % faster.
    tuning.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, tuning)
    first = llvm.create_new_module_pass_manager()
    managers = [first]
    if pipeline is Pipeline.PROGRAM:
        first.add_merge_functions_pass()
        first.add_always_inliner_pass()
        first.add_global_dead_code_eliminate_pass()
        first.add_sroa_pass()
        first.add_simplify_cfg_pass()
        first.add_instruction_combine_pass()
        first.add_new_gvn_pass()
    elif pipeline is Pipeline.FULL:
        # The updates of all parameters are often one function.
        first.add_merge_functions_pass()
        managers.append(builder.getModulePassManager())
    else:
        first.add_simplify_cfg_pass()
        first.add_instruction_combine_pass()
        first.add_new_gvn_pass()
    for manager in managers:
        manager.run(parsed, builder)
        # Closing one frees nothing: in llvmlite 0.50 an empty method hides the one that would.
        llvm.newpassmanagers.NewPassManager._dispose(manager)
        manager.detach()
    builder.close()
    tuning.close()


def _load(code: Iterable[bytes]) -> Any:
    """Return an execution engine that holds object files."""
    triple = host().triple
    empty = llvm.parse_assembly(f'target triple = "{triple}"', _engine_context())
    # The engine compiles nothing, so that it need not know the processor.
    machine = llvm.Target.from_triple(triple).create_target_machine(codemodel="jitdefault")
    engine = llvm.create_mcjit_compiler(empty, machine)
    for each in code:
        engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(each))
    return engine


@cache
def _engine_context() -> Any:
    """The context of the empty modules that engines are made with; it never grows."""
    return llvm.create_context()
