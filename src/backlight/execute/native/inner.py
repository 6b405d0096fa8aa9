"""What all programs have in common: compiled once for a processor, and shared by them.

An `Inner` names a function that `kernels_library` knows how to write.  `link` sees to it that the
process has its machine code, from the cache on disk, or compiled and put there; `prepare` and
`begin` let another thread compile it while this one compiles the program.  Programs are linked to
them by name.  They depend on the element type and the size of the register block only, so there are
few, and they stay loaded until the process ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import llvmlite.binding as llvm

from backlight.execute.native.aside import Aside
from backlight.execute.native.cache import Entry, code_cache
from backlight.execute.native.engine import (
    LOCK,
    CompileError,
    Library,
    Pipeline,
)
from backlight.execute.native.key import environment

if TYPE_CHECKING:
    from llvmlite import ir

PREFIX = "backlight.inner."

KINDS = frozenset("drive block masked dots pack transpose strips calls places barrier".split())
"""The parts of matrix products, and the last three, which all programs call."""


@dataclass(frozen=True, slots=True)
class Inner:
    """A function that programs share.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
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
        known = name.startswith(PREFIX) and kind in KINDS and len(numbers) == 4
        if not known or not all(each.isascii() and each.isdigit() for each in numbers):
            raise CompileError(f"There is no inner function {name!r} that programs share.")
        return cls(kind, *map(int, numbers))


def used(module: ir.Module) -> list[str]:
    """Return the names of the inner functions that a module calls."""
    return [each.name for each in module.functions if each.name.startswith(PREFIX)]


def prepare(name: str) -> None:
    """Find the machine code of an inner function, or note that it has to be made.

    Raises
    ------
    CompileError
        When it is not the name of an inner function.
    """
    with LOCK:
        if name in _LINKED or name in _PREPARED:
            return
        inner = Inner.named(name)
        kept = code_cache().load(_key(name))
        _PREPARED[name] = inner if kept is None else kept.code


def begin() -> None:
    """Have another thread make what was noted, beside what this one goes on to compile."""
    with LOCK:
        noted = [each for each in _PREPARED.values() if isinstance(each, Inner)]
        if not noted:
            return
        # Here, because it takes a while to load, and code that is kept needs none of it.
        from backlight.execute.native.kernels_library import write

        aside = Aside([partial(write, each) for each in noted], Pipeline.EXPLICIT)
        _PREPARED.update((each.name, (aside, place)) for place, each in enumerate(noted))


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
        for each in missing:
            prepare(each)
        begin()
        library = Library(*[_code(each) for each in missing], names=missing)
        for each in missing:
            llvm.add_symbol(each, library.address(each))
            _LINKED[each] = library


_LINKED: dict[str, Library] = {}
"""What this process has; it only grows, by the few inner functions that there are."""

_PREPARED: dict[str, Inner | bytes | tuple[Aside, int]] = {}
"""What is not linked yet: itself, its machine code, or who makes that and as which of many."""


def _key(name: str) -> str:
    return f"{environment()}\ninner function {name}"


def _code(name: str) -> bytes:
    """Return the machine code of an inner function that was begun, and keep it."""
    found = _PREPARED.pop(name)
    if isinstance(found, bytes):
        return found
    assert not isinstance(found, Inner), "it was begun"
    aside, place = found
    entry = Entry(aside.results()[place].code)
    code_cache().save(_key(name), entry)
    return entry.code
