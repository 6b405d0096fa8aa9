"""What `fit` says about things that do not fit: one sentence, with the place and the remedy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.train.networks import assert_same, classes, examples, tiny, values

import backlight as bl
from backlight import nn, optim
from backlight.errors import (
    DataError,
    DtypeError,
    ShapeError,
    TrainingError,
    UnknownNameError,
    UsageError,
)
from backlight.train import EarlyStopping, fit

X, Y = examples()
XC, C = classes(12, k=3)


def changed(array, place, value):
    copy = np.array(array, dtype=float)
    copy[place] = value
    return copy


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ((X, Y[:-1]), DataError, "X has 10 rows and y has 9"),
        ((X[:0], Y[:0]), DataError, "no rows"),
        ((changed(X, (3, 1), np.nan), Y), DataError, r"X, row 3, column 1, is nan \(1 value"),
        ((X, changed(Y, (9, 0), np.inf)), DataError, "y, row 9, column 0, is inf"),
        ((X, [["a"]] * 10), DtypeError, "as_dataset"),
        ((X + 1j, Y), DtypeError, "X has dtype complex128"),
        (([[1.0], [1.0, 2.0]], [1, 2]), DataError, "rows of equal length"),
        ((3.0, 4.0), DataError, "single number"),
        (X, UsageError, r"pair \(X, y\)"),
        ((X, Y, Y), UsageError, "3 things"),
        ((X[:, :2], Y), ShapeError, r"does not take features of float64\[1, 2\]"),
        ((X, Y[:, :1]), ShapeError, r"loss mse does not take predictions .* \(.*2\)"),
    ],
)
def test_data_that_does_not_fit(data, error, words):
    net = tiny()
    before = values(net)
    with pytest.raises(error, match=words):
        fit(net, data, loss=nn.mse)
    assert_same(before, values(net))


def test_numbers_beyond_the_networks_dtype():
    with pytest.raises(DataError, match="X as float32, row 2, column 0, is inf"):
        fit(tiny("float32"), (changed(X, (2, 0), 1e300), Y), loss=nn.mse)


@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        (changed(C, 5, 7).astype(int), DataError, "row 5, is class 7, .* 3 outputs, .* 0 to 2.*8"),
        (changed(C, 5, -1).astype(int), DataError, "row 5, is class -1"),
        (C.astype(float), DtypeError, r"cross_entropy needs class numbers; .*astype\(int\)"),
        (np.zeros(12, int), DataError, "Every training example is of class 0"),
    ],
)
def test_classes_that_do_not_fit(y, error, words):
    with pytest.raises(error, match=words):
        fit(tiny(outputs=3), (XC, y), loss=nn.cross_entropy)


def test_validation_classes_are_checked_too():
    with pytest.raises(DataError, match="validation y, row 0, is class 9"):
        fit(tiny(outputs=3), (XC, C), loss=nn.cross_entropy, validation=(XC[:1], [9]))


def test_targets_that_are_not_yes_or_no():
    with pytest.raises(DataError, match="y, row 2, is 2, .* from 0 to 1"):
        fit(tiny(outputs=1), (XC, C), loss=nn.binary_cross_entropy_with_logits)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"batch_size": 0}, UsageError, "batch_size must be a whole number from 1 on, not 0"),
        ({"batch_size": 2.5}, UsageError, "batch_size"),
        ({"epochs": -1}, UsageError, "epochs must be a whole number from 0 on, not -1"),
        ({"epochs": True}, UsageError, "epochs"),
        ({"seed": -3}, UsageError, "seed"),
        ({"seed": 0.5}, UsageError, "seed"),
        ({"threads": 0}, UsageError, "threads"),
        ({"log_every": 0}, UsageError, "log_every"),
        ({"executor": "quantum"}, UsageError, "no executor 'quantum'; choose one of: 'reference'"),
        ({"optimizer": "adam"}, UsageError, "bl.optim"),
        ({"metrics": ["accurcy"]}, UnknownNameError, "did you mean 'accuracy'"),
        ({"callbacks": print}, UsageError, "in brackets"),
        ({"callbacks": [3]}, UsageError, "on_epoch_end"),
        ({"early_stopping": 5}, UsageError, "EarlyStopping"),
        ({"early_stopping": EarlyStopping("validation_loss")}, UnknownNameError, "no validation"),
        ({"early_stopping": EarlyStopping("los")}, UnknownNameError, "did you mean 'loss'"),
        ({"validation": 1.5}, UsageError, "share between 0 and 1"),
        ({"validation": 3}, UsageError, "share between 0 and 1"),
        ({"validation": (X[:, :2], Y)}, DataError, "one form"),
        ({"sample_weights": [1.0]}, DataError, r"shape \(1,\) and there are 10 examples"),
        ({"sample_weights": [-1.0] * 10}, DataError, "row 0, is negative"),
        ({"sample_weights": [0.0] * 10}, DataError, "all 0"),
        ({"optimizer": optim.LBFGS(), "batch_size": 4}, UsageError, "batch_size=None"),
    ],
)
def test_options_without_meaning(options, error, words):
    with pytest.raises(error, match=words):
        fit(tiny(), (X, Y), loss=nn.mse, **options)


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        ("mse", UsageError, "must be a function"),
        (lambda p, t: nn.mse(p, t, reduction="none"), ShapeError, "must give one number"),
        (lambda p, t: 3.0, UsageError, "must return a tensor"),
        (lambda p, t: bl.tensor(3), DtypeError, "floating-point"),
        (lambda p, t: nn.mse(p.detach(), t), UsageError, "depends on none"),
    ],
)
def test_losses_that_cannot_be_trained(loss, error, words):
    with pytest.raises(error, match=words):
        fit(tiny(), (X, Y), loss=loss)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.ReLU()), "no parameters"),
        (3, "must be callable"),
    ],
)
def test_things_that_are_no_networks(net, words):
    with pytest.raises(UsageError, match=words):
        fit(net, (X, Y), loss=nn.mse)


def test_a_network_must_return_a_tensor():
    class Pair(nn.Module):
        def __init__(self):
            self.inner = tiny()

        def __call__(self, x):
            return self.inner(x), x

    with pytest.raises(UsageError, match="one tensor"):
        fit(Pair(), (X, Y), loss=nn.mse)


@pytest.mark.parametrize("options", [{"patience": 0}, {"minimum_change": -1.0}, {"mode": "up"}])
def test_early_stopping_checks_its_options(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        EarlyStopping(**options)


# ---- values that are not finite ------------------------------------------------------------------


def test_a_loss_that_overflows_names_the_place():
    net = tiny()
    with pytest.raises(TrainingError) as caught:
        fit(net, (X, Y), loss=nn.mse, optimizer=optim.SGD(1e200), epochs=3, batch_size=5)
    message = str(caught.value)
    assert "the loss is no longer finite at step 1 (epoch 0, batch 1)" in message
    assert "= inf" in message and "lower than 1e+200" in message
    assert all(np.isfinite(each).all() for each in values(net).values())


def test_the_network_keeps_the_parameters_before_the_step_that_failed():
    net, twin = tiny(), tiny()
    with pytest.raises(TrainingError):
        fit(net, (X, Y), loss=nn.mse, optimizer=optim.SGD(1e200), epochs=1, batch_size=5)
    fit(twin, (X, Y), loss=nn.mse, optimizer=optim.SGD(1e200), epochs=1, batch_size=5,
        callbacks=[StopAfterOneStep()])  # fmt: skip
    assert_same(values(net), values(twin))


class StopAfterOneStep:
    def on_step_end(self, state):
        return True


def root_loss(prediction, target):
    """Finite, with an infinite derivative where prediction and target agree."""
    from backlight.ops.exponential import SQRT
    from backlight.ops.reduce import SUM

    return SUM(SQRT((prediction - target) ** 2), axes=(0, 1))


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_gradient_that_is_not_finite_is_named(epochs):
    """It is found by the next step's loss, or after the last step."""
    net = nn.Linear(1, 1, bias=False, init=[[2.0]], dtype="float64")
    words = r"at step 0 \(epoch 0, batch 0\): the first gradient that is not finite .* by sqrt"
    with pytest.raises(TrainingError, match=words):
        fit(net, ([[1.0]], [[2.0]]), loss=root_loss, epochs=epochs)
    assert net.weight.item() == 2.0


@pytest.mark.parametrize("executor", ["native", "reference"])
@pytest.mark.parametrize("bad", [0, 4, 9])
def test_the_step_that_spoilt_the_parameters_is_found_among_many(executor, bad):
    """Ten steps in one call: what came before the one with the infinite slope is kept."""
    rows = np.linspace(1.0, 2.0, 10).reshape(10, 1)
    rows[bad] = 0.0
    net = nn.Linear(1, 1, bias=False, init=[[0.5]], dtype="float64")
    words = rf"at step {bad} \(epoch 0, batch {bad}\): the first gradient .* for example {bad}"
    with pytest.raises(TrainingError, match=words) as caught:
        fit(net, (rows, 0 * rows), loss=lambda p, y: bl.mean(bl.sqrt(p)), epochs=2, batch_size=1,
            shuffle=False, optimizer=optim.SGD(0.01), executor=executor)  # fmt: skip
    weight = 0.5
    for x in rows[:bad, 0]:
        weight -= 0.01 * x / (2 * np.sqrt(weight * x))
    assert net.weight.item() == pytest.approx(weight, rel=1e-12)
    assert ("learning rate" in str(caught.value)) == (bad > 0)  # nothing had been learned at 0


def test_an_update_that_overflows_is_named():
    net = nn.Linear(1, 1, bias=False, init=[[2.0]], dtype="float64")
    words = r"gradients are finite, and its update made weight\[0, 0\] = -inf"
    with pytest.raises(TrainingError, match=words):
        fit(net, ([[1.0]], [[0.0]]), loss=nn.mse, optimizer=optim.SGD(1e308), epochs=1)
    assert net.weight.item() == 2.0


def test_lbfgs_that_cannot_start():
    net = nn.Linear(1, 1, bias=False, init=[[1e200]], dtype="float64")
    with pytest.raises(TrainingError, match="the loss is not finite at the first step"):
        fit(net, ([[1e200]], [[0.0]]), loss=nn.mse, optimizer=optim.LBFGS(), batch_size=None)
