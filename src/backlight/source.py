"""Where in the user's code a tensor came from, and what the user called it.

Recording must be cheap, so it keeps only the code object and the bytecode offset of the first
frame outside Backlight (`Site`).  `location` and `assigned_name` turn such a site into a file,
a line and the name on the left of the ``=`` later, when somebody asks.
"""

from __future__ import annotations

import dis
import linecache
import os
import sys
from bisect import bisect_right
from dataclasses import dataclass
from types import CodeType

Site = tuple[CodeType, int]
"""A code object and the offset of the instruction that was running in it."""

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep

_STORES = frozenset(
    {"STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR"}
    | {"STORE_FAST_STORE_FAST", "STORE_FAST_LOAD_FAST"}
)
_LOADS = frozenset(
    {"LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF"}
)


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's source: file, line and function."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    @property
    def text(self) -> str:
        """The source line itself, stripped, or an empty string when it cannot be read."""
        return linecache.getline(self.file, self.line).strip()


def call_site() -> Site | None:
    """Return the innermost frame outside Backlight as a site, or None when there is none."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(PACKAGE):
        back = frame.f_back
        if back is None:
            return None
        frame = back
    return frame.f_code, frame.f_lasti


# Code objects hash slowly, by their contents, so the caches go by identity and keep them alive.
_locations: dict[tuple[int, int], tuple[CodeType, Location]] = {}
_names: dict[tuple[int, int], tuple[CodeType, str | None]] = {}
_instructions: dict[int, tuple[CodeType, list[int], list[dis.Instruction]]] = {}


def location(site: Site) -> Location:
    """Return the file, line and function of a site."""
    code, offset = site
    key = (id(code), offset)
    if key not in _locations:
        line = next(
            (
                line
                for index, (line, _, _, _) in enumerate(code.co_positions())
                if index == offset // 2 and line is not None
            ),
            code.co_firstlineno,
        )
        _locations[key] = (code, Location(code.co_filename, line, code.co_name))
    return _locations[key][1]


def assigned_name(site: Site) -> str | None:
    """Return the name that the value made at a site is assigned to, if it is assigned at once.

    The instruction after the one that made the value is looked at: ``y = w * x`` stores to ``y``.

    Examples
    --------
    >>> def f():
    ...     here = call_site()
    ...     return here
    >>> assigned_name(f())  # doctest: +SKIP
    'here'
    """
    code, offset = site
    key = (id(code), offset)
    if key not in _names:
        _names[key] = (code, _find_name(code, offset))
    return _names[key][1]


def _find_name(code: CodeType, offset: int) -> str | None:
    if id(code) not in _instructions:
        found = list(dis.get_instructions(code))
        _instructions[id(code)] = (code, [each.offset for each in found], found)
    _, offsets, instructions = _instructions[id(code)]
    index = bisect_right(offsets, offset)
    while index < len(instructions):
        instruction = instructions[index]
        if instruction.opname in _STORES:
            name = instruction.argval
            return str(name[0] if isinstance(name, tuple) else name)
        if instruction.opname in _LOADS:  # ``self.h = …`` loads the object first
            following = instructions[index + 1] if index + 1 < len(instructions) else None
            if following is not None and following.opname == "STORE_ATTR":
                return str(following.argval)
            return None
        if instruction.opname != "COPY":  # a chained assignment or a walrus copies first
            return None
        index += 1
    return None
