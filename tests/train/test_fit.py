"""Training against loops written in NumPy, and what `fit` promises about its results."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from tests.train.networks import assert_same, classes, examples, tiny, values

import backlight as bl
from backlight import nn, optim
from backlight.data import load
from backlight.errors import BacklightWarning
from backlight.train import EarlyStopping, fit
from backlight.train.batches import order


def numpy_loop(start, X, y, *, epochs, batch_size, rate, seed, shuffle=True):
    """Gradient descent on the mean squared error of a tanh network, derived by hand."""
    W1, b1, W2, b2 = (start[name].copy() for name in start)
    losses = []
    for epoch in range(epochs):
        rows = order(seed, epoch, len(X), shuffle)
        total = 0.0
        for first in range(0, len(X), batch_size):
            chosen = rows[first : first + batch_size]
            x, t = X[chosen], y[chosen]
            h = np.tanh(x @ W1.T + b1)
            out = h @ W2.T + b2
            total += np.mean((out - t) ** 2) * len(chosen)
            d_out = 2.0 * (out - t) / out.size
            d_h = (d_out @ W2) * (1.0 - h**2)
            W2, b2 = W2 - rate * d_out.T @ h, b2 - rate * d_out.sum(axis=0)
            W1, b1 = W1 - rate * d_h.T @ x, b1 - rate * d_h.sum(axis=0)
        losses.append(total / len(X))
    return dict(zip(start, (W1, b1, W2, b2), strict=True)), losses


@pytest.mark.parametrize(("batch_size", "shuffle"), [(4, True), (3, False), (10, True), (1, True)])
def test_it_is_gradient_descent(batch_size, shuffle):
    net, (X, y) = tiny(), examples()
    expected, losses = numpy_loop(
        values(net), X, y, epochs=4, batch_size=batch_size, rate=0.1, seed=5,
        shuffle=shuffle and batch_size < len(X),
    )  # fmt: skip
    run = fit(net, (X, y), loss=nn.mse, optimizer=optim.SGD(0.1), epochs=4, batch_size=batch_size,
              seed=5, shuffle=shuffle)  # fmt: skip
    for name, value in values(net).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=1e-15, err_msg=name)
    np.testing.assert_allclose(run.history["loss"], losses, rtol=1e-12)
    assert run.steps == 4 * -(-10 // batch_size) and run.epochs == 4


def test_one_linear_weight_is_the_same_bit_by_bit():
    """One product, one difference and one update per step: NumPy can only round in one way."""
    X, y = (
        np.array([[1.0], [0.5], [-2.0], [0.3], [0.7]]),
        np.array([[2.0], [1.0], [0.1], [3.0], [0.2]]),
    )
    net = nn.Linear(1, 1, bias=False, init=[[0.25]], dtype="float64")
    w = np.array([[0.25]])
    for epoch in range(3):
        for row in order(11, epoch, 5):
            difference = X[row : row + 1] @ w.T - y[row : row + 1]
            w = w + (-0.05) * ((2.0 * difference).T @ X[row : row + 1])
    fit(
        net,
        (X, y),
        loss=nn.squared_error,
        optimizer=optim.SGD(0.05),
        epochs=3,
        batch_size=1,
        seed=11,
    )
    assert net.weight.value.tobytes() == w.tobytes()


@pytest.mark.slow
def test_accumulated_deltas_learn_the_exclusive_or():
    """60,000 iterations over four patterns, compared with the textbook's loop over deltas."""
    X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float)
    y = np.array([[0], [1], [1], [0]], float)
    rng = np.random.default_rng(1)
    first, second = rng.uniform(-1, 1, (4, 3)), rng.uniform(-1, 1, (1, 4))
    net = nn.Sequential(
        nn.Linear(3, 4, bias=False, init=first, dtype="float64"),
        nn.Sigmoid(),
        nn.Linear(4, 1, bias=False, init=second, dtype="float64"),
        nn.Sigmoid(),
    )

    def half_squared_error(prediction, target):
        return nn.squared_error(prediction, target) / 2.0

    def sigmoid(z):
        return 1.0 / (1.0 + np.exp(-z))

    after_100 = {}

    class Watch:
        def on_epoch_end(self, state):
            if state.epoch == 99:
                after_100.update(state.parameters)

    run = fit(net, (X, y), loss=half_squared_error, optimizer=optim.SGD(1.0), epochs=60_000,
              batch_size=None, callbacks=[Watch()])  # fmt: skip
    W1, W2 = first, second
    for _ in range(100):
        hidden = sigmoid(X @ W1.T)
        output = sigmoid(hidden @ W2.T)
        output_delta = (y - output) * output * (1 - output)
        hidden_delta = (output_delta @ W2) * hidden * (1 - hidden)
        W2 = W2 + output_delta.T @ hidden
        W1 = W1 + hidden_delta.T @ X
    np.testing.assert_allclose(after_100["layers.0.weight"], W1, rtol=1e-9)
    np.testing.assert_allclose(after_100["layers.2.weight"], W2, rtol=1e-9)

    prediction = net(X).value
    assert np.abs(prediction - y).mean() < 0.01
    assert prediction.round().reshape(-1).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert run.history["loss"][-1] < run.history["loss"][0] / 1000
    assert len(run.history["loss"]) == 60_000


@pytest.mark.slow
def test_digits_are_told_apart():
    """Over several splits, so that the result is not that of a lucky one."""
    found = []
    for seed in range(4):
        train, test = load("digits").split(test=0.2, seed=seed)
        net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10), seed=seed)
        run = fit(
            net,
            train,
            loss=nn.cross_entropy,
            optimizer=optim.Adam(1e-3),
            epochs=30,
            validation=test,
            seed=seed,
        )
        predicted = net(test.X).value.argmax(axis=1)
        found.append(float((predicted == test.y).mean()))
        assert run.history["validation_accuracy"][-1] == pytest.approx(found[-1], abs=1e-12)
        assert net.layers[0].weight.dtype == np.float32
    assert np.mean(found) >= 0.97 and min(found) >= 0.95


def test_the_same_seed_gives_the_same_bits():
    X, y = classes(50, k=3)

    def train(seed):
        net = tiny("float32", outputs=3, dropout=0.3)
        run = fit(net, (X, y), loss=nn.cross_entropy, epochs=3, batch_size=8, seed=seed,
                  validation=0.2)  # fmt: skip
        return values(net), run.history["loss"]

    first, again, other = train(1), train(1), train(2)
    assert_same(first[0], again[0])
    assert first[1] == again[1] and first[1] != other[1]


def test_dropout_acts_in_training_only():
    X, y = classes(40)
    net = tiny(dropout=0.5)
    before = net(X).value
    run = fit(net, (X, y), loss=nn.cross_entropy, epochs=1, batch_size=None, validation=(X, y),
              optimizer=optim.SGD(1e-30))  # fmt: skip
    assert run.history["loss"][0] != run.history["validation_loss"][0]
    np.testing.assert_array_equal(net(X).value, before)
    assert run.history["validation_loss"][0] == pytest.approx(nn.cross_entropy(net(X), y).item())


def test_the_epochs_loss_is_the_mean_over_its_examples():
    X, y = examples(10)
    for loss, combine in ((nn.mse, 1.0), (nn.squared_error, 2.0)):
        net = tiny()
        expected = float(np.mean((net(X).value - y) ** 2)) * combine
        run = fit(net, (X, y), loss=loss, optimizer=optim.SGD(1e-30), epochs=1, batch_size=4)
        assert run.history["loss"][0] == pytest.approx(expected, rel=1e-12)


def test_metrics_and_validation():
    X, y = examples(10)
    Xv, yv = examples(7, seed=1)
    net = tiny()

    def largest(prediction, target):
        return bl.tensor(1.0) * 0.0 + (prediction - target).detach()[0, 0] * 0.0 + 4.0

    run = fit(net, (X, y), loss=nn.mse, optimizer=optim.SGD(1e-30), epochs=2, batch_size=3,
              validation=(Xv, yv), metrics=["mean_absolute_error", largest])  # fmt: skip
    difference = np.abs(net(Xv).value - yv)
    assert run.history["validation_mean_absolute_error"] == pytest.approx([difference.mean()] * 2)
    assert run.history["validation_loss"] == pytest.approx([(difference**2).mean()] * 2)
    assert run.history["largest"] == [4.0, 4.0]
    assert list(run.history) == [
        "loss", "mean_absolute_error", "largest", "validation_loss",
        "validation_mean_absolute_error", "validation_largest", "learning_rate", "seconds",
    ]  # fmt: skip


def test_a_validation_set_longer_than_one_evaluation_batch():
    Xv, yv = examples(2500, seed=2)
    net = tiny()
    run = fit(net, examples(4), loss=nn.mse, optimizer=optim.SGD(1e-30), epochs=1,
              validation=(Xv, yv))  # fmt: skip
    assert run.history["validation_loss"][0] == pytest.approx(
        np.mean((net(Xv).value - yv) ** 2), rel=1e-12
    )


def test_a_share_for_validation_is_drawn_by_the_seed():
    X, y = examples(20)
    a, b, c = (
        fit(tiny(), (X, y), loss=nn.mse, epochs=1, validation=0.25, seed=s).course.engine.train.X
        for s in (0, 0, 1)
    )
    assert len(a) == 15
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sample_weights_count_like_repeated_examples():
    X, y = examples(4)
    weights = np.array([1, 3, 2, 1])
    rows = np.repeat(np.arange(4), weights)
    weighted, repeated = tiny(), tiny()
    run = fit(weighted, (X, y), loss=nn.mse, sample_weights=weights, epochs=5, batch_size=None)
    other = fit(repeated, (X[rows], y[rows]), loss=nn.mse, epochs=5, batch_size=None)
    for name, value in values(weighted).items():
        np.testing.assert_allclose(value, values(repeated)[name], rtol=1e-9)
    np.testing.assert_allclose(run.history["loss"], other.history["loss"], rtol=1e-12)


def test_the_epochs_loss_weights_batches_by_their_weights():
    X, y = examples(5)
    weights = np.array([1.0, 0.0, 5.0, 2.0, 1.0])
    net = tiny()
    run = fit(net, (X, y), loss=nn.mse, sample_weights=weights, epochs=1, batch_size=2,
              shuffle=False, optimizer=optim.SGD(1e-30))  # fmt: skip
    each = np.mean((net(X).value - y) ** 2, axis=1)
    assert run.history["loss"][0] == pytest.approx((weights * each).sum() / weights.sum())


def test_an_example_without_weight_is_not_learnt():
    X, y = examples(4)
    spoilt = y.copy()
    spoilt[2] = 1e6
    nets = tiny(), tiny()
    for net, targets in zip(nets, (y, spoilt), strict=True):
        fit(net, (X, targets), loss=nn.mse, sample_weights=[1, 1, 0, 1], epochs=3, batch_size=4)
    assert_same(values(nets[0]), values(nets[1]))


def test_binary_targets_of_any_form():
    X, y = classes(20)
    results = []
    for targets in (y, y.astype(float), y.astype(bool), y[:, None]):
        net = tiny(outputs=1)
        run = fit(net, (X, targets), loss=nn.binary_cross_entropy_with_logits, epochs=2)
        results.append((values(net), run.history["accuracy"]))
    for other in results[1:]:
        assert_same(results[0][0], other[0])
        assert results[0][1] == other[1]


def test_class_numbers_and_shares_train_alike():
    X, y = classes(20, k=3)
    nets = tiny(outputs=3), tiny(outputs=3)
    runs = [fit(net, (X, t), loss=nn.cross_entropy, epochs=2, optimizer=optim.SGD(0.1))
            for net, t in zip(nets, (y, np.eye(3)[y]), strict=True)]  # fmt: skip
    for name, value in values(nets[0]).items():
        np.testing.assert_allclose(value, values(nets[1])[name], rtol=1e-10, atol=1e-14)
    assert runs[0].history["accuracy"] == runs[1].history["accuracy"]


def test_a_loss_with_options():
    X, y = classes(20)
    smooth = functools.partial(nn.cross_entropy, label_smoothing=0.1, reduction="sum")
    run = fit(tiny(), (X, y), loss=smooth, epochs=1, optimizer=optim.SGD(1e-30))
    expected = nn.cross_entropy(tiny()(X), y, label_smoothing=0.1).item()
    assert run.history["loss"][0] == pytest.approx(expected)
    assert "accuracy" in run.history


def test_a_network_of_ones_own():
    class Line:
        def __init__(self):
            self.slope, self.offset = bl.param(0.0), bl.param(0.0)

        def __call__(self, x):
            return self.slope * x + self.offset

    x = np.linspace(-1, 1, 21)
    line = Line()
    fit(
        line, (x, 3.0 * x - 1.0), loss=nn.mse, optimizer=optim.SGD(0.3), epochs=200, batch_size=None
    )
    assert line.slope.item() == pytest.approx(3.0) and line.offset.item() == pytest.approx(-1.0)


def test_no_epoch_leaves_everything_as_it_was():
    net = tiny()
    before = values(net)
    run = fit(net, examples(), loss=nn.mse, epochs=0)
    assert_same(before, values(net))
    assert run.steps == run.epochs == 0 and run.history["loss"] == [] and run.best_epoch is None


def test_a_parameter_that_the_loss_does_not_need_is_left_alone():
    class Net(nn.Module):
        def __init__(self):
            self.used, self.idle = tiny(), bl.param([1.0, 2.0])

        def __call__(self, x):
            return self.used(x)

    net = Net()
    with pytest.warns(BacklightWarning, match="does not depend on idle"):
        fit(net, examples(), loss=nn.mse, epochs=2, optimizer=optim.AdamW(0.1, weight_decay=0.1))
    assert net.idle.value.tolist() == [1.0, 2.0]


def test_the_learning_rate_of_a_schedule_is_in_the_history():
    run = fit(tiny(), examples(10), loss=nn.mse, epochs=3, batch_size=4,
              optimizer=optim.SGD(optim.Step(0.4, every=3, factor=0.5)))  # fmt: skip
    assert run.history["learning_rate"] == [0.4, 0.2, 0.1]


def test_a_plateau_lowers_the_learning_rate():
    rate = optim.ReduceOnPlateau(0.5, factor=0.5, patience=1)
    net = tiny()
    run = fit(net, examples(), loss=nn.mse, epochs=5, batch_size=None,
              optimizer=optim.SGD(rate, clip=optim.ByValue(1e-300)))  # fmt: skip
    assert run.history["learning_rate"] == [0.5, 0.5, 0.5, 0.25, 0.25]


def test_lbfgs_fits_in_full_batches():
    X, y = examples(8)
    net = tiny(hidden=8)
    run = fit(net, (X, y), loss=nn.mse, optimizer=optim.LBFGS(), epochs=150, batch_size=None)
    assert run.history["loss"][-1] < 1e-4 * run.history["loss"][0]
    assert np.mean((net(X).value - y) ** 2) <= run.history["loss"][-1]
    assert run.history["learning_rate"][0] == 1.0


def test_lbfgs_stops_when_it_has_converged():
    x = np.linspace(-1, 1, 11)[:, None]
    net = nn.Linear(1, 1, dtype="float64", seed=0)
    run = fit(net, (x, 2 * x), loss=nn.mse, optimizer=optim.LBFGS(), epochs=100, batch_size=None)
    assert run.epochs < 100 and run.stopped == "the gradient is within its tolerance"
    assert net.weight.item() == pytest.approx(2.0, abs=1e-5)


def test_the_loss_of_single_steps_can_be_kept():
    X, y = examples(10)
    net = tiny()
    start = values(net)
    run = fit(net, (X, y), loss=nn.mse, epochs=2, batch_size=4, log_every=2, gradient_norms=True,
              shuffle=False, optimizer=optim.SGD(0.1))  # fmt: skip
    assert run.step_history["step"] == [0, 2, 4]
    again = tiny()
    assert_same(values(again), start)
    loss = nn.mse(again(X[:4]), y[:4])
    loss.backward()
    squares = sum(np.sum(each.grad**2) for each in again.parameters().values())
    assert run.step_history["loss"][0] == loss.item()
    assert run.step_history["gradient_norm"][0] == pytest.approx(np.sqrt(squares), rel=1e-12)
    assert run.step_history["learning_rate"] == [0.1] * 3


def test_what_early_stopping_restores():
    X, y = examples(12)
    Xv, yv = examples(12, seed=9)
    found = {}

    def keep(state):
        found[state.epoch] = {name: each.copy() for name, each in state.parameters.items()}

    net = tiny(hidden=16)
    stopping = EarlyStopping(patience=4)
    run = fit(net, (X, y), loss=nn.mse, optimizer=optim.Adam(0.05), epochs=200, batch_size=4,
              validation=(Xv, yv), early_stopping=stopping, callbacks=[keep])  # fmt: skip
    best = int(np.argmin(run.history["validation_loss"]))
    assert run.stopped == "early stopping" and run.best_epoch == best
    assert run.epochs == best + 5
    assert_same(values(net), found[best])
    assert_same(run.parameters, found[best])
    assert_same(run.parameters_at(run.steps), found[run.epochs - 1])


def test_early_stopping_without_restoring_and_with_a_minimum_change():
    run = fit(tiny(), examples(), loss=nn.mse, optimizer=optim.SGD(1e-4), epochs=50,
              early_stopping=EarlyStopping("loss", 3, 0.5, restore_best=False))  # fmt: skip
    assert run.epochs == 4 and run.best_epoch == 0
    assert_same(run.parameters, run.parameters_at(run.steps))
