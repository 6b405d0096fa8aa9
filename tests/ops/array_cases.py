"""Cases for the primitives that are not elementwise: what they mean, in plain loops.

Each oracle takes NumPy arrays, complex ones included where the primitive has derivatives, so that
its Jacobian is found by the complex step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Oracle = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Case:
    """One way to call a primitive.

    Attributes
    ----------
    primitive
        The name in the registry.
    inputs
        Arrays, or shapes to be filled with random floating-point numbers.
    oracle
        The same function, independently.
    attributes
        Static arguments.
    """

    primitive: str
    inputs: tuple[Any, ...]
    oracle: Oracle
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = [each if isinstance(each, tuple) else each.shape for each in self.inputs]
        said = [f"{k}={v}" for k, v in self.attributes.items() if not hasattr(v, "array")]
        return " ".join([self.primitive, *map(str, shapes), *said]).replace(" ", "")

    def arrays(self, dtype: str = "float64", seed: int = 5) -> list[np.ndarray]:
        """Return the inputs, random ones between 0.5 and 2 in size and of either sign."""
        random = np.random.default_rng(seed)
        return [
            np.asarray(
                random.uniform(0.5, 2.0, each) * random.choice([-1.0, 1.0], each), dtype
            )
            if isinstance(each, tuple)
            else each.astype(dtype) if each.dtype.kind == "f" else each
            for each in self.inputs
        ]  # fmt: skip


def _lines(x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """The entries to be reduced as rows, and the shape of the result."""
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in rest)
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=int))
    rows = np.transpose(x, [*rest, *axes]).reshape((int(np.prod(shape, dtype=int)), count))
    return rows, shape


def _by_rows(reduce: Callable[[list[Any]], Any], dtype: Any = None) -> Oracle:
    def oracle(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        rows, shape = _lines(x, axes)
        found = [reduce(list(row)) for row in rows]
        return np.array(found, dtype=dtype or x.dtype).reshape(shape)

    return oracle


def _multiply(row: list[Any]) -> Any:
    product: Any = 1
    for each in row:
        product = product * each
    return product


def _real(each: Any) -> float:
    return np.real(each)


ROWS: dict[str, Oracle] = {
    "sum": _by_rows(lambda row: sum(row, start=0)),
    "prod": _by_rows(_multiply),
    "logsumexp": _by_rows(
        lambda row: np.log(sum(np.exp(each) for each in row)) if row else -np.inf
    ),
    "max": _by_rows(lambda row: max(row, key=_real)),
    "min": _by_rows(lambda row: min(row, key=_real)),
    "any": _by_rows(lambda row: any(bool(each) for each in row), bool),
    "all": _by_rows(lambda row: all(bool(each) for each in row), bool),
    "argmax": _by_rows(lambda row: row.index(max(row)), np.int64),
    "argmin": _by_rows(lambda row: row.index(min(row)), np.int64),
}
AXES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()), ((3,), (0,)), ((2, 3), (0,)), ((2, 3), (1,)), ((2, 3), (0, 1)), ((2, 3), ()),
    ((2, 3, 2), (0, 2)), ((1, 4), (0,)), ((5,), (0,)), ((3, 0), (0,)), ((0, 3), (1,)),
)  # fmt: skip
EMPTY: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (((0,), (0,)), ((2, 0), (1,)))
NEEDS_ENTRIES = {"max", "min", "argmax", "argmin"}


def _reductions() -> list[Case]:
    return [
        Case(name, (shape,), oracle, {"axes": axes})
        for name, oracle in ROWS.items()
        for shape, axes in AXES + (() if name in NEEDS_ENTRIES else EMPTY)
    ]


def _cumulative_sum(x: np.ndarray, axis: int) -> np.ndarray:
    result = x.copy()
    for place in np.ndindex(x.shape):
        before = [(*place[:axis], k, *place[axis + 1 :]) for k in range(place[axis] + 1)]
        result[place] = sum(x[each] for each in before)
    return result


def _contract(a: np.ndarray, b: np.ndarray, left: Any, right: Any, result: Any) -> np.ndarray:
    return np.einsum(a, list(left), b, list(right), list(result))


def _flat(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.array([x[place] for place in np.ndindex(x.shape)], dtype=x.dtype).reshape(shape)


def _permute(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    result = np.empty([x.shape[axis] for axis in axes], x.dtype)
    for place in np.ndindex(x.shape):
        result[tuple(place[axis] for axis in axes)] = x[place]
    return result


def _broadcast(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return x + np.zeros(shape, x.dtype)


def _slice(x: np.ndarray, starts: Any, stops: Any, steps: Any) -> np.ndarray:
    return x[np.ix_(*[list(range(*each)) for each in zip(starts, stops, steps, strict=True)])]


def _pad(x: np.ndarray, before: Any, after: Any, between: Any, fill: float = 0.0) -> np.ndarray:
    shape = [
        low + high + size + gap * max(size - 1, 0)
        for low, high, gap, size in zip(before, after, between, x.shape, strict=True)
    ]
    result = np.empty(shape, x.dtype)
    result[...] = fill
    for place in np.ndindex(x.shape):
        widths = zip(before, between, place, strict=True)
        result[tuple(low + k * (gap + 1) for low, gap, k in widths)] = x[place]
    return result


def _flip(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    result = np.empty_like(x)
    for place in np.ndindex(x.shape):
        there = [x.shape[a] - 1 - k if a in axes else k for a, k in enumerate(place)]
        result[tuple(there)] = x[place]
    return result


def _concat(*values: np.ndarray, axis: int) -> np.ndarray:
    return np.concatenate(values, axis=axis)


def _gather(x: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    result = np.empty((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)
    for place in np.ndindex(index.shape):
        where = (slice(None),) * axis
        result[(*where, *place)] = x[(*where, int(index[place]))]
    return result


def _scatter_add(x: np.ndarray, index: np.ndarray, axis: int, size: int) -> np.ndarray:
    result = np.zeros((*x.shape[:axis], size, *x.shape[axis + index.ndim :]), x.dtype)
    for place in np.ndindex(index.shape):
        where = (slice(None),) * axis
        result[(*where, int(index[place]))] += x[(*where, *place)]
    return result


def _argsort(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    def order(row: np.ndarray) -> np.ndarray:
        return np.array(
            sorted(range(len(row)), key=lambda k: -row[k] if descending else row[k]), np.int64
        )

    return np.apply_along_axis(order, axis, x) if x.size else np.empty(x.shape, np.int64)


def _cast(x: np.ndarray, dtype: Any) -> np.ndarray:
    if x.dtype.kind == "c":  # the conversion of a real number, carried over
        return x
    kind = {"f": float, "i": int, "b": bool}[np.dtype(dtype).kind]
    return np.array([kind(each) for each in x.ravel().tolist()], dtype).reshape(x.shape)


INDEX = np.array([[0, 2], [2, -1]])
TIES = np.array([[3.0, 1.0, 3.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
MASK = np.array([[True], [False]])
NO_POSITIONS = np.zeros((0,), np.int64)


def _moves() -> list[Case]:
    return [
        Case("reshape", ((2, 3),), _flat, {"shape": (3, 2)}),
        Case("reshape", ((),), _flat, {"shape": (1, 1)}),
        Case("reshape", ((2, 0),), _flat, {"shape": (0, 5)}),
        Case("permute", ((2, 3, 4),), _permute, {"axes": (2, 0, 1)}),
        Case("permute", ((),), _permute, {"axes": ()}),
        Case("permute", ((0, 3),), _permute, {"axes": (1, 0)}),
        Case("broadcast", ((3,),), _broadcast, {"shape": (2, 3)}),
        Case("broadcast", ((2, 1),), _broadcast, {"shape": (4, 2, 3)}),
        Case("broadcast", ((),), _broadcast, {"shape": (2, 2)}),
        Case("broadcast", ((1, 2),), _broadcast, {"shape": (0, 2)}),
        Case("slice", ((7,),), _slice, {"starts": (1,), "stops": (6,), "steps": (2,)}),
        Case("slice", ((4, 5),), _slice, {"starts": (0, 1), "stops": (4, 5), "steps": (3, 1)}),
        Case("slice", ((4,),), _slice, {"starts": (2,), "stops": (2,), "steps": (1,)}),
        Case("slice", ((0,),), _slice, {"starts": (0,), "stops": (0,), "steps": (1,)}),
        Case("pad", ((3,),), _pad, {"before": (1,), "after": (2,), "between": (0,)}),
        Case("pad", ((2, 3),), _pad,
             {"before": (0, 1), "after": (1, 0), "between": (2, 1), "fill": 1.5}),
        Case("pad", ((0,),), _pad, {"before": (2,), "after": (1,), "between": (3,)}),
        Case("pad", ((),), _pad, {"before": (), "after": (), "between": ()}),
        Case("flip", ((2, 3),), _flip, {"axes": (1,)}),
        Case("flip", ((2, 3),), _flip, {"axes": (0, 1)}),
        Case("flip", ((0, 3),), _flip, {"axes": (0,)}),
        Case("concat", ((2, 3), (2, 1), (2, 2)), _concat, {"axis": 1}),
        Case("concat", ((2,),), _concat, {"axis": 0}),
        Case("concat", ((0, 2), (3, 2)), _concat, {"axis": 0}),
    ]  # fmt: skip


def _indexing() -> list[Case]:
    return [
        Case("gather", ((4,), INDEX), _gather, {"axis": 0}),
        Case("gather", ((2, 3), INDEX), _gather, {"axis": 1}),
        Case("gather", ((2, 3), np.array(-1)), _gather, {"axis": 0}),
        Case("gather", ((3, 2), NO_POSITIONS), _gather, {"axis": 0}),
        Case("gather", ((3, 0), np.array([2, 0], np.uint8)), _gather, {"axis": 0}),
        Case("scatter_add", ((2, 2), INDEX), _scatter_add, {"axis": 0, "size": 3}),
        Case("scatter_add", ((3, 2, 2, 2), INDEX), _scatter_add, {"axis": 1, "size": 4}),
        Case("scatter_add", ((2,), np.array(1)), _scatter_add, {"axis": 0, "size": 3}),
        Case("scatter_add", ((0, 2), NO_POSITIONS), _scatter_add, {"axis": 0, "size": 3}),
        Case("scatter_add", ((0, 2), np.array([1, 0])), _scatter_add, {"axis": 1, "size": 2}),
        *(
            Case("argsort", (array,), _argsort, {"axis": axis, "descending": descending})
            for array, axis in (((5,), 0), (TIES, 1), (TIES, 0), ((2, 0), 1))
            for descending in (False, True)
        ),
    ]


def _contractions() -> list[Case]:
    labelled = (
        ((2, 3), (3, 4), (0, 2), (2, 1), (0, 1)),  # a matrix product
        ((2, 3), (4, 3), (0, 2), (1, 2), (1, 0)),  # transposed on both ends
        ((3,), (3,), (0,), (0,), ()),  # an inner product
        ((3,), (3,), (0,), (0,), (0,)),  # entry by entry
        ((2,), (3,), (0,), (1,), (1, 0)),  # an outer product
        ((5, 2, 3), (5, 3, 2), (0, 1, 3), (0, 3, 2), (0, 1, 2)),  # in batches
        ((2, 3, 4), (4, 2), (0, 1, 2), (2, 0), (1,)),  # two axes summed
        ((2, 0), (0, 3), (0, 2), (2, 1), (0, 1)),  # a sum of nothing
        ((0, 2), (2, 3), (0, 2), (2, 1), (0, 1)),
        ((), (), (), (), ()),
    )
    return [
        Case("contract", (a, b), _contract, {"left": left, "right": right, "result": result})
        for a, b, left, right, result in labelled
    ]


CASES: list[Case] = [
    *_reductions(),
    *(
        Case("cumulative_sum", (shape,), _cumulative_sum, {"axis": axis})
        for shape, axis in (((4,), 0), ((2, 3), 0), ((2, 3), 1), ((0, 2), 0), ((1,), 0))
    ),
    *_contractions(),
    *_moves(),
    *_indexing(),
    Case("where", (MASK, (2, 3), (3,)), np.where),
    Case("where", (np.array(True), (), ()), np.where),
    Case("where", (np.zeros((0, 1), bool), (1, 2), ()), np.where),
    *(
        Case("cast", ((2, 3),), _cast, {"dtype": np.dtype(each)})
        for each in ("float64", "float32", "int64", "int8", "bool")
    ),
    *(Case("detach", (shape,), lambda x: x) for shape in ((), (2, 3), (0,))),
]

NAMES = {each.primitive for each in CASES}


def gradient_of_product(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The product of all the other entries in the same row, entry by entry."""
    result = np.ones_like(x)
    for place in np.ndindex(x.shape):
        others = [
            [place[axis]] if axis not in axes else range(size) for axis, size in enumerate(x.shape)
        ]
        for other in itertools.product(*others):
            if other != place:
                result[place] *= x[other]
    return result
