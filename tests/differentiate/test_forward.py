"""Forward mode against hand-derived formulas and against J·t by complex step or small cases."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.differentiate.forward import push
from backlight.differentiate.transforms import grad, hvp, jvp, vjp
from backlight.errors import MissingRuleError, ShapeError
from backlight.graph.primitive import Kind, Primitive, Spec
from backlight.ops.contract import CONTRACT
from backlight.ops.convert import CAST, DETACH
from backlight.ops.exponential import EXP, LOG, SQRT
from backlight.ops.index import GATHER, SCATTER_ADD
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.piecewise import WHERE
from backlight.ops.reduce import CUMULATIVE_SUM, MAX, PROD, SUM
from backlight.ops.trigonometric import SIN

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
T = np.array([[1.0, 2.0, -3.0], [0.25, -0.5, 4.0]])


def tangent_of(function, *pairs):
    leaves = [bl.tensor(x) for x, _ in pairs]
    tangents = {leaf: bl.tensor(t) for leaf, (_, t) in zip(leaves, pairs, strict=True)}
    return push([function(*leaves)], tangents)[0].value


# Linear operations: the tangent is the operation of the tangent, computed here by NumPy.
LINEAR = [
    (lambda x: SUM(x, axes=(0,)), T.sum(0)),
    (lambda x: CUMULATIVE_SUM(x, axis=1), np.cumsum(T, 1)),
    (lambda x: RESHAPE(x, shape=(3, 2)), T.reshape(3, 2)),
    (lambda x: PERMUTE(x, axes=(1, 0)), T.T),
    (lambda x: BROADCAST(x, shape=(4, 2, 3)), np.broadcast_to(T, (4, 2, 3))),
    (lambda x: SLICE(x, starts=(0, 1), stops=(2, 3), steps=(1, 1)), T[:, 1:3]),
    (lambda x: FLIP(x, axes=(1,)), T[:, ::-1]),
    (
        lambda x: PAD(x, before=(1, 0), after=(0, 0), between=(0, 0), fill=7.0),
        np.concatenate([np.zeros((1, 3)), T]),
    ),
    (lambda x: CONCAT(x, X * 2.0, x, axis=0), np.concatenate([T, 0 * T, T])),
    (lambda x: GATHER(x, np.array([2, 0, 2]), axis=1), T[:, [2, 0, 2]]),
    (
        lambda x: SCATTER_ADD(x, np.array([1, 1]), axis=0, size=3),
        np.stack([0 * T[0], T[0] + T[1], 0 * T[0]]),
    ),
    (lambda x: WHERE(bl.tensor(X > 0), x, -x), np.where(X > 0, T, -T)),
    (lambda x: WHERE(bl.tensor(X > 0), x, 3.0), np.where(X > 0, T, 0)),
    (lambda x: CAST(x, dtype=np.dtype(np.float32)), T.astype(np.float32)),
]


@pytest.mark.parametrize(("function", "expected"), LINEAR)
def test_the_tangent_of_a_linear_operation(function, expected):
    np.testing.assert_array_equal(tangent_of(function, (X, T)), expected)


def test_elementwise_operations_multiply_by_the_local_derivative():
    np.testing.assert_allclose(tangent_of(SIN, (X, T)), np.cos(X) * T, rtol=1e-15)
    np.testing.assert_allclose(tangent_of(lambda x: x**3.0, (X, T)), 3 * X**2 * T, rtol=1e-15)


def test_a_broadcast_operand_moves_the_whole_result():
    a, s = np.array([2.0]), np.array([5.0])
    result = tangent_of(lambda x, y: x + y, (X, 0 * T), (a, s))
    np.testing.assert_array_equal(result, np.full((2, 3), 5.0))
    alone = tangent_of(lambda y: bl.tensor(X) + y, (a, s))
    np.testing.assert_array_equal(alone, np.full((2, 3), 5.0))


def test_a_contraction_has_one_term_per_operand():
    b, t = X.T * 1.5, T.T - 0.5
    result = tangent_of(
        lambda x, y: CONTRACT(x, y, left=(0, 2), right=(2, 1), result=(0, 1)), (X, T), (b, t)
    )
    np.testing.assert_allclose(result, T @ b + X @ t, rtol=1e-14)
    twice = tangent_of(lambda x: x @ x.T, (X, T))
    np.testing.assert_allclose(twice, T @ X.T + X @ T.T, rtol=1e-14)


def test_reductions_with_local_derivatives():
    zero_entry = np.array([2.0, 0.0, 3.0])
    moved = tangent_of(lambda x: PROD(x, axes=(0,)), (zero_entry, np.array([1.0, 5.0, 1.0])))
    assert moved == 30.0
    assert tangent_of(lambda x: MAX(x, axes=(0,)), (zero_entry, np.array([1.0, 5.0, 9.0]))) == 9.0


def test_the_fill_value_of_a_pad_does_not_move_in_the_second_derivative_of_a_product():
    x = np.array([2.0, 0.0, 3.0])
    v = np.array([1.0, 5.0, 7.0])
    hessian = np.array([[0, 3.0, 0], [3, 0, 2], [0, 2, 0]])
    result = hvp(lambda x: PROD(x, axes=(0,)), x, v)
    np.testing.assert_allclose(result.value, hessian @ v)


def test_no_tangent_passes_through_detach_or_integers():
    assert tangent_of(lambda x: x * DETACH(x), (np.array(3.0), np.array(1.0))) == 3.0
    cast = tangent_of(
        lambda x: CAST(CAST(x, dtype=np.dtype(np.int64)), dtype=np.dtype(np.float64)),
        (np.array(3.0), np.array(1.0)),
    )
    assert cast == 0.0


def test_an_output_that_nothing_reaches_has_a_zero_tangent():
    x, y = bl.tensor([1.0, 2.0]), bl.tensor([3.0, 4.0])
    (tangent,) = push([y * 2.0], {x: bl.tensor([1.0, 1.0])})
    np.testing.assert_array_equal(tangent.value, [0, 0])


def test_an_output_that_is_itself_the_leaf_moves_as_the_leaf():
    x = bl.tensor([1.0, 2.0])
    assert push([x], {x: bl.tensor([5.0, 6.0])})[0].value.tolist() == [5, 6]


def test_a_tangent_of_another_shape_is_refused():
    x = bl.tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match="must match"):
        push([x * x], {x: bl.tensor(1.0)})


def test_the_branch_that_where_did_not_select_gives_no_nan():
    def f(x):
        return WHERE(x > 0.0, LOG(WHERE(x > 0.0, x, 1.0)) + SQRT(x), 2.0 * x)

    for value, expected in ((0.0, 2.0), (4.0, 0.25 + 0.25)):
        assert jvp(f, value, 1.0)[1].value == expected


def test_forward_over_reverse_keeps_the_zero_of_an_unselected_branch():
    def f(x):  # d²/dx² of x^1.5 is infinite at 0
        return WHERE(x > 0.0, SQRT(x) ** 3.0, 2.0 * x)

    assert hvp(f, 0.0, 1.0).value == 0.0
    np.testing.assert_allclose(hvp(f, 4.0, 1.0).value, 0.375)  # ¾·x^(-1/2)


@pytest.mark.parametrize("second", [lambda f: grad(grad(f)), lambda f: lambda x: hvp(f, x, 1.0)])
def test_a_zero_upstream_behind_where_still_has_a_derivative(second):
    def f(x):  # (sin x)² in the selected branch: the second derivative at 0 is 2
        return WHERE(x > -1.0, SIN(x), 0.0) ** 2.0

    np.testing.assert_allclose(second(f)(0.0).value, 2.0)
    np.testing.assert_allclose(second(f)(0.3).value, 2 * np.cos(0.6), rtol=1e-14)


def test_a_custom_primitive_is_transposed_twice():
    def back(upstream, y, a, b):
        return upstream * EXP(a) * b

    def back_b(upstream, y, a, b):
        return upstream * EXP(a)

    scaled_exp = Primitive(
        "scaled_exp",
        Kind.CUSTOM,
        lambda a, b: Spec(a.shape, a.dtype),
        lambda xp, a, b: xp.exp(a) * b,
        transposes=(back, back_b),
    )
    a, b = X[0], X[1]
    ta, tb = T[0], T[1]
    result = tangent_of(lambda a, b: scaled_exp(a, b), (a, ta), (b, tb))
    np.testing.assert_allclose(result, np.exp(a) * b * ta + np.exp(a) * tb, rtol=1e-14)


@pytest.mark.parametrize("kind", [Kind.ELEMENTWISE, Kind.CUSTOM])
def test_a_primitive_without_a_rule_is_named(kind):
    mystery = Primitive("mystery", kind, lambda x: x, lambda xp, x: x * 2.0)
    x = bl.tensor(1.0)
    with pytest.raises(MissingRuleError, match="mystery"):
        push([mystery(x)], {x: bl.tensor(1.0)})
    with pytest.raises(MissingRuleError, match="mystery"):
        grad(lambda x: mystery(x))(1.0)


def test_forward_and_reverse_agree_on_u_dot_jv():
    rng = np.random.default_rng(3)

    def f(x):
        h = SIN(x @ bl.tensor(X)) * SUM(x, axes=(1,))[:, None]
        return CONCAT(h, EXP(h / 3.0), axis=1)

    x, t = rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    u = rng.normal(size=(4, 6))
    _, forward = jvp(f, x, t)
    _, pullback = vjp(f, x)
    left, right = np.sum(u * forward.value), np.sum(pullback(u).value * t)
    np.testing.assert_allclose(left, right, rtol=1e-13)


def test_a_long_chain_is_no_problem():
    def f(x):
        for _ in range(5_000):
            x = x + 0.001
        return x * x

    value, tangent = jvp(f, 1.0, 1.0)
    np.testing.assert_allclose([value.value, tangent.value], [36, 12], rtol=1e-9)
