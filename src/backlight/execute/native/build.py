"""The machine code of a program, however it is come by: in use already, on disk, or compiled.

`build` takes a key, which says exactly what the code is made from, and a function that writes the
module; it writes and compiles only what neither this process nor the disk has.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from backlight.execute.native.cache import Entry, code_cache
from backlight.execute.native.engine import Library, Times, compile_module
from backlight.execute.native.inner import link, used

if TYPE_CHECKING:
    from llvmlite import ir


class Origin(StrEnum):
    """Where machine code came from."""

    COMPILED = "compiled"
    DISK = "disk"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Built:
    """A program's machine code, ready to be called.

    Attributes
    ----------
    library : Library
    notes : mapping
        What whoever wrote the module has to know about it.
    origin : Origin
    """

    library: Library
    notes: Mapping[str, Any]
    origin: Origin = Origin.COMPILED

    @property
    def times(self) -> Times:
        """Where the seconds of compiling or loading went."""
        return self.library.times


_IN_USE: weakref.WeakValueDictionary[str, Built] = weakref.WeakValueDictionary()
"""The programs that this process uses at the moment; equal ones share their code."""


def build(key: str | None, write: Callable[[], tuple[ir.Module, Mapping[str, Any]]]) -> Built:
    """Return the machine code of a module.

    Parameters
    ----------
    key : str or None
        What the module is made from, as `program_key` gives it; None keeps nothing.
    write : callable
        Returns the module and notes about it: numbers, texts, None, and tuples, frozensets and
        mappings of them, with texts as keys.  Only called when the code is not there yet.

    Raises
    ------
    CompileError
        When LLVM does not accept the module.

    Examples
    --------
    >>> from llvmlite import ir
    >>> def write():
    ...     module = ir.Module()
    ...     function = ir.Function(module, ir.FunctionType(ir.IntType(32), []), "answer")
    ...     _ = ir.IRBuilder(function.append_basic_block()).ret(ir.IntType(32)(42))
    ...     return module, {"arguments": (0, 1)}
    >>> first, second = build("doctest: answer", write), build("doctest: answer", write)
    >>> first is second, second.notes
    (True, {'arguments': (0, 1)})
    """
    if key is None:
        return _compiled(write)[0]
    known = _IN_USE.get(key)
    if known is not None:
        return known
    kept = code_cache()
    entry = kept.load(key)
    if entry is not None:
        built = _loaded(entry)
    else:
        built, inner = _compiled(write)
        notes = {each: _as_json(value) for each, value in built.notes.items()}
        (code,) = built.library.code
        names = sorted(built.library.names)
        kept.save(key, Entry(code, {"names": names, "inner": inner, "own": notes}))
    # Two threads that want the same at once may both have made it; either will do.
    return _IN_USE.setdefault(key, built)


def _loaded(entry: Entry) -> Built:
    link(entry.notes["inner"])
    library = Library(entry.code, names=entry.notes["names"])
    notes = {each: _from_json(value) for each, value in entry.notes["own"].items()}
    return Built(library, notes, Origin.DISK)


def _compiled(
    write: Callable[[], tuple[ir.Module, Mapping[str, Any]]],
) -> tuple[Built, list[str]]:
    module, notes = write()
    return Built(compile_module(module), dict(notes)), used(module)


def _as_json(value: Any) -> Any:
    """Write a note with lists and mappings only; tuples and sets are told apart by a first word."""
    if isinstance(value, tuple):
        return ["tuple", *(_as_json(each) for each in value)]
    if isinstance(value, frozenset):
        return ["set", *(_as_json(each) for each in sorted(value))]
    if isinstance(value, Mapping):
        return {each: _as_json(item) for each, item in value.items()}
    assert value is None or isinstance(value, (bool, int, float, str)), "notes are plain"
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        kind, *items = value
        return (tuple if kind == "tuple" else frozenset)(_from_json(each) for each in items)
    if isinstance(value, dict):
        return {each: _from_json(item) for each, item in value.items()}
    return value
