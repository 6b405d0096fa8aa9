"""Executors: they take a graph and give something that runs it on arrays.

`program` makes one by the executor's name, and `compile` wraps a Python function so that it is
traced once for each kind of arguments and then only run.
"""

from __future__ import annotations

from backlight.execute.compile import Compiled, compile
from backlight.execute.executors import Executable, names, program
from backlight.execute.reference import Program

__all__ = ["Compiled", "Executable", "Program", "compile", "names", "program"]
