"""First and second derivatives of every primitive, by mpmath and by the complex step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.ops import array_cases, twins
from tests.ops.elementwise_cases import SMOOTH
from tests.ops.running import (
    EPS,
    arity,
    filled,
    gradient,
    leaves,
    moderate,
    numpy_partials,
    shapes_of,
    vjp,
)

import backlight as bl
from backlight.differentiate.forward import push
from backlight.differentiate.reverse import sweep
from backlight.graph.primitive import Primitive
from backlight.tensor import literal, quiet

REGISTRY = bl.registry()


@pytest.mark.parametrize("name", SMOOTH)
def test_first_derivatives(name: str) -> None:
    case = SMOOTH[name]
    for point in case.points:
        want = twins.derivatives(case.twin, point).gradient
        got, _ = numpy_partials(REGISTRY[name], [np.float64(each) for each in point])
        for k, expected in enumerate(want):
            assert twins.relative_error(float(got[k]), expected) <= 1e-10, (point, k)


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives(name: str) -> None:
    case = SMOOTH[name]
    for point in case.second_points:
        want = twins.derivatives(case.twin, point).hessian
        _, got = numpy_partials(REGISTRY[name], [np.float64(each) for each in point])
        for i, j in itertools.product(range(len(point)), repeat=2):
            assert twins.relative_error(float(got[i][j]), want[i][j]) <= 1e-8, (point, i, j)


def jacobian(f: Callable[..., np.ndarray], arrays: list[np.ndarray], k: int) -> np.ndarray:
    """The Jacobian with respect to input k by the complex step, outputs × inputs."""
    step = 1e-200
    columns = []
    for place in range(arrays[k].size):
        moved = arrays[k].astype(complex)
        moved.flat[place] += 1j * step
        columns.append(np.imag(f(*arrays[:k], moved, *arrays[k + 1 :])).reshape(-1) / step)
    rows = np.asarray(f(*arrays)).size
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0))


def check_products(
    record: Primitive, arrays: list[np.ndarray], f: Callable[..., np.ndarray], attributes: Any
) -> None:
    """Compare vᵀJ and J u with the complex step.

    J u comes from forward mode, and a second time as the derivative of ⟨vᵀJ, u⟩ by v.
    """
    random = np.random.default_rng(3)
    inputs = leaves(arrays)
    with quiet():
        output = record(*inputs, **attributes)
    seed = bl.param(np.asarray(random.uniform(0.5, 1.5, output.shape)))
    with quiet():
        done = sweep([output], [seed], [each for each in inputs if each.dtype.kind == "f"])
    for k, each in enumerate(inputs):
        if each.dtype.kind != "f":
            continue
        rows = jacobian(f, arrays, k)
        found = done.gradient(each)
        if found is None:
            assert not rows.any()
            continue
        want = (seed.value.reshape(-1) @ rows).reshape(each.shape)
        size = (np.abs(seed.value.reshape(-1)) @ np.abs(rows)).reshape(each.shape)
        assert np.all(np.abs(found.value - want) <= 1e-10 * size), (k, "reverse")
        direction = np.asarray(random.uniform(-1, 1, each.shape))
        twice_reversed = gradient(found, direction, [seed])[0].value
        with quiet():
            pushed = push([output], {each: literal(direction)})[0].value
        want = (rows @ direction.reshape(-1)).reshape(output.shape)
        size = (np.abs(rows) @ np.abs(direction).reshape(-1)).reshape(output.shape)
        assert np.all(np.abs(twice_reversed - want) <= 1e-10 * size), (k, "reverse twice")
        assert np.all(np.abs(pushed - want) <= 1e-10 * size), (k, "forward")


@pytest.mark.parametrize("name", [k for k, case in SMOOTH.items() if case.complex_twin])
def test_complex_step_with_broadcasting(name: str) -> None:
    case = SMOOTH[name]
    for shapes in shapes_of(arity(case.points)):
        arrays = filled(moderate(case.points), shapes, np.float64)
        check_products(REGISTRY[name], arrays, case.complex_twin, {})


DIFFERENTIABLE = [
    each for each in array_cases.CASES
    if REGISTRY[each.primitive].differentiable
    and np.dtype(each.attributes.get("dtype", "float64")) == np.float64
]  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=map(str, DIFFERENTIABLE))
def test_array_derivatives(case: array_cases.Case) -> None:
    def f(*arrays: np.ndarray) -> np.ndarray:
        return case.oracle(*arrays, **case.attributes)

    check_products(REGISTRY[case.primitive], case.arrays(), f, case.attributes)


PRODUCTS = [each for each in DIFFERENTIABLE if each.primitive == "prod"]


@pytest.mark.parametrize("case", PRODUCTS, ids=map(str, PRODUCTS))
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_derivatives_of_a_product_are_right_at_zeros(case: array_cases.Case, zeros: int) -> None:
    (x,) = case.arrays()
    if x.size < zeros:
        pytest.skip("there are not so many entries")
    x.reshape(-1)[:zeros] = 0.0
    axes = case.attributes["axes"]
    leaf = bl.param(x)
    output = REGISTRY["prod"](leaf, axes=axes)
    (first,) = gradient(output, np.ones(output.shape), [leaf])
    np.testing.assert_allclose(
        first.value, array_cases.gradient_of_product(x, axes), rtol=1e-12, atol=0
    )
    direction = np.random.default_rng(1).uniform(0.5, 1.0, x.shape)
    (second,) = gradient(first, direction, [leaf])
    rows = jacobian(lambda z: array_cases.gradient_of_product(z, axes), [x], 0)
    want = (direction.reshape(-1) @ rows).reshape(x.shape)
    size = (np.abs(direction.reshape(-1)) @ np.abs(rows)).reshape(x.shape)
    assert np.all(np.abs(second.value - want) <= 1e-10 * size)


LOG_SUMS = [each for each in DIFFERENTIABLE if each.primitive == "logsumexp"]


@pytest.mark.parametrize("case", LOG_SUMS, ids=map(str, LOG_SUMS))
def test_second_derivatives_of_logsumexp(case: array_cases.Case) -> None:
    def softmax(z: np.ndarray) -> np.ndarray:
        exponentials = np.exp(z)
        return exponentials / exponentials.sum(axis=case.attributes["axes"], keepdims=True)

    (x,) = leaves(case.arrays())
    with quiet():
        output = REGISTRY["logsumexp"](x, **case.attributes)
    (first,) = gradient(output, np.ones(output.shape), [x])
    direction = np.asarray(np.random.default_rng(2).uniform(0.5, 1.5, x.shape))
    (second,) = gradient(first, direction, [x])
    rows = jacobian(softmax, [x.value], 0)
    size = np.abs(direction.reshape(-1)) @ np.abs(rows)
    assert np.all(np.abs(second.value.reshape(-1) - direction.reshape(-1) @ rows) <= 1e-8 * size)


def test_logsumexp_far_from_zero() -> None:
    for x in ([1000.0, 1001.0], [-1e5, -1e5 - 3.0], [700.0, -700.0], [3.0]):
        with twins.mpmath.workdps(60):
            want = float(twins.mpmath.log(twins.mpmath.fsum(map(twins.mpmath.exp, x))))
        leaf = bl.param(x)
        value = REGISTRY["logsumexp"](leaf, axes=(0,))
        assert twins.relative_error(float(value.value), want) <= 4 * EPS["float64"]
        (first,) = gradient(value, 1.0, [leaf])
        with twins.mpmath.workdps(60):
            shares = [float(twins.mpmath.exp(twins.mpmath.mpf(each) - max(x))) for each in x]
        # The rounding of the value, relative to 1, becomes a relative error of the shares.
        np.testing.assert_allclose(
            first.value, np.array(shares) / sum(shares), rtol=abs(want) * EPS["float64"] + 1e-14
        )


CONTRACTIONS = [each for each in DIFFERENTIABLE if each.primitive == "contract"]


@pytest.mark.parametrize("case", CONTRACTIONS, ids=map(str, CONTRACTIONS))
def test_second_derivatives_of_a_contraction(case: array_cases.Case) -> None:
    a, b = leaves(case.arrays())
    output = REGISTRY["contract"](a, b, **case.attributes)
    random = np.random.default_rng(2)
    seed = random.uniform(0.5, 1.5, output.shape)
    (first, _) = gradient(output, seed, [a, b])
    direction = random.uniform(0.5, 1.5, a.shape)
    by_a, by_b = gradient(first, direction, [a, b])
    assert not by_a.value.any()
    # Bilinear: the derivative of ⟨seed, f(direction, b)⟩ by b.
    rows = jacobian(lambda z: case.oracle(direction, z, **case.attributes), [b.value], 0)
    np.testing.assert_allclose(by_b.value.reshape(-1), seed.reshape(-1) @ rows, rtol=1e-12)


@pytest.mark.parametrize("name", [k for k in SMOOTH if REGISTRY[k].differentiable])
def test_float32_stays_float32(name: str) -> None:
    case, record = SMOOTH[name], REGISTRY[name]
    inputs = leaves(filled(moderate(case.points), [(2,)] * arity(case.points), np.float32))
    with quiet():
        output = record(*inputs)
    firsts = gradient(output, np.ones(2), inputs)
    seconds = [each for first in firsts for each in gradient(first, np.ones(2), inputs)]
    assert {each.dtype for each in (*firsts, *seconds)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0, 0.5, -1.0, -2.0, 2.5])
@pytest.mark.parametrize("x", [0.0, 0.7, -2.0, 1e-60, 3e50])
def test_powers_with_a_number_as_exponent(exponent: float, x: float) -> None:
    if (x < 0 and exponent % 1) or (x == 0 and exponent not in (0, 1, 2, 3)):
        pytest.skip("outside the domain")
    leaf = bl.param(x)
    value = leaf**exponent
    (first,) = gradient(value, 1.0, [leaf])
    (second,) = gradient(first, 1.0, [leaf])
    n = exponent
    wants = (
        x**n,
        n * x ** (n - 1) if n else 0.0,
        n * (n - 1) * x ** (n - 2) if n not in (0, 1) else 0.0,
    )
    for got, want in zip((value, first, second), wants, strict=True):
        assert twins.relative_error(float(got.value), want) <= 1e-14


def test_powers_of_a_negative_base() -> None:
    for exponent in (-3.0, -2.0, 0.0, 1.0, 2.0, 3.0):
        got, _ = vjp(REGISTRY["pow"], [np.float64(-1.5), np.float64(exponent)], 1.0)
        assert float(got) == pytest.approx(exponent * (-1.5) ** (exponent - 1), rel=1e-14)


@pytest.mark.parametrize(("name", "derivative"), [
    ("sigmoid", lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    ("tanh", lambda x: np.cosh(x) ** -2),
])  # fmt: skip
def test_tails_of_the_textbook_derivatives(name: str, derivative: Any) -> None:
    # σ(1 − σ) and 1 − tanh² are kept because people read them.  Their error is that of rounding
    # σ and tanh, half a unit in the last place of 1, and they fall to exactly 0 far out.
    for x in np.linspace(0, 60, 241):
        (got,) = vjp(REGISTRY[name], [np.float64(x)], 1.0)
        assert 0 <= got <= 1
        assert abs(got - derivative(x)) <= 2 * EPS["float64"]
