"""Names of a package that are imported when they are first asked for.

A package lists them with `import_late`, beside the same imports under ``TYPE_CHECKING`` for type
checkers and editors; tests/test_imports.py holds the two lists against each other.  So a program
that trains loads what trains, and not what draws, explains or reads spreadsheets.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType


class LatePackage(ModuleType):
    """A package some of whose names are imported when they are first asked for.

    Attributes
    ----------
    __late__ : dict of str to str
        For each such name the module that has it.
    """

    __late__: dict[str, str]

    def __getattr__(self, name: str) -> object:
        place = self.__dict__.get("__late__", {}).get(name)
        if place is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if place == self.__name__:
            found: object = importlib.import_module(f"{place}.{name}")
        else:
            found = getattr(importlib.import_module(place), name)
        self.__dict__[name] = found
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # Python sets a loaded module as an attribute of its package, where it would hide a function
        # of the same name, such as `explain`, which `backlight` has from `backlight.explain`.
        if not (isinstance(value, ModuleType) and name in self.__late__):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__late__})


def import_late(package: str, names: Mapping[str, Sequence[str]]) -> None:
    """Make names of a package be imported when they are first asked for.

    Parameters
    ----------
    package : str
        The package that is being imported: its ``__name__``.
    names : mapping of str to sequence of str
        ``{"a.b": ("c", "d")}`` stands for ``from a.b import c, d``; what is imported from the
        package itself are its modules.

    Examples
    --------
    >>> import backlight as bl
    >>> "hessian" in dir(bl), bl.hessian is bl.differentiate.transforms.hessian
    (True, True)
    """
    module = sys.modules[package]
    module.__class__ = LatePackage
    module.__dict__["__late__"] = {
        name: place for place, listed in names.items() for name in listed
    }
