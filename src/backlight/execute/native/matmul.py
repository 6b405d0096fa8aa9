"""Matrix products as LLVM code, placed into a module of the caller's.

`emit_matmul` adds one function to a module: C (+)= op(A) · op(B) with explicit vectors, register
blocks and packed panels where they pay, and operands read where they lie.  It allocates nothing,
and the order of every sum is fixed: the bits of C do not depend on the block, the cache blocking or
how rows and columns are divided among threads (only `Layout.DOT` adds in another order, which also
does not depend on the division).

The parts: `matmul_spec` (what is asked for), `matmul_choose` (which tiling), `matmul_drive` (the
loops), `matmul_block`, `matmul_dot` and `matmul_pack` (the inner functions), `kernels_library`
(which keeps them compiled for all programs), `matmul_vectors` (vocabulary).
"""

from __future__ import annotations

from llvmlite import ir

from backlight.execute.native.engine import CompileError
from backlight.execute.native.inner import Inner
from backlight.execute.native.kernels_library import shared
from backlight.execute.native.matmul_choose import (
    VectorUnit,
    choose,
    split,
    vector_unit,
    workspace_bytes,
)
from backlight.execute.native.matmul_drive import way
from backlight.execute.native.matmul_spec import Layout, MatmulSpec, Part, Tiling
from backlight.execute.native.matmul_vectors import (
    INDEX,
    POINTER,
    Vectors,
    index,
    multiply,
    smaller,
)

__all__ = [
    "Layout",
    "MatmulSpec",
    "PARAMETERS",
    "Part",
    "Tiling",
    "VectorUnit",
    "choose",
    "emit_matmul",
    "split",
    "vector_unit",
    "workspace_bytes",
]

PARAMETERS = (
    "a",
    "lda",
    "b",
    "ldb",
    "c",
    "ldc",
    "n",
    "k",
    "row_begin",
    "row_end",
    "column_begin",
    "column_end",
    "workspace",
)
"""Parameters of an emitted function, in order.

`a`, `b`, `c` and `workspace` are pointers, the others 64-bit integers; strides are in elements.
The rows and columns of C from begin to end are computed and nothing else is touched; for the whole
product they are 0, m, 0, n.  A part of the columns begins at a multiple of `Tiling.columns`."""

_ENDLESS = 1 << 40
"""A block larger than any matrix."""

_POINTERS = frozenset({"a", "b", "c", "workspace"})


def emit_matmul(
    module: ir.Module,
    spec: MatmulSpec,
    tiling: Tiling | None = None,
    *,
    name: str = "matmul",
    linkage: str = "internal",
) -> ir.Function:
    """Add a function for a matrix product to a module.

    The inner functions that it calls are declared; `kernels_library` has them ready.

    Parameters
    ----------
    module
        Where the function goes.
    spec
        The product.
    tiling
        How to walk over it; `choose` decides when it is not given, which needs a spec whose sizes
        are all known.
    name
        The function's name, made unique.
    linkage
        LLVM's linkage; "external" makes the function visible outside the module.

    Returns
    -------
    llvmlite.ir.Function
        It has the parameters `PARAMETERS` and no result.  C may not overlap A or B.

    Raises
    ------
    CompileError
        When the tiling does not fit the product.

    Examples
    --------
    >>> import ctypes
    >>> import numpy as np
    >>> from backlight.execute.native.engine import compile_module
    >>> module = ir.Module()
    >>> function = emit_matmul(module, MatmulSpec("float64", m=2, n=2, k=2), linkage="external")
    >>> size, address = ctypes.c_int64, ctypes.c_void_p
    >>> types = [address, size] * 3 + [size] * 6 + [address]
    >>> run = compile_module(module).function(function.name, ctypes.CFUNCTYPE(None, *types))
    >>> a, c = np.array([[1.0, 2.0], [3.0, 4.0]]), np.empty((2, 2))
    >>> run(a.ctypes.data, 2, a.ctypes.data, 2, c.ctypes.data, 2, 2, 2, 0, 2, 0, 2, None)
    >>> c
    array([[ 7., 10.],
           [15., 22.]])
    """
    if tiling is None:
        if spec.m is None or spec.n is None or spec.k is None:
            raise CompileError(
                "A matrix product whose sizes are not all known needs a tiling: "
                "give choose(spec, m, n, k) with typical sizes."
            )
        tiling = choose(spec, spec.m, spec.n, spec.k)
    _check(spec, tiling)
    element = ir.DoubleType() if spec.dtype == "float64" else ir.FloatType()
    types = [POINTER if each in _POINTERS else INDEX for each in PARAMETERS]
    kind = ir.FunctionType(ir.VoidType(), types)
    function = ir.Function(module, kind, module.get_unique_name(name))
    function.linkage = linkage
    function.attributes.add("nounwind")
    values = dict(zip(PARAMETERS, function.args, strict=True))
    for each, value in values.items():
        value.name = each
    for each in ("lda", "ldb", "ldc", "n", "k"):
        known = getattr(spec, each)
        if known is not None:
            values[each] = index(known)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vectors = Vectors(module, element, tiling.lanes)
    fixed_part = way(module, _way(module, spec, tiling))
    _call_driver(builder, spec, tiling, vectors, values, fixed_part)
    builder.ret_void()
    return function


def _way(
    module: ir.Module, spec: MatmulSpec, tiling: Tiling
) -> dict[str, int | ir.Function | None]:
    """Return what is fixed about a product, its inner functions included."""
    bits = 8 * spec.itemsize

    def inner(kind: str, lanes: int, *block: int) -> ir.Function:
        return shared(module, Inner(kind, bits, lanes, *block))

    pack = tail = None
    if tiling.layout is Layout.DOT:
        block = inner("dots", tiling.lanes, tiling.rows, tiling.vectors)
    else:
        direct = tiling.layout is Layout.DIRECT
        whole = spec.n is not None and spec.n % tiling.columns == 0
        kind = "masked" if direct and not whole else "block"
        block = inner(kind, tiling.lanes, tiling.rows, tiling.vectors)
        if tiling.tail_rows:
            tail = inner(kind, tiling.lanes, tiling.tail_rows, tiling.vectors)
        if not direct:
            pack = inner("transpose" if spec.transpose_b else "pack", tiling.lanes)
    return {
        "rows": tiling.rows,
        "tail_rows": tiling.tail_rows,
        "columns": tiling.columns,
        "k_block": tiling.k_block or _ENDLESS,
        "row_block": tiling.row_block or _ENDLESS,
        "accumulate": int(spec.accumulate),
        "block": block,
        "tail": tail,
        "pack": pack,
        "pack_strips": inner("strips", tiling.lanes, tiling.rows) if tiling.pack_a else None,
    }


def _call_driver(
    builder: ir.IRBuilder,
    spec: MatmulSpec,
    tiling: Tiling,
    vectors: Vectors,
    values: dict[str, ir.Value],
    fixed_part: ir.Value,
) -> None:
    one = index(1)
    strides = {"a": (values["lda"], one), "b": (values["ldb"], one)}
    if spec.transpose_a:
        strides["a"] = (one, values["lda"])
    if spec.transpose_b:
        strides["b"] = (one, values["ldb"])
    panel = index(0)
    if tiling.layout is Layout.PANEL:
        depth = values["k"]
        if tiling.k_block:
            depth = smaller(builder, depth, index(tiling.k_block))
        panel = multiply(builder, depth, index(tiling.columns))
    strips = vectors.address(builder, values["workspace"], panel)
    span = [values[each] for each in PARAMETERS[8:12]]
    builder.call(
        shared(builder.module, Inner("drive", 8 * spec.itemsize)),
        [
            *(values["a"], *strides["a"], values["b"], *strides["b"]),
            *(values["c"], values["ldc"], values["k"], *span),
            *(values["workspace"], strips, fixed_part),
        ],
    )


def _check(spec: MatmulSpec, tiling: Tiling) -> None:
    """Refuse a tiling that would compute something else."""
    if tiling.layout is Layout.DIRECT and spec.transpose_b:
        raise CompileError("A transposed B cannot be read directly: use Layout.PANEL.")
    if tiling.layout is Layout.DOT:
        if spec.transpose_a or not spec.transpose_b:
            raise CompileError("Layout.DOT needs A as it is and B transposed: use Layout.PANEL.")
        if 1 not in (tiling.rows, tiling.vectors):
            raise CompileError("Layout.DOT needs a block of one row or of one column.")
    if tiling.tail_rows and (tiling.layout is Layout.DOT or tiling.pack_a):
        raise CompileError("Smaller blocks cannot follow Layout.DOT or packed strips of A.")
    if not 0 <= tiling.tail_rows < tiling.rows:
        raise CompileError("The last blocks must have fewer rows than the others.")
    if tiling.pack_a and not (spec.transpose_a and tiling.row_block):
        raise CompileError("Strips of A need a transposed A and a row_block.")
    if tiling.pack_a and tiling.row_block % tiling.rows:
        raise CompileError("The row_block must be a multiple of the rows of the register block.")
