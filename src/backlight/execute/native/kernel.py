"""One elementwise primitive as one native loop over arrays: the smallest thing that runs.

It is what the tests of the primitives' lowering rules and `benchmarks/elementary.py` measure.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from backlight.execute.native.emit import Emitter, lower
from backlight.execute.native.engine import Library
from backlight.execute.native.memory import NO_HINTS, Hints, define, for_range, load, store
from backlight.graph.primitive import Array, Dtype, Primitive


def elementwise_kernel(
    module: ir.Module,
    name: str,
    primitive: Primitive,
    dtypes: Sequence[Dtype],
    attributes: Mapping[str, Any] = {},
    hints: Hints = NO_HINTS,
) -> Dtype:
    """Add ``name(n, out, in₀, in₁, …)`` to a module and return the dtype of its result.

    Parameters
    ----------
    module : llvmlite.ir.Module
    name : str
        What the function is called.
    primitive : Primitive
        An elementwise one.
    dtypes : sequence of dtype
        Of the operands.
    attributes : mapping
        Its static arguments.
    hints : Hints
        About the loop.

    Raises
    ------
    MissingRuleError
        When the primitive has no lowering rule.

    Examples
    --------
    >>> from backlight.ops import registry
    >>> from backlight.execute.native.engine import compile_module
    >>> module = ir.Module()
    >>> elementwise_kernel(module, "twice", registry()["add"], [np.dtype("float32")] * 2)
    dtype('float32')
    >>> x = np.array([1.0, 2.5], np.float32)
    >>> run_kernel(compile_module(module), "twice", np.dtype("float32"), x, x)
    array([2., 5.], dtype=float32)
    """
    pointer = ir.PointerType()
    function = define(module, name, [ir.IntType(64), pointer, *(pointer for _ in dtypes)])
    count, out, *inputs = function.args
    e = Emitter(ir.IRBuilder(function.entry_basic_block))
    with for_range(e, 0, e.number(count, np.dtype(np.int64)), hints=hints) as i:
        operands = [
            load(e, base, i, np.dtype(dtype)) for base, dtype in zip(inputs, dtypes, strict=True)
        ]
        result = lower(e, primitive, operands, attributes)
        store(e, result, out, i)
    e.builder.ret_void()
    return result.dtype


def run_kernel(library: Library, name: str, dtype: Dtype, *arrays: Array) -> Array:
    """Run a compiled kernel on contiguous arrays of one length and return the result."""
    out = np.empty(arrays[0].shape, dtype)
    arguments = [ctypes.c_int64, ctypes.c_void_p, *(ctypes.c_void_p for _ in arrays)]
    function = library.function(name, ctypes.CFUNCTYPE(None, *arguments))
    function(out.size, out.ctypes.data, *(each.ctypes.data for each in arrays))
    return out
