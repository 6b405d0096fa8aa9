"""The gradient checker: it must catch wrong rules, and must not blame right ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

import backlight as bl
from backlight.differentiate.check import check_gradients, check_loss
from backlight.differentiate.numeric import central, noise_level, one_sided
from backlight.errors import GradientError, UsageError
from backlight.graph.primitive import Kind, Primitive, Spec
from backlight.ops.contract import CONTRACT
from backlight.ops.convert import CAST
from backlight.ops.exponential import EXP, LOG, SIGMOID, SQRT
from backlight.ops.move import BROADCAST, PERMUTE
from backlight.ops.piecewise import ABS, FLOOR, MAXIMUM, MINIMUM, RELU, WHERE
from backlight.ops.reduce import MAX, SUM, expand
from backlight.ops.trigonometric import COS, SIN, TANH

RNG = np.random.default_rng(2)
X = RNG.normal(size=(3, 3))
Y = RNG.normal(size=(3, 3))


def total(x):
    return SUM(x, axes=tuple(range(x.ndim)))


def unary(evaluate, partial):
    return Primitive("made_up", Kind.ELEMENTWISE, lambda x: x, evaluate, partials=(partial,))


def binary(evaluate, first, second):
    spec = lambda a, b: Spec(np.broadcast_shapes(a.shape, b.shape), a.dtype)  # noqa: E731
    return Primitive("made_up", Kind.ELEMENTWISE, spec, evaluate, partials=(first, second))


def sin_with(partial):
    return unary(lambda xp, x: xp.sin(x), partial)


wrong_axis_sum = Primitive(
    "made_up",
    Kind.REDUCE,
    lambda x, axes: Spec(x.shape[1:], x.dtype),
    lambda xp, x, axes: xp.sum(x, axis=0),
    transposes=(lambda upstream, y, x, axes: expand(upstream, x.shape, (1,)),),
)
forgotten_sum = Primitive(  # x + b for rows: the gradient of b is the sum over the rows
    "made_up",
    Kind.CUSTOM,
    lambda x, b: x,
    lambda xp, x, b: x + b,
    transposes=(lambda upstream, y, x, b: upstream, lambda upstream, y, x, b: upstream[0]),
)
swapped_matmul = Primitive(
    "made_up",
    Kind.CUSTOM,
    lambda a, b: Spec((a.shape[0], b.shape[1]), a.dtype),
    lambda xp, a, b: a @ b,
    transposes=(
        lambda upstream, y, a, b: PERMUTE(a, axes=(1, 0)) @ upstream,
        lambda upstream, y, a, b: upstream @ PERMUTE(b, axes=(1, 0)),
    ),
)
forgotten_transpose = Primitive(
    "made_up",
    Kind.MOVE,
    lambda x: Spec(x.shape[::-1], x.dtype),
    lambda xp, x: xp.permute_dims(x, (1, 0)),
    transposes=(lambda upstream, y, x: upstream,),
)

WRONG = {
    "a factor of 1.001": (sin_with(lambda y, x: 1.001 * COS(x)), (X,)),
    "a flipped sign": (sin_with(lambda y, x: -COS(x)), (X,)),
    "a small gradient five times too large": (
        lambda x: total(unary(lambda xp, x: 1e-7 * x**2, lambda y, x: 1e-6 * x)(x)),
        (X,),
    ),
    "a small wrong term beside a large loss": (
        lambda x: 10.0 + total(unary(lambda xp, x: 1e-5 * x**2, lambda y, x: 1e-4 * x)(x)),
        (X,),
    ),
    "right at x = 1 only": (unary(lambda xp, x: x**2, lambda y, x: 2.0 * y), (np.array([0.9]),)),
    "no derivative where there is one": (sin_with(lambda y, x: 0.0), (X,)),
    "one wrong entry of many": (
        sin_with(lambda y, x: COS(x) * bl.tensor(1.0 + 0.01 * (np.arange(9) == 5).reshape(3, 3))),
        (X,),
    ),
    "swapped operands of a quotient": (
        binary(lambda xp, a, b: a / b, lambda y, a, b: -y / b, lambda y, a, b: 1.0 / b),
        (X, np.abs(Y) + 1.0),
    ),
    "swapped operands of a product": (
        binary(lambda xp, a, b: a * b, lambda y, a, b: a, lambda y, a, b: b),
        (X, Y),
    ),
    "swapped operands of a matrix product": (swapped_matmul, (X, Y)),
    "a forgotten transposition": (lambda x: total(forgotten_transpose(x) * Y), (X,)),
    "a sum carried back along the wrong axis": (
        lambda x: total(SIN(wrong_axis_sum(x, axes=(0,)))),
        (X,),
    ),
    "a forgotten sum over a broadcast axis": (forgotten_sum, (X, Y[0])),
    "wrong only beyond a threshold": (
        unary(lambda xp, x: x**2, lambda y, x: WHERE(x > 2.0, 3.0 * x, 2.0 * x)),
        (np.array([1.0, 3.0]),),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_caught(name):
    function, arguments = WRONG[name]
    report = check_gradients(function, *arguments)
    assert not report.ok, str(report)
    assert "DISAGREE" in str(report) and "WRONG" in str(report)


def test_a_rule_that_is_right_by_chance_at_one_is_right_there():
    square, _ = WRONG["right at x = 1 only"]
    assert check_gradients(square, np.array([1.0])).ok
    assert not check_gradients(square, np.array([1.0, 1.001])).ok


def test_the_worst_entry_is_named():
    report = check_gradients(*([WRONG["one wrong entry of many"][0], X]))
    worst = report.worst
    assert worst.index == (1, 2)
    np.testing.assert_allclose(worst.numeric, np.cos(X[1, 2]), rtol=1e-8)
    np.testing.assert_allclose(worst.analytic, 1.01 * np.cos(X[1, 2]), rtol=1e-12)
    np.testing.assert_allclose(worst.relative_error, 0.01 / 1.01, rtol=1e-5)
    assert worst.error < 1e-8 and 0 < worst.step < 1
    assert {each.index for each in report.failures} == {(1, 2)}


def test_a_wrong_entry_that_was_not_sampled_is_caught_by_a_direction():
    factors = np.ones(5000)
    factors[:2500] = 1.01
    report = check_gradients(
        sin_with(lambda y, x: COS(x) * bl.tensor(factors)), np.full(5000, 0.3), samples=3
    )
    assert (report.checked, report.total) == (3, 5000)
    assert any(each.index is None for each in report.failures)
    assert "3 of 5000 entries checked, chosen with seed 0" in str(report)


RIGHT = {
    "a large scale": (lambda x: total(EXP(x)), (np.array([20.0, 19.0]),)),
    "a scale of a million": (lambda x: total(SIN(x / 1e6)), (np.array([1e6, -3e6]),)),
    "a scale of a millionth": (lambda x: total(SIN(x * 1e6)), (np.array([1e-6, -3e-6]),)),
    "mixed scales": (LOG, (np.array([1e-8, 1.0, 1e8]),)),
    "the edge of a domain": (SQRT, (np.array([1e-12]),)),
    "cancellation": (lambda x: (x + 1e10) - 1e10, (np.array([1.0, 2.0]),)),
    "rounding noise": (lambda x: (x * 1e6 + 1e9) / 1e6 - 1e3, (np.array([1.0, 2.0]),)),
    "a fast oscillation": (lambda x: SIN(500.0 * x), (np.array([1.0, 2.5]),)),
    "saturation": (lambda x: SIGMOID(x), (np.array([-40.0, 0.0, 30.0]),)),
    "a constant": (lambda x: x * 0.0, (X,)),
    "nothing at all": (lambda x: bl.tensor(3.0), (X,)),
    "zeros": (lambda x: total(x**3.0), (np.zeros(4),)),
    "empty": (lambda x: total(x), (np.zeros((0, 3)),)),
    "broadcasting": (lambda a, b: TANH(a * b), (X, Y[0])),
    "containers": (lambda p, q: {"u": p["a"] @ q[0], "v": p["a"]}, ({"a": X}, [Y])),
    "a threshold nearby": (RELU, (np.array([1e-4, -1e-12, 3e-3]),)),
    "many outputs": (lambda x: BROADCAST(x, shape=(30, 3, 3)) * 2.0, (X,)),
    "float32 arithmetic": (
        lambda x, w: total(TANH(x @ w)),
        (X.astype(np.float32), Y.astype(np.float32)),
    ),
    "conversion to float32 inside": (
        lambda x: CAST(SIN(CAST(x, dtype=np.dtype(np.float32))), dtype=np.dtype(np.float64)),
        (X,),
    ),
    "a float32 constant outside": (
        lambda x: SIN(x * bl.tensor(Y.astype(np.float32))),
        (X.astype(np.float32),),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_rule_passes(name):
    function, arguments = RIGHT[name]
    report = check_gradients(function, *arguments)
    assert report.ok, str(report)
    assert not report.kinks


@pytest.mark.parametrize("function", [lambda x: total(SIN(x) * x), lambda x: TANH(x @ Y)])
def test_second_order(function):
    report = check_gradients(function, X, order=2)
    assert report.ok, str(report)
    assert {each.order for each in report.comparisons} == {1, 2}
    assert {each.mode for each in report.comparisons} == {"forward", "reverse"}


def test_second_order_catches_a_rule_that_cannot_be_differentiated_again():
    frozen = sin_with(lambda y, x: COS(x).detach())
    assert check_gradients(frozen, X).ok
    assert not check_gradients(frozen, X, order=2).ok


KINKS = {
    "relu": (RELU, (np.array([0.0, 1.0]),), 0.0, 0.0, 1.0),
    "abs": (ABS, (np.array([0.0, -1.0]),), 0.0, -1.0, 1.0),
    "maximum": (lambda x: MAXIMUM(x, 2.0), (np.array([2.0, 3.0]),), 0.5, 0.0, 1.0),
    "max": (lambda x: MAX(x, axes=(0,)), (np.array([2.0, 1.0, 2.0]),), 0.5, 0.0, 1.0),
    "clip": (lambda x: MINIMUM(MAXIMUM(x, 0.0), 1.0), (np.array([0.0, 0.5]),), 0.5, 0.0, 1.0),
    "next to a kink": (lambda x: RELU(x - 1.0), (np.array([1.0 + 1e-13, 0.5]),), 1.0, 0.0, 1.0),
    "no recorded kink": (
        lambda x: WHERE(x > 0.0, 3.0 * x, x),
        (np.array([0.0, 1.0]),),
        1.0,
        1.0,
        3.0,
    ),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_kink_is_reported_and_not_called_wrong(name):
    function, arguments, analytic, left, right = KINKS[name]
    report = check_gradients(function, *arguments)
    assert report.ok, str(report)
    kink = report.kinks[0]
    assert kink.index == (0,)
    np.testing.assert_allclose([kink.analytic, kink.left, kink.right], [analytic, left, right],
                               atol=1e-9)  # fmt: skip
    assert "kink at" in str(report)
    assert all(each.index == (0,) or name == "max" for each in report.kinks)


def test_the_convention_of_a_kink_is_quoted():
    report = check_gradients(RELU, 0.0)
    assert "the derivative at 0 is taken as 0" in report.kinks[0].convention


def test_a_wrong_rule_at_a_kink_is_still_wrong():
    steep = unary(
        lambda xp, x: xp.maximum(x, 0 * x), lambda y, x: CAST(x >= 0.0, dtype=x.dtype) * 2.0
    )
    assert not check_gradients(steep, 0.0).ok


def test_a_jump_is_a_kink():
    report = check_gradients(FLOOR, np.array([2.0, 2.5]))
    assert report.ok
    assert (report.kinks[0].left, report.kinks[0].right) == (np.inf, 0.0)


def test_an_infinite_derivative_fails():
    report = check_gradients(SQRT, 0.0)
    assert not report.ok
    json.dumps(report.to_dict(), allow_nan=False)


def test_inputs_are_not_changed():
    x = X.copy()
    x.flags.writeable = False
    check_gradients(lambda x: total(SIN(x)), x)
    np.testing.assert_array_equal(x, X)
    w = bl.param(X)
    loss = total(SIN(w))
    loss.backward()
    before = (w.value.copy(), w.grad.copy())
    check_loss(loss, {"w": w})
    np.testing.assert_array_equal(w.value, before[0])
    np.testing.assert_array_equal(w.grad, before[1])


def test_integer_arguments_are_left_alone():
    report = check_gradients(lambda x, n: x[n] * 2.0, np.array([1.0, 2.0]), 1)
    assert report.ok and report.total == 2


def test_argnums():
    f = lambda x, y: total(x * y)  # noqa: E731
    assert check_gradients(f, X, Y, argnums=1).total == 9
    assert {each.argument for each in check_gradients(f, X, Y, argnums=-1).comparisons} == {"y"}


def test_mistakes():
    with pytest.raises(UsageError, match="argnums"):
        check_gradients(SIN, 1.0, argnums=1)
    with pytest.raises(UsageError, match="order"):
        check_gradients(SIN, 1.0, order=3)
    with pytest.raises(GradientError, match=r"2\.0 instead of 2"):
        check_gradients(lambda x: x * 1.0, 2)
    with pytest.raises(GradientError, match="floating-point result"):
        check_gradients(lambda x: x > 0.0, 2.0)
    calls = iter(range(100))
    with pytest.raises(GradientError, match="different results"):
        check_gradients(lambda x: x * float(next(calls)), 2.0)


def test_a_recorded_float32_loss_is_checked_in_float64():
    w = bl.param(X.astype(np.float32), dtype=np.float32)
    b = bl.param(Y[0].astype(np.float32), dtype=np.float32)
    x = bl.tensor(RNG.normal(size=(5, 3)).astype(np.float32))
    loss = total(TANH(x @ w + b) ** 2.0)
    report = check_loss(loss, {"w": w, "b": b})
    assert report.ok, str(report)
    assert report.total == 12 and report.max_relative_error < 1e-6
    wrong = total(sin_with(lambda y, x: 1.001 * COS(x))(x @ w + b))
    assert not check_loss(wrong, {"w": w}).ok
    with pytest.raises(GradientError, match="floating-point parameters"):
        check_loss(loss, {})


def test_the_report_as_json():
    report = check_gradients(lambda x: total(ABS(x)), np.array([0.0, 2.0]))
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (data["schema"], data["version"]) == ("backlight.gradient_report", 1)
    assert data["ok"] is True and data["checked"] == 2
    assert data["kinks"][0]["left"] == pytest.approx(-1)
    assert data["comparisons"][0]["index"] == [0]


# ── numerical derivatives ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("f", "slope", "x"),
    [(np.exp, np.exp, 1.0), (np.sin, np.cos, 3.0), (np.log, lambda x: 1 / x, 0.1)],
)
def test_differences_are_within_their_own_error(f, slope, x):
    line = lambda t: np.array([f(x + t)])  # noqa: E731
    for found in (
        central(line, [0.05 * x], np.zeros(1)),
        one_sided(line, [0.01 * x], np.zeros(1), 1),
        one_sided(line, [0.01 * x], np.zeros(1), -1),
    ):
        assert abs(found.value[0] - slope(x)) <= found.error[0]
        assert found.error[0] < 1e-6 * abs(slope(x))


def test_noise_is_seen_and_smoothness_is_not_noise():
    random = np.random.default_rng(0)
    noisy = lambda t: np.array([np.sin(t) + 1e-6 * random.standard_normal(), np.sin(t)])  # noqa: E731
    noise = noise_level(noisy, 1e-7)
    assert 1e-7 < noise[0] < 1e-5
    assert noise[1] < 1e-15


def test_a_contraction_of_a_tensor_with_itself():
    f = lambda x: CONTRACT(x, x, left=(0, 1), right=(0, 1), result=())  # noqa: E731
    assert check_gradients(f, X, order=2).ok


def test_a_point_outside_the_domain_is_called_that_and_not_rough():
    report = bl.check_gradients(bl.log, -1.0)
    assert not report.ok
    assert "not finite there or right beside it; choose a point inside its domain" in str(report)
    assert "too rough" not in str(report)
