"""How the functions are written that all programs share; `inner` has them compiled and loaded.

These are the inner functions of matrix products, and the function that goes through a program's
kernels.  `shared` declares one in a module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from llvmlite import ir

from backlight.execute.native import calls, matmul_block, matmul_drive, matmul_pack, team
from backlight.execute.native.inner import Inner, prepare
from backlight.execute.native.matmul_block import register_block
from backlight.execute.native.matmul_dot import dot_block
from backlight.execute.native.matmul_drive import driver
from backlight.execute.native.matmul_pack import packing, strip_packing
from backlight.execute.native.matmul_vectors import Vectors, new_function

Parameters: TypeAlias = Sequence[tuple[str, ir.Type]]


def shared(module: ir.Module, inner: Inner) -> ir.Function:
    """Declare an inner function in a module, and note that a program needs it."""
    prepare(inner.name)
    known = module.globals.get(inner.name)
    if isinstance(known, ir.Function):
        return known
    return new_function(module, inner.name, _FAMILIES[inner.kind].parameters)


def write(inner: Inner) -> ir.Module:
    """Return a module with an inner function.

    Parameters
    ----------
    inner : Inner
    """
    module = ir.Module()
    element = ir.DoubleType() if inner.bits == 64 else ir.FloatType()
    _FAMILIES[inner.kind].write(Vectors(module, element, inner.lanes), inner.name, inner)
    return module


def _places(module: ir.Module, name: str) -> ir.Function:
    function = new_function(module, name, calls.PLACES)
    calls.write_places(function)
    return function


def _calls(module: ir.Module, name: str) -> ir.Function:
    function = new_function(module, name, calls.CALLS)
    calls.write_calls(function, _barrier(module, "barrier", "internal"))
    return function


def _barrier(module: ir.Module, name: str, linkage: str = "external") -> ir.Function:
    function = new_function(module, name, team.BARRIER, linkage)
    team.write_barrier(function)
    return function


@dataclass(frozen=True)
class _Family:
    """How the inner functions of a kind are written, and their parameters."""

    parameters: Parameters
    write: Callable[[Vectors, str, Inner], ir.Function]


_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "drive": _Family(matmul_drive.PARAMETERS, lambda v, name, _: driver(v, name)),
        "block": _Family(
            matmul_block.PARAMETERS,
            lambda v, name, i: register_block(v, name, i.rows, i.columns, masked=False),
        ),
        "masked": _Family(
            matmul_block.PARAMETERS,
            lambda v, name, i: register_block(v, name, i.rows, i.columns, masked=True),
        ),
        "dots": _Family(
            matmul_block.PARAMETERS, lambda v, name, i: dot_block(v, name, i.rows, i.columns)
        ),
        "pack": _Family(
            matmul_pack.PARAMETERS, lambda v, name, _: packing(v, name, transposed=False)
        ),
        "transpose": _Family(
            matmul_pack.PARAMETERS, lambda v, name, _: packing(v, name, transposed=True)
        ),
        "strips": _Family(
            matmul_pack.STRIP_PARAMETERS, lambda v, name, i: strip_packing(v, name, i.rows)
        ),
        "places": _Family(calls.PLACES, lambda v, name, _: _places(v.module, name)),
        "calls": _Family(calls.CALLS, lambda v, name, _: _calls(v.module, name)),
        "barrier": _Family(team.BARRIER, lambda v, name, _: _barrier(v.module, name)),
    }
)
