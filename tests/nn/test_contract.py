"""What every layer, activation and loss must do, found by reflection rather than listed."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import backlight as bl
from backlight import nn
from backlight.nn import activations, losses
from backlight.trace import capture, rebuild

FUNCTIONS = [
    getattr(activations, name)
    for name in activations.__all__
    if inspect.isfunction(getattr(activations, name))
]
MODULES = [
    each
    for each in map(nn.__dict__.get, nn.__all__)
    if inspect.isclass(each) and issubclass(each, nn.Module) and each is not nn.Module
]
LOSSES = [getattr(losses, name) for name in losses.__all__]
DTYPES = ["float32", "float64"]
BY_CLASS = (nn.cross_entropy, nn.nll)


def build(kind, dtype):
    """A module of a kind that takes an input of shape (n, 3)."""
    if kind is nn.Linear:
        return nn.Linear(3, 4, dtype=dtype, seed=0)
    if kind is nn.Sequential:
        return nn.Sequential(
            nn.Linear(3, 5, dtype=dtype), nn.ReLU(), nn.Linear(5, 2, dtype=dtype), seed=0
        )
    return kind()


def data(dtype, rows=4):
    return np.random.default_rng(2).normal(size=(rows, 3)).astype(dtype)


def loss_arguments(loss, dtype, rows=4):
    p = data(dtype, rows)
    if loss in BY_CLASS:
        return p, np.arange(rows) % 3
    if loss is nn.binary_cross_entropy:
        return (1 / (1 + np.exp(-p))).astype(dtype), (p > 0).astype(dtype)
    return p, data(dtype, rows)[::-1] > 0


def test_every_activation_function_has_its_module():
    """By name: softmax and Softmax, leaky_relu and LeakyReLU."""
    functions = {each.__name__.replace("_", "") for each in FUNCTIONS}
    modules = {each.__name__.lower() for each in MODULES}
    assert functions <= modules
    assert functions == modules - {"linear", "sequential", "dropout", "flatten"}


def test_everything_public_is_exported_and_documented():
    for name in (*activations.__all__, *losses.__all__):
        assert getattr(nn, name).__doc__, name
        assert name in nn.__all__
    assert len(set(nn.__all__)) == len(nn.__all__)
    assert all(hasattr(nn, name) for name in nn.__all__)


# ── modules and activations ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MODULES, ids=lambda k: k.__name__)
def test_a_module_keeps_the_dtype_and_takes_no_rows(kind, dtype):
    net = build(kind, dtype)
    assert net(data(dtype)).dtype == dtype
    empty = net(np.zeros((0, 3), dtype))
    assert empty.shape == (0, *net(data(dtype)).shape[1:]) and empty.dtype == dtype


def run_graph(graph, leaves):
    """The value of a traced function's one result on given leaves."""
    (output,) = graph.outputs
    return rebuild(graph, leaves)[output].value


@pytest.mark.parametrize("kind", MODULES, ids=lambda k: k.__name__)
def test_a_module_is_traced_as_it_runs(kind):
    net = build(kind, "float64")

    def run(x, seed, step):
        with nn.running(training=True, seed=seed, step=step):
            return net(x)

    leaves = [bl.tensor(data("float64")), bl.tensor(1), bl.tensor(2)]
    graph = bl.trace(run, np.zeros((4, 3)), 0, 0)
    assert np.array_equal(run_graph(graph, leaves), run(*leaves).value)


@pytest.mark.parametrize("kind", MODULES, ids=lambda k: k.__name__)
def test_a_module_shows_itself_and_can_be_described(kind):
    net = build(kind, "float32")
    assert kind.__name__ in repr(net)
    chain = nn.Sequential(net)
    assert nn.from_dict(chain.to_dict()).to_dict() == chain.to_dict()


@pytest.mark.parametrize("kind", MODULES, ids=lambda k: k.__name__)
def test_calling_a_module_changes_nothing(kind):
    net = build(kind, "float64")
    x = data("float64")
    kept, before = x.copy(), nn.state(net)
    first, second = net(x).value, net(x).value
    assert np.array_equal(x, kept) and np.array_equal(first, second)
    assert all(np.array_equal(nn.state(net)[name], each) for name, each in before.items())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_gradients_of_activations_are_finite_far_out(function, dtype):
    x = bl.param(np.array([-1e4, -88.0, -1e-30, 0.0, 1e-30, 88.0, 1e4], dtype))
    y = function(x)
    y.backward(np.ones(7, dtype))
    assert np.isfinite(y.value).all() and np.isfinite(x.grad).all()
    assert y.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_gradients_of_activations_by_differences(function):
    x, seed, step = data("float64"), np.random.default_rng(1).normal(size=(4, 3)), 1e-6
    leaf = bl.param(x)
    function(leaf).backward(seed)
    for index in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[index] = step
        up, down = function(x + moved).value, function(x - moved).value
        numeric = ((up - down) * seed).sum() / (2 * step)
        assert leaf.grad[index] == pytest.approx(numeric, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_composites_are_recorded_under_their_name(function):
    graph, _ = capture([function(data("float64"))])
    inner = [node for node in graph.nodes if node.inputs]
    if len(inner) > 1:
        assert all(node.scope.chain()[0].name == function.__name__ for node in inner)


# ── losses ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_a_loss_is_a_scalar_of_the_predictions_dtype(loss, dtype):
    p, t = loss_arguments(loss, dtype)
    leaf = bl.param(p)
    value = loss(leaf, t)
    assert value.shape == () and value.dtype == dtype
    value.backward()
    assert leaf.grad.shape == p.shape and leaf.grad.dtype == dtype
    assert np.isfinite(leaf.grad).all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_every_loss_has_the_same_options(loss):
    options = inspect.signature(loss).parameters
    names = list(options)
    assert names[:2] == ["prediction", "target"]
    assert options["weights"].default is None
    assert options["reduction"].default == ("sum" if loss is nn.squared_error else "mean")
    assert all(options[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names[2:])


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_a_loss_is_traced_as_it_runs_and_is_one_composite(loss):
    p, t = map(bl.tensor, loss_arguments(loss, "float64"))
    w = bl.tensor(np.arange(1.0, 5.0))

    def run(p, t, w):
        return loss(p, t, weights=w)

    graph = bl.trace(run, p, t, w)
    assert np.array_equal(run_graph(graph, [p, t, w]), run(p, t, w).value)
    for node in graph.nodes:
        if node.inputs:
            assert node.scope.chain()[0].name == loss.__name__
            assert node.scope.chain()[0].kind == "composite"


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_a_loss_of_one_example_without_a_batch_axis(loss):
    p, t = loss_arguments(loss, "float64")
    single = loss(p[1], t[1], reduction="sum")
    batch = loss(p[1:2], t[1:2], reduction="sum")
    assert float(single) == pytest.approx(float(batch), rel=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_losses_and_their_gradients_are_finite_far_out(loss, dtype):
    far = np.array([[-1e4, 0.0, 1e4], [1e4, 1e4, -1e4], [0.0, 0.0, 0.0]], dtype)
    t = np.array([0, 2, 1]) if loss in BY_CLASS else np.array([[1, 0, 0], [0, 1, 1], [0, 1, 0]])
    if loss is nn.binary_cross_entropy:
        far = np.array([[1e-6, 0.0, 1 - 1e-6], [0.0, 1.0, 1e-6], [0.5, 0.5, 0.5]], dtype)
    leaf = bl.param(far)
    value = loss(leaf, t)
    value.backward()
    assert np.isfinite(value.value) and np.isfinite(leaf.grad).all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_gradients_of_losses_by_differences(loss):
    p, t = loss_arguments(loss, "float64")
    w, step = np.array([1.0, 2.0, 0.5, 1.0]), 1e-6
    leaf = bl.param(p)
    loss(leaf, t, weights=w).backward()
    for index in np.ndindex(p.shape):
        moved = np.zeros_like(p)
        moved[index] = step
        up, down = loss(p + moved, t, weights=w), loss(p - moved, t, weights=w)
        numeric = (float(up) - float(down)) / (2 * step)
        assert leaf.grad[index] == pytest.approx(numeric, rel=1e-6, abs=1e-8)
