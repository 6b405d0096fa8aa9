"""Activations against SciPy, PyTorch and hand computation, at ordinary and extreme points."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

import backlight as bl
from backlight import nn
from backlight.differentiate.reverse import sweep
from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.tensor import literal

POINTS = np.array([-30.0, -5.0, -1.3, -1e-3, 0.0, 1e-3, 0.7, 2.0, 8.0, 30.0])
EXTREMES = np.array([-1e4, -800.0, -100.0, 100.0, 800.0, 1e4])

VALUES = {
    nn.relu: lambda x: np.maximum(x, 0),
    nn.sigmoid: scipy.special.expit,
    nn.tanh: np.tanh,
    nn.leaky_relu: lambda x: np.where(x > 0, x, 0.01 * x),
    nn.elu: lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    nn.gelu: lambda x: x * scipy.special.ndtr(x),
    nn.silu: lambda x: x * scipy.special.expit(x),
    nn.softplus: lambda x: np.logaddexp(x, 0),
}
SLOPES = {
    nn.relu: lambda x: (x > 0) * 1.0,
    nn.sigmoid: lambda x: scipy.special.expit(x) * scipy.special.expit(-x),
    nn.tanh: lambda x: np.cosh(np.clip(x, -300, 300)) ** -2.0,
    nn.leaky_relu: lambda x: np.where(x > 0, 1.0, 0.01),
    nn.elu: lambda x: np.exp(np.minimum(x, 0)),
    nn.gelu: lambda x: scipy.special.ndtr(x) + x * scipy.stats.norm.pdf(x),
    nn.silu: lambda x: scipy.special.expit(x) * (1 + x * scipy.special.expit(-x)),
    nn.softplus: scipy.special.expit,
}
BY_TORCH = {
    nn.relu: "relu",
    nn.sigmoid: "sigmoid",
    nn.tanh: "tanh",
    nn.leaky_relu: "leaky_relu",
    nn.elu: "elu",
    nn.gelu: "gelu",
    nn.silu: "silu",
    nn.softplus: "softplus",
    nn.softmax: "softmax",
    nn.log_softmax: "log_softmax",
}


def gradient(function, x, seed=None, **options):
    leaf = bl.param(x)
    result = function(leaf, **options)
    result.backward(np.ones(result.shape, result.dtype) if seed is None else seed)
    return leaf.grad


@pytest.mark.parametrize("function", VALUES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("points", [POINTS, EXTREMES], ids=["ordinary", "extreme"])
def test_values_and_slopes(function, points):
    # 1 − tanh², σ(1 − σ) and 1 + erf cancel near their ends: an absolute part is needed there.
    assert np.allclose(function(points).value, VALUES[function](points), rtol=1e-13, atol=1e-14)
    slopes = gradient(function, points)
    assert np.allclose(slopes, SLOPES[function](points), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("function", BY_TORCH, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_agrees(function, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(4, 5)), rng.normal(size=(2, 5)) * 50]).astype(dtype)
    x[0, 0] = 0.0
    seed = rng.normal(size=x.shape).astype(dtype)
    theirs = torch.tensor(x, requires_grad=True)
    options = {"dim": -1} if "softmax" in function.__name__ else {}
    expected = getattr(torch.nn.functional, BY_TORCH[function])(theirs, **options)
    expected.backward(torch.tensor(seed))
    tolerance = {"rtol": 2e-5, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-7, "atol": 1e-8}
    # PyTorch's softplus is a straight line beyond 20, which the absolute part allows for.
    assert np.allclose(function(x).value, expected.detach().numpy(), **tolerance)
    assert np.allclose(gradient(function, x, seed), theirs.grad.numpy(), **tolerance)


@pytest.mark.parametrize(
    ("function", "options", "value", "slope"),
    [
        (nn.relu, {}, 0.0, 0.0),
        (nn.leaky_relu, {"slope": 0.2}, 0.0, 0.2),
        (nn.elu, {}, 0.0, 1.0),
        (nn.elu, {"alpha": 0.5}, 0.0, 0.75),
        (nn.gelu, {}, 0.0, 0.5),
        (nn.gelu, {"approximate": "tanh"}, 0.0, 0.5),
        (nn.silu, {}, 0.0, 0.5),
        (nn.softplus, {}, np.log(2), 0.5),
        (nn.sigmoid, {}, 0.5, 0.25),
        (nn.tanh, {}, 0.0, 1.0),
    ],
)
def test_at_zero(function, options, value, slope):
    assert float(function(0.0, **options)) == pytest.approx(value, rel=1e-15)
    assert float(gradient(function, 0.0, **options)) == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (nn.relu, 0.0, np.inf),
        (nn.leaky_relu, -np.inf, np.inf),
        (nn.elu, -1.0, np.inf),
        (nn.sigmoid, 0.0, 1.0),
        (nn.tanh, -1.0, 1.0),
        (nn.softplus, 0.0, np.inf),
    ],
    ids=lambda f: getattr(f, "__name__", ""),
)
def test_at_infinity(function, low, high):
    assert function([-np.inf, np.inf]).value.tolist() == [low, high]


def test_gelu_with_the_approximation_of_the_paper():
    x = POINTS
    expected = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    assert np.allclose(nn.gelu(x, approximate="tanh").value, expected, rtol=1e-13, atol=1e-15)
    assert np.allclose(expected, nn.gelu(x).value, atol=1e-3)
    with pytest.raises(UsageError, match="'sigmoid'"):
        nn.gelu(x, approximate="sigmoid")


def test_options():
    assert nn.leaky_relu([-2.0], slope=0.3).value.tolist() == [-0.6]
    assert np.allclose(nn.elu([-1.0], alpha=2.0).value, 2 * np.expm1(-1))


def test_second_derivatives():
    for function, second in {
        nn.sigmoid: lambda s: s * (1 - s) * (1 - 2 * s),
        nn.softplus: lambda s: s * (1 - s),
    }.items():
        x = bl.param(np.array([-1.0, 0.5]))
        y = function(x)
        first = sweep([y], [literal(np.ones(2))], [x]).gradient(x)
        assert first is not None
        twice = sweep([first], [literal(np.ones(2))], [x]).gradient(x)
        assert np.allclose(twice.value, second(scipy.special.expit(x.value)), rtol=1e-12)


# ── softmax ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_softmax_along_any_axis(axis):
    x = np.random.default_rng(5).normal(size=(3, 4)) * 10
    assert np.allclose(nn.softmax(x, axis=axis).value, scipy.special.softmax(x, axis=axis))
    assert np.allclose(nn.log_softmax(x, axis=axis).value, scipy.special.log_softmax(x, axis=axis))
    assert np.allclose(nn.softmax(x, axis=axis).value.sum(axis), 1)


def test_softmax_does_not_change_under_a_shift_and_neither_does_its_gradient():
    x = np.array([1.0, 2.0, 4.0])
    seed = np.array([1.0, -2.0, 0.5])
    p = scipy.special.softmax(x)
    expected = p * (seed - p @ seed)
    for shift in (0.0, 1e4, -1e4):
        assert np.allclose(nn.softmax(x + shift).value, p, rtol=1e-10)
        assert np.allclose(gradient(nn.softmax, x + shift, seed), expected, rtol=1e-10)


def test_softmax_with_ties_at_the_maximum():
    seed = np.array([1.0, 0.0])
    assert gradient(nn.softmax, np.array([3.0, 3.0]), seed).tolist() == [0.25, -0.25]
    assert gradient(nn.log_softmax, np.array([3.0, 3.0]), seed).tolist() == [0.5, -0.5]


def test_log_softmax_is_exact_where_softmax_vanishes():
    x = np.array([0.0, 2000.0])
    assert nn.log_softmax(x).value.tolist() == [-2000.0, 0.0]
    assert gradient(nn.log_softmax, x, np.array([1.0, 0.0])).tolist() == [1.0, -1.0]


def test_masked_scores_get_no_share():
    assert nn.softmax([0.0, -np.inf, 0.0]).value.tolist() == [0.5, 0.0, 0.5]


def test_softmax_complains():
    with pytest.raises(ShapeError, match="axis 2"):
        nn.softmax([[1.0]], axis=2)
    with pytest.raises(ShapeError, match="no entries along axis"):
        nn.softmax(np.zeros((2, 0)))
    with pytest.raises(UsageError, match="one axis"):
        nn.softmax([[1.0]], axis=(0, 1))
    with pytest.raises(ShapeError, match="no axes"):
        nn.softmax(1.0)


@pytest.mark.parametrize("function", BY_TORCH, ids=lambda f: f.__name__)
def test_integers_are_refused(function):
    with pytest.raises(DtypeError, match=function.__name__):
        function([1, 2])
