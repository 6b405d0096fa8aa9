"""What a matrix product is asked for and how it is tiled: plain data, without LLVM.

`MatmulSpec` says which product, `Tiling` how the kernel walks over it, `Sizes` how large it is or
is expected to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class MatmulSpec:
    """The product C (+)= op(A) · op(B) of row-major matrices.

    op(A) has shape (m, k), op(B) has shape (k, n) and C has shape (m, n).  A transposed operand is
    stored the other way round: A as (k, m), B as (n, k).  Sizes and leading strides (the distance
    between the starts of two rows, in elements) that are None are run-time arguments; the others
    are compiled in, and the arguments in their place are ignored.

    Parameters
    ----------
    dtype
        "float32" or "float64".
    transpose_a, transpose_b
        Whether the operand is stored transposed.
    m, n, k
        The sizes known when compiling.
    lda, ldb, ldc
        The leading strides known when compiling.
    accumulate
        Add the product to what C holds instead of replacing it.
    """

    dtype: str = "float32"
    transpose_a: bool = False
    transpose_b: bool = False
    m: int | None = None
    n: int | None = None
    k: int | None = None
    lda: int | None = None
    ldb: int | None = None
    ldc: int | None = None
    accumulate: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return 8 if self.dtype == "float64" else 4


class Layout(StrEnum):
    """How the kernel reads op(B)."""

    DIRECT = "direct"  #: vectors along n, straight from B
    PANEL = "panel"  #: vectors along n, from a packed copy of a few columns at a time
    DOT = "dot"  #: vectors along k of both operands, added up at the end


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a kernel walks over a product.

    Parameters
    ----------
    layout
        How op(B) is read.
    lanes
        Elements of one vector.
    rows, vectors
        The register block: so many rows of C by so many vectors (by so many columns for
        `Layout.DOT`).
    k_block
        The sum is taken in pieces of so many terms, so that a packed panel stays in the
        first-level cache; 0 means all at once.
    row_block
        Rows of C finished before the next ones begin, so that their part of A stays in the
        second-level cache; 0 means all.
    pack_a
        Copy the rows' part of a transposed A into strips first, so that the register block reads
        it straight through; needs a `row_block` that is a multiple of `rows`.
    tail_rows
        Rows of the smaller blocks that the last rows are cut into, as many as leave least of a
        block empty: 32 rows are four blocks of six and two of four.  0 means no smaller blocks.
    """

    layout: Layout
    lanes: int
    rows: int
    vectors: int
    k_block: int = 0
    row_block: int = 0
    pack_a: bool = False
    tail_rows: int = 0

    @property
    def columns(self) -> int:
        """Columns of C in one register block; columns are split over threads at multiples of it."""
        return self.vectors if self.layout is Layout.DOT else self.vectors * self.lanes

    def workspace_bytes(self, spec: MatmulSpec, k: int) -> int:
        """Return how many bytes of scratch one call needs (each thread needs its own)."""
        return (self.panel_elements(k) + self.row_block * self.pack_a * k) * spec.itemsize

    def panel_elements(self, k: int) -> int:
        """Return how many elements of the workspace the packed panel of op(B) takes."""
        if self.layout is not Layout.PANEL:
            return 0
        return (min(k, self.k_block) if self.k_block else k) * self.columns


@dataclass(frozen=True, slots=True)
class Part:
    """The rows and columns of C that one call computes."""

    row_begin: int
    row_end: int
    column_begin: int
    column_end: int
