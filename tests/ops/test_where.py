"""What `where` did not select gets a gradient of exactly zero, to every order, never NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.ops.running import gradient

import backlight as bl
from backlight.tensor import Tensor, quiet

R = bl.registry()
BAD = -1.0  # where the functions below are undefined or infinite, unless they say otherwise


def where(condition: Tensor, a: object, b: object) -> Tensor:
    return R["where"](condition, a, b)


# name: (function, a good point, a bad point, first and second derivative at the good point)
DANGEROUS: dict[str, tuple[Callable[[Tensor], Tensor], float, float, float, float]] = {
    "log": (lambda x: R["log"](x), 2.0, BAD, 1 / 2, -1 / 4),
    "log at 0": (lambda x: R["log"](x), 2.0, 0.0, 1 / 2, -1 / 4),
    "sqrt at 0": (lambda x: R["sqrt"](x), 4.0, 0.0, 1 / 4, -1 / 32),
    "sqrt": (lambda x: R["sqrt"](x), 4.0, BAD, 1 / 4, -1 / 32),
    "rsqrt": (lambda x: R["rsqrt"](x), 4.0, 0.0, -1 / 16, 3 / 128),
    "division": (lambda x: 1.0 / x, 2.0, 0.0, -1 / 4, 1 / 4),
    "0/0": (lambda x: x / x**2.0, 2.0, 0.0, -1 / 4, 1 / 4),
    "a power": (lambda x: x**1.5, 4.0, BAD, 3.0, 3 / 8),
    "a negative power": (lambda x: x**-2.0, 2.0, 0.0, -1 / 4, 3 / 8),
    "a power by its exponent": (lambda x: (x - 1.0) ** x, 2.0, 0.5, 2.0, 4.0),
    "exp": (lambda x: R["exp"](x), 0.0, 1000.0, 1.0, 1.0),
    "asin": (lambda x: R["asin"](x), 0.0, 3.0, 1.0, 0.0),
    "atanh at the edge": (lambda x: R["atanh"](x), 0.0, 1.0, 1.0, 0.0),
    "log1p": (lambda x: R["log1p"](x), 0.0, -1.0, 1.0, -1.0),
    "a chain": (lambda x: R["log"](R["sqrt"](x)), 2.0, 0.0, 1 / 4, -1 / 8),
    "∞ · 0": (lambda x: R["exp"](x) * (x - 1000.0), 0.0, 1000.0, -999.0, -998.0),
    "a sum": (lambda x: R["sum"](R["log"](R["reshape"](x, shape=(1,))), axes=(0,)),
              2.0, 0.0, 1 / 2, -1 / 4),
    "a product": (lambda x: R["prod"](R["reshape"](1.0 / x, shape=(1,)), axes=(0,)),
                  2.0, 0.0, -1 / 4, 1 / 4),
}  # fmt: skip


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("name", DANGEROUS)
def test_scalars(name: str, swapped: bool) -> None:
    function, good, bad, first, second = DANGEROUS[name]
    for point, wants in ((good, (first, second)), (bad, (0.0, 0.0))):
        x = bl.param(point)
        chosen = R["equal"](x, good)
        with quiet():
            value = function(x)
            y = where(~chosen, 3.0, value) if swapped else where(chosen, value, 3.0)
        for want in wants:
            (y,) = gradient(y, 1.0, [x])
            assert float(y.value) == pytest.approx(want, rel=1e-12, abs=0), (point, want)


@pytest.mark.parametrize("name", [k for k in DANGEROUS if k not in ("a sum", "a product")])
def test_arrays(name: str) -> None:
    function, good, bad, first, second = DANGEROUS[name]
    x = bl.param([good, bad, good])
    with quiet():
        y = where(R["equal"](x, good), function(x), 0.0)
    for want in (first, second):
        (y,) = gradient(y, np.ones(3), [x])
        np.testing.assert_allclose(y.value, [want, 0.0, want], rtol=1e-12, atol=0)
        assert y.value[1] == 0.0


def test_nested() -> None:
    x = bl.param([-1.0, 0.0, 0.25, 4.0])
    with quiet():
        inner = where(R["greater"](x, 0.0), R["log"](x), R["sqrt"](-x - 1.0))
        outer = where(R["greater"](x, 1.0), R["sqrt"](inner), where(x < -2.0, 1.0 / x, 5.0))
    log = np.log(4.0)
    (first,) = gradient(outer, np.ones(4), [x])
    np.testing.assert_allclose(first.value, [0, 0, 0, 0.5 / np.sqrt(log) / 4], rtol=1e-12)
    (second,) = gradient(first, np.ones(4), [x])
    last = (-0.25 * log**-1.5 - 0.5 * log**-0.5) / 16
    np.testing.assert_allclose(second.value, [0, 0, 0, last], rtol=1e-12)


def test_the_third_order() -> None:
    x = bl.param([-1.0, 2.0])
    with quiet():
        y = where(x > 0.0, R["log"](x), x)
    for want in ([1.0, 0.5], [0.0, -0.25], [0.0, 0.25]):
        (y,) = gradient(y, np.ones(2), [x])
        np.testing.assert_allclose(y.value, want, rtol=1e-12, atol=0)


@pytest.mark.parametrize("infinity", [np.inf, np.nan])
def test_rows_of_a_matrix_product_that_were_not_selected(infinity: float) -> None:
    a = bl.param([[1.0, 2.0], [infinity, infinity]])
    b = bl.param([[1.0, 3.0], [2.0, 4.0]])
    with quiet():
        product = R["contract"](a, b, left=(0, 2), right=(2, 1), result=(0, 1))
        y = where(np.array([[True], [False]]), product, 0.0)
    by_a, by_b = gradient(y, np.ones((2, 2)), [a, b])
    np.testing.assert_array_equal(by_a.value, [[4.0, 6.0], [0.0, 0.0]])
    np.testing.assert_array_equal(by_b.value, [[1.0, 1.0], [2.0, 2.0]])


def test_single_entries_of_a_matrix_product_that_were_not_selected() -> None:
    a = bl.param([[1.0, 2.0], [3.0, 4.0]])
    b = bl.param([[1.0, np.inf], [2.0, 4.0]])
    with quiet():
        product = R["contract"](a, b, left=(0, 2), right=(2, 1), result=(0, 1))
        y = where(np.array([[True, False], [True, False]]), product, 0.0)
    by_a, by_b = gradient(y, np.ones((2, 2)), [a, b])
    np.testing.assert_array_equal(by_a.value, [[1.0, 2.0], [1.0, 2.0]])
    np.testing.assert_array_equal(by_b.value, [[4.0, 0.0], [6.0, 0.0]])


def test_infinite_entries_met_by_both_selected_and_unselected_results() -> None:
    # Row 0 selects column 0 and row 1 selects column 1, and a row of a that is infinite meets
    # an unselected result only.
    a = bl.param([[np.inf, 1.0], [3.0, 4.0]])
    b = bl.param([[0.5, 1.0], [2.0, 4.0]])
    with quiet():
        product = R["contract"](a, b, left=(0, 2), right=(2, 1), result=(0, 1))
        y = where(np.array([[False, False], [True, True]]), product, 0.0)
    by_a, by_b = gradient(y, np.ones((2, 2)), [a, b])
    np.testing.assert_array_equal(by_a.value, [[0.0, 0.0], [1.5, 6.0]])
    np.testing.assert_array_equal(by_b.value, [[3.0, 3.0], [4.0, 4.0]])


def test_other_axes_and_linear_maps_keep_exact_zeros() -> None:
    x = bl.param([[1.0, 0.0], [2.0, 4.0]])
    with quiet():
        rows = R["sum"](R["log"](x), axes=(1,))
        y = R["sum"](where(np.array([False, True]), rows, 0.0), axes=(0,))
    (got,) = gradient(y, 1.0, [x])
    np.testing.assert_array_equal(got.value, [[0.0, 0.0], [0.5, 0.25]])


def test_broadcast_branches_add_up() -> None:
    a, b = bl.param(2.0), bl.param([1.0, 3.0])
    y = where(np.array([[True, False], [True, True]]), a, b)
    by_a, by_b = gradient(y, np.array([[1.0, 10.0], [100.0, 1000.0]]), [a, b])
    assert float(by_a.value) == 1101.0
    assert by_b.value.tolist() == [0.0, 10.0]
