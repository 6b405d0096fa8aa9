"""Compiled functions do what the functions do, and are traced only as often as they must be."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.errors import BacklightWarning, DtypeError, TracedValueError, UsageError
from backlight.execute import compile
from backlight.execute.compile import KEPT_PROGRAMS
from backlight.ops.exponential import EXP
from backlight.ops.reduce import SUM
from backlight.tensor import Tensor


def counting(function):
    calls = []

    def wrapped(*arguments, **options):
        calls.append(1)
        return function(*arguments, **options)

    return wrapped, calls


def test_it_is_traced_once_for_each_kind_of_arguments():
    f, calls = counting(lambda x: x * 2.0 + 1.0)
    fast = compile(f)
    fast(np.zeros(3))
    fast(bl.tensor(np.ones(3)))
    with pytest.warns(BacklightWarning, match="compiled again") as said:
        fast(2.0)
    assert len(said) == 1
    assert len(calls) == 2  # an array of three, and a number
    fast(np.zeros(4))
    fast(np.zeros(3, np.float32))
    assert len(calls) == 4
    assert fast(np.array([1.0, 2.0, 3.0])).value.tolist() == [3.0, 5.0, 7.0]
    assert len(calls) == 4 == fast.programs


def test_containers_come_back_as_they_were():
    def f(batch, scale):
        return {"sum": batch["a"] + batch["b"][0], "parts": (batch["a"] * scale, [batch["b"][1]])}

    result = compile(f)({"a": 1.0, "b": [2.0, 3.0]}, scale=10.0)
    assert float(result["sum"]) == 3.0
    assert float(result["parts"][0]) == 10.0
    assert isinstance(result["parts"], tuple) and isinstance(result["parts"][1], list)
    assert all(isinstance(each, Tensor) for each in (result["sum"], result["parts"][1][0]))


def test_fixed_values_are_part_of_the_kind():
    def f(x, mode, double=False, power=1):
        y = EXP(x) if mode == "exp" else x
        return y**power * (2.0 if double else 1.0)

    fast = compile(f)
    assert float(fast(3.0, "plain")) == 3.0
    assert float(fast(3.0, "plain", double=True)) == 6.0
    assert float(fast(3.0, "plain", power=2)) == 9.0
    assert float(fast(0.0, "exp")) == 1.0
    assert float(fast(4.0, "plain", power=2)) == 16.0
    assert fast.programs == 4


def test_true_and_one_are_different_arguments():
    fast = compile(lambda x, flag: x * (10.0 if flag is True else 1.0))
    assert float(fast(2.0, 1)) == 2.0
    assert float(fast(2.0, True)) == 20.0


def test_a_float_takes_the_dtype_of_the_arrays_beside_it():
    f = lambda x, rate: x * rate  # noqa: E731
    fast = compile(f)
    x = np.ones(2, np.float32)
    assert fast(x, 0.1).dtype == np.float32 == f(bl.tensor(x), 0.1).dtype
    assert fast(x, 0.3).value.tolist() == (x * np.float32(0.3)).tolist()
    assert fast.programs == 1


def test_a_float_beside_two_dtypes_keeps_its_meaning():
    def f(x, y, rate):
        return [x * rate, y * rate]

    x, y = np.ones(2, np.float32), np.ones(2)
    fast = compile(f)(x, y, 0.1)
    assert [each.dtype for each in fast] == [np.float32, np.float64]
    assert fast[1].value[0] == 0.1


def test_programs_are_kept_only_for_the_last_kinds():
    fast = compile(lambda x: x + 1.0)
    fast(np.zeros(0))
    with pytest.warns(BacklightWarning, match=r"x is now float64\[1\] and was float64\[0\]"):
        fast(np.zeros(1))
    for n in range(2, KEPT_PROGRAMS + 5):  # said once
        fast(np.zeros(n))
    assert fast.programs == KEPT_PROGRAMS


def test_parameters_that_it_closes_over_are_read_at_every_call():
    w = bl.param([1.0, 2.0], name="w")
    fast = compile(lambda x: SUM((w * 2.0) * x, axes=(0,)))
    assert float(fast(np.array([1.0, 1.0]))) == 6.0
    w.assign([10.0, 0.0])
    assert float(fast(np.array([1.0, 1.0]))) == 20.0
    assert fast.programs == 1


def test_results_from_outside_stay_what_they_were():
    w = bl.param(2.0)
    outside = w * 3.0
    f = lambda x: outside * x + w  # noqa: E731
    fast = compile(f)
    assert float(fast(1.0)) == 8.0
    w.assign(5.0)
    assert float(fast(1.0)) == float(f(bl.tensor(1.0))) == 11.0


def test_a_call_that_carries_a_gradient_is_recorded():
    w = bl.param(3.0)
    loss = compile(lambda w: w * w)(w)
    loss.backward()
    assert float(w.grad) == 6.0


def test_it_can_be_traced_itself():
    fast = compile(lambda x: x * x)
    assert len(bl.trace(lambda x: fast(x) + 1.0, 2.0)) == 4


def test_results_share_no_memory_with_the_arguments():
    x = np.zeros(3)
    result = compile(lambda x: x)(x)
    x[0] = 1.0
    assert result.value.tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="read-only"):
        result.value[0] = 1.0


def test_unknown_executors_are_refused():
    with pytest.raises(UsageError, match="'reference'"):
        compile(lambda x: x, executor="warp")


def test_only_functions_can_be_compiled():
    with pytest.raises(UsageError, match="takes a function"):
        compile(3.0)


def test_a_branch_on_a_value_is_refused():
    with pytest.raises(TracedValueError, match="bl.where"):
        compile(lambda x: x if x > 0.0 else -x)(1.0)


def test_arguments_that_cannot_be_remembered_are_refused():
    with pytest.raises(UsageError, match="not set"):
        compile(lambda x, names: x)(1.0, {1, 2})


def test_arrays_of_objects_are_refused():
    with pytest.raises(DtypeError, match="arrays of"):
        compile(lambda x: x)(np.array(["a"]))


def test_it_says_what_it_is():
    def area(x):
        """The square."""
        return x * x

    fast = compile(area)
    assert fast.__name__ == "area" and fast.__doc__ == "The square."
    assert repr(fast) == "<compiled area (native, 0 programs)>"
