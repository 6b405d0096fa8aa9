"""Transforms against formulas derived by hand, nested in many ways, and against torch.func."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.differentiate.transforms import (
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    per_example_grad,
    value_and_grad,
    vjp,
)
from backlight.errors import (
    DtypeError,
    GradientError,
    ShapeError,
    TracedValueError,
    UsageError,
)
from backlight.graph.check import check
from backlight.ops.exponential import EXP, LOG, SIGMOID
from backlight.ops.index import GATHER
from backlight.ops.move import CONCAT
from backlight.ops.piecewise import RELU
from backlight.ops.reduce import SUM
from backlight.ops.trigonometric import SIN, TANH
from backlight.trace import rebuild

RNG = np.random.default_rng(11)


def total(x):
    return SUM(x, axes=tuple(range(x.ndim)))


def test_grad_of_a_polynomial_to_every_order():
    f = lambda x: x**5.0  # noqa: E731
    expected = [5 * 2**4, 20 * 2**3, 60 * 2**2, 120 * 2, 120, 0]
    for value in expected:
        f = grad(f)
        assert f(2.0).value == value


def test_arguments_may_be_floats_arrays_and_tensors():
    f = lambda x: total(x * x)  # noqa: E731
    assert grad(f)(3.0).value == 6
    assert grad(f)(np.array([3.0, 1.0])).value.tolist() == [6, 2]
    assert grad(f)(bl.tensor([3.0, 1.0])).value.tolist() == [6, 2]
    assert grad(f)(bl.param([3.0, 1.0])).value.tolist() == [6, 2]
    single = grad(f)(np.array([3.0, 1.0], np.float32))
    assert single.dtype == np.float32


def test_nested_containers_come_back_as_they_were():
    parameters = {"layers": [(1.0, 2.0), (3.0, np.array([1.0, 2.0]))], "scale": 4.0}

    def f(p):
        (a, b), (c, d) = p["layers"]
        return (a * b + c * total(d)) * p["scale"]

    value, gradient = value_and_grad(f)(parameters)
    assert value.value == 44
    assert gradient["scale"].value == 11
    assert isinstance(gradient["layers"][0], tuple)
    assert [each.value.tolist() for each in gradient["layers"][0]] == [8, 4]
    assert gradient["layers"][1][1].value.tolist() == [12, 12]


def test_argnums_chooses_arguments():
    f = lambda x, y, z: x * y**2.0 + z  # noqa: E731
    assert grad(f, 1)(3.0, 5.0, 1.0).value == 30
    assert grad(f, -3)(3.0, 5.0, 1.0).value == 25
    pair = grad(f, (2, 0))(3.0, 5.0, 1.0)
    assert [each.value for each in pair] == [1, 25]


@pytest.mark.parametrize("argnums", [3, -4, (0, 0), (), True, "x", (0, 7)])
def test_bad_argnums(argnums):
    with pytest.raises(UsageError, match="argnums"):
        grad(lambda x, y, z: x, argnums)(1.0, 2.0, 3.0)


def test_keyword_arguments_pass_through():
    f = lambda x, *, power: x**power  # noqa: E731
    assert grad(f)(3.0, power=2.0).value == 6


def test_what_the_result_does_not_depend_on_has_gradient_zero():
    gradient = grad(lambda x, y: x * 2.0, (0, 1))(1.0, np.array([1.0, 2.0]))
    assert gradient[1].value.tolist() == [0, 0]


@pytest.mark.parametrize("value", [1, True, np.array([1, 2]), np.array([True])])
def test_integers_are_refused(value):
    with pytest.raises(GradientError, match="floating-point"):
        grad(lambda x: x)(value)


def test_a_result_that_is_no_scalar_is_refused():
    with pytest.raises(GradientError, match="scalar"):
        grad(lambda x: x * x)(np.array([1.0, 2.0]))
    with pytest.raises(GradientError, match="scalar"):
        grad(lambda x: (x, x))(1.0)
    with pytest.raises(GradientError, match="floating"):
        grad(lambda x: x > 0.0)(1.0)


def test_perturbations_are_not_confused():
    # d/dx [x · d/dy (x + y)] = 1, not 2 (Siskind and Pearlmutter 2005)
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0).value == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(3.0).value == 6
    inner = lambda x: jvp(lambda y: x + y, 1.0, 1.0)[1]  # noqa: E731
    assert jvp(lambda x: x * inner(x), 1.0, 1.0)[1].value == 1


def test_differentiating_with_respect_to_the_same_tensor_twice_keeps_the_arguments_apart():
    x = bl.tensor(3.0)
    a, b = grad(lambda a, b: a * a * b, (0, 1))(x, x)
    assert (a.value, b.value) == (18, 9)


def test_vjp_and_jvp_carry_containers():
    def f(p, q):
        return {"s": p["a"] + q, "m": p["a"] * q}

    value, pullback = vjp(f, {"a": 2.0}, 5.0)
    assert (value["s"].value, value["m"].value) == (7, 10)
    first, second = pullback({"s": 1.0, "m": 10.0})
    assert (first["a"].value, second.value) == (51, 21)
    value, tangent = jvp(f, ({"a": 2.0}, 5.0), ({"a": 1.0}, 0.5))
    assert (tangent["s"].value, tangent["m"].value) == (1.5, 6)


def test_seeds_and_tangents_must_fit():
    _, pullback = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    with pytest.raises(ShapeError, match="seed"):
        pullback(1.0)
    with pytest.raises(UsageError, match="nested"):
        pullback([1.0, 1.0])
    with pytest.raises(ShapeError, match="tangent"):
        jvp(lambda x: x, np.array([1.0, 2.0]), 1.0)
    with pytest.raises(UsageError, match="nested"):
        jvp(lambda x, y: x, (1.0, 2.0), 1.0)


def wide(x):  # 2 -> 6
    return CONCAT(SIN(x), x**3.0, EXP(x) * total(x), axis=0)


def narrow(x):  # 6 -> 2
    return SIN(x[:2]) * total(x * x)


def test_jacobian_of_a_wide_and_of_a_narrow_function():
    x = np.array([0.3, -0.7])
    expected = np.concatenate(
        [np.diag(np.cos(x)), np.diag(3 * x**2), np.diag(np.exp(x) * x.sum()) + np.exp(x)[:, None]]
    )
    np.testing.assert_allclose(jacobian(wide)(x).value, expected, rtol=1e-14)
    x = RNG.normal(size=6)
    expected = 2 * np.sin(x[:2])[:, None] * x[None]
    expected[:, :2] += np.diag(np.cos(x[:2]) * (x @ x))
    np.testing.assert_allclose(jacobian(narrow)(x).value, expected, rtol=1e-13)


def test_jacobian_of_matrices_and_containers():
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))
    by_a, by_b = jacobian(lambda a, b: a @ b, (0, 1))(a, b)
    expected_a = np.einsum("ik,lj->ijkl", np.eye(2), b)
    expected_b = np.einsum("ik,jl->ijkl", a, np.eye(4))
    np.testing.assert_allclose(by_a.value, expected_a)
    np.testing.assert_allclose(by_b.value, expected_b)
    result = jacobian(lambda p: {"y": p["u"] * p["v"], "n": -p["u"]})({"u": 2.0, "v": 3.0})
    assert (result["y"]["u"].value, result["y"]["v"].value) == (3, 2)
    assert (result["n"]["u"].value, result["n"]["v"].value) == (-1, 0)


def test_jacobian_of_an_empty_result_and_argument():
    assert jacobian(lambda x: x[:0])(np.ones(3)).shape == (0, 3)
    assert jacobian(lambda x: x * 2.0)(np.ones((0, 2))).shape == (0, 2, 0, 2)


def quadratic(m):
    return lambda x: total(x * (bl.tensor(m) @ x)) / 2.0


def test_hessian_and_hvp_of_a_quadratic_form():
    m = RNG.normal(size=(5, 5))
    symmetric = (m + m.T) / 2
    x, v = RNG.normal(size=5), RNG.normal(size=5)
    np.testing.assert_allclose(hessian(quadratic(m))(x).value, symmetric, atol=1e-14)
    np.testing.assert_allclose(hvp(quadratic(m), x, v).value, symmetric @ v, rtol=1e-12)


def test_hessian_of_containers_has_all_blocks():
    f = lambda p: p["a"] ** 2.0 * p["b"]  # noqa: E731
    blocks = hessian(f)({"a": 3.0, "b": 5.0})
    assert {(r, c): float(blocks[r][c].value) for r in "ab" for c in "ab"} == {
        ("a", "a"): 10,
        ("a", "b"): 6,
        ("b", "a"): 6,
        ("b", "b"): 0,
    }
    first, second = hvp(lambda a, b: a**2.0 * b, (3.0, 5.0), (1.0, 10.0))
    assert (first.value, second.value) == (70, 6)


def test_transforms_of_transforms():
    f = lambda x: SIN(x[0]) * x[1] ** 3.0  # noqa: E731
    x = np.array([0.4, 1.5])
    s, c = np.sin(0.4), np.cos(0.4)
    second = np.array([[-s * 1.5**3, 3 * c * 1.5**2], [3 * c * 1.5**2, 6 * s * 1.5]])
    for of_gradient in (jacobian(grad(f)), jacobian(lambda x: vjp(f, x)[1](1.0)), hessian(f)):
        np.testing.assert_allclose(of_gradient(x).value, second, rtol=1e-14)
    third = jacobian(hessian(f))(x).value
    np.testing.assert_allclose(third[0, 0], [-c * 1.5**3, -3 * s * 1.5**2], rtol=1e-13)
    np.testing.assert_allclose(third[1, 1], [6 * c * 1.5, 6 * s], rtol=1e-13)
    trace_of = grad(lambda x: total(hessian(f)(x)))(x).value
    np.testing.assert_allclose(trace_of, third.sum((0, 1)), rtol=1e-13)


@pytest.mark.parametrize(
    "transformed",
    [
        grad(lambda x: total(TANH(x) ** 2.0)),
        hessian(lambda x: total(x**3.0)),
        jacobian(lambda x: TANH(x) * total(x)),
        lambda x: jvp(wide, x, x)[1],
        lambda x: vjp(wide, x)[1](np.ones(6)),
        lambda x: hvp(lambda x: total(SIN(x)), x, x),
        lambda x: per_example_grad(lambda w, e: total(w * e) ** 2.0)(x, np.ones((3, 2))),
    ],
)
def test_a_traced_transform_gives_the_same_values(transformed):
    x = np.array([0.3, -0.7])
    graph = check(bl.trace(transformed, x))
    rebuilt = rebuild(graph, [bl.tensor(x)])
    (output,) = graph.outputs
    np.testing.assert_allclose(rebuilt[output].value, transformed(x).value, rtol=1e-14)


def test_names_and_errors_of_the_transformed_function_are_the_users():
    def loss(w):
        return w * w

    assert str(bl.trace(grad(loss), 1.0)).startswith("graph(w: float64[])")


# ── per-example gradients ────────────────────────────────────────────────────────────────────────


def network_loss(p, x, label):
    h = TANH(p["w1"] @ x + p["b1"])
    z = p["w2"] @ h
    shifted = z - bl.tensor(2.0)
    return LOG(total(EXP(shifted))) - GATHER(shifted, label, axis=0)


def network():
    return {
        "w1": RNG.normal(size=(4, 3)),
        "b1": RNG.normal(size=4),
        "w2": RNG.normal(size=(2, 4)),
    }


def test_per_example_gradients_equal_a_loop():
    p, x, y = network(), RNG.normal(size=(7, 3)), RNG.integers(0, 2, size=7)
    together = per_example_grad(network_loss)(p, x, y)
    for name, expected in p.items():
        assert together[name].shape == (7, *expected.shape)
    for k in range(7):
        alone = grad(network_loss)(p, x[k], y[k])
        for name in p:
            np.testing.assert_allclose(together[name].value[k], alone[name].value, rtol=1e-12)


def test_per_example_gradients_of_a_product_rule_by_hand():
    w = np.array([2.0, -1.0])
    x, t = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([1.0, 0.0])
    result = per_example_grad(lambda w, x, t: (total(w * x) - t) ** 2.0)(w, x, t)
    expected = 2 * (x @ w - t)[:, None] * x
    np.testing.assert_allclose(result.value, expected)


def test_the_batch_is_one_program_of_a_size_that_does_not_depend_on_it():
    f = per_example_grad(lambda w, x: total(RELU(w @ x)))
    sizes = {len(bl.trace(f, np.ones((2, 3)), np.ones((n, 3)))) for n in (2, 50)}
    assert len(sizes) == 1


def test_examples_must_agree_in_number():
    with pytest.raises(ShapeError, match="different numbers of examples"):
        per_example_grad(lambda w, x, y: w * x * y)(1.0, np.ones(3), np.ones(4))


def test_a_branch_on_an_example_says_why_it_cannot_be():
    with pytest.raises(TracedValueError):
        per_example_grad(lambda w, x: w * x if x > 0.0 else w)(1.0, np.ones(3))


# ── PyTorch ──────────────────────────────────────────────────────────────────────────────────────


def ours(w, x):
    return TANH(x @ w) * SIGMOID(x @ w)


def theirs(torch):
    return lambda w, x: torch.tanh(x @ w) * torch.sigmoid(x @ w)


# Some releases of torch warn of their own deprecated parts when torch.func is first used.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_against_torch_func():
    torch = pytest.importorskip("torch")
    w, x, v = RNG.normal(size=(3, 2)), RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))
    tw, tx, tv = (torch.tensor(each) for each in (w, x, v))
    f, g = ours, theirs(torch)
    torch_sum = lambda w: (g(w, tx) ** 2).sum()  # noqa: E731
    our_sum = lambda w: total(f(w, x_) ** 2.0)  # noqa: E731
    x_ = bl.tensor(x)
    close = {"rtol": 1e-11, "atol": 1e-13}
    np.testing.assert_allclose(
        jacobian(f)(w, x).value, torch.func.jacrev(g)(tw, tx).numpy(), **close
    )
    np.testing.assert_allclose(
        hessian(our_sum)(w).value, torch.func.hessian(torch_sum)(tw).numpy(), **close
    )
    expected = torch.func.jvp(torch.func.grad(torch_sum), (tw,), (tv,))[1]
    np.testing.assert_allclose(hvp(our_sum, w, v).value, expected.numpy(), **close)
    per_example = torch.func.vmap(
        torch.func.grad(lambda w, x: (g(w, x) ** 2).sum()), in_dims=(None, 0)
    )(tw, tx)
    result = per_example_grad(lambda w, x: total(f(w, x) ** 2.0))(w, x)
    np.testing.assert_allclose(result.value, per_example.numpy(), **close)


@pytest.mark.parametrize(
    "transform",
    [
        bl.grad,
        bl.value_and_grad,
        bl.vjp,
        bl.jacobian,
        bl.hessian,
        bl.per_example_grad,
        lambda f: bl.jvp(f, 1.0, 1.0),
        lambda f: bl.hvp(f, 1.0, 1.0),
    ],
)
def test_the_result_of_a_function_in_place_of_the_function_is_refused_at_once(transform):
    w = bl.param(2.0)
    with pytest.raises(UsageError, match=r"takes a function, not Tensor; .* call \.backward\(\)"):
        transform(w * w)
    with pytest.raises(UsageError, match=r"takes a function, not int\.$"):
        transform(3)


def test_an_argument_that_is_no_number_is_named_by_its_type():
    with pytest.raises(DtypeError, match="not NoneType"):
        bl.grad(lambda p: p["a"] ** 2)({"a": 1.0, "b": None})
