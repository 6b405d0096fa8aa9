"""A table of calls with NumPy twins, for every function of the namespace.

Each `Case` says how to call a function of ours on tensors and how NumPy does the same on arrays.
The tests of values, of gradients and of tracing all run over `CASES`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
from scipy import special

from backlight import functions as F  # noqa: N812 (the usual short name of a namespace)

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
SIGNED = INTEGERS[:4]
NUMBERS = FLOATS + INTEGERS
BITS = ("bool", *INTEGERS)
EVERY = ("bool", *NUMBERS)
SHAPES = ((), (3,), (2, 3), (0,), (2, 0, 3))
PAIRS = (
    ((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((2, 3), (2, 3)), ((0, 3), (3,)),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One call: ours on tensors, theirs on arrays."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    operands: tuple[np.ndarray, ...]
    note: str = ""

    def __str__(self) -> str:
        given = " ".join(f"{x.dtype}{list(x.shape)}" for x in self.operands)
        return f"{self.name}({given}){' ' if self.note else ''}{self.note}"


def data(
    name: str, shape: tuple[int, ...], dtype: str, low: float = -2.0, high: float = 2.0
) -> np.ndarray:
    """Numbers that depend on nothing but the arguments."""
    rng = np.random.default_rng(zlib.crc32(f"{name}{shape}{dtype}".encode()))
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if kind in "iu":
        smallest = 0 if kind == "u" else int(low) - 2
        # Zero is no divisor, and a negative number no exponent or shift.
        return rng.integers(1 if low > 0 else smallest, int(high) + 4, shape).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


# ── entry by entry ───────────────────────────────────────────────────────────────────────────────

# Function of one operand: NumPy's twin, dtypes, lowest and highest number.
UNARY: dict[str, tuple[Callable[..., Any], tuple[str, ...], float, float]] = {
    "abs": (np.abs, NUMBERS, -2, 2),
    "acos": (np.acos, FLOATS, -0.9, 0.9),
    "acosh": (np.acosh, FLOATS, 1.1, 4),
    "asin": (np.asin, FLOATS, -0.9, 0.9),
    "asinh": (np.asinh, FLOATS, -2, 2),
    "atan": (np.atan, FLOATS, -2, 2),
    "atanh": (np.atanh, FLOATS, -0.9, 0.9),
    "bitwise_invert": (np.bitwise_invert, BITS, -2, 2),
    "ceil": (np.ceil, NUMBERS, -2, 2),
    "cos": (np.cos, FLOATS, -2, 2),
    "cosh": (np.cosh, FLOATS, -2, 2),
    "erf": (special.erf, FLOATS, -2, 2),
    "exp": (np.exp, FLOATS, -2, 2),
    "expm1": (np.expm1, FLOATS, -2, 2),
    "floor": (np.floor, NUMBERS, -2, 2),
    "isfinite": (np.isfinite, NUMBERS, -2, 2),
    "isinf": (np.isinf, NUMBERS, -2, 2),
    "isnan": (np.isnan, NUMBERS, -2, 2),
    "log": (np.log, FLOATS, 0.2, 3),
    "log10": (np.log10, FLOATS, 0.2, 3),
    "log1p": (np.log1p, FLOATS, -0.8, 3),
    "log2": (np.log2, FLOATS, 0.2, 3),
    "logical_not": (np.logical_not, ("bool",), 0, 1),
    "negative": (np.negative, (*FLOATS, *SIGNED), -2, 2),
    "positive": (np.positive, NUMBERS, -2, 2),
    "reciprocal": (np.reciprocal, FLOATS, 0.2, 3),
    "relu": (lambda x: np.maximum(x, np.zeros_like(x)), NUMBERS, -2, 2),
    "round": (np.round, NUMBERS, -2, 2),
    "rsqrt": (lambda x: x ** x.dtype.type(-0.5), FLOATS, 0.2, 3),
    "sigmoid": (special.expit, FLOATS, -2, 2),
    "sign": (np.sign, NUMBERS, -2, 2),
    "signbit": (np.signbit, FLOATS, -2, 2),
    "sin": (np.sin, FLOATS, -2, 2),
    "sinh": (np.sinh, FLOATS, -2, 2),
    "sqrt": (np.sqrt, FLOATS, 0.2, 3),
    "square": (np.square, NUMBERS, -2, 2),
    "tan": (np.tan, FLOATS, -1.4, 1.4),
    "tanh": (np.tanh, FLOATS, -2, 2),
    "trunc": (np.trunc, NUMBERS, -2, 2),
}

# Function of two operands: NumPy's twin, dtypes, the lowest number of each operand.
BINARY: dict[str, tuple[Callable[..., Any], tuple[str, ...], float, float]] = {
    "add": (np.add, NUMBERS, -2, -2),
    "atan2": (np.atan2, FLOATS, -2, -2),
    "bitwise_and": (np.bitwise_and, BITS, -2, -2),
    "bitwise_left_shift": (np.bitwise_left_shift, INTEGERS, -2, 1),
    "bitwise_or": (np.bitwise_or, BITS, -2, -2),
    "bitwise_right_shift": (np.bitwise_right_shift, INTEGERS, -2, 1),
    "bitwise_xor": (np.bitwise_xor, BITS, -2, -2),
    "copysign": (np.copysign, FLOATS, -2, -2),
    "divide": (np.divide, FLOATS, -2, 0.2),
    "equal": (np.equal, EVERY, -2, -2),
    "floor_divide": (np.floor_divide, NUMBERS, -2, 0.2),
    "greater": (np.greater, NUMBERS, -2, -2),
    "greater_equal": (np.greater_equal, NUMBERS, -2, -2),
    "hypot": (np.hypot, FLOATS, -2, -2),
    "less": (np.less, NUMBERS, -2, -2),
    "less_equal": (np.less_equal, NUMBERS, -2, -2),
    "logaddexp": (np.logaddexp, FLOATS, -2, -2),
    "logical_and": (np.logical_and, ("bool",), 0, 0),
    "logical_or": (np.logical_or, ("bool",), 0, 0),
    "logical_xor": (np.logical_xor, ("bool",), 0, 0),
    "maximum": (np.maximum, NUMBERS, -2, -2),
    "minimum": (np.minimum, NUMBERS, -2, -2),
    "multiply": (np.multiply, NUMBERS, -2, -2),
    "nextafter": (np.nextafter, FLOATS, -2, -2),
    "not_equal": (np.not_equal, EVERY, -2, -2),
    "pow": (np.pow, NUMBERS, 0.2, 0.2),
    "power": (np.power, NUMBERS, 0.2, 0.2),
    "remainder": (np.remainder, NUMBERS, -2, 0.2),
    "subtract": (np.subtract, NUMBERS, -2, -2),
}


def elementwise() -> Iterator[Case]:
    for name, (twin, dtypes, low, high) in UNARY.items():
        for dtype in dtypes:
            for shape in SHAPES:
                yield Case(name, getattr(F, name), twin, (data(name, shape, dtype, low, high),))
    for name, (twin, dtypes, first, second) in BINARY.items():
        for dtype in dtypes:
            for left, right in PAIRS:
                a = data(f"{name}1", left, dtype, first)
                b = data(f"{name}2", right, dtype, second)
                yield Case(name, getattr(F, name), twin, (a, b))
    for dtype in NUMBERS:
        for low, high in ((0, 2), (None, 1), (1, None), (None, None)):
            yield Case(
                "clip",
                lambda x, low=low, high=high: F.clip(x, low, high),
                lambda x, low=low, high=high: np.clip(x, low, high),
                (data("clip", (3, 4), dtype),),
                f"{low}…{high}",
            )
    bounds = (data("low", (4,), "float64", -2, 0), data("high", (3, 1), "float64", 0.1, 1))
    yield Case("clip", F.clip, np.clip, (data("clip", (3, 4), "float64"), *bounds), "bounds")
    for dtype in EVERY:
        for shapes in (((3,), (3,), (3,)), ((2, 1), (3,), ()), ((), (2, 3), (2, 1))):
            condition = data("where0", shapes[0], "bool")
            x1, x2 = (data(f"where{k}", shapes[k], dtype) for k in (1, 2))
            yield Case("where", F.where, np.where, (condition, x1, x2))


# ── everything else ──────────────────────────────────────────────────────────────────────────────

# Function: dtypes, and for each call the shape and the options that ours and NumPy's share.
ONE_OPERAND: dict[str, tuple[tuple[str, ...], list[tuple[tuple[int, ...], dict[str, Any]]]]] = {
    "argmax": (NUMBERS, [((4,), {}), ((), {}), ((2, 3), {"axis": 1}),
                         ((2, 3), {"axis": -2, "keepdims": True}), ((2, 3), {"keepdims": True})]),
    "argmin": (NUMBERS, [((4,), {}), ((), {}), ((2, 3), {"axis": 1}),
                         ((2, 3), {"axis": -2, "keepdims": True}), ((2, 3), {"keepdims": True})]),
    "argsort": (NUMBERS, [((5,), {"stable": True}), ((2, 3), {"axis": 0, "stable": True}),
                          ((2, 0), {"stable": True})]),
    "cumulative_prod": (NUMBERS, [((5,), {}), ((2, 3), {"axis": 0}), ((0,), {}), ((1,), {}),
                                  ((2, 5), {"axis": -1, "include_initial": True})]),
    "cumulative_sum": (NUMBERS, [((5,), {}), ((2, 3), {"axis": 0}), ((0,), {}),
                                 ((2, 3), {"axis": -1, "include_initial": True})]),
    "diff": (NUMBERS, [((5,), {}), ((3, 4), {"axis": 0}), ((5,), {"n": 3}), ((5,), {"n": 0}),
                       ((2,), {"n": 3})]),
    "empty_like": ((), []),
    "flip": (EVERY, [((3,), {}), ((2, 3), {"axis": 1}), ((2, 3, 2), {"axis": (0, -1)})]),
    "matrix_transpose": (EVERY, [((2, 3), {}), ((4, 2, 3), {})]),
    "nonzero": (EVERY, [((5,), {}), ((2, 3), {}), ((0,), {})]),
    "ones_like": (EVERY, [((2, 3), {}), ((), {})]),
    "sort": (NUMBERS, [((5,), {}), ((2, 3), {"axis": 0}), ((2, 3, 4), {"axis": 1}), ((0, 2), {})]),
    "tril": (EVERY, [((3, 4), {}), ((2, 3, 3), {"k": -1}), ((4, 3), {"k": 1})]),
    "triu": (EVERY, [((3, 4), {}), ((2, 3, 3), {"k": -1}), ((4, 3), {"k": 1})]),
    "unique_all": (EVERY, [((6,), {}), ((2, 3), {})]),
    "unique_counts": (EVERY, [((6,), {}), ((2, 3), {})]),
    "unique_inverse": (EVERY, [((6,), {}), ((2, 3), {})]),
    "unstack": (EVERY, [((3,), {}), ((2, 3), {"axis": 1}), ((2, 3), {"axis": -2})]),
    "zeros_like": (EVERY, [((2, 3), {}), ((), {})]),
}  # fmt: skip

REDUCTIONS: dict[str, tuple[str, ...]] = {
    "all": EVERY, "any": EVERY, "count_nonzero": EVERY, "max": NUMBERS, "mean": FLOATS,
    "min": NUMBERS, "prod": NUMBERS, "std": FLOATS, "sum": NUMBERS, "var": FLOATS,
}  # fmt: skip

# Function, arguments after the first, shape.
POSITIONAL: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("broadcast_to", ((2, 3),), {}, (3,)),
    ("broadcast_to", ((2, 3),), {}, (2, 1)),
    ("broadcast_to", ((0, 3),), {}, (3,)),
    ("full_like", (3,), {}, (2, 3)),
    ("moveaxis", (0, -1), {}, (2, 3, 4)),
    ("moveaxis", ((0, 1), (2, 0)), {}, (2, 3, 4)),
    ("moveaxis", (2, 1), {}, (2, 3, 4)),
    ("permute_dims", ((2, 0, 1),), {}, (2, 3, 4)),
    ("permute_dims", ((1, -2),), {}, (2, 3)),
    ("repeat", (2,), {}, (2, 3)),
    ("repeat", (3,), {"axis": 0}, (2, 3)),
    ("repeat", (np.array([1, 0, 2]),), {"axis": -1}, (2, 3)),
    ("repeat", (0,), {"axis": 1}, (2, 3)),
    ("reshape", ((3, 2),), {}, (2, 3)),
    ("reshape", ((-1,),), {}, (2, 3)),
    ("reshape", ((2, -1, 1),), {}, (2, 3)),
    ("roll", (1,), {}, (2, 3)),
    ("roll", (-2,), {"axis": 1}, (2, 3)),
    ("roll", ((1, 2),), {"axis": (0, -1)}, (2, 3)),
    ("roll", ((1, 1),), {"axis": (1, 1)}, (2, 3)),
    ("roll", (1,), {}, (0,)),
    ("squeeze", (0,), {}, (1, 3)),
    ("squeeze", ((0, -1),), {}, (1, 3, 1)),
    ("tile", ((2, 2),), {}, (3,)),
    ("tile", ((2,),), {}, (2, 3)),
    ("tile", ((2, 1, 3),), {}, (2, 3)),
    ("tile", ((0, 2),), {}, (2, 3)),
]

# Function of two operands of different shapes, and its options.
CONTRACTIONS: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("matmul", (3,), (3,), {}),
    ("matmul", (2, 3), (3,), {}),
    ("matmul", (3,), (3, 2), {}),
    ("matmul", (2, 3), (3, 4), {}),
    ("matmul", (5, 2, 3), (3, 4), {}),
    ("matmul", (2, 3), (5, 3, 4), {}),
    ("matmul", (5, 1, 2, 3), (6, 3, 4), {}),
    ("matmul", (1, 2, 3), (1, 3, 4), {}),
    ("matmul", (3,), (5, 3, 4), {}),
    ("matmul", (5, 2, 3), (3,), {}),
    ("matmul", (1, 1), (1, 1), {}),
    ("matmul", (2, 0), (0, 3), {}),
    ("matmul", (0, 2, 3), (3, 4), {}),
    ("tensordot", (2, 3, 4), (3, 4, 5), {}),
    ("tensordot", (2, 3), (3, 4), {"axes": 1}),
    ("tensordot", (2, 3), (4,), {"axes": 0}),
    ("tensordot", (2, 3, 4), (4, 5, 2), {"axes": ((0, 2), (2, 0))}),
    ("tensordot", (2, 3), (3, 2), {"axes": ([-1], [0])}),
    ("vecdot", (3,), (3,), {}),
    ("vecdot", (2, 3), (3,), {}),
    ("vecdot", (2, 1, 3), (4, 3), {}),
    ("vecdot", (3, 2), (3, 2), {"axis": -2}),
]


def prepared(name: str, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    """The same call of ours and of NumPy, with everything fixed but the operand."""
    ours, theirs = getattr(F, name), getattr(np, name)
    return (
        lambda x: ours(x, *arguments, **options),
        lambda x: theirs(x, *arguments, **options),
    )


def reductions() -> Iterator[Case]:
    for name, dtypes in REDUCTIONS.items():
        for dtype in dtypes:
            for options in (
                {}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)},
                {"axis": (), "keepdims": True}, {"keepdims": True},
            ):  # fmt: skip
                operand = data(name, (2, 3, 4), dtype)
                yield Case(name, *prepared(name, **options), (operand,), str(options))
    for name in ("var", "std"):
        operand = data(name, (2, 5), "float64")
        yield Case(name, *prepared(name, axis=1, correction=1), (operand,), "corrected")
    for name in ("sum", "prod"):
        operand = data(name, (2, 3), "float32")
        yield Case(name, *prepared(name, dtype=np.float64), (operand,), "in float64")
        yield Case(name, *prepared(name, axis=0), (data(name, (0, 3), "float64"),), "empty")


def single() -> Iterator[Case]:
    for name, (dtypes, calls) in ONE_OPERAND.items():
        for dtype in dtypes:
            for shape, options in calls:
                if name == "diff" and dtype.startswith("uint") and options.get("n", 1) > 1:
                    continue  # wraps around in both, and says nothing
                given = data(name, shape, dtype)
                yield Case(name, *prepared(name, **options), (given,), str(options))
    for dtype in NUMBERS:
        x = data("descending", (3, 4), dtype)
        yield (
            Case(
                "sort",
                lambda x: F.sort(x, descending=True),
                lambda x: -np.sort(-x),
                (x,),
                "descending",
            )
            if dtype[0] != "u"
            else Case("sort", F.sort, np.sort, (x,))
        )
        yield Case("unique_values", F.unique_values, np.unique, (x,))
        yield Case(
            "diff",
            lambda x: F.diff(x, axis=0, prepend=1, append=x[:1]),
            # A number is weak with us, and an array of one entry with NumPy.
            lambda x: np.diff(x, axis=0, prepend=np.ones_like(x[:1]), append=x[:1]),
            (x,),
            "edges",
        )
    for name, arguments, options, shape in POSITIONAL:
        for dtype in EVERY if name != "full_like" else NUMBERS:
            given = data(name, shape, dtype)
            yield Case(
                name, *prepared(name, *arguments, **options), (given,), f"{arguments} {options}"
            )
    for axis in (0, -1, 1, (0, 2), (-1, 0)):
        given = data("expand_dims", (2, 3), "float64")
        yield Case("expand_dims", *prepared("expand_dims", axis=axis), (given,), str(axis))
    for source in EVERY:
        for target in EVERY:
            given = data("astype", (2, 3), source, 0, 2)
            yield Case("astype", *prepared("astype", np.dtype(target)), (given,), f"→ {target}")
    for source in FLOATS:
        given = data("asarray", (2, 3), source)
        yield Case("asarray", *prepared("asarray", dtype=np.float64), (given,), "float64")


def several() -> Iterator[Case]:
    for name, left, right, options in CONTRACTIONS:
        for dtype in ("float32", "float64", "int32", "uint8"):
            operands = (data(name, left, dtype), data(f"{name}2", right, dtype))
            ours, theirs = getattr(F, name), getattr(np, name)
            yield Case(
                name,
                lambda a, b, f=ours, o=options: f(a, b, **o),
                lambda a, b, f=theirs, o=options: f(a, b, **o),
                operands,
                str(options),
            )
    a, b, c = (data(f"einsum{k}", s, "float64") for k, s in enumerate([(2, 3), (3, 4), (4, 2)]))
    for subscripts, operands in (
        ("ij,jk->ik", (a, b)), ("ij,jk,kl->il", (a, b, c)), ("ij->ji", (a,)), ("ij->", (a,)),
        ("ij,jk,ki", (a, b, c)), ("ij,ij->ij", (a, a)),
    ):  # fmt: skip
        yield Case(
            "einsum",
            lambda *given, s=subscripts: F.einsum(s, *given),
            lambda *given, s=subscripts: np.einsum(s, *given),
            operands,
            subscripts,
        )
    for dtype in EVERY:
        a, b = data("join", (2, 3), dtype), data("join2", (2, 3), dtype)
        for name, axes in (("concat", (0, -1, None)), ("stack", (0, 1, -1))):
            for axis in axes:
                yield Case(
                    name,
                    lambda *given, n=name, axis=axis: getattr(F, n)(given, axis=axis),
                    lambda *given, n=name, axis=axis: getattr(np, n)(given, axis=axis),
                    (a, b),
                    str(axis),
                )
        rows = data("rows", (3,), dtype), data("columns", (2,), dtype)
        for indexing in ("xy", "ij"):
            yield Case(
                "meshgrid",
                lambda *given, i=indexing: F.meshgrid(*given, indexing=i),
                lambda *given, i=indexing: np.meshgrid(*given, indexing=i),
                rows,
                indexing,
            )
        yield Case(
            "broadcast_arrays", F.broadcast_arrays, np.broadcast_arrays, (a, data("m", (3,), dtype))
        )
        x, positions = data("take", (3, 4), dtype), np.array([2, 0, -1, 2])
        for axis in (0, 1, -1):
            yield Case(
                "take",
                lambda x, i, axis=axis: F.take(x, i, axis=axis),
                lambda x, i, axis=axis: np.take(x, i, axis=axis),
                (x, positions),
                str(axis),
            )
        for shape, axis, index in (
            ((3, 4), 1, [[0], [3], [-1]]), ((3, 4), 0, [[0, 1, 2, -3], [2, 2, 0, 1]]),
            ((4,), 0, [1, 1, -4]), ((2, 3, 2), 1, [[[0], [2]]]), ((1, 4), 1, [[0], [1], [2]]),
        ):  # fmt: skip
            yield Case(
                "take_along_axis",
                lambda x, i, axis=axis: F.take_along_axis(x, i, axis=axis),
                lambda x, i, axis=axis: np.take_along_axis(x, i, axis=axis),
                (data("along", shape, dtype), np.array(index)),
                str(axis),
            )
    edges, looked_up = np.sort(data("edges", (5,), "float64")), data("up", (2, 3), "float64")
    for side in ("left", "right"):
        yield Case(
            "searchsorted",
            lambda a, v, side=side: F.searchsorted(a, v, side=side),
            lambda a, v, side=side: np.searchsorted(a, v, side=side),
            (edges, np.concatenate([looked_up, edges[:3][None]])),
            side,
        )


def created() -> Iterator[Case]:
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("arange", (5,), {}), ("arange", (1, 7, 2), {}), ("arange", (0, 1, 0.25), {}),
        ("arange", (5, 0, -1), {}), ("arange", (3,), {"dtype": np.float32}),
        ("eye", (3,), {}), ("eye", (2, 4), {"k": 1}), ("eye", (3, 2), {"k": -1, "dtype": bool}),
        ("full", ((2, 3), 7), {}), ("full", (2, 1.5), {}), ("full", ((), True), {}),
        ("full", ((2,), 3), {"dtype": np.uint8}),
        ("linspace", (0, 1, 5), {}), ("linspace", (0, 1, 4), {"endpoint": False}),
        ("linspace", (-1.0, 1.0, 0), {}), ("linspace", (0, 1, 3), {"dtype": np.float32}),
        ("ones", ((2, 3),), {}), ("ones", (2,), {"dtype": np.int8}),
        ("zeros", ((2, 0),), {}), ("zeros", (2,), {"dtype": bool}),
    ]  # fmt: skip
    for name, arguments, options in calls:
        yield Case(
            name,
            lambda n=name, a=arguments, o=options: getattr(F, n)(*a, **o),
            lambda n=name, a=arguments, o=options: getattr(np, n)(*a, **o),
            (),
            f"{arguments} {options}",
        )


CASES = [*elementwise(), *reductions(), *single(), *several(), *created()]

# Functions without a table entry, and the test that stands for it.
OTHERWISE = {
    "__array_namespace_info__": "test_namespace.py",
    "broadcast_shapes": "test_namespace.py",
    "can_cast": "test_promotion.py",
    "empty": "test_namespace.py: its values are not defined by the standard",
    "empty_like": "test_namespace.py: its values are not defined by the standard",
    "finfo": "test_namespace.py",
    "from_dlpack": "test_namespace.py",
    "iinfo": "test_namespace.py",
    "isdtype": "test_namespace.py",
    "result_type": "test_promotion.py",
}

FUNCTIONS = sorted(name for name in F.__all__ if isinstance(getattr(F, name), FunctionType))
VALUE_DEPENDENT = {
    "nonzero", "searchsorted", "unique_all", "unique_counts", "unique_inverse", "unique_values",
}  # fmt: skip
