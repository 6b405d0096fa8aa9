"""Loops, vectors and the shape of the generated code."""

from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest
from llvmlite import ir

import backlight as bl
from backlight.execute.native import (
    Emitter,
    Hints,
    Variable,
    compile_module,
    define,
    elementwise_kernel,
    for_range,
    host,
    inspect_module,
    load,
    run_kernel,
    store,
)
from backlight.graph.primitive import Kind

R = bl.registry()
FLOAT32, FLOAT64, INT64 = (np.dtype(each) for each in ("f4", "f8", "i8"))
POINTER, WORD = ir.PointerType(), ir.IntType(64)
WIDE = host().vector_bits // 32


def emitter(function: ir.Function) -> Emitter:
    return Emitter(ir.IRBuilder(function.entry_basic_block))


def call(module: ir.Module, name: str, *arguments: int) -> None:
    kinds = [ctypes.c_int64] * len(arguments)
    compile_module(module).function(name, ctypes.CFUNCTYPE(None, *kinds))(*arguments)


@pytest.mark.parametrize(
    ("start", "stop", "step"), [(0, 10, 1), (2, 11, 3), (5, 5, 1), (7, 3, 2), (-4, 4, 4)]
)
def test_a_loop_runs_as_range_does(start: int, stop: int, step: int) -> None:
    module = ir.Module()
    function = define(module, "count", [WORD, WORD, POINTER])
    e = emitter(function)
    first, last, out = function.args
    position = Variable.new(e, e.constant(0, INT64))
    with for_range(e, e.number(first, INT64), e.number(last, INT64), step) as i:
        store(e, i, out, position.get(e))
        position.set(e, position.get(e) + 1)
    e.builder.ret_void()
    found = np.full(20, -99)
    call(module, "count", start, stop, found.ctypes.data)
    expected = list(range(start, stop, step))
    assert found[: len(expected)].tolist() == expected
    assert (found[len(expected):] == -99).all()  # fmt: skip


def test_loops_nest() -> None:
    module = ir.Module()
    function = define(module, "table", [WORD, POINTER])
    e = emitter(function)
    size, out = e.number(function.args[0], INT64), function.args[1]
    with for_range(e, 0, size) as row, for_range(e, 0, size) as column:
        store(e, row * 10 + column, out, row * size + column)
    e.builder.ret_void()
    found = np.zeros((7, 7), np.int64)
    call(module, "table", 7, found.ctypes.data)
    np.testing.assert_array_equal(found, np.add.outer(10 * np.arange(7), np.arange(7)))


def test_hints_reach_llvm() -> None:
    module = ir.Module()
    hints = Hints(vectorize=False, unroll=False)
    elementwise_kernel(module, "f", R["exp"], [FLOAT32], hints=hints)
    elementwise_kernel(module, "g", R["exp"], [FLOAT32], hints=hints)
    assert str(module).count("distinct !{") == 2, "each loop has a name of its own"
    assert f"<{WIDE} x float>" not in inspect_module(module)
    module = ir.Module()
    elementwise_kernel(module, "f", R["exp"], [FLOAT32], hints=Hints(True, 4, 1))
    assert re.search(r"<4 x float>", inspect_module(module))


SCALAR = {"remainder", "floor_divide"}  # these call the C library's fmod
VECTORISED = [
    name
    for name, record in R.items()
    if record.kind is Kind.ELEMENTWISE and record.special and name not in {"where", *SCALAR}
]


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_loops_become_vector_instructions(dtype: np.dtype) -> None:
    for name in VECTORISED:
        module = ir.Module()
        count = 1 if len(R[name].special[0][0]) == 1 else 2
        elementwise_kernel(module, "f", R[name], [dtype] * count)
        kind = "float" if dtype == FLOAT32 else "double"
        widths = {int(each) for each in re.findall(rf"<(\d+) x {kind}>", inspect_module(module))}
        # At least half a register: some mix in numbers of twice the width.
        enough = host().lanes(8 * dtype.itemsize) // 2
        assert max(widths, default=0) >= enough, f"{name} of {dtype} stayed scalar"


@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_vectors_give_the_same_bits_as_single_numbers(dtype: np.dtype, lanes: int) -> None:
    module = ir.Module()
    names = [n for n in VECTORISED if len(R[n].special[0][0]) == 1]
    function = define(module, "vector", [POINTER] * 2)
    e = emitter(function)
    for row, name in enumerate(names):
        x = load(e, function.args[0], 0, dtype, lanes)
        result = R[name].lower(e, x)
        store(e, result, function.args[1], row * lanes)
        elementwise_kernel(module, name, R[name], [dtype])
    e.builder.ret_void()
    compiled = compile_module(module)
    x = np.array([0.3, -0.7, 1.5, np.nan, np.inf, -np.inf, 1e-40, 90.0, 0.0, -0.0, 12.0, 3e4,
                  1e30, -2.5, 0.9999, 5.0], dtype)[:lanes].copy()  # fmt: skip
    out = np.empty((len(names), lanes), dtype)
    run = compiled.function("vector", ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64))
    run(x.ctypes.data, out.ctypes.data)
    for row, name in enumerate(names):
        np.testing.assert_array_equal(out[row], run_kernel(compiled, name, dtype, x), err_msg=name)


def test_booleans_take_a_byte_in_memory_and_a_bit_in_registers() -> None:
    module = ir.Module()
    elementwise_kernel(module, "f", R["logical_and"], [np.dtype(bool)] * 2)
    text = str(module)
    assert "load i8" in text and "and i1" in text and "store i8" in text


def test_a_function_is_written_once_however_often_it_is_used() -> None:
    module = ir.Module()
    for number in range(5):
        elementwise_kernel(module, f"f{number}", R["tanh"], [FLOAT32])
    assert len([each for each in module.functions if "tanh" in each.name]) == 1


def test_only_contraction_is_allowed() -> None:
    module = ir.Module()
    for name in ("add", "mul", "div", "sigmoid", "log", "pow"):
        count = 1 if name in ("sigmoid", "log") else 2
        elementwise_kernel(module, name, R[name], [FLOAT64] * count)
    flags = set(re.findall(r"\b(fast|nnan|ninf|nsz|arcp|afn|reassoc|contract)\b", str(module)))
    assert flags == {"contract"}
    inside = str(next(each for each in module.functions if "sigmoid" in each.name))
    assert "contract" not in inside


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, -1, 0.5, 2.5, -2])
def test_known_exponents(exponent: float) -> None:
    module = ir.Module()
    function = define(module, "power", [WORD, POINTER, POINTER])
    e = emitter(function)
    with for_range(e, 0, e.number(function.args[0], INT64)) as i:
        x = load(e, function.args[1], i, FLOAT64)
        store(e, e.pow(x, e.constant(exponent, FLOAT64)), function.args[2], i)
    e.builder.ret_void()
    x = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e-200, 1e200, 5e-324])
    out = np.empty_like(x)
    call(module, "power", x.size, x.ctypes.data, out.ctypes.data)
    with np.errstate(all="ignore"):
        expected = np.power(x, np.full_like(x, exponent))
    np.testing.assert_allclose(out, expected, rtol=4e-16)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(out)[number], np.signbit(expected)[number])
