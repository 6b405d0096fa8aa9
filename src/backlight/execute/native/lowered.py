"""What is known of a program beside its machine code: enough to run what was compiled before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llvmlite import ir

MAIN = "backlight_main"
LOOP = "backlight_loop"
OUT_OF_RANGE = -1
"""What the loop returns when a position in the data is out of range."""


@dataclass(slots=True)
class Lowered:
    """LLVM code for a plan.

    Attributes
    ----------
    module : ir.Module or None
        None when the code was compiled before.
    arguments : tuple of int
        The nodes whose addresses the main function takes, in order: inputs, constants, outputs.
    callbacks : tuple of int
        Nodes that Python evaluates, because their record has no lowering.
    workspace : int
        Bytes behind the arena for each thread: matrix products copy parts of their operands there,
        and it holds the addresses that the kernels are given.
    shared : frozenset of int
        The first nodes of the kernels that threads divide among themselves.
    seconds : float
        About how long one run takes on one thread.
    divisible : float
        How much of that threads can divide.
    """

    module: ir.Module | None
    arguments: tuple[int, ...]
    callbacks: tuple[int, ...] = ()
    workspace: int = 0
    shared: frozenset[int] = frozenset()
    seconds: float = 0.0
    divisible: float = 0.0
