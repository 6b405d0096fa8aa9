"""Linear, Dropout and Flatten: values, gradients, starting weights and complaints."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

import backlight as bl
from backlight.errors import DtypeError, ShapeError, UnknownNameError, UsageError
from backlight.nn import Dropout, Flatten, Linear, ReLU, Sequential, init, running

W = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])
B = np.array([0.25, -0.5])


def line(**options):
    layer = Linear(3, 2, init=W, dtype="float64", **options)
    if layer.bias is not None:
        layer.bias.assign(B)
    return layer


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3), (2, 5, 3), (0, 3), (2, 0, 3)])
def test_linear_is_x_times_w_transposed_plus_b(shape):
    x = np.random.default_rng(0).normal(size=shape)
    y = line()(x)
    assert y.shape == (*shape[:-1], 2)
    assert np.allclose(y.value, x @ W.T + B, rtol=1e-14, atol=0)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3)])
def test_gradients_of_linear(shape):
    rng = np.random.default_rng(1)
    x, seed = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 2))
    layer = line()
    data = bl.param(x)
    layer(data).backward(seed)
    rows, upstream = x.reshape(-1, 3), seed.reshape(-1, 2)
    assert np.allclose(layer.weight.grad, upstream.T @ rows, rtol=1e-13)
    assert np.allclose(layer.bias.grad, upstream.sum(0), rtol=1e-13)
    assert np.allclose(data.grad, seed @ W, rtol=1e-13)


def test_linear_without_bias():
    layer = line(bias=False)
    assert layer.bias is None and list(layer.parameters()) == ["weight"]
    assert np.allclose(layer([1.0, 1.0, 1.0]).value, W.sum(1))


def test_promotion_is_that_of_the_standard():
    assert Linear(3, 2)(np.zeros((1, 3), np.float32)).dtype == np.float32
    assert Linear(3, 2)(np.zeros((1, 3))).dtype == np.float64
    assert Linear(3, 2, dtype="float64")(np.zeros((1, 3), np.float32)).dtype == np.float64


def test_a_wrong_width_is_reported_with_the_layer_and_both_numbers():
    net = Sequential(Linear(4, 3), ReLU(), Linear(5, 2), seed=0)
    with pytest.raises(ShapeError, match=r"layers\.2 \(Linear\) takes 5 .* given 3 .*\(7, 3\)"):
        net(np.zeros((7, 4)))
    with pytest.raises(ShapeError, match="Linear takes 3 .* a single number"):
        line()(1.0)


def test_integers_are_not_mixed_in_silently():
    with pytest.raises(DtypeError, match="floating-point input, not int64"):
        line()([[1, 2, 3]])


@pytest.mark.parametrize("sizes", [(0, 2), (3, -1), (2.5, 2), ("3", 2)])
def test_sizes_are_positive_integers(sizes):
    with pytest.raises(UsageError, match="positive number of"):
        Linear(*sizes)


def test_initial_weights_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"shape \(2, 3\) \(outputs, inputs\), not \(3, 2\)"):
        Linear(3, 2, init=W.T)
    with pytest.raises(ShapeError, match="outputs, inputs"):
        Linear(3, 2, init=lambda shape, seed, stream, dtype: np.zeros(3))
    with pytest.raises(UnknownNameError, match="he_normal"):
        Linear(3, 2, init="hee")
    with pytest.raises(DtypeError, match="real numbers"):
        Linear(3, 2, init=np.full((2, 3), 1j))
    with pytest.raises(DtypeError, match="float32 or float64"):
        Linear(3, 2, dtype="int64")


def test_ways_to_say_how_the_weight_starts():
    expected = init.he_normal((2, 3), 5, zlib.crc32(b"linear 2 3"))
    assert np.array_equal(Linear(3, 2, init="he_normal", seed=5).weight.value, expected)
    assert np.array_equal(Linear(3, 2, init=init.he_normal, seed=5).weight.value, expected)
    given = Linear(3, 2, init=bl.tensor(W))
    assert np.array_equal(given.weight.value, W.astype(np.float32))


def test_seeds_reproduce_and_differ():
    again, same, other = Linear(8, 8, seed=1), Linear(8, 8, seed=1), Linear(8, 8, seed=2)
    assert np.array_equal(again.weight.value, same.weight.value)
    assert not np.array_equal(again.weight.value, other.weight.value)
    assert np.abs(Linear(8, 8).weight.value).max() <= np.sqrt(6 / 16)
    assert not Linear(8, 8).bias.value.any()


# ── dropout ──────────────────────────────────────────────────────────────────────────────────────


def test_dropout_passes_its_input_on_in_evaluation():
    x = bl.tensor([1.0, 2.0])
    assert Dropout(0.5)(x) is x
    with running(training=True, seed=0):
        assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_drops_the_share_p_and_keeps_the_mean(p, dtype):
    count = 40_000
    x = bl.param(np.ones(count, dtype))
    with running(training=True, seed=1, step=7):
        y = Dropout(p)(x)
    assert y.dtype == dtype
    dropped = np.mean(y.value == 0)
    assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / count)
    kept = y.value[y.value != 0]
    assert np.allclose(kept, 1 / (1 - p), rtol=1e-6)
    y.backward(np.ones(count, dtype))
    assert np.array_equal(x.grad, y.value)  # of ones: the gradient meets the same mask


def masks(net, seed=0, step=0):
    with running(training=True, seed=seed, step=step):
        return net(np.ones(64)).value != 0


def test_masks_depend_on_seed_step_and_place_and_on_nothing_else():
    net = Sequential(Dropout(0.5))
    base = masks(net)
    assert np.array_equal(base, masks(net))
    assert not np.array_equal(base, masks(net, seed=1))
    assert not np.array_equal(base, masks(net, step=1))
    assert not np.array_equal(base, masks(Sequential(lambda x: x, Dropout(0.5))))


def test_two_dropouts_and_two_uses_have_masks_of_their_own():
    shared = Dropout(0.5)
    with running(training=True, seed=0):
        first, second = shared(np.ones(64)).value, shared(np.ones(64)).value
    assert not np.array_equal(first, second)
    with running(training=True, seed=0):
        assert np.array_equal(shared(np.ones(64)).value, first)


def test_dropout_needs_a_seed_and_a_sensible_chance():
    with pytest.raises(UsageError, match="needs a seed"), running(training=True):
        Dropout(0.5)([1.0])
    for p in (1.0, -0.1, float("nan")):
        with pytest.raises(UsageError, match="0 ≤ p < 1"):
            Dropout(p)
    with pytest.raises(DtypeError, match="Dropout takes a floating"):
        Dropout(0.5)([1, 2])


# ── flatten ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("start", "shape", "result"),
    [
        (1, (5, 2, 3), (5, 6)),
        (1, (5, 4), (5, 4)),
        (0, (2, 3), (6,)),
        (2, (5, 2, 3, 1), (5, 2, 3)),
        (1, (0, 2, 3), (0, 6)),
    ],
)
def test_flatten(start, shape, result):
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    y = Flatten(start)(x)
    assert y.shape == result
    assert np.array_equal(y.value.reshape(-1), x.reshape(-1))


def test_flatten_complains():
    with pytest.raises(ShapeError, match=r"start_axis=0"):
        Flatten()([1.0, 2.0])
    with pytest.raises(UsageError, match="from the front"):
        Flatten(-1)
