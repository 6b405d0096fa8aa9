"""Tensors: what they are, their operators, their gradients."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlight as bl
from backlight.errors import BacklightWarning, DtypeError, GradientError, ShapeError, UsageError

NUMBERS = st.floats(-8, 8).map(lambda x: round(x, 3))
BINARY = (operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv,
          operator.mod, operator.lt, operator.le, operator.gt, operator.ge, operator.eq,
          operator.ne)  # fmt: skip


@given(st.sampled_from(BINARY), NUMBERS, NUMBERS.filter(bool))
def test_operators_are_numpys_on_both_sides(operation: Any, a: float, b: float) -> None:
    array = np.array([a, 2 * a, -a])
    wanted = operation(array, b)
    x = bl.tensor(array)
    assert np.array_equal(operation(x, b).value, wanted)
    assert np.array_equal(operation(x, bl.tensor(b)).value, wanted)
    assert np.array_equal(operation(b, bl.tensor(array + 9.0)).value, operation(b, array + 9.0))


def test_unary_and_bit_operators() -> None:
    x = bl.tensor([1.5, -2.0])
    assert (-x).value.tolist() == [-1.5, 2.0]
    assert (+x) is x
    assert abs(x).value.tolist() == [1.5, 2.0]
    k, m = bl.tensor([6, 3]), bl.tensor([3, 5])
    for operation in (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift):
        assert operation(k, m).value.tolist() == operation(k.value, m.value).tolist()
        assert operation(12, m).value.tolist() == operation(12, m.value).tolist()
    assert (~k).value.tolist() == [-7, -4]
    assert (2.0**x).value.tolist() == [2.0**1.5, 0.25]


def test_what_a_tensor_says_about_itself() -> None:
    x = bl.tensor([[1, 2, 3], [4, 5, 6]], name="x", dtype="float32")
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float32)
    assert (len(x), x.name, x.device, x.to_device("cpu")) == (2, "x", "cpu", x)
    assert x.T.shape == (3, 2) and bl.ones((4, 2, 3)).mT.shape == (4, 3, 2)
    assert repr(x).startswith("Tensor([[1., 2., 3.]")
    assert repr(x).endswith("dtype=float32, name='x')")
    assert [row.value.tolist() for row in x] == [[1, 2, 3], [4, 5, 6]]
    assert bl.tensor(2.5).item() == 2.5 and isinstance(bl.tensor(3).item(), int)
    assert float(bl.tensor(2.5)) == 2.5 and int(bl.tensor(2.5)) == 2
    assert complex(bl.tensor(2.5)) == 2.5 and [10, 20][bl.tensor(1)] == 20
    with pytest.raises(UsageError):
        x.to_device("gpu")
    with pytest.raises(ShapeError):
        x.item()
    with pytest.raises(ShapeError, match="ambiguous"):
        bool(x)
    with pytest.raises(ShapeError, match="no length"):
        len(bl.tensor(1.0))
    with pytest.raises(ShapeError, match="two axes"):
        _ = bl.tensor([1.0]).T
    with pytest.raises(DtypeError):
        operator.index(bl.tensor(1.0))


def test_a_number_can_be_formatted() -> None:
    loss = bl.param(3.14159) * 2.0
    assert f"{loss:.2f}|{loss:>8.3g}|{bl.tensor(7):03d}|{loss}" == f"6.28|    6.28|007|{loss!r}"
    with pytest.raises(ShapeError, match=r"the shape is \(1,\)"):
        format(bl.tensor([1.0]), ".2f")


def test_values_are_private_and_read_only() -> None:
    source = np.array([1.0, 2.0])
    x = bl.param(source)
    source[0] = 9.0
    assert x.value.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        x.value[0] = 5.0
    with pytest.raises(UsageError, match="never changed in place"):
        x[0] = 5.0
    y = x * 1.0
    with pytest.raises(ValueError, match="read-only"):
        y.value[0] = 5.0


def test_dtypes() -> None:
    assert bl.param(1).dtype == bl.param(2.5).dtype == np.float64
    assert (bl.param(np.float32(2)) * 2.0).dtype == np.float32
    assert (bl.tensor([1, 2]) * 2).dtype == np.int64
    with pytest.raises(DtypeError, match="must be floating-point"):
        bl.param([1, 2])
    with pytest.raises(DtypeError):
        bl.tensor("text")
    with pytest.raises(DtypeError):
        bl.tensor(1j)
    with pytest.raises(DtypeError):
        bl.tensor([[1.0], [1.0, 2.0]])


def test_backward() -> None:
    w, x = bl.param(3.0, name="w"), bl.tensor(2.0, name="x")
    p = w * x
    L = p**2
    assert w.grad is None
    L.backward()
    assert (float(w.grad), float(p.grad), x.grad) == (24.0, 12.0, None)
    assert float(L.grad) == 1.0
    L.backward()
    assert float(w.grad) == 24.0, "fresh by default"
    L.backward(accumulate=True)
    assert float(w.grad) == 48.0


def test_backward_with_a_seed() -> None:
    w = bl.param([1.0, 2.0])
    y = w * w
    y.backward([1.0, 10.0])
    assert w.grad.tolist() == [2.0, 40.0]
    with pytest.raises(ShapeError, match="seed"):
        y.backward([1.0])
    with pytest.raises(GradientError, match="scalar"):
        y.backward()


def test_what_cannot_be_differentiated() -> None:
    with pytest.raises(GradientError, match="depends on no parameter"):
        (bl.tensor(2.0) * 3.0).backward()
    w = bl.param(2.0, name="w")
    L = w * w
    w.assign(3.0)
    with pytest.raises(GradientError, match="record the loss again"):
        L.backward()
    with pytest.raises(UsageError, match="Only a parameter or input"):
        L.assign(1.0)
    with pytest.raises(ShapeError, match="cannot take a value of shape"):
        w.assign([1.0, 2.0])


def test_detach() -> None:
    w = bl.param(3.0)
    fixed = w.detach()
    assert fixed.item() == 3.0
    (fixed * w).backward()
    assert float(w.grad) == 3.0


def test_conversions() -> None:
    w, x = bl.param([1.0, 2.0], name="w"), bl.tensor([1.0, 2.0])
    assert np.asarray(x).tolist() == [1.0, 2.0]
    assert np.from_dlpack(x).tolist() == [1.0, 2.0]
    for convert in (np.asarray, np.from_dlpack):
        with pytest.raises(GradientError, match=r"\.value"):
            convert(w * 2.0)
    left, right = np.array([3.0, 4.0]) * w, w * np.array([3.0, 4.0])
    assert isinstance(left, bl.Tensor)
    assert left.value.tolist() == right.value.tolist()
    assert w.__array_namespace__() is bl
    with pytest.raises(TypeError):
        np.sin(x)


def test_a_value_that_is_not_finite_is_said_once_with_its_place() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bl.log(bl.tensor(-1.0))
    (warning,) = caught
    assert warning.category is BacklightWarning
    assert warning.filename == __file__
    assert "log (defined for" in str(warning.message)
    assert "bl.find_nonfinite" in str(warning.message)


def test_tensors_are_hashable_by_identity() -> None:
    a, b = bl.tensor(1.0), bl.tensor(1.0)
    assert len({a, b, a}) == 2
