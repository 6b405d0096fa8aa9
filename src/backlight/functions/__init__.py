"""The functions of Backlight: the namespace of the Python Array API standard, and a few more.

Every function takes tensors, NumPy arrays (as constants) and, where the standard allows, Python
scalars, and gives tensors.  They are built on the primitives of `backlight.ops`, so that all of
them trace, differentiate wherever mathematics allows, and explain themselves.
"""

from __future__ import annotations

from backlight.functions.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from backlight.functions.dtype_objects import (
    bool,
    e,
    float32,
    float64,
    inf,
    int8,
    int16,
    int32,
    int64,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
)
from backlight.functions.dtypes import (
    astype,
    can_cast,
    finfo,
    iinfo,
    isdtype,
    result_type,
)
from backlight.functions.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    copysign,
    cos,
    cosh,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    not_equal,
    positive,
    pow,
    power,
    reciprocal,
    relu,
    remainder,
    round,
    rsqrt,
    sigmoid,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)
from backlight.functions.indexing import (
    take,
    take_along_axis,
)
from backlight.functions.info import (
    __array_api_version__,
    __array_namespace_info__,
)
from backlight.functions.joining import (
    concat,
    repeat,
    roll,
    stack,
    tile,
    unstack,
)
from backlight.functions.linear import (
    einsum,
    matmul,
    tensordot,
    vecdot,
)
from backlight.functions.manipulation import (
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    reshape,
    squeeze,
)
from backlight.functions.reductions import (
    all,
    any,
    count_nonzero,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from backlight.functions.scans import (
    cumulative_prod,
    cumulative_sum,
    diff,
)
from backlight.functions.searching import (
    argmax,
    argmin,
    argsort,
    nonzero,
    searchsorted,
    sort,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
    where,
)

__all__ = [
    # creation
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like",
    "linspace", "meshgrid", "ones", "ones_like", "tril", "triu", "zeros", "zeros_like",
    # dtype_objects
    "bool", "e", "float32", "float64", "inf", "int16", "int32", "int64", "int8", "nan", "newaxis",
    "pi", "uint16", "uint32", "uint64", "uint8",
    # dtypes
    "astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type",
    # elementwise
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and",
    "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "ceil", "clip", "copysign", "cos", "cosh", "divide", "equal", "erf", "exp", "expm1", "floor",
    "floor_divide", "greater", "greater_equal", "hypot", "isfinite", "isinf", "isnan", "less",
    "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "maximum", "minimum", "multiply", "negative", "nextafter",
    "not_equal", "positive", "pow", "power", "reciprocal", "relu", "remainder", "round", "rsqrt",
    "sigmoid", "sign", "signbit", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh",
    "trunc",
    # indexing
    "take", "take_along_axis",
    # info
    "__array_api_version__", "__array_namespace_info__",
    # linear
    "einsum", "matmul", "tensordot", "vecdot",
    # manipulation
    "broadcast_arrays", "broadcast_shapes", "broadcast_to", "expand_dims", "flip",
    "matrix_transpose", "moveaxis", "permute_dims", "reshape", "squeeze",
    # joining
    "concat", "repeat", "roll", "stack", "tile", "unstack",
    # reductions
    "all", "any", "count_nonzero", "max", "mean", "min", "prod", "std", "sum", "var",
    # scans
    "cumulative_prod", "cumulative_sum", "diff",
    # searching
    "argmax", "argmin", "argsort", "nonzero", "searchsorted", "sort", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "where",
]  # fmt: skip
