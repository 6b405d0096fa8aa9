"""The native executor: graphs as machine code for this processor, made with LLVM.

`Emitter` is what lowering rules write instructions with, `compile_module` makes a callable
`Library` of a module, and `elementwise_kernel` runs one primitive's rule over arrays.

A program whose machine code is kept from before loads nothing that writes instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backlight.execute.native.engine import (
    CompileError,
    Host,
    Library,
    Times,
    compile_module,
    host,
    inspect_module,
)
from backlight.late import import_late

if TYPE_CHECKING:
    from backlight.execute.native.emit import Emitter
    from backlight.execute.native.kernel import elementwise_kernel, run_kernel
    from backlight.execute.native.memory import Hints, Variable, define, for_range, load, store
    from backlight.execute.native.number import Number

import_late(
    __name__,
    {
        "backlight.execute.native.emit": ("Emitter",),
        "backlight.execute.native.kernel": ("elementwise_kernel", "run_kernel"),
        "backlight.execute.native.memory": (
            "Hints",
            "Variable",
            "define",
            "for_range",
            "load",
            "store",
        ),
        "backlight.execute.native.number": ("Number",),
    },
)

__all__ = [
    "CompileError",
    "Emitter",
    "Hints",
    "Host",
    "Library",
    "Number",
    "Times",
    "Variable",
    "compile_module",
    "define",
    "elementwise_kernel",
    "for_range",
    "host",
    "inspect_module",
    "load",
    "run_kernel",
    "store",
]
