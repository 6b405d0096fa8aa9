"""From LLVM's intermediate language to machine code for this processor, and back to nothing.

`compile_module` takes a module of llvmlite's IR builder, optimises it for the processor that runs
this, and gives a `Library`, whose functions can be called through ctypes.  A library keeps the
machine code alive for as long as it, or a function taken from it, is in use, and frees it then.

Threads and forks
-----------------
One compilation runs at a time in a process.  Its lock, and the one that llvmlite holds around
every call of LLVM, are also held across `os.fork`, so that a child never inherits a half-finished
call.  Compiled code holds no lock and has no state of its own; any number of threads may call it,
and a child process may go on using what its parent compiled.  Each compilation has its own LLVM
context, so nothing grows in the process with the number of modules compiled.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from backlight.errors import BacklightError

_LOCK = threading.RLock()


def _hold() -> None:
    """Wait until no thread is inside LLVM, and keep all out."""
    _LOCK.acquire()
    # Freeing a library takes only llvmlite's own lock.
    llvm.ffi.lib._lock.__enter__()


def _release() -> None:
    llvm.ffi.lib._lock.__exit__(None, None, None)
    _LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)


class CompileError(BacklightError, RuntimeError):
    """Generated code that LLVM does not accept, or a function that it does not have."""


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
    with _LOCK:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        return Host(
            llvm.get_process_triple(),
            llvm.get_host_cpu_name(),
            features.flatten(),
            512 if features.get("avx512f") else 256 if features.get("avx") else 128,
        )


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
    code : bytes
        The object file that it was loaded from.
    times : Times
        What compiling took.
    """

    __slots__ = ("__weakref__", "_engine", "_names", "code", "times")

    def __init__(self, code: bytes, times: Times = Times(), names: frozenset[str] = frozenset()):
        """Load an object file; `names` are the functions that it defines."""
        start = time.perf_counter()
        self.code = code
        self._names = names
        with _LOCK:
            self._engine = _load(code)
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
        if name not in self._names:
            raise CompileError(f"The compiled code has no function {name!r}.")
        with _LOCK:
            return int(self._engine.get_function_address(name))


def compile_module(module: ir.Module) -> Library:
    """Optimise a module for this processor and make its functions callable.

    Parameters
    ----------
    module : llvmlite.ir.Module
        Its triple is set to this machine's.

    Raises
    ------
    CompileError
        When LLVM does not accept the module.

    Examples
    --------
    >>> import ctypes
    >>> module = ir.Module()
    >>> signature = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
    >>> twice = ir.Function(module, signature, "twice")
    >>> builder = ir.IRBuilder(twice.append_basic_block())
    >>> _ = builder.ret(builder.add(twice.args[0], twice.args[0]))
    >>> library = compile_module(module)
    >>> library.function("twice", ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64))(21)
    42
    """
    with _LOCK:
        clock = [time.perf_counter()]
        module.triple = host().triple
        for function in module.functions:
            prefer_wide_vectors(function)
        text = str(module)
        clock.append(time.perf_counter())
        context = llvm.create_context()
        machine = target_machine()
        parsed = _parse(text, context)
        try:
            clock.append(time.perf_counter())
            _optimise(parsed, machine)
            clock.append(time.perf_counter())
            names = frozenset(
                each.name
                for each in parsed.functions
                if not each.is_declaration and each.linkage == llvm.Linkage.external
            )
            code = machine.emit_object(parsed)
            clock.append(time.perf_counter())
        finally:
            parsed.close()
            context.close()
            machine.close()
        spans = [after - before for before, after in itertools.pairwise(clock)]
        return Library(code, Times(*spans), names)


def inspect_module(module: ir.Module, *, assembly: bool = False) -> str:
    """Return a module as LLVM leaves it: optimised IR, or the processor's assembly language."""
    with _LOCK:
        module.triple = host().triple
        for function in module.functions:
            prefer_wide_vectors(function)
        context = llvm.create_context()
        machine = target_machine()
        parsed = _parse(str(module), context)
        try:
            _optimise(parsed, machine)
            return str(machine.emit_assembly(parsed) if assembly else parsed)
        finally:
            parsed.close()
            context.close()
            machine.close()


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


def _parse(text: str, context: Any) -> Any:
    try:
        parsed = llvm.parse_assembly(text, context)
        parsed.verify()
    except RuntimeError as error:
        raise CompileError(f"LLVM does not accept the generated code: {error}") from None
    return parsed


def _optimise(parsed: Any, machine: Any) -> None:
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = True
    tuning.slp_vectorization = True
    tuning.loop_interleaving = True
    tuning.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, tuning)
    manager = builder.getModulePassManager()
    manager.run(parsed, builder)
    # Closing a manager frees nothing: in llvmlite 0.50 an empty method hides the one that would.
    llvm.newpassmanagers.NewPassManager._dispose(manager)
    manager.detach()
    builder.close()
    tuning.close()


def _load(code: bytes) -> Any:
    """Return an execution engine that holds an object file."""
    host()
    empty = llvm.parse_assembly(f'target triple = "{host().triple}"', _engine_context())
    engine = llvm.create_mcjit_compiler(empty, target_machine())
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


@cache
def _engine_context() -> Any:
    """The context of the empty modules that engines are made with; it never grows."""
    return llvm.create_context()
