"""Losses against PyTorch, SciPy and hand computation, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import backlight as bl
from backlight import nn
from backlight.errors import BacklightWarning, DtypeError, ShapeError, UsageError

RNG = np.random.default_rng(11)
P = RNG.normal(size=(6, 4))
T = RNG.normal(size=(6, 4))
CLASSES = RNG.integers(0, 4, size=6)
SHARES = RNG.dirichlet(np.ones(4), size=6)

ENTRYWISE = {
    nn.squared_error: lambda p, t: (p - t) ** 2,
    nn.mse: lambda p, t: (p - t) ** 2,
    nn.l1: lambda p, t: np.abs(p - t),
    nn.huber: lambda p, t: np.where(np.abs(p - t) <= 1, (p - t) ** 2 / 2, np.abs(p - t) - 0.5),
    nn.binary_cross_entropy: lambda p, t: (
        -(scipy.special.xlogy(t, p) + scipy.special.xlog1py(1 - t, -p))
    ),
    nn.binary_cross_entropy_with_logits: lambda p, t: np.logaddexp(0, p) - p * t,
}


def arguments(loss):
    if loss is nn.binary_cross_entropy:
        return scipy.special.expit(P), scipy.special.expit(T)
    if loss is nn.binary_cross_entropy_with_logits:
        return P, scipy.special.expit(T)
    return P, T


def gradient(loss, prediction, target, **options):
    leaf = bl.param(prediction)
    loss(leaf, target, **options).backward()
    return leaf.grad


@pytest.mark.parametrize("loss", ENTRYWISE, ids=lambda f: f.__name__)
def test_values_reductions_and_weights(loss):
    p, t = arguments(loss)
    each = ENTRYWISE[loss](p, t)
    assert np.allclose(loss(p, t, reduction="none").value, each, rtol=1e-12)
    assert float(loss(p, t, reduction="sum")) == pytest.approx(each.sum(), rel=1e-12)
    assert float(loss(p, t, reduction="mean")) == pytest.approx(each.mean(), rel=1e-12)
    usual = each.sum() if loss is nn.squared_error else each.mean()
    assert float(loss(p, t)) == pytest.approx(usual, rel=1e-12)
    w = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 1.0])
    wide = np.broadcast_to(w[:, None], each.shape)
    weighted = wide * each
    assert np.allclose(loss(p, t, weights=w, reduction="none").value, weighted, rtol=1e-12)
    assert float(loss(p, t, weights=w, reduction="sum")) == pytest.approx(weighted.sum())
    mean = weighted.sum() / wide.sum()
    assert float(loss(p, t, weights=w, reduction="mean")) == pytest.approx(mean)
    assert float(loss(p, t, weights=wide, reduction="mean")) == pytest.approx(mean)


TORCH = {
    nn.squared_error: ("mse_loss", {"reduction": "sum"}),
    nn.mse: ("mse_loss", {}),
    nn.l1: ("l1_loss", {}),
    nn.huber: ("huber_loss", {}),
    nn.binary_cross_entropy: ("binary_cross_entropy", {}),
    nn.binary_cross_entropy_with_logits: ("binary_cross_entropy_with_logits", {}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", TORCH, ids=lambda f: f.__name__)
def test_torch_agrees_entry_by_entry(loss, dtype):
    torch = pytest.importorskip("torch")
    name, options = TORCH[loss]
    p, t = (each.astype(dtype) for each in arguments(loss))
    theirs = torch.tensor(p, requires_grad=True)
    expected = getattr(torch.nn.functional, name)(theirs, torch.tensor(t), **options)
    expected.backward()
    tolerance = 1e-5 if dtype == "float32" else 1e-11
    mine = loss(bl.tensor(p), t)
    assert mine.dtype == dtype
    assert float(mine) == pytest.approx(expected.item(), rel=tolerance)
    assert np.allclose(gradient(loss, p, t), theirs.grad.numpy(), rtol=tolerance, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", [CLASSES, SHARES], ids=["classes", "shares"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_torch_agrees_on_cross_entropy(dtype, target, smoothing, reduction):
    torch = pytest.importorskip("torch")
    p = P.astype(dtype)
    t = target.astype(dtype) if target.dtype.kind == "f" else target
    theirs = torch.tensor(p, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        theirs, torch.tensor(t), label_smoothing=smoothing, reduction=reduction
    )
    expected.backward()
    options = {"label_smoothing": smoothing, "reduction": reduction}
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert float(nn.cross_entropy(p, t, **options)) == pytest.approx(expected.item(), rel=tolerance)
    found = gradient(nn.cross_entropy, p, t, **options)
    assert np.allclose(found, theirs.grad.numpy(), rtol=tolerance, atol=1e-7)


@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 3, 4), (2, 1, 3, 4)])
def test_cross_entropy_and_nll_of_any_number_of_axes(shape):
    x = RNG.normal(size=shape)
    classes = RNG.integers(0, shape[-1], size=shape[:-1])
    logs = scipy.special.log_softmax(x, axis=-1)
    each = -np.take_along_axis(logs, classes[..., None], axis=-1)[..., 0]
    one_hot = np.eye(shape[-1], dtype=np.int64)[classes]
    for target in (classes, one_hot, one_hot.astype(bool), one_hot.astype(float)):
        found = nn.cross_entropy(x, target, reduction="none")
        assert found.shape == shape[:-1]
        assert np.allclose(found.value, each, rtol=1e-12)
    assert np.allclose(nn.nll(logs, classes, reduction="none").value, each)
    assert float(nn.nll(logs, classes)) == pytest.approx(each.mean())
    probabilities = np.exp(logs)
    expected = (probabilities - one_hot) / max(1, classes.size)
    assert np.allclose(gradient(nn.cross_entropy, x, classes), expected, rtol=1e-12, atol=1e-16)


def test_weighted_cross_entropy():
    w = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0])
    each = nn.cross_entropy(P, CLASSES, reduction="none").value
    expected = (w * each).sum() / w.sum()
    assert float(nn.cross_entropy(P, CLASSES, weights=w)) == pytest.approx(expected)
    # An example of weight 2 counts like two of weight 1, and one of weight 0 not at all.
    chosen = [0, 2, 2, 3]
    same = nn.cross_entropy(P[chosen], CLASSES[chosen])
    twice = nn.cross_entropy(P[[0, 1, 2, 3]], CLASSES[:4], weights=w[:4])
    assert float(same) == pytest.approx(float(twice))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "int64", "uint64"])
def test_classes_of_every_integer_dtype(kind):
    # 300 examples of 4 classes: positions in the row of all scores need more than 8 bits.
    x, classes = np.zeros((300, 4), np.float32), np.arange(300) % 4
    x[np.arange(300), classes] = 2.0
    found = nn.cross_entropy(x, classes.astype(kind))
    assert float(found) == pytest.approx(np.log(1 + 3 * np.exp(-2)), rel=1e-6)


@pytest.mark.parametrize("loss", ENTRYWISE, ids=lambda f: f.__name__)
def test_a_single_number_without_axes(loss):
    found = loss(bl.param(0.25), 1.0)
    expected = ENTRYWISE[loss](np.float64(0.25), 1.0)
    assert found.shape == () and float(found) == pytest.approx(float(expected))
    weighted = loss(bl.param(0.25), 1.0, weights=2.0, reduction="sum")
    assert float(weighted) == pytest.approx(2 * float(expected))
    assert float(loss(bl.param(0.25), 1, weights=2.0, reduction="mean")) == pytest.approx(
        float(expected)
    )


# ── edges ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("d", "value", "slope"),
    [(0.0, 0.0, 0.0), (0.5, 0.125, 0.5), (2.0, 2.0, 2.0), (-2.0, 2.0, -2.0), (5.0, 8.0, 2.0),
     (-1e4, 19998.0, -2.0)],
)  # fmt: skip
def test_huber_inside_at_and_outside_delta(d, value, slope):
    leaf = bl.param(d)
    loss = nn.huber(leaf, 0.0, delta=2.0)
    loss.backward()
    assert float(loss) == value and float(leaf.grad) == slope


def test_binary_cross_entropy_counts_zero_times_infinity_as_zero():
    p = bl.param(np.array([0.0, 1.0, 1e-30, 0.25]))
    loss = nn.binary_cross_entropy(p, [0, 1, 0, 0.5], reduction="none")
    middle = -0.5 * (np.log(0.25) + np.log(0.75))
    assert np.allclose(loss.value, [0.0, 0.0, 1e-30, middle], rtol=1e-14)
    loss.backward(np.ones(4))
    # d/dp = (1 − y)/(1 − p) − y/p
    assert np.allclose(p.grad, [1.0, -1.0, 1.0, 0.5 / 0.75 - 0.5 / 0.25], rtol=1e-14)


def test_a_certain_mistake_costs_infinitely_much_and_says_so():
    with pytest.warns(BacklightWarning, match="log"):
        loss = nn.binary_cross_entropy([0.0, 1.0], [1, 0], reduction="none")
    assert loss.value.tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_with_logits_is_exact_far_out(dtype):
    x = np.array([-1e4, -50.0, 0.0, 50.0, 1e4], dtype)
    exact = np.array([1e4, 50.0, np.log(2), np.exp(-50.0), 0.0])
    yes = nn.binary_cross_entropy_with_logits(x, np.ones(5, dtype), reduction="none")
    no = nn.binary_cross_entropy_with_logits(-x, np.zeros(5, dtype), reduction="none")
    assert np.allclose(yes.value, exact, rtol=1e-6 if dtype == "float32" else 1e-14, atol=0)
    assert np.array_equal(yes.value, no.value)
    slopes = gradient(nn.binary_cross_entropy_with_logits, x, np.ones(5, dtype), reduction="sum")
    expected = -scipy.special.expit(-x.astype(np.float64))
    assert np.allclose(slopes, expected, rtol=1e-6, atol=0)
    assert slopes[2] == -0.5


def test_cross_entropy_far_out():
    x = np.array([[1e4, 0.0], [0.0, 1e4]])
    assert nn.cross_entropy(x, [0, 0], reduction="none").value.tolist() == [0.0, 1e4]
    assert gradient(nn.cross_entropy, x, [0, 0], reduction="sum").tolist() == [[0, 0], [-1, 1]]


def test_a_masked_class_costs_nothing_unless_it_is_the_target():
    x = np.array([[0.0, -np.inf, 0.0]])
    assert float(nn.cross_entropy(x, [0])) == pytest.approx(np.log(2))


@pytest.mark.parametrize("loss", [*ENTRYWISE, nn.cross_entropy, nn.nll], ids=lambda f: f.__name__)
def test_no_examples(loss):
    p = np.zeros((0, 3))
    t = np.zeros(0, np.int64) if loss in (nn.cross_entropy, nn.nll) else np.zeros((0, 3))
    assert float(loss(p, t, reduction="sum")) == 0.0
    assert loss(p, t, reduction="none").shape[0] == 0
    with pytest.raises(ShapeError, match="mean over no entries"):
        loss(p, t, reduction="mean")


def test_targets_and_weights_do_not_change_the_dtype_without_need():
    p = P.astype(np.float32)
    assert nn.mse(p, T > 0).dtype == np.float32
    assert nn.mse(p, np.ones(P.shape, int)).dtype == np.float32
    assert nn.mse(p, T.astype(np.float32), weights=np.ones(6)).dtype == np.float32
    assert nn.mse(bl.param(np.float32(1)), 2.0).dtype == np.float32
    assert nn.mse(p, T).dtype == np.float64  # promoted as the standard says


def test_gradients_flow_to_the_target_too():
    t = bl.param(T)
    nn.mse(P, t).backward()
    assert np.allclose(t.grad, 2 * (T - P) / T.size)


# ── complaints ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("loss", ENTRYWISE, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("prediction", "target", "remedy"),
    [
        ((4, 1), (4,), r"bl.reshape\(target, \(4, 1\)\)"),
        ((4,), (4, 1), r"bl.reshape\(target, \(4,\)\)"),
        ((4, 2), (2, 4), "one target for each entry"),
        ((4, 2), (4,), "one target for each entry"),
        ((4, 2), (), r"bl.full\(\(4, 2\)"),
    ],
)
def test_shapes_must_match(loss, prediction, target, remedy):
    with pytest.raises(ShapeError, match=rf"{loss.__name__}: .*{remedy}"):
        loss(np.full(prediction, 0.5), np.full(target, 0.5))


@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.nll], ids=lambda f: f.__name__)
def test_classes_must_fit(loss):
    for wrong in ([0, 4, 1, 1, 1, 1], [0, -1, 1, 1, 1, 1]):
        with pytest.raises(ShapeError, match=r"holds class (4|-1), .* classes 0 to 3"):
            loss(P, wrong)
    with pytest.raises(DtypeError, match="classes must be integers, not float64"):
        loss(P, CLASSES.astype(float))
    with pytest.raises(ShapeError, match="drop its last axis"):
        loss(P, CLASSES[:, None])
    with pytest.raises(ShapeError, match=r"give classes of shape \(6,\)"):
        loss(P, CLASSES[:5])
    with pytest.raises(ShapeError, match="one score per class"):
        loss(bl.param(1.0), 0)
    with pytest.raises(ShapeError, match="one score per class"):
        loss(np.zeros((2, 0)), [0, 0])


@pytest.mark.parametrize("loss", [*ENTRYWISE, nn.cross_entropy, nn.nll], ids=lambda f: f.__name__)
def test_options_must_fit(loss):
    p, t = (P, CLASSES) if loss in (nn.cross_entropy, nn.nll) else arguments(loss)
    with pytest.raises(UsageError, match="not 'average'"):
        loss(p, t, reduction="average")
    for wrong in (np.ones(5), np.ones((6, 1, 1)), np.ones((4,))):
        with pytest.raises(ShapeError, match="one weight for each example"):
            loss(p, t, weights=wrong)
    with pytest.raises(DtypeError, match="floating-point, not int64"):
        loss(np.ones((6, 4), np.int64), t)


def test_other_options():
    with pytest.raises(UsageError, match="positive delta"):
        nn.huber([1.0], [1.0], delta=0.0)
    with pytest.raises(UsageError, match="label_smoothing"):
        nn.cross_entropy(P, CLASSES, label_smoothing=1.5)
    with pytest.raises(UsageError, match="given 1.5; pass logits"):
        nn.binary_cross_entropy([0.5, 1.5], [1, 1])
    with pytest.raises(UsageError, match="given -0.1"):
        nn.binary_cross_entropy([0.5, -0.1], [1, 1])


def test_weights_that_are_all_zero_have_no_mean():
    with pytest.warns(BacklightWarning, match="div"):
        assert np.isnan(float(nn.mse([1.0], [0.0], weights=[0.0])))
