"""Matrix products of dense layers: Backlight's generated kernels beside BLAS, NumPy and PyTorch.

For each layer of each network the three products of a training step are timed on one thread:
forward (x·Wᵀ), the gradient of the data (g·W) and of the weights (gᵀ·x).  All candidates take turns
in every round, and the ratios are medians over rounds of ratios within a round, because other work
on the machine and the clock's changes then hit all of them alike.  `limit` is the same register
block on data that stays in the first-level cache: what the multipliers can do at that moment.

    python benchmarks/matmul.py [--all] [--rounds 15] [--only digits] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when NumPy and its peers are imported, which is below

import numpy as np  # noqa: E402
from llvmlite import ir  # noqa: E402

from backlight.execute.native.engine import compile_module  # noqa: E402
from backlight.execute.native.matmul import (  # noqa: E402
    PARAMETERS,
    Layout,
    MatmulSpec,
    Tiling,
    choose,
    emit_matmul,
    vector_unit,
)

NETS = {
    "xor": [(4, 4, 2), (4, 1, 4)],
    "tab": [(32, 64, 20), (32, 64, 64), (32, 1, 64)],
    "digits": [(32, 128, 64), (32, 10, 128)],
    "mnist": [(64, 256, 784), (64, 128, 256), (64, 10, 128)],
    "wide": [(128, 1024, 784), (128, 1024, 1024), (128, 10, 1024)],
}
"""Batch, outputs and inputs of each layer."""

ROUND_SECONDS = 2e-3
POINTER, SIZE = ir.PointerType(), ir.IntType(64)
Run = Callable[[int], object]


@dataclass(frozen=True)
class Case:
    """One product: its spec, its sizes, its operands as stored, and C."""

    spec: MatmulSpec
    m: int
    n: int
    k: int
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    @property
    def operations(self) -> int:
        return 2 * self.m * self.n * self.k

    @property
    def views(self) -> tuple[np.ndarray, np.ndarray]:
        a = self.a.T if self.spec.transpose_a else self.a
        return a, self.b.T if self.spec.transpose_b else self.b


def aligned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return zeros that begin at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def make_case(product: str, batch: int, outputs: int, inputs: int, dtype: str) -> Case:
    """Return a product of a dense layer; the batch size is a run-time argument."""
    if product == "forward":
        spec = MatmulSpec(dtype, transpose_b=True, n=outputs, k=inputs)
        m, n, k = batch, outputs, inputs
    elif product == "data":
        spec = MatmulSpec(dtype, n=inputs, k=outputs)
        m, n, k = batch, inputs, outputs
    else:
        spec = MatmulSpec(dtype, transpose_a=True, m=outputs, n=inputs)
        m, n, k = outputs, inputs, batch
    shapes = ((k, m) if spec.transpose_a else (m, k), (n, k) if spec.transpose_b else (k, n))
    rng = np.random.default_rng(0)
    a, b = (aligned(shape, dtype) for shape in shapes)
    a[...], b[...] = rng.standard_normal(a.shape), rng.standard_normal(b.shape)
    spec = replace(spec, lda=a.shape[1], ldb=b.shape[1], ldc=n)
    return Case(spec, m, n, k, a, b, aligned((m, n), dtype))


def repeated(module: ir.Module, function: ir.Function | ir.Constant, types: list[ir.Type]) -> str:
    """Add a function that calls another so many times, so that ctypes costs nothing."""
    kind = ir.FunctionType(ir.VoidType(), [SIZE, *types])
    outer = ir.Function(module, kind, module.get_unique_name("repeat"))
    before = outer.append_basic_block("before")
    body, done = outer.append_basic_block("body"), outer.append_basic_block("done")
    builder = ir.IRBuilder(before)
    builder.branch(body)
    builder.position_at_end(body)
    count = builder.phi(SIZE)
    count.add_incoming(outer.args[0], before)
    builder.call(function, outer.args[1:])
    left = builder.sub(count, ir.Constant(SIZE, 1))
    count.add_incoming(left, body)
    builder.cbranch(builder.icmp_signed(">", left, ir.Constant(SIZE, 0)), body, done)
    builder.position_at_end(done)
    builder.ret_void()
    return outer.name


def ours(case: Case, tiling: Tiling) -> Run:
    """Return a run of the generated kernel, checked against NumPy."""
    module = ir.Module()
    function = emit_matmul(module, case.spec, tiling)
    name = repeated(module, function, [each.type for each in function.args])
    pointers = ("a", "b", "c", "workspace")
    types = [ctypes.c_void_p if each in pointers else ctypes.c_int64 for each in PARAMETERS]
    call = compile_module(module).function(name, ctypes.CFUNCTYPE(None, ctypes.c_int64, *types))
    workspace = aligned((tiling.workspace_bytes(case.spec, case.k) + 1,), "uint8")
    operands = [(each.ctypes.data, each.shape[1]) for each in (case.a, case.b, case.c)]
    given = [*sum(operands, ()), case.n, case.k, 0, case.m, 0, case.n, workspace.ctypes.data]

    def run(times: int) -> object:
        call(times, *given)
        return workspace

    run(1)
    left, right = case.views
    np.testing.assert_allclose(case.c, left @ right, rtol=1e-3, atol=1e-3 * case.k**0.5)
    return run


def limit(case: Case) -> Run:
    """Return a run of as many operations whose data is always in the first-level cache."""
    lanes = vector_unit().bits // (8 * case.spec.itemsize)
    many = vector_unit().registers == 32
    rows, vectors = (6, 4) if many else (6, 2)
    terms = 256
    blocks = max(round(case.operations / (2 * rows * vectors * lanes * terms)), 1)
    spec = MatmulSpec(case.spec.dtype, lda=0, ldb=0, ldc=0, n=vectors * lanes, k=terms)
    m = rows * blocks
    a = aligned((1, terms), case.spec.dtype)
    b = aligned((1, vectors * lanes), case.spec.dtype)
    module = ir.Module()
    function = emit_matmul(module, spec, Tiling(Layout.DIRECT, lanes, rows, vectors))
    name = repeated(module, function, [each.type for each in function.args])
    pointers = ("a", "b", "c", "workspace")
    types = [ctypes.c_void_p if each in pointers else ctypes.c_int64 for each in PARAMETERS]
    call = compile_module(module).function(name, ctypes.CFUNCTYPE(None, ctypes.c_int64, *types))
    c = aligned((1, vectors * lanes), case.spec.dtype)
    each = 2 * m * vectors * lanes * terms / case.operations

    def run(times: int) -> object:
        number = max(round(times / each), 1)
        columns = vectors * lanes
        given = (a.ctypes.data, 0, b.ctypes.data, 0, c.ctypes.data, 0, columns, terms, 0, m)
        start = time.perf_counter()
        call(number, *given, 0, columns, None)
        return (time.perf_counter() - start) / (number * each)

    return run


def blas(case: Case) -> Run | None:
    """Return a run of SciPy's BLAS by address, without Python between the calls."""
    try:
        from scipy.linalg import cython_blas
    except ImportError:
        return None
    capsule = cython_blas.__pyx_capi__["sgemm" if case.spec.dtype == "float32" else "dgemm"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    module = ir.Module()
    types = [POINTER] * 13
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * 13)
    callee = _AddressOf(address, ir.FunctionType(ir.VoidType(), types))
    name = repeated(module, callee, types)
    call = compile_module(module).function(name, kind)
    scalar = ctypes.c_float if case.spec.dtype == "float32" else ctypes.c_double
    # BLAS counts by columns, so that it is asked for Cᵀ = op(B)ᵀ · op(A)ᵀ.
    flags = [
        ctypes.c_char(b"T" if each else b"N")
        for each in (case.spec.transpose_b, case.spec.transpose_a)
    ]
    sizes = [ctypes.c_int(each) for each in (case.n, case.m, case.k)]
    strides = [ctypes.c_int(each.shape[1]) for each in (case.b, case.a, case.c)]
    one, zero = scalar(1), scalar(0)
    keep = [*flags, *sizes, one, strides[0], strides[1], zero, strides[2]]
    place = [ctypes.addressof(each) for each in keep]
    given = [
        *place[:6],
        case.b.ctypes.data,
        place[6],
        case.a.ctypes.data,
        place[7],
        place[8],
        case.c.ctypes.data,
        place[9],
    ]

    def run(times: int) -> object:
        call(times, *given)
        return keep

    run(1)
    left, right = case.views
    np.testing.assert_allclose(case.c, left @ right, rtol=1e-3, atol=1e-3 * case.k**0.5)
    return run


class _AddressOf(ir.FormattedConstant):
    """A function at a fixed address, as llvmlite wants a callee to be."""

    def __init__(self, address: int, function_type: ir.FunctionType) -> None:
        super().__init__(POINTER, f"inttoptr (i64 {address} to ptr)")
        self.function_type = function_type


def numpy_matmul(case: Case) -> Run:
    left, right = case.views

    def run(times: int) -> object:
        for _ in range(times):
            np.matmul(left, right, out=case.c)
        return None

    return run


def torch_matmul(case: Case) -> Run | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    a, b, c = (torch.from_numpy(each) for each in (case.a, case.b, case.c))
    a = a.T if case.spec.transpose_a else a
    b = b.T if case.spec.transpose_b else b

    def run(times: int) -> object:
        with torch.no_grad():
            for _ in range(times):
                torch.mm(a, b, out=c)
        return None

    return run


def variants(case: Case) -> dict[str, Tiling]:
    """Return the ways that `choose` chooses from."""
    lanes = vector_unit().bits // (8 * case.spec.itemsize)
    shapes = [(6, 4), (8, 2), (8, 1)] if vector_unit().registers == 32 else [(6, 2), (8, 1)]
    found = {}
    for rows, vectors in shapes:
        name = f"{rows}x{vectors}"
        if not case.spec.transpose_b:
            found[f"direct {name}"] = Tiling(Layout.DIRECT, lanes, rows, vectors)
        found[f"panel {name}"] = Tiling(Layout.PANEL, lanes, rows, vectors)
        if case.k > 512:
            found[f"panel {name} k512"] = Tiling(Layout.PANEL, lanes, rows, vectors, 512)
        if case.spec.transpose_a:
            found[f"panel {name} strips"] = Tiling(
                Layout.PANEL, lanes, rows, vectors, 0, 96 // rows * rows, True
            )
    if case.spec.transpose_b:
        found["dot"] = Tiling(Layout.DOT, lanes, 8, 1)
    return found


def measure(case: Case, rounds: int, every: bool) -> dict[str, list[float]]:
    """Return the seconds of each candidate in each round."""
    candidates: dict[str, Run | None] = {
        "ours": ours(case, choose(case.spec, case.m, case.n, case.k)),
        "blas": blas(case),
        "numpy": numpy_matmul(case),
        "torch": torch_matmul(case),
        "limit": limit(case),
    }
    if every:
        candidates |= {name: ours(case, tiling) for name, tiling in variants(case).items()}
    times = max(int(ROUND_SECONDS / (case.operations / 8e10 + 5e-8)), 1)
    spent: dict[str, list[float]] = {name: [] for name, run in candidates.items() if run}
    for _ in range(rounds):
        for name, seconds in spent.items():
            run = candidates[name]
            assert run is not None
            # Those with Python between the calls need fewer of them.
            number = times if name not in ("numpy", "torch") else max(times // 8, 1)
            start = time.perf_counter()
            result = run(number)
            elapsed = (time.perf_counter() - start) / number
            seconds.append(float(result) if name == "limit" else elapsed)  # type: ignore[arg-type]
    return spent


def ratio(ours_: list[float], theirs: list[float]) -> float:
    """Return how many times as fast ours is: the median over rounds."""
    return statistics.median(b / a for a, b in zip(ours_, theirs, strict=True))


def row_of(net: str, product: str, case: Case, spent: dict[str, list[float]]) -> dict[str, object]:
    """Return the numbers of one product."""
    tiling = choose(case.spec, case.m, case.n, case.k)
    return {
        "net": net,
        "product": product,
        "m": case.m,
        "n": case.n,
        "k": case.k,
        "dtype": case.spec.dtype,
        "tiling": str(tiling),
        "nanoseconds": {name: statistics.median(each) * 1e9 for name, each in spent.items()},
        "gigaflops": {
            name: case.operations / statistics.median(each) / 1e9 for name, each in spent.items()
        },
        "ratio": {name: ratio(spent["ours"], each) for name, each in spent.items()},
    }


def way(case: Case) -> str:
    """Return a chosen tiling in a few characters."""
    t = choose(case.spec, case.m, case.n, case.k)
    text = f"{t.layout.value} {t.rows}×{t.vectors}"
    return text + (f" k{t.k_block}" if t.k_block else "") + (" strips" if t.pack_a else "")


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every tiling, not only the chosen one")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=sorted(NETS))
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    print("GF/s on one thread (medians); then how many times as fast ours is (medians of rounds)")
    print(
        f"{'':7}{'product':9}{'m':>5}{'n':>6}{'k':>6}  {'chosen':20}"
        f"{'ours':>6}{'blas':>6}{'numpy':>6}{'torch':>6}{'limit':>6}  "
        f"{'/blas':>6}{'/numpy':>7}{'/torch':>7}{'/limit':>7}"
    )
    rows = []
    for net, layers in NETS.items():
        if options.only not in (None, net):
            continue
        for number, layer in enumerate(layers):
            for product in ("forward", "data", "weight"):
                if product == "data" and number == 0:
                    continue  # nobody asks for the gradient of the input
                case = make_case(product, *layer, options.dtype)
                spent = measure(case, options.rounds, options.all)
                row = row_of(net, product, case, spent)
                rows.append(row)
                print_row(row, way(case))
    if options.json:
        head = {"vector_bits": vector_unit().bits, "rounds": options.rounds, "threads": 1}
        options.json.write_text(json.dumps(head | {"rows": rows}, indent=1) + "\n")


def print_row(row: dict[str, object], chosen: str) -> None:
    """Print one line of the table, and the other tilings below it where they were asked for."""
    rates, ratios = row["gigaflops"], row["ratio"]
    assert isinstance(rates, dict)
    assert isinstance(ratios, dict)
    peers = ("blas", "numpy", "torch", "limit")
    line = f"{row['net']:7}{row['product']:9}{row['m']:>5}{row['n']:>6}{row['k']:>6}  {chosen:20}"
    line += f"{rates['ours']:6.1f}"
    line += "".join(f"{rates[each]:6.1f}" if each in rates else f"{'—':>6}" for each in peers)
    line += "  " + "".join(
        f"{ratios[each]:{6 if each == 'blas' else 7}.2f}" if each in ratios else f"{'—':>7}"
        for each in peers
    )
    print(line)
    for name, rate in rates.items():
        if name not in ("ours", *peers):
            print(f"{'':35}{name:20}{rate:6.1f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
