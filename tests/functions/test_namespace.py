"""The namespace as a whole: names, constants, what it says about itself, and its refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backlight as bl
from backlight import functions as F  # noqa: N812
from backlight.errors import DtypeError, ShapeError, TracedValueError, UsageError
from backlight.tensor import Tensor, param, tensor
from backlight.trace import trace_function

# The names of the standard 2024.12, without those for complex numbers.
STANDARD = """
    e inf nan newaxis pi
    arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like
    tril triu zeros zeros_like
    astype can_cast finfo iinfo isdtype result_type
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert
    bitwise_or bitwise_right_shift bitwise_xor ceil clip copysign cos cosh divide equal exp expm1
    floor floor_divide greater greater_equal hypot isfinite isinf isnan less less_equal log log1p
    log2 log10 logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply
    negative nextafter not_equal positive pow reciprocal remainder round sign signbit sin sinh
    square sqrt subtract tan tanh trunc
    take take_along_axis
    __array_namespace_info__ __array_api_version__
    matmul matrix_transpose tensordot vecdot
    broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll
    squeeze stack tile unstack
    argmax argmin count_nonzero nonzero searchsorted where
    unique_all unique_counts unique_inverse unique_values
    argsort sort
    cumulative_prod cumulative_sum max mean min prod std sum var
    all any diff
""".split()
EXTRAS = {"broadcast_shapes", "einsum", "erf", "power", "relu", "rsqrt", "sigmoid"}


def test_the_names_are_those_of_the_standard_and_a_few_more() -> None:
    assert len(set(F.__all__)) == len(F.__all__)
    assert set(F.__all__) == set(STANDARD) | EXTRAS


def test_constants() -> None:
    assert (F.e, F.pi, F.inf, F.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(F.nan)


def test_what_the_namespace_says_about_itself() -> None:
    info = F.__array_namespace_info__()
    assert F.__array_api_version__ == "2024.12"
    assert info.devices() == [info.default_device()] == ["cpu"]
    assert info.capabilities()["boolean indexing"] is True
    assert info.default_dtypes() == {
        "real floating": F.float64, "integral": F.int64, "indexing": F.int64,
    }  # fmt: skip
    assert len(info.dtypes()) == 11
    assert list(info.dtypes(kind="unsigned integer")) == ["uint8", "uint16", "uint32", "uint64"]
    assert list(info.dtypes(kind=("bool", "real floating"))) == ["bool", "float32", "float64"]
    assert info.dtypes(kind="complex floating") == {}
    with pytest.raises(UsageError):
        info.dtypes(kind="text")
    with pytest.raises(UsageError):
        info.dtypes(device="gpu")


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_finfo(name: str) -> None:
    found, expected = F.finfo(getattr(F, name)), np.finfo(name)
    for field in ("bits", "eps", "max", "min", "smallest_normal", "dtype"):
        assert getattr(found, field) == getattr(expected, field)
    assert type(found.eps) is float
    assert F.finfo(tensor(1.0, dtype=name)) == found


@pytest.mark.parametrize("name", ["int8", "uint16", "int64", "uint64"])
def test_iinfo(name: str) -> None:
    found, expected = F.iinfo(getattr(F, name)), np.iinfo(name)
    for field in ("bits", "max", "min", "dtype"):
        assert getattr(found, field) == getattr(expected, field)


@pytest.mark.parametrize(
    "kind", ["bool", "signed integer", "unsigned integer", "integral", "real floating", "numeric",
             "complex floating", ("bool", "real floating"), np.dtype("int8")],
)  # fmt: skip
def test_isdtype(kind: Any) -> None:
    for dtype in F.__array_namespace_info__().dtypes().values():
        assert F.isdtype(dtype, kind) is np.isdtype(dtype, kind)


def test_broadcast_shapes() -> None:
    assert F.broadcast_shapes((2, 1), (3,), ()) == (2, 3)
    with pytest.raises(ShapeError):
        F.broadcast_shapes((2,), (3,))


def test_empty_has_a_shape_and_a_dtype() -> None:
    assert F.empty((2, 3), dtype=F.int8).spec == F.zeros((2, 3), dtype=F.int8).spec
    assert F.empty_like(F.ones((2,))).spec == F.ones((2,)).spec


def test_dlpack_copies() -> None:
    array = np.array([1.0, 2.0])
    x = F.from_dlpack(array)
    array[0] = 7.0
    np.testing.assert_array_equal(x.value, [1.0, 2.0])
    np.testing.assert_array_equal(np.from_dlpack(x), [1.0, 2.0])
    assert F.from_dlpack(x) is x
    with pytest.raises(DtypeError):
        F.from_dlpack([1.0])
    with pytest.raises(UsageError):
        F.from_dlpack(array, copy=False)


def test_dlpack_of_torch() -> None:
    torch = pytest.importorskip("torch")
    x = F.from_dlpack(torch.tensor([[1.0, 2.0]]))
    assert x.spec == tensor([[1.0, 2.0]], dtype="float32").spec
    assert torch.from_dlpack(tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_asarray_keeps_tensors_and_copies_everything_else() -> None:
    w = param([1.0, 2.0])
    assert F.asarray(w) is w
    assert F.asarray(w, dtype=F.float32).tracked
    array = np.array([1, 2])
    x = F.asarray(array)
    array[0] = 7
    np.testing.assert_array_equal(x.value, [1, 2])
    np.testing.assert_array_equal(F.asarray([[tensor(1), 2], [3, 4]]).value, [[1, 2], [3, 4]])
    with pytest.raises(UsageError):
        F.asarray([w, w])
    with pytest.raises(UsageError):
        F.asarray(array, copy=False)


@pytest.mark.parametrize("name", ["sum", "exp", "add", "mean", "reshape", "take", "matmul"])
def test_a_list_is_refused(name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "add": (1.0,), "reshape": ((1,),), "take": (0,), "matmul": ([1.0],)
    }  # fmt: skip
    with pytest.raises(DtypeError, match="bl.tensor"):
        getattr(F, name)([1.0], *arguments.get(name, ()))


X = tensor(np.ones((2, 3)))
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.sum(X, axis=2), ShapeError, "axis 2"),
    (lambda: F.sum(X, axis=(0, 0)), ShapeError, "twice"),
    (lambda: F.sum(X, axis=0.5), DtypeError, "integer"),
    (lambda: F.max(F.zeros((0,))), ShapeError, "max"),
    (lambda: F.mean(tensor([1, 2])), DtypeError, "astype"),
    (lambda: F.sum(tensor([True])), DtypeError, "astype"),
    (lambda: F.cumulative_sum(X), ShapeError, "axis="),
    (lambda: F.cumulative_prod(tensor(1.0)), ShapeError, "axis"),
    (lambda: F.diff(X, n=-1), ShapeError, "count"),
    (lambda: F.diff(tensor([1, 2]), prepend=0.5), DtypeError, "mix"),
    (lambda: F.reshape(X, (4, -1)), ShapeError, "fill"),
    (lambda: F.reshape(X, (-1, -1)), ShapeError, "one size"),
    (lambda: F.reshape(X, (7,)), ShapeError, "7"),
    (lambda: F.broadcast_to(X, (2,)), ShapeError, "broadcast"),
    (lambda: F.permute_dims(X, (0, 0)), ShapeError, "once"),
    (lambda: F.permute_dims(X, (0,)), ShapeError, "once"),
    (lambda: F.moveaxis(X, (0, 0), (0, 1)), ShapeError, "distinct"),
    (lambda: F.expand_dims(X, axis=4), ShapeError, "axis 4"),
    (lambda: F.squeeze(X, 0), ShapeError, "size 2"),
    (lambda: F.concat([]), UsageError, "at least one"),
    (lambda: F.concat(X), UsageError, "list"),
    (lambda: F.concat([X, F.ones((2, 3, 1))]), ShapeError, "concat"),
    (lambda: F.stack([X, F.ones((2,))]), ShapeError, "one shape"),
    (lambda: F.unstack(tensor(1.0)), ShapeError, "scalar"),
    (lambda: F.roll(X, (1, 2), axis=0), UsageError, "shifts"),
    (lambda: F.repeat(X, -1), ShapeError, "count"),
    (lambda: F.repeat(X, tensor([1, 2]), axis=1), ShapeError, "counts"),
    (lambda: F.repeat(X, tensor([0.5])), DtypeError, "integers"),
    (lambda: F.tile(X, (-1,)), ShapeError, "counts"),
    (lambda: F.take(X, tensor([0])), ShapeError, "axis="),
    (lambda: F.take(X, tensor([0.5]), axis=0), DtypeError, "integers"),
    (lambda: F.take(X, tensor([5]), axis=0), ShapeError, "5"),
    (lambda: F.take_along_axis(X, tensor([0])), ShapeError, "as many axes"),
    (lambda: F.matmul(X, X), ShapeError, "matmul"),
    (lambda: F.matmul(X, 1.0), ShapeError, "scalars"),
    (lambda: F.tensordot(X, X, axes=3), ShapeError, "3 axes"),
    (lambda: F.tensordot(X, X, axes=1), ShapeError, "size"),
    (lambda: F.tensordot(X, X, axes=((0, 0), (0, 1))), ShapeError, "distinct"),
    (lambda: F.vecdot(X, F.ones((2,))), ShapeError, "size"),
    (lambda: F.matrix_transpose(F.ones((2,))), ShapeError, "matrices"),
    (lambda: F.tril(F.ones((2,))), ShapeError, "matrices"),
    (lambda: F.where(1.0, X, X), DtypeError, "Boolean"),
    (lambda: F.searchsorted(X, X), ShapeError, "one axis"),
    (lambda: F.searchsorted(F.ones(2), X, side="top"), UsageError, "side"),
    (lambda: F.nonzero(tensor(1.0)), ShapeError, "scalar"),
    (lambda: F.meshgrid(X), ShapeError, "one axis"),
    (lambda: F.meshgrid(F.ones(2), F.arange(2)), DtypeError, "one dtype"),
    (lambda: F.meshgrid(F.ones(2), indexing="zz"), UsageError, "indexing"),
    (lambda: F.zeros((-1,)), ShapeError, "negative"),
    (lambda: F.zeros(2, device="gpu"), UsageError, "cpu"),
    (lambda: F.zeros(2, dtype="complex128"), DtypeError, "complex128"),
    (lambda: F.zeros(2, dtype="float16"), DtypeError, "float16"),
    (lambda: F.zeros(2, dtype="nonsense"), DtypeError, "nonsense"),
    (lambda: F.full(2, X), DtypeError, "broadcast_to"),
    (lambda: F.arange(0, 1, 0), UsageError, "step"),
    (lambda: F.linspace(0, 1, -1), UsageError, "count"),
    (lambda: F.finfo(F.int8), DtypeError, "iinfo"),
    (lambda: F.iinfo(F.float32), DtypeError, "finfo"),
    (lambda: F.isdtype(F.int8, "text"), UsageError, "kind"),
    (lambda: F.positive(tensor(True)), DtypeError, "numeric"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "says"), REFUSED)
def test_a_wrong_call_says_what_is_wrong(
    call: Callable[[], Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        call()
    assert str(caught.value).endswith(".")


def test_counts_that_are_traced_are_refused() -> None:
    with pytest.raises(TracedValueError, match="Python integers"):
        trace_function(lambda x, n: F.repeat(x, n), np.ones(3), np.array([1, 2, 3]))


def test_several_operations_are_one_box_and_one_is_none() -> None:
    x = param([[1.0, 2.0], [3.0, 4.0]])
    boxes: dict[str, Callable[[Tensor], Tensor]] = {
        "mean": F.mean, "var": F.var, "std": F.std, "sort": F.sort,
        "sum": lambda x: F.sum(x, keepdims=True), "clip": lambda x: F.clip(x, 0, 1),
        "cumulative_prod": lambda x: F.cumulative_prod(x, axis=0),
        "stack": lambda x: F.stack([x, x]), "roll": lambda x: F.roll(x, 1),
        "matmul": lambda x: F.matmul(F.reshape(x, (1, 2, 2)), F.ones((3, 2, 2))),
    }  # fmt: skip
    for name, function in boxes.items():
        result = function(x)
        assert result.scope is not None, name
        assert (result.scope.name, result.scope.result) == (name, result.serial)
        assert result.scope.parent is None
    for function in (F.sum, F.exp, F.max, lambda x: x @ x, lambda x: F.concat([x, x])):
        assert function(x).scope is None


def test_only_the_result_of_a_box_has_the_name_it_is_assigned_to() -> None:
    x = param([[1.0, 2.0], [3.0, 4.0]])
    spread = F.var(x, axis=0)
    row = x[0]
    assert (spread.name, row.name) == ("spread", "row")
    assert {each.name for each in (*spread.inputs, *row.inputs) if each is not x} == {None}


def test_products_at_zeros_have_right_derivatives() -> None:
    x = param([2.0, 0.0, 3.0, 0.0])
    F.sum(F.cumulative_prod(x)).backward()
    # d/dx0 = 1 + x1 + x1·x2 + x1·x2·x3, and so on.
    np.testing.assert_array_equal(x.grad, [1.0, 2 * (1 + 3 + 0), 0.0, 0.0])


def test_variance_of_equal_entries_has_gradient_zero() -> None:
    x = param([1.0, 1.0, 1.0])
    F.var(x).backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 0.0])


def test_ties_of_an_extreme_share_the_gradient() -> None:
    x = param([1.0, 3.0, 3.0])
    F.max(x).backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.5, 0.5])


def test_nan_in_a_branch_that_is_not_chosen_does_no_harm() -> None:
    x = param([4.0, 0.0])
    F.sum(F.where(x > 0, F.sqrt(x), 0.0)).backward()
    np.testing.assert_array_equal(x.grad, [0.25, 0.0])


def test_sorting_keeps_equal_entries_in_order_and_puts_nan_last() -> None:
    x = tensor([2.0, np.nan, 1.0, 2.0])
    np.testing.assert_array_equal(F.argsort(x).value, [2, 0, 3, 1])
    np.testing.assert_array_equal(F.sort(x).value, [1.0, 2.0, 2.0, np.nan])
    y = tensor([2.0, 1.0, 2.0])
    np.testing.assert_array_equal(F.argsort(y, descending=True).value, [0, 2, 1])


def test_every_nan_is_a_value_of_its_own() -> None:
    assert F.unique_counts(tensor([np.nan, np.nan, 1.0])).counts.value.tolist() == [1, 1, 1]


def test_the_mean_of_nothing_warns() -> None:
    from backlight.errors import BacklightWarning

    with pytest.warns(BacklightWarning, match="div"):
        assert math.isnan(F.mean(F.zeros((0,))).item())


def test_a_version_of_the_standard_that_is_not_there_is_refused():
    x = bl.tensor(1.0)
    assert x.__array_namespace__(api_version=bl.__array_api_version__) is bl
    with pytest.raises(UsageError, match=r"not 1999\.12; ask for"):
        x.__array_namespace__(api_version="1999.12")
