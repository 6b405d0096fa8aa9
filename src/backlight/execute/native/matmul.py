"""Matrix products as LLVM code, made for the shape and placed into a module of the caller's.

`emit_matmul` adds one function to a module: register-blocked, with explicit vectors, masked at the
edges, reading transposed operands where they lie, and with the caller's epilogue fused into the
store.  `choose` picks the tiling; it allocates nothing and the order of every sum is fixed.
"""

from __future__ import annotations

from llvmlite import ir

from backlight.execute.native.matmul_dot import emit_dots
from backlight.execute.native.matmul_epilogue import Epilogue
from backlight.execute.native.matmul_kernel import Frame, emit_rows_of_vectors, reserve_scratch
from backlight.execute.native.matmul_spec import Layout, MatmulSpec, Tiling
from backlight.execute.native.matmul_vectors import INDEX, POINTER, Vectors, index

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
"""Parameters of an emitted function, in order, before those of the epilogue."""

_POINTERS = frozenset({"a", "b", "c", "workspace"})


def emit_matmul(
    module: ir.Module,
    spec: MatmulSpec,
    tiling: Tiling,
    *,
    epilogue: Epilogue | None = None,
    name: str = "matmul",
    linkage: str = "internal",
) -> ir.Function:
    element = ir.DoubleType() if spec.dtype == "float64" else ir.FloatType()
    types = [POINTER if each in _POINTERS else INDEX for each in PARAMETERS]
    extra_types = epilogue.parameters if epilogue else ()
    kind = ir.FunctionType(ir.VoidType(), [*types, *extra_types])
    function = ir.Function(module, kind, module.get_unique_name(name))
    function.linkage = linkage
    function.attributes.add("nounwind")
    values = dict(zip(PARAMETERS, function.args, strict=False))
    for each, value in values.items():
        value.name = each
        if each in _POINTERS and epilogue is None:
            value.add_attribute("noalias")
    for each in ("lda", "ldb", "ldc", "n", "k"):
        known = getattr(spec, each)
        if known is not None:
            values[each] = index(known)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    frame = Frame(
        builder=builder,
        spec=spec,
        tiling=tiling,
        vectors=Vectors(module, element, tiling.lanes),
        scratch=reserve_scratch(builder, element, tiling),
        epilogue=epilogue,
        extra=tuple(function.args[len(PARAMETERS) :]),
        **values,
    )
    if tiling.layout is Layout.DOT:
        emit_dots(frame)
    else:
        emit_rows_of_vectors(frame)
    builder.ret_void()
    return function
