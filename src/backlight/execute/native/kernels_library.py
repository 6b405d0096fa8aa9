"""What all programs have in common: compiled once for a processor, and shared by them.

These are the inner functions of matrix products, and the function that goes through a program's
kernels.

An `Inner` names one of them; `shared` declares it in a module, after `link` has seen to it that
the process has its machine code: from the cache on disk, or compiled and put there.  Programs are
linked to them by name.  They depend on the element type and the size of the register block only,
so there are few, and they stay loaded until the process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import llvmlite.binding as llvm
from llvmlite import ir

from backlight.execute.native import calls, matmul_block, matmul_drive, matmul_pack, team
from backlight.execute.native.cache import Entry, code_cache
from backlight.execute.native.engine import LOCK, CompileError, Library, Pipeline, compile_object
from backlight.execute.native.key import environment
from backlight.execute.native.matmul_block import register_block
from backlight.execute.native.matmul_dot import dot_block
from backlight.execute.native.matmul_drive import driver
from backlight.execute.native.matmul_pack import packing, strip_packing
from backlight.execute.native.matmul_vectors import Vectors, new_function

PREFIX = "backlight.inner."

Parameters: TypeAlias = Sequence[tuple[str, ir.Type]]


@dataclass(frozen=True, slots=True)
class Inner:
    """A function that programs share.

    Attributes
    ----------
    kind : str
        "drive", "block", "masked", "dots", "pack", "transpose" or "strips"; or what all programs
        call: "calls", "places" or "barrier".
    bits : int
        Of an element: 32 or 64; 0 where there is none.
    lanes : int
        Elements of its vectors.
    rows, columns : int
        Of a register block, in vectors across; of the block of dot products; rows of a strip.
    """

    kind: str
    bits: int = 0
    lanes: int = 1
    rows: int = 0
    columns: int = 0

    @property
    def name(self) -> str:
        """The function's name.

        Examples
        --------
        >>> Inner("block", 32, 16, 6, 4).name
        'backlight.inner.block.32.16.6.4'
        """
        return f"{PREFIX}{self.kind}.{self.bits}.{self.lanes}.{self.rows}.{self.columns}"

    @classmethod
    def named(cls, name: str) -> Inner:
        """Return the function of a name.

        Raises
        ------
        CompileError
            When it is not the name of an inner function.
        """
        kind, *numbers = name.removeprefix(PREFIX).split(".")
        known = name.startswith(PREFIX) and kind in _FAMILIES and len(numbers) == 4
        if not known or not all(each.isascii() and each.isdigit() for each in numbers):
            raise CompileError(f"There is no inner function {name!r} that programs share.")
        return cls(kind, *map(int, numbers))


def shared(module: ir.Module, inner: Inner) -> ir.Function:
    """Declare an inner function in a module, and link it for when the module's code is loaded."""
    link([inner.name])
    known = module.globals.get(inner.name)
    if isinstance(known, ir.Function):
        return known
    return new_function(module, inner.name, _FAMILIES[inner.kind].parameters)


def used(module: ir.Module) -> list[str]:
    """Return the names of the inner functions that a module calls."""
    return [each.name for each in module.functions if each.name.startswith(PREFIX)]


def link(names: Iterable[str]) -> None:
    """See to it that code that calls these inner functions can be loaded.

    Raises
    ------
    CompileError
        When a name is not that of an inner function.
    """
    with LOCK:
        missing = [each for each in dict.fromkeys(names) if each not in _LINKED]
        if not missing:
            return
        library = Library(*[_code(each) for each in missing], names=missing)
        for each in missing:
            llvm.add_symbol(each, library.address(each))
            _LINKED[each] = library


_LINKED: dict[str, Library] = {}
"""What this process has; it only grows, by the few inner functions that there are."""


def _code(name: str) -> bytes:
    """Return the machine code of an inner function, compiled only if it is not kept."""
    inner = Inner.named(name)
    key = f"{environment()}\ninner function {name}"
    kept = code_cache()
    entry = kept.load(key)
    if entry is None:
        module = ir.Module()
        element = ir.DoubleType() if inner.bits == 64 else ir.FloatType()
        _FAMILIES[inner.kind].write(Vectors(module, element, inner.lanes), name, inner)
        entry = Entry(compile_object(module, Pipeline.EXPLICIT).code)
        kept.save(key, entry)
    return entry.code


def _places(module: ir.Module, name: str) -> ir.Function:
    function = new_function(module, name, calls.PLACES)
    calls.write_places(function)
    return function


def _calls(module: ir.Module, name: str) -> ir.Function:
    function = new_function(module, name, calls.CALLS)
    calls.write_calls(function, _barrier(module, "barrier", "internal"))
    return function


def _barrier(module: ir.Module, name: str, linkage: str = "external") -> ir.Function:
    function = new_function(module, name, team.BARRIER, linkage)
    team.write_barrier(function)
    return function


@dataclass(frozen=True)
class _Family:
    """How the inner functions of a kind are written, and their parameters."""

    parameters: Parameters
    write: Callable[[Vectors, str, Inner], ir.Function]


_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "drive": _Family(matmul_drive.PARAMETERS, lambda v, name, _: driver(v, name)),
        "block": _Family(
            matmul_block.PARAMETERS,
            lambda v, name, i: register_block(v, name, i.rows, i.columns, masked=False),
        ),
        "masked": _Family(
            matmul_block.PARAMETERS,
            lambda v, name, i: register_block(v, name, i.rows, i.columns, masked=True),
        ),
        "dots": _Family(
            matmul_block.PARAMETERS, lambda v, name, i: dot_block(v, name, i.rows, i.columns)
        ),
        "pack": _Family(
            matmul_pack.PARAMETERS, lambda v, name, _: packing(v, name, transposed=False)
        ),
        "transpose": _Family(
            matmul_pack.PARAMETERS, lambda v, name, _: packing(v, name, transposed=True)
        ),
        "strips": _Family(
            matmul_pack.STRIP_PARAMETERS, lambda v, name, i: strip_packing(v, name, i.rows)
        ),
        "places": _Family(calls.PLACES, lambda v, name, _: _places(v.module, name)),
        "calls": _Family(calls.CALLS, lambda v, name, _: _calls(v.module, name)),
        "barrier": _Family(team.BARRIER, lambda v, name, _: _barrier(v.module, name)),
    }
)
