"""Among scikit-learn's tools: pipelines, searches, copies, routing, frames."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import backlight as bl
from backlight.sklearn import MLPClassifier, MLPRegressor
from backlight.sklearn.programs import _made_step
from backlight.sklearn.training import allowed_threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[y]


def small(**options: object) -> MLPClassifier:
    return MLPClassifier(
        **{"hidden_layer_sizes": (4,), "max_iter": 8, "random_state": 0, **options}
    )


def test_a_pipeline_learns_and_names_its_classes() -> None:
    model = make_pipeline(StandardScaler(), small(max_iter=100, learning_rate_init=0.02))
    model.fit(X, NAMES)
    assert model.score(X, NAMES) > 0.9 and list(model.classes_) == sorted(set(NAMES))
    assert set(model.predict(X)) <= set(NAMES)


def test_a_search_in_two_processes_finds_what_one_finds() -> None:
    model = make_pipeline(StandardScaler(), small())
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__learning_rate_init": [1e-3, 0.05]}
    found = [GridSearchCV(model, grid, cv=3, n_jobs=jobs).fit(X, y) for jobs in (1, 2)]
    scores = [each.cv_results_["mean_test_score"] for each in found]
    np.testing.assert_array_equal(*scores)
    assert found[0].best_params_["mlpclassifier__learning_rate_init"] == 0.05


def test_a_search_compiles_once() -> None:
    _made_step.cache_clear()
    grid = {"alpha": [1e-4, 0.1, 1.0], "beta_1": [0.8, 0.9], "learning_rate_init": [1e-3, 1e-2]}
    GridSearchCV(small(executor="native", batch_size=32), grid, cv=2).fit(X, y)
    assert _made_step.cache_info().misses == 1


def test_partial_fits_share_their_program() -> None:
    _made_step.cache_clear()
    model = small(executor="native")
    for n in (33, 40, 37, 35):
        model.partial_fit(X[:n], y[:n], classes=[0, 1, 2])
    assert _made_step.cache_info().misses == 1


def test_copies_predict_the_same_and_go_on_the_same() -> None:
    model = small(solver="sgd", learning_rate="adaptive").fit(X, NAMES)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    for each in (model, copy):
        each.partial_fit(X, NAMES)
    np.testing.assert_array_equal(copy.coefs_[0], model.coefs_[0])
    assert copy.loss_curve_ == model.loss_curve_


def test_a_clone_is_unfitted_and_has_all_parameters() -> None:
    model = small(
        dropout=[0.25], callbacks=[print], class_weight="balanced", loss=bl.nn.cross_entropy
    )
    copy = clone(model)
    assert copy.get_params() == model.get_params() and not hasattr(copy, "coefs_")


def test_repr_shows_what_was_changed() -> None:
    assert repr(MLPRegressor(dropout=0.5)) == "MLPRegressor(dropout=0.5)"


def test_frames_give_feature_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = make_pipeline(StandardScaler(), small()).set_output(transform="pandas")
    model.fit(frame, NAMES)
    assert list(model[-1].feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model[-1].predict(frame[list("dcba")])


def test_text_goes_in_as_a_sparse_matrix() -> None:
    texts = ["good day", "bad day", "good night", "bad night"] * 5
    model = make_pipeline(TfidfVectorizer(), small(max_iter=200, learning_rate_init=0.02))
    model.fit(texts, ["+", "-"] * 10)
    assert list(model.predict(["good", "bad"])) == ["+", "-"]


def test_other_estimators_can_wrap_it() -> None:
    A, b = load_diabetes(return_X_y=True)
    wrapped = TransformedTargetRegressor(
        MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=50, random_state=0),
        transformer=StandardScaler(),
    )
    assert wrapped.fit(A * 20.0, b).score(A * 20.0, b) > 0.4
    several = MultiOutputClassifier(small()).fit(X, np.stack([y, y[::-1]], axis=1))
    assert several.predict(X).shape == (150, 2)
    calibrated = CalibratedClassifierCV(small(), cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_weights_are_routed_to_fit() -> None:
    weights = np.linspace(0.0, 1.0, len(y))
    model = small().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
    found = cross_validate(
        model, X, y, params={"sample_weight": weights}, cv=2, return_estimator=True
    )
    halves = [clone(model).fit(X[k], y[k], sample_weight=weights[k]) for k in _halves()]
    for mine, direct in zip(found["estimator"], halves, strict=True):
        np.testing.assert_array_equal(mine.coefs_[0], direct.coefs_[0])


def _halves() -> list[np.ndarray]:
    from sklearn.model_selection import StratifiedKFold

    return [train for train, _ in StratifiedKFold(2).split(X, y)]


@pytest.mark.usefixtures("routing")
def test_a_validation_set_passes_through_a_pipelines_steps() -> None:
    model = Pipeline(
        [("scale", StandardScaler()), ("net", small().set_fit_request(X_val=True, y_val=True))],
        transform_input=["X_val"],
    )
    model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    net = model[-1]
    assert net.validation_scores_[-1] == model.score(X[1::2], y[1::2])


def test_workers_that_share_the_cores_take_their_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert allowed_threads(None) is None and allowed_threads(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert allowed_threads(None) == 1 and allowed_threads(2) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert allowed_threads(None) is None
