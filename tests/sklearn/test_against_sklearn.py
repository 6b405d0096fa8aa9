"""scikit-learn's own estimators as the oracle: same state, same numbers at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn import neural_network as peer
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification

from backlight import sklearn as ours

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.*convergence.*:UserWarning",
)

EXECUTORS = ["reference", "native"]
IRIS = load_iris(return_X_y=True)
_X, _y = load_diabetes(return_X_y=True)
DIABETES = _X[:200] * 10.0, _y[:200] / 100.0
SEVERAL = make_multilabel_classification(80, 6, n_classes=3, random_state=0)

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam, small batches": {"batch_size": 7, "hidden_layer_sizes": (5, 4), "max_iter": 4},
    "adam, early stopping": {"early_stopping": True, "batch_size": 32, "max_iter": 40},
    "sgd": {"solver": "sgd", "shuffle": False, "momentum": 0.0, "activation": "tanh"},
    "sgd, Nesterov": {"solver": "sgd", "alpha": 0.5, "activation": "logistic"},
    "sgd, plain momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "sgd, adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 1,
        "max_iter": 60, "learning_rate_init": 0.05,
    },
    "sgd, invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "no hidden layer": {"hidden_layer_sizes": (), "activation": "identity"},
    "stops by itself": {"tol": 1e-3, "n_iter_no_change": 2, "max_iter": 100, "batch_size": 30,
                        "learning_rate_init": 0.02},
}  # fmt: skip


def both(kind: str, options: dict[str, Any], executor: str) -> tuple[Any, Any]:
    options = {"hidden_layer_sizes": (6,), "max_iter": 12, "random_state": 3, **options}
    return (
        getattr(ours, kind)(**options, executor=executor),
        getattr(peer, kind)(**options),
    )


def agree(mine: Any, theirs: Any, X: Any, tolerance: float = 1e-9) -> None:
    assert mine.n_iter_ == theirs.n_iter_ and mine.t_ == theirs.t_
    assert mine.out_activation_ == theirs.out_activation_
    assert (mine.n_layers_, mine.n_outputs_) == (theirs.n_layers_, theirs.n_outputs_)
    np.testing.assert_allclose(mine.loss_, theirs.loss_, rtol=tolerance)
    for a, b in zip(
        [*mine.coefs_, *mine.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True
    ):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    if hasattr(theirs, "loss_curve_"):
        np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=tolerance)
        assert (mine.best_loss_ is None) == (theirs.best_loss_ is None)
        if theirs.validation_scores_ is not None:
            np.testing.assert_allclose(mine.validation_scores_, theirs.validation_scores_)
            assert mine.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_take_the_same_steps(name: str, executor: str) -> None:
    mine, theirs = both("MLPClassifier", CLASSIFIERS[name], executor)
    X, y = IRIS
    agree(mine.fit(X, y), theirs.fit(X, y), X)
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(mine.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "poisson", "batch_size": 64},
        {"early_stopping": True, "solver": "sgd", "activation": "tanh"},
    ],
)
@pytest.mark.parametrize("outputs", [1, 2])
def test_regressors_take_the_same_steps(
    options: dict[str, Any], outputs: int, executor: str
) -> None:
    X, y = DIABETES
    targets = y if outputs == 1 else np.stack([y, y**2], axis=1)
    mine, theirs = both("MLPRegressor", options, executor)
    agree(mine.fit(X, targets), theirs.fit(X, targets), X)
    assert mine.predict(X).shape == targets.shape


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_sample_weights_mean_the_same(solver: str) -> None:
    X, y = IRIS
    weights = np.random.default_rng(0).random(len(y))
    weights[:7] = 0.0
    mine, theirs = both("MLPClassifier", {"solver": solver, "batch_size": 40}, "reference")
    mine.fit(X, y, sample_weight=weights)
    theirs.fit(X, y, sample_weight=weights)
    agree(mine, theirs, X, 1e-6)


def test_several_labels_and_two_classes() -> None:
    X, Y = SEVERAL
    mine, theirs = both("MLPClassifier", {}, "reference")
    agree(mine.fit(X, Y), theirs.fit(X, Y), X)
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(mine.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-6)
    names = np.where(Y[:, 0] > 0, "yes", "no")
    mine.fit(X, names), theirs.fit(X, names)
    assert (mine.predict(X) == theirs.predict(X)).all() and mine.out_activation_ == "logistic"
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(mine.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_lbfgs_walks_the_same_way(executor: str) -> None:
    mine, theirs = both("MLPClassifier", {"solver": "lbfgs"}, executor)
    agree(mine.fit(*IRIS), theirs.fit(*IRIS), IRIS[0], 1e-5)
    mine, theirs = both("MLPRegressor", {"solver": "lbfgs", "activation": "tanh"}, executor)
    agree(mine.fit(*DIABETES), theirs.fit(*DIABETES), DIABETES[0], 1e-5)


def test_lbfgs_minimises_the_loss_whose_gradient_it_follows() -> None:
    # scikit-learn's gradient for several outputs is that of their sum, its loss their mean.
    X, y = DIABETES
    Y = np.stack([y, y**2], axis=1)
    found = ours.MLPRegressor(
        hidden_layer_sizes=(4,), activation="tanh", solver="lbfgs", max_iter=300, random_state=0
    ).fit(X, Y)
    decay = 0.5 * found.alpha * sum((w**2).sum() for w in found.coefs_) / len(X)
    reported = 0.5 * ((found.predict(X) - Y) ** 2).mean() + decay
    assert found.loss_ == pytest.approx(reported, rel=1e-9)
    assert found.loss_curve_[0] > found.loss_curve_[-1]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_partial_fit_goes_on(solver: str, form: Any) -> None:
    X, y = IRIS
    mine, theirs = both(
        "MLPClassifier",
        {"solver": solver, "batch_size": 16, "learning_rate": "invscaling"},
        "reference",
    )
    for start in (0, 50, 30, 60):
        part = slice(start, start + 75)
        mine.partial_fit(form(X[part]), y[part], classes=[0, 1, 2])
        theirs.partial_fit(form(X[part]), y[part], classes=[0, 1, 2])
    agree(mine, theirs, X)


@pytest.mark.parametrize("kinds", [("float32", "float64"), ("float64", "float32")])
def test_weights_keep_their_dtype_when_the_features_change_theirs(kinds: tuple[str, str]) -> None:
    X, y = IRIS
    mine, theirs = both("MLPClassifier", {}, "reference")
    for kind in (*kinds, *kinds):
        mine.partial_fit(X.astype(kind), y, classes=[0, 1, 2])
        theirs.partial_fit(X.astype(kind), y, classes=[0, 1, 2])
    assert mine.coefs_[0].dtype == theirs.coefs_[0].dtype == kinds[0]
    np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], rtol=1e-3, atol=1e-5)


def test_warm_start_goes_on_from_the_weights() -> None:
    mine, theirs = both("MLPRegressor", {"warm_start": True, "max_iter": 3}, "reference")
    for _ in range(3):
        mine.fit(*DIABETES), theirs.fit(*DIABETES)
    agree(mine, theirs, DIABETES[0])
    assert len(mine.loss_curve_) == 9


def test_copied_weights_predict_the_same() -> None:
    X, y = IRIS
    mine, theirs = both("MLPClassifier", {"hidden_layer_sizes": (9, 4)}, "reference")
    mine.set_params(max_iter=1).fit(X, y), theirs.fit(X, y)
    mine.coefs_, mine.intercepts_ = theirs.coefs_, theirs.intercepts_
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-12)
    logits = mine.network_(X).value
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), theirs.predict_proba(X))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_float32_stays_float32(executor: str) -> None:
    X, y = IRIS[0].astype(np.float32), IRIS[1]
    mine, theirs = both("MLPClassifier", {"max_iter": 30}, executor)
    agree(mine.fit(X, y), theirs.fit(X, y), X, 1e-3)
    assert mine.predict_proba(X).dtype == np.float32


@pytest.mark.parametrize("executor", EXECUTORS)
def test_sparse_features_are_the_same_as_dense_ones(executor: str) -> None:
    random = np.random.default_rng(0)
    X = random.random((90, 30)) * (random.random((90, 30)) < 0.1)
    y = (X[:, 0] > X[:, 1]).astype(int)
    options = {"batch_size": 20, "early_stopping": True, "max_iter": 5}
    mine, theirs = both("MLPClassifier", options, executor)
    for form in (sparse.csr_array, sparse.csc_matrix):
        agree(mine.fit(form(X), y), theirs.fit(form(X), y), form(X))


def test_native_and_reference_agree_and_repeat() -> None:
    X, y = IRIS
    options = {"hidden_layer_sizes": (8, 8), "dropout": 0.3, "max_iter": 20, "random_state": 1}
    fits = [
        ours.MLPClassifier(**options, executor=each).fit(X, y)
        for each in ("native", "native", "reference")
    ]
    assert fits[0].loss_curve_ == fits[1].loss_curve_
    np.testing.assert_allclose(fits[0].loss_curve_, fits[2].loss_curve_, rtol=1e-9)
    # Stopping within a block of epochs that were computed ahead gives the same bits.
    short = ours.MLPClassifier(**{**options, "max_iter": 7}, executor="native").fit(X, y)
    assert short.loss_curve_ == fits[0].loss_curve_[:7]


def test_a_shared_random_state_is_left_where_scikit_learn_leaves_it() -> None:
    X, y = IRIS
    states = [np.random.RandomState(5), np.random.RandomState(5)]
    options = {"tol": 1e-3, "n_iter_no_change": 2, "max_iter": 100, "learning_rate_init": 0.05}
    ours.MLPClassifier((5,), random_state=states[0], executor="native", **options).fit(X, y)
    peer.MLPClassifier((5,), random_state=states[1], **options).fit(X, y)
    assert states[0].randint(2**30) == states[1].randint(2**30)


def test_parameters_have_the_same_names_and_defaults() -> None:
    for kind in ("MLPClassifier", "MLPRegressor"):
        mine, theirs = getattr(ours, kind)().get_params(), getattr(peer, kind)().get_params()
        assert {name: mine[name] for name in theirs} == theirs
