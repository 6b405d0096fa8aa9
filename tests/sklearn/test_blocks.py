"""How epochs are handed out changes nothing: not the epoch that training ends with, not a bit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import optimize, sparse
from sklearn import neural_network as peer
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from backlight.nn import Sequential
from backlight.sklearn import MLPClassifier, MLPRegressor
from backlight.sklearn.architecture import Architecture
from backlight.sklearn.course import Course, Examples
from backlight.sklearn.objective import Objective
from backlight.sklearn.programs import Form, gradient_program, step_program
from backlight.sklearn.quasi_newton import Total
from backlight.sklearn.rules import Rule
from backlight.train import RunState

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
EXECUTORS = ["native", "reference"]

STOPPING: dict[str, dict[str, Any]] = {
    "Adam": {"learning_rate_init": 0.05, "n_iter_no_change": 3, "tol": 1e-3},
    "Adam, no patience": {"learning_rate_init": 0.1, "n_iter_no_change": 1, "tol": 1e-2},
    "adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.5, "tol": 1e-2,
        "n_iter_no_change": 2,
    },
    "falling": {
        "solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5, "tol": 1e-3,
    },
    "in order": {"shuffle": False, "learning_rate_init": 0.05, "tol": 1e-3},
}  # fmt: skip


def made(random: Any = 0, **options: Any) -> MLPClassifier:
    return MLPClassifier(
        **{
            "hidden_layer_sizes": (5,), "max_iter": 300, "batch_size": 40, "random_state": random,
            **options,
        }
    )  # fmt: skip


def numbers(fitted: Any) -> list[np.ndarray]:
    return [*fitted.coefs_, *fitted.intercepts_, np.array(fitted.loss_curve_)]


def same(one: Any, other: Any) -> None:
    assert (one.n_iter_, one.t_) == (other.n_iter_, other.t_)
    assert one._no_improvement_count == other._no_improvement_count
    assert one.best_loss_ == other.best_loss_
    for a, b in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_array_equal(a, b)


# ── blocks of epochs ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", STOPPING)
@pytest.mark.parametrize("block", [7, 1000])
def test_a_block_ends_where_single_epochs_do(
    name: str, executor: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_on(state: RunState) -> bool:
        return False

    options = STOPPING[name] | {"executor": executor}
    states = np.random.RandomState(1), np.random.RandomState(1)
    single = made(states[0], **options, callbacks=[look_on]).fit(X, y)
    assert 3 < single.n_iter_ < 300  # it stops by itself
    # A block that goes past the end is undone; by itself training hardly ever takes such a one.
    monkeypatch.setattr(Course, "_together", lambda self, epochs, sure: min(epochs, block))
    together = made(states[1], **options).fit(X, y)
    same(single, together)
    assert states[0].randint(2**31) == states[1].randint(2**31)  # drawn as often
    theirs = peer.MLPClassifier(
        **{k: v for k, v in made(1, **STOPPING[name]).get_params().items() if k in PEER}
    ).fit(X, y)
    assert theirs.n_iter_ == together.n_iter_


PEER = peer.MLPClassifier().get_params()


@pytest.mark.parametrize("patience", [2, 30, np.inf])
def test_blocks_that_cannot_end_early_are_not_undone(
    patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    epochs = Course._epochs

    def counted(self: Course, count: int) -> Any:
        calls.append(count)
        self.steps_per_call = 10**6  # as if the machine were fast
        return epochs(self, count)

    monkeypatch.setattr(Course, "_epochs", counted)
    monkeypatch.setattr("backlight.sklearn.course.SPARE_SECONDS", 0.0)
    fitted = made(n_iter_no_change=patience, learning_rate_init=0.05, tol=1e-3).fit(X, y)
    assert sum(calls) == fitted.n_iter_
    assert len(calls) < fitted.n_iter_


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_falling_rate_goes_on_as_in_scikit_learn(executor: str) -> None:
    options: dict[str, Any] = {
        "hidden_layer_sizes": (5,), "solver": "sgd", "learning_rate": "invscaling", "max_iter": 4,
        "learning_rate_init": 0.3, "power_t": 0.3, "random_state": 0, "batch_size": 40,
    }  # fmt: skip
    for method in ("fit", "partial_fit"):
        options["warm_start"] = method == "fit"
        ours = MLPClassifier(**options, executor=executor)
        theirs = peer.MLPClassifier(**options)
        for _ in range(3):
            given = {"classes": np.unique(y)} if method == "partial_fit" else {}
            for each in (ours, theirs):
                getattr(each, method)(X, y, **given)
            assert ours.t_ == theirs.t_
            for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9)


# ── programs that are kept ───────────────────────────────────────────────────────────────────────


def form(**options: Any) -> Form:
    given: dict[str, Any] = {
        "architecture": Architecture((4, 5, 3), ("relu",), (0.0,), "float64"),
        "objective": Objective("softmax"), "length": 40, "weighted": False,
        "executor": "native", "rule": Rule(True),
    }  # fmt: skip
    return Form(**{**given, **options})


def test_a_form_is_compiled_once() -> None:
    assert step_program(form()) is step_program(form())
    assert step_program(form()) is not step_program(form(length=48))
    assert gradient_program(form(rule=None)) is gradient_program(form(rule=None))


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_estimators_that_share_a_program_share_nothing_else(solver: str) -> None:
    def options(k: int) -> dict[str, Any]:
        given = {"solver": solver, "alpha": 10.0**-k, "learning_rate_init": 0.01 * (k + 1)}
        return {**given, "max_iter": 20, "random_state": k, "executor": "native"}

    def parts(k: int) -> tuple[np.ndarray, np.ndarray]:
        return X[k : 120 + k], y[k : 120 + k]

    def fitted(k: int) -> list[np.ndarray]:
        return numbers(made(k, **options(k)).fit(*parts(k)))

    alone = [fitted(k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for k, found in enumerate(pool.map(fitted, [0, 1, 2, 3] * 3)):
            for a, b in zip(found, alone[k % 4], strict=True):
                np.testing.assert_array_equal(a, b)


def test_estimators_take_turns_with_partial_fit() -> None:
    def trained(order: Sequence[int]) -> dict[int, Any]:
        models = {k: made(k, executor="native", alpha=float(k)) for k in set(order)}
        for k in order:
            models[k].partial_fit(X, y, classes=[0, 1, 2])
        return models

    together, one, two = trained([1, 2, 1, 2, 2, 1]), trained([1, 1, 1]), trained([2, 2, 2])
    same(together[1], one[1])
    same(together[2], two[2])


# ── L-BFGS ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("length", [16, 152])
@pytest.mark.parametrize("thin", [False, True])
def test_the_gradient_of_all_examples(executor: str, length: int, thin: bool) -> None:
    random = np.random.default_rng(0)
    shapes = [(5, 4), (5,), (3, 5), (3,)]
    examples = Examples(sparse.csr_matrix(X) if thin else X, np.eye(3)[y], random.random(len(y)))
    smooth = Architecture((4, 5, 3), ("tanh",), (0.0,), "float64")
    made_form = form(
        architecture=smooth, rule=None, length=length, weighted=True, executor=executor
    )
    before = X.copy()
    total = Total(gradient_program(made_form), examples, length, shapes, 0.7)
    place = random.normal(size=sum(int(np.prod(each)) for each in shapes))
    loss, gradient = total(place)
    hidden = np.tanh(X @ place[:20].reshape(5, 4).T + place[20:25])
    logits = hidden @ place[25:40].reshape(3, 5).T + place[40:]
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert examples.weights is not None
    decay = 0.35 * ((place[:20] ** 2).sum() + (place[25:40] ** 2).sum())
    share = examples.weights.sum()
    wanted = -(examples.weights * np.log(odds[np.arange(len(y)), y])).sum()
    assert loss == pytest.approx((wanted + decay) / share, rel=1e-12)
    numeric = optimize.approx_fprime(place, lambda v: total(v)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(total(place)[1], gradient)
    np.testing.assert_array_equal(X, before)
    other = total(place + 1.0)[1]
    assert not np.shares_memory(other, gradient) and (other != gradient).any()


def test_blocks_of_rows_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"solver": "lbfgs", "activation": "tanh", "alpha": 1.0, "tol": 1e-6}
    whole = made(**options).fit(X, y)
    monkeypatch.setattr("backlight.sklearn.training.BLOCK", 64)
    parts = made(**options).fit(X, y)
    for a, b in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


# ── validation ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_validation_set_is_measured_with_the_weights_of_its_epoch(
    executor: str, solver: str
) -> None:
    train, test = slice(0, None, 2), slice(1, None, 2)
    weights = np.random.default_rng(0).random(len(y[test]))
    losses, scores = [], []

    def look_on(state: RunState) -> None:
        net = state.net
        assert isinstance(net, Sequential)
        raw = net(X[test]).value
        odds = np.exp(raw - raw.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        losses.append(log_loss(y[test], odds, sample_weight=weights))
        scores.append(np.average(odds.argmax(axis=1) == y[test], weights=weights))

    given = {"X_val": X[test], "y_val": y[test], "sample_weight_val": weights}
    options = {"solver": solver, "max_iter": 8, "executor": executor}
    model = made(**options, callbacks=[look_on]).fit(X[train], y[train], **given)
    np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-9)
    np.testing.assert_allclose(model.validation_scores_, scores, rtol=1e-9)
    thin = made(**options).fit(X[train], y[train], **{**given, "X_val": sparse.csr_matrix(X[test])})
    np.testing.assert_allclose(thin.validation_loss_curve_, losses, rtol=1e-9)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_early_stopping_keeps_the_best_of_the_epochs(executor: str) -> None:
    seen: list[tuple[float, list[np.ndarray]]] = []
    model = made(
        early_stopping=True, n_iter_no_change=5, learning_rate_init=0.03, executor=executor
    )
    model.callbacks = [
        lambda state: seen.append(
            (model.validation_scores_[-1], [each.copy() for each in model.coefs_])
        )
    ]
    model.fit(X, y)
    best = max(range(len(seen)), key=lambda k: seen[k][0])  # the first of them
    assert model.best_validation_score_ == seen[best][0] and best < len(seen) - 1
    for a, b in zip(model.coefs_, seen[best][1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_outputs_of_a_regressor_are_averaged() -> None:
    targets = np.stack([X[:, 0], X[:, 1] ** 2], axis=1)
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=5, random_state=0).fit(
        X[:100], targets[:100], X_val=X[100:], y_val=targets[100:]
    )
    wanted = 0.5 * ((model.predict(X[100:]) - targets[100:]) ** 2).mean()
    assert model.validation_loss_curve_[-1] == pytest.approx(wanted, rel=1e-12)
