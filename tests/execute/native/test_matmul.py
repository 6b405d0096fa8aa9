"""Generated matrix products: compared with NumPy in higher precision, and never outside C."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from llvmlite import ir

from backlight.errors import BacklightError
from backlight.execute.native.engine import CompileError, compile_module
from backlight.execute.native.inner import Inner, link, used
from backlight.execute.native.matmul import (
    PARAMETERS,
    Layout,
    MatmulSpec,
    Part,
    Tiling,
    VectorUnit,
    choose,
    emit_matmul,
    split,
    vector_unit,
    workspace_bytes,
)

SIZES = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65)
UNITS = (VectorUnit(512, 32), VectorUnit(256, 16), VectorUnit(128, 16), VectorUnit(128, 32))
POINTER = ir.PointerType()


@dataclass
class Product:
    """A compiled product and how to call it with NumPy arrays."""

    spec: MatmulSpec
    tiling: Tiling
    call: object

    def __call__(self, a, b, c, *, part: Part | None = None) -> None:
        """Compute c from operands that are stored as the spec says."""
        (m, n), k = c.shape, a.shape[0] if self.spec.transpose_a else a.shape[1]
        part = part or Part(0, m, 0, n)
        size = workspace_bytes(self.spec, m, n, k, self.tiling)
        workspace = Guarded((size,), np.uint8)
        strides = [x.strides[0] // x.itemsize for x in (a, b, c)]
        self.call(
            *(a.ctypes.data, strides[0], b.ctypes.data, strides[1], c.ctypes.data, strides[2]),
            *(n, k, part.row_begin, part.row_end, part.column_begin, part.column_end),
            workspace.array.ctypes.data,
        )
        workspace.check()


class Guarded:
    """An array with marked bytes before and behind it."""

    MARK = 0xA5

    def __init__(self, shape: tuple[int, ...], dtype: object, pad: int = 192):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.bytes = np.full(size + 2 * pad + 64, self.MARK, np.uint8)
        self.start = pad + -(self.bytes.ctypes.data + pad) % 64
        self.stop = self.start + size
        self.array = self.bytes[self.start : self.stop].view(dtype).reshape(shape)

    def check(self) -> None:
        assert (self.bytes[: self.start] == self.MARK).all(), "written before the buffer"
        assert (self.bytes[self.stop :] == self.MARK).all(), "written behind the buffer"


def compiled(spec: MatmulSpec, tiling: Tiling) -> Product:
    return compiled_all([(spec, tiling)])[0]


def compiled_all(wanted: Sequence[tuple[MatmulSpec, Tiling]]) -> list[Product]:
    """Compile several products in one module, as a program does."""
    module = ir.Module()
    names = [emit_matmul(module, spec, tiling, linkage="external").name for spec, tiling in wanted]
    library = compile_module(module)
    address, size = ctypes.c_void_p, ctypes.c_int64
    types = [address if each in ("a", "b", "c", "workspace") else size for each in PARAMETERS]
    signature = ctypes.CFUNCTYPE(None, *types)
    return [
        Product(spec, tiling, library.function(name, signature))
        for (spec, tiling), name in zip(wanted, names, strict=True)
    ]


def operands(spec: MatmulSpec, m: int, n: int, k: int, *, gap: int = 0, seed: int = 0):
    """Return A and B as stored, with `gap` unused elements (NaN) behind each row."""
    rng = np.random.default_rng([seed, m, n, k])
    shapes = ((k, m) if spec.transpose_a else (m, k), (n, k) if spec.transpose_b else (k, n))
    made = []
    for rows, columns in shapes:
        held = np.full((rows, columns + gap), np.nan, spec.dtype)
        held[:, :columns] = rng.standard_normal((rows, columns))
        made.append(held[:, :columns])
    return made


def exact(spec: MatmulSpec, a, b):
    """Return op(A), op(B), their product and the bound of its error, in long double."""
    left = (a.T if spec.transpose_a else a).astype(np.longdouble)
    right = (b.T if spec.transpose_b else b).astype(np.longdouble)
    k = left.shape[1]
    # Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.5.
    unit = np.finfo(spec.dtype).eps / 2
    bound = k * unit / (1 - k * unit) * (abs(left) @ abs(right))
    return left @ right, bound + np.finfo(spec.dtype).tiny


def assert_product(product: Product, m: int, n: int, k: int, *, gap: int = 0) -> None:
    spec = product.spec
    a, b = operands(spec, m, n, k, gap=gap)
    guarded = Guarded((m, n + gap), spec.dtype)
    c = guarded.array[:, :n]
    begun = np.random.default_rng(5).standard_normal((m, n)).astype(spec.dtype)
    unused = guarded.array[:, n:].copy()
    c[...] = begun if spec.accumulate else np.nan
    product(a, b, c)
    guarded.check()
    np.testing.assert_array_equal(guarded.array[:, n:], unused)
    want, bound = exact(spec, a, b)
    if spec.accumulate:
        eps = np.finfo(spec.dtype).eps
        want, bound = want + begun, bound * 2 + (abs(begun) + abs(want)) * eps * (k + 1)
    assert (abs(c - want) <= bound).all(), (spec, product.tiling, m, n, k)


def tilings(spec: MatmulSpec, unit: VectorUnit) -> list[Tiling]:
    """Return every way of walking that a spec allows, blocked so that small sizes have edges."""
    lanes = unit.bits // (8 * spec.itemsize)
    found = [
        Tiling(Layout.PANEL, lanes, 6, 4),
        Tiling(Layout.PANEL, lanes, 8, 1, k_block=16, row_block=24),
        Tiling(Layout.PANEL, lanes, 6, 4, tail_rows=4),
        Tiling(Layout.PANEL, lanes, 6, 1, k_block=16, row_block=12, tail_rows=1),
    ]
    if not spec.transpose_b:
        found += [
            Tiling(Layout.DIRECT, lanes, 8, 2),
            Tiling(Layout.DIRECT, lanes, 3, 1, k_block=5, row_block=12),
            Tiling(Layout.DIRECT, lanes, 6, 2, tail_rows=4),
        ]
    if spec.transpose_a:
        found += [
            Tiling(Layout.PANEL, lanes, 6, 2, k_block=16, row_block=24, pack_a=True),
        ]
        if not spec.transpose_b:
            found.append(Tiling(Layout.DIRECT, lanes, 8, 2, row_block=8, pack_a=True))
    elif spec.transpose_b:
        found += [Tiling(Layout.DOT, lanes, 8, 1), Tiling(Layout.DOT, lanes, 1, 5)]
    return found


def sizes(every: int, offset: int):
    """Return one in so many of all combinations of sizes."""
    combined = [(m, n, k) for m in SIZES for n in SIZES for k in SIZES]
    return combined[offset % every :: every]


TRANSPOSES = [(a, b) for a in (False, True) for b in (False, True)]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit.bits}x{unit.registers}")
@pytest.mark.parametrize("transposes", TRANSPOSES, ids=lambda pair: "NT"[pair[0]] + "NT"[pair[1]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_tiling_with_run_time_sizes(dtype, transposes, unit):
    spec = MatmulSpec(dtype, *transposes)
    products = compiled_all([(spec, each) for each in tilings(spec, unit)])
    for number, product in enumerate(products):
        for m, n, k in sizes(23, number):
            assert_product(product, m, n, k, gap=(m + n + k) % 3)


@pytest.mark.parametrize("transposes", TRANSPOSES, ids=lambda pair: "NT"[pair[0]] + "NT"[pair[1]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_chosen_tiling_with_compiled_in_sizes(dtype, transposes):
    wanted = []
    for m, n, k in [(4, 4, 2), (32, 1, 64), (1, 64, 32), (32, 10, 128), (33, 65, 20), (7, 48, 1)]:
        transpose_a, transpose_b = transposes
        spec = MatmulSpec(
            *(dtype, transpose_a, transpose_b, m, n, k),
            lda=m if transpose_a else k,
            ldb=k if transpose_b else n,
            ldc=n,
        )
        wanted.append((spec, choose(spec, m, n, k)))
    for product in compiled_all(wanted):
        spec = product.spec
        assert_product(product, spec.m, spec.n, spec.k)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit.bits}x{unit.registers}")
def test_large_products_take_the_blocked_ways(unit):
    wanted = []
    for transposes, (m, n, k) in [
        ((False, True), (37, 200, 1100)),
        ((False, False), (37, 1024, 300)),
        ((True, False), (530, 300, 128)),
    ]:
        spec = MatmulSpec("float32", *transposes, n=n)
        wanted.append((spec, choose(spec, m, n, k, unit), (m, n, k)))
    assert wanted[0][1].k_block
    assert wanted[1][1].layout is Layout.PANEL
    assert wanted[2][1].pack_a
    products = compiled_all([each[:2] for each in wanted])
    for product, (_, _, (m, n, k)) in zip(products, wanted, strict=True):
        assert_product(product, m, n, k)


@pytest.mark.parametrize("transposes", TRANSPOSES, ids=lambda pair: "NT"[pair[0]] + "NT"[pair[1]])
def test_accumulating(transposes):
    spec = MatmulSpec("float32", *transposes, accumulate=True)
    for product in compiled_all([(spec, each) for each in tilings(spec, vector_unit())]):
        for m, n, k in [(1, 1, 1), (9, 33, 40), (25, 17, 0), (3, 64, 16)]:
            assert_product(product, m, n, k, gap=1)


@pytest.mark.parametrize("transposes", TRANSPOSES, ids=lambda pair: "NT"[pair[0]] + "NT"[pair[1]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_choice_changes_a_bit(dtype, transposes):
    """Tiles, cache blocking, and any division into rows and columns give the same numbers."""
    m, n, k = 45, 130, 70
    spec = MatmulSpec(dtype, *transposes)
    a, b = operands(spec, m, n, k)
    seen = {}
    units = [vector_unit()] if vector_unit().bits < 256 else [vector_unit(), VectorUnit(256, 16)]
    wanted = [(spec, each) for unit in units for each in tilings(spec, unit)]
    for product in compiled_all(wanted):
        whole = np.empty((m, n), dtype)
        product(a, b, whole)
        for parts in (2, 3):
            divided = np.full((m, n), np.nan, dtype)
            for part in split(product.tiling, m, n, parts):
                product(a, b, divided, part=part)
            np.testing.assert_array_equal(divided, whole)
        oddly = np.full((m, n), np.nan, dtype)
        for begin, end in [(0, 1), (1, 14), (14, 45)]:
            product(a, b, oddly, part=Part(begin, end, 0, n))
        np.testing.assert_array_equal(oddly, whole)
        kind = product.tiling.lanes if product.tiling.layout is Layout.DOT else 0
        np.testing.assert_array_equal(seen.setdefault(kind, whole), whole)


@pytest.mark.parametrize("transposes", TRANSPOSES, ids=lambda pair: "NT"[pair[0]] + "NT"[pair[1]])
def test_nan_and_infinity_reach_exactly_where_they_should(transposes):
    spec = MatmulSpec("float32", *transposes)
    m, n, k = 19, 35, 21
    a, b = operands(spec, m, n, k)
    left, right = a.T if spec.transpose_a else a, b.T if spec.transpose_b else b
    left[3, 4], left[17, 20], right[2, 34], right[7, 0] = np.nan, np.inf, -np.inf, np.nan
    left[5], right[2, 33] = 0.0, np.inf
    with np.errstate(invalid="ignore"):
        want = left.astype(np.float64) @ right.astype(np.float64)
    for product in compiled_all([(spec, each) for each in tilings(spec, vector_unit())]):
        c = np.empty((m, n), np.float32)
        product(a, b, c)
        np.testing.assert_array_equal(np.isnan(c), np.isnan(want))
        infinite = np.isinf(want)
        np.testing.assert_array_equal(np.isinf(c), infinite)
        np.testing.assert_array_equal(c[infinite], want[infinite])


class Page:
    """Memory that ends where reading is forbidden."""

    def __init__(self, size: int):
        step = mmap.PAGESIZE
        self.size = -(-size // step) * step
        self.map = mmap.mmap(-1, self.size + step)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self._protect(0)

    def _protect(self, protection: int) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        start = ctypes.c_void_p(self.address + self.size)
        if library.mprotect(start, ctypes.c_size_t(mmap.PAGESIZE), protection):
            raise OSError(ctypes.get_errno(), "mprotect failed")

    def at_the_end(self, values: np.ndarray) -> np.ndarray:
        begin = self.size - values.nbytes
        raw = (ctypes.c_char * values.nbytes).from_address(self.address + begin)
        placed = np.frombuffer(raw, values.dtype).reshape(values.shape)
        placed[...] = values
        return placed

    def close(self) -> None:
        self._protect(mmap.PROT_READ | mmap.PROT_WRITE)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mprotect"), reason="needs POSIX mprotect")
@pytest.mark.parametrize("transposes", TRANSPOSES, ids=lambda pair: "NT"[pair[0]] + "NT"[pair[1]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_read_behind_the_operands(dtype, transposes):
    """Each operand ends where a page begins that may not be read: reading on ends the process."""
    spec = MatmulSpec(dtype, *transposes)
    pages = [Page(65 * 65 * 8) for _ in range(3)]
    for number, product in enumerate(
        compiled_all([(spec, each) for each in tilings(spec, vector_unit())])
    ):
        for m, n, k in [each for each in sizes(61, number) if 0 not in each]:
            a, b = operands(spec, m, n, k)
            placed = [
                page.at_the_end(np.ascontiguousarray(each))
                for page, each in zip(pages, (a, b, np.zeros((m, n), dtype)), strict=True)
            ]
            product(*placed)
            want, bound = exact(spec, a, b)
            assert (abs(placed[2] - want) <= bound).all()
    for page in pages:
        page.close()


def test_products_share_their_inner_functions():
    module = ir.Module()
    for name in ("first", "second"):
        spec = MatmulSpec(transpose_b=True, n=64)
        emit_matmul(module, spec, Tiling(Layout.PANEL, 4, 6, 4), name=name)
    names = [each.name for each in module.functions if not each.is_declaration]
    assert sorted(names) == ["first", "second"]
    inner = [Inner("block", 32, 4, 6, 4), Inner("drive", 32), Inner("transpose", 32, 4)]
    assert sorted(used(module)) == [each.name for each in inner]
    assert [Inner.named(each.name) for each in inner] == inner


@pytest.mark.parametrize("name", ["printf", "backlight.matmul.", "backlight.matmul.drive.x.1.0.0"])
def test_only_inner_functions_are_linked(name):
    with pytest.raises(CompileError, match="no inner function"):
        link([name])


def test_workspace_is_asked_for_where_something_is_packed():
    assert workspace_bytes(MatmulSpec(), 32, 64, 64, Tiling(Layout.DIRECT, 16, 6, 4)) == 0
    panel = Tiling(Layout.PANEL, 16, 6, 4, k_block=512)
    assert workspace_bytes(MatmulSpec(), 1, 1, 100, panel) == 100 * 64 * 4
    assert workspace_bytes(MatmulSpec("float64"), 1, 1, 9999, panel) == 512 * 64 * 8
    strips = Tiling(Layout.DIRECT, 16, 6, 4, row_block=12, pack_a=True)
    assert workspace_bytes(MatmulSpec(transpose_a=True), 99, 64, 10, strips) == 12 * 10 * 4


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [(1, 1), (32, 64), (33, 10), (0, 5), (128, 1000)])
def test_parts_cover_c_once(size, parts):
    for tiling in (Tiling(Layout.PANEL, 16, 6, 4), Tiling(Layout.DIRECT, 4, 8, 2)):
        count = np.zeros(size, int)
        for part in split(tiling, *size, parts):
            assert part.column_begin % tiling.columns == 0
            count[part.row_begin : part.row_end, part.column_begin : part.column_end] += 1
        assert (count == 1).all()


@pytest.mark.parametrize(
    ("spec", "tiling", "what"),
    [
        (MatmulSpec(transpose_b=True), Tiling(Layout.DIRECT, 4, 8, 2), "Layout.PANEL"),
        (MatmulSpec(), Tiling(Layout.DOT, 4, 8, 1), "Layout.DOT"),
        (MatmulSpec(transpose_b=True), Tiling(Layout.DOT, 4, 8, 2), "one row"),
        (MatmulSpec(), Tiling(Layout.PANEL, 4, 8, 2, 0, 16, True), "transposed A"),
        (MatmulSpec(transpose_a=True), Tiling(Layout.PANEL, 4, 8, 2, 0, 0, True), "row_block"),
        (MatmulSpec(transpose_a=True), Tiling(Layout.PANEL, 4, 8, 2, 0, 9, True), "multiple"),
        (MatmulSpec(n=4), None, "choose"),
    ],
)
def test_a_tiling_that_does_not_fit_is_refused(spec, tiling, what):
    with pytest.raises(BacklightError, match=what):
        emit_matmul(ir.Module(), spec, tiling)
