"""Names of a package that are imported when they are first asked for.

A package lists them with `import_late`, beside the same imports under ``TYPE_CHECKING`` for type
checkers and editors; tests/test_imports.py holds the two lists against each other.  So a program
that trains pays for loading what trains, and not for what draws, explains or reads files.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType


class LatePackage(ModuleType):
    """A package some of whose names are imported when they are first asked for."""

    __late__: Mapping[str, str]

    def __getattr__(self, name: str) -> object:
        place = self.__dict__.get("__late__", {}).get(name)
        if place is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module = importlib.import_module(place)
        found = module if place == f"{self.__name__}.{name}*" else getattr(module, name)
        self.__dict__[name] = found
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # Loading a module sets it as an attribute of its package, where it would hide the function
        # of the same name, such as `explain` in `backlight.explain`.
        if not (isinstance(value, ModuleType) and name in self.__late__):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__late__})
