"""What compiled code depends on, written out as text: the keys of the cache.

Two programs with the same key are made of the same instructions, so a key holds everything that
lowering reads and nothing else: names, source lines and scopes are left out.
"""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from backlight.execute.native.engine import host
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array, Primitive
from backlight.ops.leaf import Literal
from backlight.version import __version__

_ROOT = Path(__file__).parents[2]
_SOURCES = ("execute", "execute/native", "graph", "ops", "passes")
"""Folders of Backlight that decide what a graph is compiled to."""

_LONGEST = 1 << 18
"""Longer texts are kept as their checksum."""


class _NoTextError(Exception):
    """Something whose text does not say everything about it."""


@cache
def environment() -> str:
    """Return what all compiled code depends on: the processor, LLVM, and this Backlight.

    Examples
    --------
    >>> environment().startswith("backlight ")
    True
    """
    found = host()
    return "\n".join(
        [
            f"backlight {__version__} {_sources_stamp(_ROOT)}",
            f"llvmlite {llvmlite.__version__}",
            f"llvm {'.'.join(str(each) for each in llvm.llvm_version_info)}",
            f"{found.triple} {found.cpu} {found.vector_bits} {found.features}",
        ]
    )


def _sources_stamp(root: Path) -> str:
    """Tell versions of an edited checkout apart, by the sizes and times of its files."""
    digest = hashlib.blake2b(digest_size=12)
    for folder in _SOURCES:
        with suppress(FileNotFoundError), os.scandir(root / folder) as entries:
            files = sorted((each.name, each) for each in entries if each.name.endswith(".py"))
            for name, each in files:
                info = each.stat()
                digest.update(f"{folder} {name} {info.st_size} {info.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def program_key(graph: Graph, *further: object) -> str | None:
    """Return the key of a graph's machine code.

    Parameters
    ----------
    graph : Graph
    further
        Whatever else its lowering reads, such as the plan: plain values, arrays, and dataclasses,
        sequences, sets and mappings of them.

    Returns
    -------
    str or None
        None when the graph holds something that cannot be written out exactly, such as a primitive
        of the user's own that brings its machine code with it.

    Examples
    --------
    >>> import backlight as bl
    >>> one, other = (bl.trace(lambda x: x * factor, 1.0) for factor in (2.0, 3.0))
    >>> program_key(one) == program_key(one), program_key(one) == program_key(other)
    (True, False)
    """
    try:
        texts = _Texts(graph)
        lines = [environment(), "program", *texts.lines(graph), texts.of(further)]
    except _NoTextError:
        return None
    text = "\n".join(lines)
    if len(text) > _LONGEST:
        digest = hashlib.blake2b(text.encode(), digest_size=64).hexdigest()
        return f"{environment()}\nprogram of {len(graph)} nodes {digest}"
    return text


@cache
def _own(primitive: Primitive) -> bool:
    """Whether a primitive's machine code comes from Backlight, or it has none."""
    rules = [primitive.lower]
    if primitive.fold is not None:
        rules += [primitive.fold.start, primitive.fold.combine]
    return all(each is None or str(each.__module__).startswith("backlight.") for each in rules)


@dataclass(frozen=True, slots=True)
class _Texts:
    """Writes values so that different values have different texts; the graph itself is known."""

    graph: Graph

    def lines(self, graph: Graph) -> list[str]:
        """Write a graph, without names and places."""
        lines = []
        for node in graph.nodes:
            primitive = node.primitive
            if not _own(primitive):
                raise _NoTextError
            # The shape by its own words: a size may depend on the batch length.
            coded = "" if primitive.lower is None and primitive.fold is None else "+"
            lines.append(
                f"{primitive.name} {primitive.kind}{coded} {node.inputs} {node.shape} "
                f"{node.dtype.str} {self.of(node.attributes)}"
            )
        lines.append(f"{graph.inputs} {graph.outputs}")
        return lines

    def of(self, value: Any) -> str:
        """Write any value that is known how to write."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return repr(value)
        if kind is float:
            return float.hex(value)
        if kind in (tuple, list):
            return f"({','.join([self.of(each) for each in value])})"
        if value is self.graph:
            return "graph"
        if isinstance(value, Literal):
            return _array_text(value.array)
        if isinstance(value, enum.Enum):  # before text and numbers, which some of them are
            return f"{kind.__qualname__}.{value.name}"
        return self._structure(value, kind)

    def _structure(self, value: Any, kind: type) -> str:
        if isinstance(value, Mapping):
            items = [f"{self.of(k)}:{self.of(each)}" for k, each in value.items()]
            return f"{{{','.join(items)}}}"
        if isinstance(value, frozenset | set):
            return f"set({','.join(sorted([self.of(each) for each in value]))})"
        if isinstance(value, np.dtype):
            return f"dtype {value.str}"
        if isinstance(value, np.generic | np.ndarray):
            return _array_text(np.asarray(value))
        if isinstance(value, Graph):
            return "\n".join(self.lines(value))
        if not kind.__module__.startswith("backlight."):
            raise _NoTextError
        if isinstance(value, int):
            return repr(value)
        if is_dataclass(value):
            held = [self.of(getattr(value, each.name)) for each in fields(value)]
            return f"{kind.__qualname__}({','.join(held)})"
        raise _NoTextError


def _array_text(array: Array) -> str:
    if array.dtype.hasobject:
        raise _NoTextError
    data = array.tobytes()
    held = data.hex() if len(data) <= 32 else hashlib.blake2b(data, digest_size=32).hexdigest()
    return f"array {array.dtype.str} {array.shape} {held}"
