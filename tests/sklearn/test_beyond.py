"""What scikit-learn's estimators do not have: each new parameter does what it says."""

from __future__ import annotations

import functools
import io
import warnings
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import backlight as bl
from backlight.sklearn import DivergedError, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)


def classifier(**options: Any) -> MLPClassifier:
    return MLPClassifier(
        **{"hidden_layer_sizes": (6,), "max_iter": 10, "random_state": 0, **options}
    )


def regressor(**options: Any) -> MLPRegressor:
    return MLPRegressor(
        **{"hidden_layer_sizes": (6,), "max_iter": 10, "random_state": 0, **options}
    )


# ── the network ──────────────────────────────────────────────────────────────────────────────────


def test_each_layer_may_have_its_own_activation() -> None:
    made = classifier(hidden_layer_sizes=(5, 4), activation=["tanh", "relu"]).fit(X, y)
    hidden = np.tanh(X @ made.coefs_[0] + made.intercepts_[0])
    hidden = np.maximum(hidden @ made.coefs_[1] + made.intercepts_[1], 0.0)
    logits = hidden @ made.coefs_[2] + made.intercepts_[2]
    odds = np.exp(logits)
    np.testing.assert_allclose(made.predict_proba(X), odds / odds.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "gelu", "silu", "softplus"])
def test_activations_of_the_library_train(name: str) -> None:
    found = classifier(activation=name, max_iter=60, learning_rate_init=0.02).fit(X, y)
    assert found.score(X, y) > 0.9
    z = np.linspace(-2.0, 2.0, 4)[None] @ found.coefs_[0] + found.intercepts_[0]
    expected = getattr(bl.nn, name)(z).value @ found.coefs_[1] + found.intercepts_[1]
    np.testing.assert_allclose(
        found.network_(np.linspace(-2.0, 2.0, 4)[None]).value, expected, rtol=1e-12
    )


def test_an_activation_of_ones_own() -> None:
    def cube(z: bl.Tensor) -> bl.Tensor:
        return z**3

    found = classifier(activation=cube, max_iter=60, learning_rate_init=0.02).fit(X, y)
    assert found.score(X, y) > 0.9
    assert "cube" in repr(found)


def test_dropout_acts_in_training_only() -> None:
    plain = classifier(max_iter=1).fit(X, y)
    dropped = classifier(max_iter=1, dropout=0.5).fit(X, y)
    assert dropped.loss_ != plain.loss_
    assert (dropped.predict_proba(X) == dropped.predict_proba(X)).all()
    np.testing.assert_array_equal(
        classifier(max_iter=1, dropout=[0.5]).fit(X, y).coefs_[0], dropped.coefs_[0]
    )
    other = classifier(max_iter=1, dropout=0.5, random_state=1).fit(X, y)
    assert (other.coefs_[0] != dropped.coefs_[0]).any()


def test_dropout_of_nothing_changes_nothing() -> None:
    without = classifier().fit(X, y)
    np.testing.assert_array_equal(classifier(dropout=(0.0,)).fit(X, y).coefs_[0], without.coefs_[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": [0.1, 0.2]}, "dropout lists 2 values and there are 1 hidden layers"),
        ({"dropout": [1.0]}, "from 0 to below 1, not 1.0"),
        ({"activation": ["relu", "relu"]}, "activation lists 2 values"),
        ({"activation": ["swish"]}, "'swish' does not exist; choose from identity"),
        ({"activation": "swish"}, "activation"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        ({"hidden_layer_sizes": (2.5,)}, "whole numbers, not 2.5"),
        ({"solver": "lbfgs", "dropout": 0.5}, "dropout makes random"),
        ({"callbacks": [3]}, "callback"),
        ({"executor": "cuda"}, "executor"),
        ({"threads": 0}, "threads"),
        ({"dtype": "float16"}, "dtype"),
        ({"loss": "hinge"}, "loss"),
        ({"class_weight": "even"}, "class_weight"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        classifier(**options).fit(X, y)


# ── losses and weights ───────────────────────────────────────────────────────────────────────────


def half_squares(prediction: bl.Tensor, target: bl.Tensor) -> bl.Tensor:
    return 0.5 * (prediction - target) ** 2


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_loss_of_ones_own_is_what_is_minimised(solver: str) -> None:
    numbers = X[:, 0] * X[:, 1]
    own = regressor(loss=half_squares, solver=solver).fit(X, numbers)
    named = regressor(solver=solver).fit(X, numbers)
    np.testing.assert_allclose(own.coefs_[0], named.coefs_[0], rtol=1e-9)
    np.testing.assert_allclose(own.loss_, named.loss_)


def test_losses_of_the_library_can_be_given() -> None:
    random = np.random.default_rng(0)
    numbers = X[:, 0] + 0.1 * random.standard_normal(len(X))
    numbers[::10] += 30.0
    options = {"max_iter": 300, "learning_rate_init": 0.01, "hidden_layer_sizes": ()}
    robust = regressor(loss=functools.partial(bl.nn.huber, delta=0.5), **options)
    robust.fit(X, numbers)
    squares = regressor(**options).fit(X, numbers)
    error = np.abs(robust.predict(X) - X[:, 0])
    assert np.median(error) < 0.3 < np.median(np.abs(squares.predict(X) - X[:, 0]))


def test_a_classifiers_loss_takes_logits_and_indicators() -> None:
    def focal(logits: bl.Tensor, target: bl.Tensor) -> bl.Tensor:
        assert logits.shape == target.shape and logits.shape[1] == 3
        logs = bl.nn.log_softmax(logits)
        return -bl.sum(target * (1.0 - bl.exp(logs)) ** 2 * logs, axis=1)

    found = classifier(loss=focal, max_iter=100, learning_rate_init=0.02).fit(X, y)
    assert found.score(X, y) > 0.9 and found.out_activation_ == "softmax"


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda p, t: bl.mean((p - t) ** 2), "without a sum or mean over the examples"),
        (lambda p, t: 1.0, "must return a tensor, not float"),
        (lambda p, t: t**2.0, "does not depend on layers.0.weight, layers.0.bias"),
    ],
)
def test_a_wrong_loss_is_named(loss: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        regressor(loss=loss).fit(X, y)


def test_class_weights_are_sample_weights() -> None:
    weights = {0: 1.0, 1: 3.0, 2: 0.5}
    by_class = classifier(class_weight=weights).fit(X, y)
    by_row = classifier().fit(X, y, sample_weight=np.array([weights[k] for k in y]))
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])


def test_balanced_classes_find_the_rare_one() -> None:
    A, b = make_classification(400, weights=[0.95], class_sep=0.8, random_state=0)
    options = {"max_iter": 150, "learning_rate_init": 0.01, "hidden_layer_sizes": (4,)}
    found = [classifier(class_weight=each, **options).fit(A, b) for each in (None, "balanced")]
    recall = [each.predict(A)[b == 1].mean() for each in found]
    assert recall[1] > recall[0]
    with pytest.raises(ValueError, match="give the weights as a dict"):
        classifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


# ── a validation set ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_given_validation_set_is_measured(solver: str) -> None:
    X1, X2, y1, y2 = train_test_split(X, y, random_state=0)
    found = classifier(solver=solver).fit(X1, y1, X_val=X2, y_val=y2)
    assert len(found.validation_scores_) == len(found.validation_loss_curve_) == found.n_iter_
    assert found.validation_scores_[-1] == found.score(X2, y2)
    picked = found.predict_proba(X2)[np.arange(len(y2)), y2]
    assert found.validation_loss_curve_[-1] == pytest.approx(-np.log(picked).mean())
    # Looking on does not change what is learnt.
    np.testing.assert_allclose(
        classifier(solver=solver).fit(X1, y1).coefs_[0], found.coefs_[0], rtol=1e-9
    )


def test_a_given_validation_set_stops_early_with_the_best_weights() -> None:
    X1, X2, y1, y2 = train_test_split(X, y, random_state=1)
    found = classifier(
        early_stopping=True, max_iter=300, n_iter_no_change=5, learning_rate_init=0.05
    ).fit(X1, y1, X_val=X2, y_val=y2)
    assert found.n_iter_ < 300
    assert found.score(X2, y2) == max(found.validation_scores_) == found.best_validation_score_
    weights = np.linspace(0.0, 1.0, len(y2))
    found.set_params(max_iter=3).fit(X1, y1, X_val=X2, y_val=y2, sample_weight_val=weights)
    best = found.score(X2, y2, sample_weight=weights)
    assert best == pytest.approx(found.best_validation_score_)


def test_the_validation_score_of_numbers_is_r2() -> None:
    Y = np.stack([X[:, 0], X[:, 1] ** 2], axis=1)
    weights = np.linspace(0.1, 1.0, len(Y))
    found = regressor().fit(X, Y, X_val=X, y_val=Y, sample_weight_val=weights)
    expected = r2_score(Y, found.predict(X), sample_weight=weights)
    assert found.validation_scores_[-1] == pytest.approx(expected)
    constant = regressor().fit(X, Y[:, 0], X_val=X[:2], y_val=[1.0, 1.0])
    assert constant.validation_scores_[-1] == 0.0


def test_half_a_validation_set_is_refused() -> None:
    with pytest.raises(ValueError, match="both X_val and y_val"):
        classifier().fit(X, y, X_val=X)


# ── who looks on ─────────────────────────────────────────────────────────────────────────────────


def test_callbacks_see_every_epoch_and_can_stop() -> None:
    seen: list[bl.train.RunState] = []

    def stop_at_three(state: bl.train.RunState) -> bool:
        seen.append(state)
        return state.epoch == 2

    found = classifier(callbacks=[stop_at_three], batch_size=50).fit(X, y)
    assert [each.epoch for each in seen] == [0, 1, 2] and found.n_iter_ == 3
    assert seen[-1].history["loss"] == found.loss_curve_ and seen[-1].step == 9
    np.testing.assert_array_equal(seen[-1].parameters["layers.0.weight"], found.coefs_[0].T)
    unwatched = classifier(max_iter=3, batch_size=50).fit(X, y)
    np.testing.assert_array_equal(unwatched.coefs_[0], found.coefs_[0])


def test_callbacks_can_look_at_every_step() -> None:
    class Steps:
        losses: list[float]

        def __init__(self) -> None:
            self.losses = []

        def on_step_end(self, state: bl.train.RunState) -> bool:
            self.losses.append(state.loss)
            return len(self.losses) == 7

    steps = Steps()
    found = classifier(callbacks=[steps], batch_size=50).fit(X, y)
    assert len(steps.losses) == 7 and found.n_iter_ == 2
    assert np.mean(steps.losses[:3]) == pytest.approx(found.loss_curve_[0])


def test_lbfgs_calls_back_after_every_iteration() -> None:
    epochs: list[int] = []

    def stop(state: bl.train.RunState) -> bool:
        epochs.append(state.epoch)
        return len(epochs) == 4

    found = classifier(solver="lbfgs", callbacks=[stop]).fit(X, y)
    assert epochs == [0, 1, 2, 3] and found.n_iter_ == 4


def test_verbose_prints_a_line_an_epoch() -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        classifier(verbose=True, max_iter=2).fit(X, y, X_val=X, y_val=y)
    lines = printed.getvalue().splitlines()
    assert [each.split()[0] for each in lines] == ["Epoch", "Validation:"] * 2


# ── numbers, threads, warnings ───────────────────────────────────────────────────────────────────


def test_dtype_chooses_the_numbers() -> None:
    found = classifier(dtype="float32").fit(X, y)
    assert {each.dtype for each in found.coefs_} == {np.dtype("float32")}
    same = classifier().fit(X.astype(np.float32), y)
    np.testing.assert_array_equal(found.coefs_[0], same.coefs_[0])
    assert found.predict_proba(X).dtype == np.float32
    wide = classifier(dtype="float64").fit(X.astype(np.float32), y)
    assert wide.coefs_[0].dtype == np.float64


def test_the_number_of_threads_changes_nothing() -> None:
    fits = [classifier(threads=n, executor="native").fit(X, y) for n in (None, 1, 2)]
    assert fits[0].loss_curve_ == fits[1].loss_curve_ == fits[2].loss_curve_


def test_not_converging_is_said_in_one_sentence() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2 epochs and has not converged") as seen:
        classifier(max_iter=2).fit(X, y)
    assert seen[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="L-BFGS stopped after 2 iterations") as seen:
        classifier(max_iter=2, solver="lbfgs").fit(X, y)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(max_iter=200, tol=0.1).fit(X, y)


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_a_loss_that_explodes_is_said_in_one_sentence(executor: str) -> None:
    wild = regressor(
        solver="sgd", learning_rate_init=1e6, max_iter=100, executor=executor, activation="identity"
    )
    with pytest.raises(DivergedError, match=r"no longer finite in epoch \d+, at step \d+"):
        wild.fit(X * 100.0, y)
    assert all(np.isfinite(each).all() for each in wild.coefs_)


def test_an_interrupt_keeps_what_was_learnt() -> None:
    def interrupt(state: bl.train.RunState) -> None:
        if state.epoch == 3:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 4 epochs"):
        found = classifier(callbacks=[interrupt]).fit(X, y)
    same = classifier(max_iter=4).fit(X, y)
    np.testing.assert_array_equal(found.coefs_[0], same.coefs_[0])


def test_batches_larger_than_the_data_are_said() -> None:
    with pytest.warns(UserWarning, match="batch_size=1000 is more than the 150 examples"):
        classifier(batch_size=1000).fit(X, y)


def test_rows_that_weigh_nothing_change_nothing() -> None:
    weights = np.ones(len(X))
    weights[:30] = 0.0
    found = classifier(batch_size=30, shuffle=False, alpha=0.0).fit(X, y, sample_weight=weights)
    assert np.isfinite(found.loss_)


# ── looking inside ───────────────────────────────────────────────────────────────────────────────


def test_a_weights_gradient_can_be_explained() -> None:
    found = classifier(activation="tanh", alpha=0.3).fit(X, y)
    derivation = found.explain(X[:1], y[:1], weight="layers.0.weight[2,1]")
    # By hand, with w[2,1] in coefs_[0][1, 2].
    hidden = np.tanh(X[:1] @ found.coefs_[0] + found.intercepts_[0])
    delta = (found.predict_proba(X[:1]) - np.eye(3)[y[:1]]) @ found.coefs_[1].T * (1 - hidden**2)
    assert derivation.value == pytest.approx(float(X[0, 1] * delta[0, 2]), rel=1e-9)
    assert "∂" in derivation.text()
    with_penalty = found.explain(X[:1], y[:1], weight="layers.0.weight[2,1]", penalty=True)
    expected = derivation.value + 0.3 * found.coefs_[0][1, 2]
    assert with_penalty.value == pytest.approx(expected, rel=1e-9)
    weighted = found.explain(X[:2], y[:2], weight="layers.0.weight[2,1]", sample_weight=[1.0, 0.0])
    assert weighted.value == pytest.approx(derivation.value, rel=1e-9)


def test_the_network_can_be_recorded_and_diagnosed() -> None:
    found = regressor().fit(X, y)
    net = found.network_
    loss = bl.nn.mse(net(X[:5]), y[:5, None])
    trace = bl.record(loss)
    assert "layers.0.weight" in {node.name for node in trace.graph.nodes}
    np.testing.assert_allclose(net(X).value[:, 0], found.predict(X), rtol=1e-12)
    assert not hasattr(MLPRegressor(), "network_")
