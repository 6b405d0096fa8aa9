"""Every record of the registry against answers that do not come from Backlight.

A primitive without a case fails `test_each_primitive_has_a_case`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.ops import array_cases, twins
from tests.ops.elementwise_cases import DISCRETE, SMOOTH, Discrete, Smooth
from tests.ops.running import EPS, apply, arity, filled, leaves, moderate, shapes_of

import backlight as bl
from backlight.errors import DtypeError, MissingRuleError, ShapeError
from backlight.graph.primitive import Kind, Primitive, Spec
from backlight.tensor import quiet
from backlight.trace import rebuild, trace

REGISTRY = bl.registry()
ELSEWHERE = {
    "parameter": "test_leaves_have_no_value_of_their_own",
    "input": "test_leaves_have_no_value_of_their_own",
    "constant": "test_a_constant_is_its_value",
    "nextafter": "test_nextafter_is_the_neighbour",
    "random_uniform": "test_random.py",
}
INTEGER_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTEGER_DTYPES, "float32", "float64")
ACCEPTED = {
    "floating": "f", "integer": "iu", "numeric": "iuf", "boolean": "b", "bits": "biu",
    "any": "biuf",
}  # fmt: skip
CASE_IDS = [str(each) for each in array_cases.CASES]


def eager_and_traced(primitive: Primitive, arrays: list[Any], attributes: Any) -> np.ndarray:
    """Evaluate, check the spec rule and that tracing gives the same; return the value."""
    kept = [each.copy() for each in arrays]
    for each in arrays:
        each.flags.writeable = False
    value = apply(primitive, arrays, attributes)
    spec = primitive.specify(*[Spec(each.shape, each.dtype) for each in arrays], **attributes)
    assert Spec(value.shape, value.dtype) == spec
    graph = trace(lambda *xs: primitive(*xs, **attributes), *arrays)
    assert graph.nodes[graph.outputs[0]].spec == spec
    with quiet():
        again = rebuild(graph, leaves(arrays))[graph.outputs[0]].value
        direct = np.asarray(primitive.evaluate(np, *arrays, **attributes))
    for other in (again, direct):
        np.testing.assert_array_equal(other, value, strict=True)
    for each, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(each, before, strict=True)
    return value


def test_each_primitive_has_a_case() -> None:
    covered = {*SMOOTH, *DISCRETE, *array_cases.NAMES, *ELSEWHERE}
    missing = sorted(set(REGISTRY) - covered)
    assert not missing, f"write a case in tests/ops for {missing}"
    assert not sorted(covered - set(REGISTRY)), "these cases have no primitive"


@pytest.mark.parametrize("name", REGISTRY)
def test_each_record_is_complete(name: str) -> None:
    record = REGISTRY[name]
    assert record.name == name
    assert record.description.endswith(".")
    assert record.symbol.isidentifier()
    assert record.form is record.formula
    if record.kind is not Kind.LEAF:
        assert record.differentiable or record.stops_gradient, "say why no gradient passes"
    for rules in (record.partials, record.transposes):
        assert rules is None or any(rule is not None for rule in rules)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SMOOTH)
def test_values(name: str, dtype: str) -> None:
    case = SMOOTH[name]
    tiny, huge = float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)
    for point in case.points:
        if any(each != 0 and not tiny <= abs(each) <= huge for each in point):
            continue  # float32 cannot hold this point
        at = [np.array(each, dtype) for each in point]
        if dtype == "float32" and any(abs(each) == 1 for each in at):
            continue  # a point close to an edge was rounded to it
        want = twins.value(case.twin, [float(each) for each in at])
        if want != 0.0 and not tiny <= abs(want) <= huge:
            continue  # nor its result
        value = apply(REGISTRY[name], at)
        assert value.dtype == dtype
        assert twins.relative_error(float(value), want) <= 8 * EPS[dtype], point


@pytest.mark.parametrize("name", SMOOTH)
def test_shapes(name: str) -> None:
    case, record = SMOOTH[name], REGISTRY[name]
    for shapes in shapes_of(arity(case.points)):
        for dtype in EPS:
            arrays = filled(moderate(case.points), shapes, dtype)
            value = eager_and_traced(record, arrays, {})
            assert value.dtype == dtype
            whole = np.broadcast_arrays(*arrays)
            assert value.shape == whole[0].shape
            for place in np.ndindex(value.shape):
                alone = apply(record, [each[place] for each in whole])
                # Vectorised and scalar loops of NumPy may differ in the last bits.
                assert twins.relative_error(value[place], alone) <= 8 * EPS[dtype]


@pytest.mark.parametrize("name", SMOOTH)
def test_arrays_that_are_not_contiguous(name: str) -> None:
    case, record = SMOOTH[name], REGISTRY[name]
    operands = arity(case.points)
    arrays = filled(moderate(case.points), [(4, 6)] * operands, np.float64)
    strided = [np.asfortranarray(each)[::-1, ::2] for each in arrays]
    assert not any(each.flags.c_contiguous for each in strided)
    with quiet():
        got = np.asarray(record.evaluate(np, *strided))
        want = np.asarray(record.evaluate(np, *[each.copy() for each in strided]))
    np.testing.assert_allclose(got, want, rtol=8 * EPS["float64"], atol=0, strict=True)


@pytest.mark.parametrize("name", [*SMOOTH, *DISCRETE])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(name: str, dtype: str) -> None:
    record = REGISTRY[name]
    case: Smooth | Discrete = SMOOTH.get(name) or DISCRETE[name]
    kind = np.dtype(dtype).kind
    operands = arity(case.points)
    numbers: Any = {"b": (0, 1), "f": (0.5, 2.0)}.get(kind, (1, 2, 3))
    points = list(itertools.product(numbers, repeat=operands))
    columns = [np.array(column, dtype) for column in zip(*points, strict=True)]
    if kind not in ACCEPTED[case.accepts]:
        with pytest.raises(DtypeError, match=name):
            apply(record, columns)
        with pytest.raises(DtypeError, match=name):
            trace(lambda *xs: record(*xs), *columns)
        return
    value = eager_and_traced(record, columns, {})
    gives_boolean = isinstance(case, Discrete) and case.boolean
    assert value.dtype == (bool if gives_boolean else dtype)
    if kind != "f":
        # Python's integers do not wrap around, so the result is brought into the dtype's range.
        want = [case.twin(*(bool(k) for k in point) if kind == "b" else point) for point in points]
        bits = 8 * np.dtype(dtype).itemsize
        if kind == "u":
            want = [int(each) % 2**bits for each in want]
        elif kind == "b" and name == "bitwise_invert":
            want = [not each for (each,) in points]
        elif kind == "b":
            want = [bool(each) for each in want]
        assert value.tolist() == [int(each) if kind in "iu" else each for each in want]


@pytest.mark.parametrize("name", [each for each, case in (SMOOTH | DISCRETE).items()
                                  if arity(case.points) == 2])  # fmt: skip
def test_kinds_of_dtype_do_not_mix(name: str) -> None:
    record, accepts = REGISTRY[name], (SMOOTH | DISCRETE)[name].accepts
    for first, second in itertools.permutations((np.float64(1), np.int64(1), np.True_), 2):
        with pytest.raises(DtypeError, match=name):
            apply(record, [first, second])
    dtype = np.dtype({"f": float, "i": int, "b": bool}[ACCEPTED[accepts][-1].replace("u", "i")])
    with pytest.raises(ShapeError, match=name):
        apply(record, [np.zeros((2,), dtype), np.zeros((3,), dtype)])


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_values(name: str) -> None:
    case = DISCRETE[name]
    dtypes = {"boolean": ("bool",), "bits": ("int64", "uint8"), "integer": ("int64", "uint8")}
    for dtype in dtypes.get(case.accepts, ("float64", "float32")):
        for point in case.points:
            with np.errstate(all="ignore"):
                at = [np.array(each).astype(dtype) for each in point]
            value = apply(REGISTRY[name], at)
            want = case.twin(*(each.item() for each in at))
            if not case.boolean:
                want = int(want) % 2 ** (8 * np.dtype(dtype).itemsize)  # type: ignore[call-overload]
                got = int(value) % 2 ** (8 * np.dtype(dtype).itemsize)
                assert got == want, point
            else:
                assert value.dtype == bool
                assert bool(value) is bool(want), point
    for shapes in shapes_of(arity(case.points)):
        dtype = dtypes.get(case.accepts, ("float64",))[0]
        eager_and_traced(REGISTRY[name], filled(case.points[:2], shapes, dtype), {})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nextafter_is_the_neighbour(dtype: str) -> None:
    record = REGISTRY["nextafter"]
    for a, b in ((1.0, 2.0), (1.0, 0.0), (-1.0, 5.0), (0.0, 1.0), (0.0, -1.0), (2.0, 2.0)):
        value = eager_and_traced(record, [np.array(a, dtype), np.array(b, dtype)], {})
        assert float(value) == twins.next_after(a, b, np.dtype(dtype))
    assert np.isnan(apply(record, [np.float64(np.nan), np.float64(1)]))
    assert np.isinf(apply(record, [np.finfo(dtype).max, np.array(np.inf, dtype)]))


@pytest.mark.parametrize("name", ["parameter", "input"])
def test_leaves_have_no_value_of_their_own(name: str) -> None:
    record = REGISTRY[name]
    assert record.specify(shape=(2,), dtype=np.dtype(float)) == Spec((2,), np.dtype(float))
    with pytest.raises(MissingRuleError, match=name):
        record.evaluate(np, shape=(2,), dtype=np.dtype(float))


def test_a_constant_is_its_value() -> None:
    graph = trace(lambda x: x + np.array([1.0, 2.0]), 1.0)
    node = next(each for each in graph if each.primitive.name == "constant")
    np.testing.assert_array_equal(node.primitive.evaluate(np, **node.attributes), [1.0, 2.0])
    assert node.primitive.specify(**node.attributes) == node.spec


@pytest.mark.parametrize("case", array_cases.CASES, ids=CASE_IDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_array_values(case: array_cases.Case, dtype: str) -> None:
    record = REGISTRY[case.primitive]
    arrays = case.arrays(dtype)
    value = eager_and_traced(record, arrays, case.attributes)
    want = case.oracle(*arrays, **case.attributes)
    # Sums of up to a dozen numbers of size up to 2, in any order.
    tolerance = 64 * EPS[dtype] if value.dtype.kind == "f" else 0
    np.testing.assert_allclose(value, want, rtol=tolerance, atol=tolerance)
    assert value.dtype == want.dtype


@pytest.mark.parametrize("case", array_cases.CASES, ids=CASE_IDS)
def test_array_values_of_integers_and_booleans(case: array_cases.Case) -> None:
    record = REGISTRY[case.primitive]
    for dtype in ("int32", "uint8", "bool"):
        arrays = [
            np.asarray(np.arange(1, each.size + 1).reshape(each.shape) % 5, dtype)
            if each.dtype.kind == "f"
            else each
            for each in case.arrays()
        ]
        numeric_only = record.kind in (Kind.REDUCE, Kind.SCAN, Kind.CONTRACT)
        if case.primitive == "logsumexp" or (
            dtype == "bool" and numeric_only and case.primitive not in ("any", "all")
        ):
            with pytest.raises(DtypeError):
                apply(record, arrays, case.attributes)
            continue
        if dtype == "bool" and case.primitive == "scatter_add":
            continue
        value = eager_and_traced(record, arrays, case.attributes)
        want = case.oracle(*arrays, **case.attributes) if case.primitive != "argsort" else None
        if want is not None:
            np.testing.assert_array_equal(value, want)


@pytest.mark.parametrize("case", array_cases.CASES, ids=CASE_IDS)
def test_array_values_of_arrays_that_are_not_contiguous(case: array_cases.Case) -> None:
    arrays = case.arrays()
    strided = []
    for each in arrays:
        if each.ndim:
            wide = np.zeros((*each.shape[:-1], 2 * each.shape[-1]), each.dtype)
            wide[..., ::2] = each
            each = wide[..., ::2]
        strided.append(each)
    with quiet():
        value = REGISTRY[case.primitive].evaluate(np, *strided, **case.attributes)
    np.testing.assert_allclose(
        value, case.oracle(*arrays, **case.attributes), rtol=1e-14, atol=1e-14
    )


def test_results_are_the_same_every_time() -> None:
    for case in array_cases.CASES:
        arrays = case.arrays()
        first = apply(REGISTRY[case.primitive], arrays, case.attributes)
        np.testing.assert_array_equal(
            first, apply(REGISTRY[case.primitive], arrays, case.attributes), strict=True
        )
