"""Which tiling a matrix product gets, from its shape and the processor's vector unit.

`choose` is the only place that decides, by the rules below; `split` divides a product among
threads.  The constants come from `benchmarks/matmul.py`; docs/notes/matrix_products.md holds a run
of it.

1. **Register block.** The block with the least work, waste at the edges included: 6 × 4 vectors
   runs at the rate of the multipliers, 8 × 2 and 8 × 1 load more for each multiplication and are
   taken where fewer vectors exist.  There are no more shapes than that because products with the
   same block share its code, and code is what compiling costs; but blocks of four rows follow those
   of six where these would leave more than a twentieth of the work empty (32 rows, not 64).
2. **Dot products** where op(A) and op(B) are both contiguous along k and one of m and n is so small
   that vectors along n would be mostly empty.
3. **Panels** when B is stored transposed (the transposition happens while packing, at about a
   fifth of a cycle for each element), and when op(B) is larger than a part of the second-level
   cache or its rows are a multiple of a page apart, so that they compete for the same cache lines.
   Otherwise B is read where it lies.
4. **Pieces of the sum** once a panel would take more than half of a small second-level cache.
5. **Strips of A** when A is stored transposed and large: its columns are then as far apart as its
   rows are long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from backlight.execute.native.engine import host
from backlight.execute.native.matmul_spec import Layout, MatmulSpec, Part, Tiling

_SHAPES = {
    # registers: (rows, vectors, work per multiplication relative to the first)
    32: ((6, 4, 1.0), (8, 2, 1.15), (8, 1, 1.4)),
    16: ((6, 2, 1.0), (8, 1, 1.2)),
}
_TAIL = {6: 4}
"""Rows of the smaller block after blocks of so many: every even number of rows above 2 is a sum."""
_TAIL_WORTH = 0.05
_FEW = 16
_DIRECT_BYTES = 128 * 1024
_PAGE = 4096
_PIECE = 512
_ROWS_BYTES = 512 * 1024
_STRIP_ROWS = 192


@dataclass(frozen=True, slots=True)
class VectorUnit:
    """The vector registers of a processor: how wide and how many."""

    bits: int
    registers: int


def vector_unit() -> VectorUnit:
    """Return the vector registers of the processor that runs this.

    Examples
    --------
    >>> vector_unit().bits in (128, 256, 512)
    True
    """
    found = host()
    many = found.vector_bits >= 512 or found.triple.startswith(("aarch64", "arm64"))
    return VectorUnit(found.vector_bits, 32 if many else 16)


def choose(spec: MatmulSpec, m: int, n: int, k: int, unit: VectorUnit | None = None) -> Tiling:
    """Return how to walk over a product.

    Parameters
    ----------
    spec
        What is asked for.
    m, n, k
        The sizes, or typical ones where they are known only at run time: a tiling serves all
        sizes, it is only chosen for these.
    unit
        The vector registers to use; those of this processor by default.

    Examples
    --------
    >>> wide = VectorUnit(512, 32)
    >>> forward = MatmulSpec(transpose_b=True, n=128, k=64)
    >>> choose(forward, 32, 128, 64, wide)
    Tiling(layout=<Layout.PANEL: 'panel'>, lanes=16, rows=6, vectors=4, ...)
    >>> choose(MatmulSpec(n=10, k=128), 32, 10, 128, wide).vectors
    1
    """
    unit = unit or vector_unit()
    full = unit.bits // (8 * spec.itemsize)
    lanes = min(full, max(16 // spec.itemsize, 1 << (n - 1).bit_length() if n else 1))
    rows, vectors = _register_block(m, -(-n // lanes), unit)
    dot = _dots(spec, m, n, full)
    block = (rows, vectors, lanes)
    if dot is not None and 1.5 * _dot_work(m, n, k, full) < _panel_work(m, n, k, block):
        return dot
    columns = vectors * lanes
    layout = Layout.PANEL if _packs(spec, (m, n, k), rows, columns, unit) else Layout.DIRECT
    k_block = _PIECE if layout is Layout.PANEL and k > 3 * _PIECE // 2 else 0
    row_block, pack_a = _row_block(spec, m, n, k, rows)
    tail = 0 if pack_a else _tail_rows(m, rows)
    return Tiling(layout, lanes, rows, vectors, k_block, row_block, pack_a, tail)


def _register_block(m: int, vectors: int, unit: VectorUnit) -> tuple[int, int]:
    """Return rows and vectors of the block that does the least work, its empty part included."""
    best = min(
        _SHAPES[unit.registers],
        key=lambda shape: (
            -(-m // shape[0]) * shape[0] * -(-vectors // shape[1]) * shape[1] * shape[2]
        ),
    )
    return best[:2]


def _tail_rows(m: int, rows: int) -> int:
    """Return the rows of the smaller blocks at the end, 0 where they would save too little."""
    tail = _TAIL.get(rows, 0)
    empty = -m % rows
    saved = min(empty // (rows - tail) if tail else 0, -(-m // rows)) * (rows - tail)
    return tail if saved > _TAIL_WORTH * m else 0


def _dots(spec: MatmulSpec, m: int, n: int, lanes: int) -> Tiling | None:
    if spec.transpose_a or not spec.transpose_b or min(m, n) > _FEW:
        return None
    return Tiling(Layout.DOT, lanes, 8, 1) if n <= m else Tiling(Layout.DOT, lanes, 1, 8)


def _dot_work(m: int, n: int, k: int, lanes: int) -> float:
    """Estimate cycles: half a cycle for each load, then the adding up of lanes."""
    return m * n * (4.5 / 8 * -(-k // lanes) + 6)


def _panel_work(m: int, n: int, k: int, block: tuple[int, int, int]) -> float:
    """Estimate cycles: two multiply-adds of vectors in one, and the packing of a transposed B."""
    rows, vectors, lanes = block
    blocks = -(-m // rows) * -(-n // (vectors * lanes))
    return blocks * (k * max(rows * vectors / 2, 4) + 20) + 0.2 * n * k


def _packs(
    spec: MatmulSpec, sizes: tuple[int, int, int], rows: int, columns: int, unit: VectorUnit
) -> bool:
    """Tell whether op(B) is packed."""
    m, n, k = sizes
    if spec.transpose_b:
        return True
    if n % columns and (n < columns / 2 or unit.bits < 256):
        # Without masks in hardware a masked load is a row of branches; and a few columns are not
        # worth compiling a block with masks for.
        return True
    if m <= 2 * rows:
        return False
    stride = (spec.ldb or n) * spec.itemsize
    return k * n * spec.itemsize > _DIRECT_BYTES or (stride % _PAGE == 0 and k > 16)


def _row_block(spec: MatmulSpec, m: int, n: int, k: int, rows: int) -> tuple[int, bool]:
    """Return how many rows of C to finish first, and whether to pack their part of A."""
    size = spec.itemsize
    fit = max(_ROWS_BYTES // max(k * size, 1) // rows * rows, 4 * rows)
    if spec.transpose_a and n >= 256 and m >= 96 and m * k * size >= _ROWS_BYTES // 2:
        return min(_STRIP_ROWS // rows * rows, fit), True
    return (fit, False) if m * k * size > 2 * _ROWS_BYTES else (0, False)


def workspace_bytes(spec: MatmulSpec, m: int, n: int, k: int, tiling: Tiling | None = None) -> int:
    """Return how many bytes of scratch one call needs; every thread needs its own.

    With run-time sizes, ask for the largest.

    Examples
    --------
    >>> workspace_bytes(MatmulSpec(n=64, k=64), 32, 64, 64)
    0
    """
    return (tiling or choose(spec, m, n, k)).workspace_bytes(spec, k)


def split(tiling: Tiling, m: int, n: int, parts: int) -> list[Part]:
    """Divide C among threads, as evenly as whole register blocks allow.

    By rows or by columns, whichever is more even; where both are alike, the way that does not
    repeat packing.  No choice changes a bit of the result.

    Examples
    --------
    >>> split(Tiling(Layout.DIRECT, 16, 8, 2), 32, 64, 2)
    [Part(row_begin=0, row_end=16, ...), Part(row_begin=16, row_end=32, ...)]
    """
    by_rows = list(_ranges(m, tiling.rows, parts))
    by_columns = list(_ranges(n, tiling.columns, parts))
    longest_rows = max((end - begin for begin, end in by_rows), default=0) * n
    longest_columns = max((end - begin for begin, end in by_columns), default=0) * m
    prefer_columns = tiling.layout is Layout.PANEL and not tiling.pack_a
    if longest_columns < longest_rows or (prefer_columns and longest_columns == longest_rows):
        return [Part(0, m, begin, end) for begin, end in by_columns]
    return [Part(begin, end, 0, n) for begin, end in by_rows]


def _ranges(size: int, step: int, parts: int) -> Iterator[tuple[int, int]]:
    """Cut a range at multiples of a step into parts that differ by one step at most."""
    steps = -(-size // step)
    for part in range(parts):
        begin, end = steps * part // parts * step, steps * (part + 1) // parts * step
        if begin < min(end, size):
            yield begin, min(end, size)
