"""What `backlight train` decides from a data set, against scikit-learn and by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from backlight import nn
from backlight.cli.recipe import ACTIVATIONS, Recipe, read_hidden
from backlight.data import Dataset, load
from backlight.errors import DataError, RunError, UsageError


def numbers(n: int = 40, k: int = 2) -> Dataset:
    """A regression with features and targets of very different sizes."""
    rng = np.random.default_rng(0)
    X = rng.normal([100.0, -0.001], [30.0, 0.0002], (n, 2)).astype(np.float32)
    y = (rng.normal(size=(n, k)) * 50 + 1000).astype(np.float32)
    return Dataset("made", X, y, ("a", "b"), "y", None, "regression")


def test_features_are_standardized_from_the_training_rows_alone() -> None:
    data = numbers()
    train, test = data.split(0.25, seed=0)
    recipe = Recipe.learn(train)
    ready = recipe.inputs(train.X)
    assert ready.dtype == np.float32
    np.testing.assert_allclose(ready.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(ready.std(axis=0), 1, rtol=1e-5)
    exact = train.X.astype(np.float64)
    by_hand = (test.X - exact.mean(axis=0)) / exact.std(axis=0)
    np.testing.assert_allclose(recipe.inputs(test.X), by_hand, rtol=1e-4, atol=1e-5)


def test_images_and_a_user_who_wants_it_are_left_as_they_are() -> None:
    digits = load("digits")
    np.testing.assert_array_equal(Recipe.learn(digits).inputs(digits.X), digits.X)
    data = numbers()
    plain = Recipe.learn(data, standardize=False)
    np.testing.assert_array_equal(plain.inputs(data.X), data.X)
    np.testing.assert_array_equal(plain.wanted(data.y), data.y)


def test_the_target_decides_loss_and_outputs() -> None:
    penguins = Recipe.learn(load("penguins"))
    assert (penguins.task, penguins.outputs, penguins.loss) == (
        "classification", 3, nn.cross_entropy,
    )  # fmt: skip
    assert Recipe.learn(load("xor")).outputs == 2
    regression = Recipe.learn(numbers())
    assert (regression.task, regression.outputs, regression.loss) == ("regression", 2, nn.mse)


def test_the_network_has_the_widths_and_the_activation_asked_for() -> None:
    recipe = Recipe.learn(load("penguins"))
    net = recipe.network((8, 5), "tanh", 0.1, seed=3)
    assert [type(layer).__name__ for layer in net] == [
        "Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear",
    ]  # fmt: skip
    shapes = {name: each.shape for name, each in nn.parameters(net).items()}
    assert shapes["layers.0.weight"] == (8, 4)
    assert shapes["layers.6.weight"] == (3, 5)
    assert len(recipe.network((), "relu", 0.0, seed=0)) == 1
    for activation in ACTIVATIONS:
        recipe.network((2,), activation, 0.0, seed=0)(recipe.inputs(load("penguins").X[:2]))


def test_probabilities_are_a_softmax_of_the_outputs() -> None:
    scipy = pytest.importorskip("scipy.special")
    data = load("penguins")
    recipe = Recipe.learn(data)
    net = recipe.network((6,), "relu", 0.5, seed=0)
    found = recipe.predict(net, data.X)
    logits = net(recipe.inputs(data.X)).value.astype(np.float64)
    np.testing.assert_allclose(found, scipy.softmax(logits, axis=1), rtol=1e-12)
    assert recipe.predict(net, data.X[:0]).shape == (0, 3)


def test_predictions_of_a_regression_are_in_the_units_of_the_target() -> None:
    data = numbers()
    recipe = Recipe.learn(data)

    def perfect(rows: np.ndarray) -> object:
        from backlight import tensor

        return tensor(recipe.wanted(data.y)[: len(rows)])

    np.testing.assert_allclose(recipe.predict(perfect, data.X), data.y, rtol=1e-4)
    score = recipe.score(perfect, data)
    assert score["r2"] == pytest.approx(1, abs=1e-6)
    assert score["rmse"] < 0.01


def test_scores_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    data = numbers()
    recipe = Recipe.learn(data)
    net = recipe.network((4,), "relu", 0.0, seed=0)
    score = recipe.score(net, data)
    predicted = recipe.predict(net, data.X)
    assert score["r2"] == pytest.approx(metrics.r2_score(data.y, predicted), rel=1e-9)
    squares = metrics.mean_squared_error(data.y.astype(np.float64), predicted)
    assert score["rmse"] == pytest.approx(math.sqrt(squares), rel=1e-9)


def test_a_target_that_does_not_vary_has_no_r2() -> None:
    data = numbers(k=1)
    flat = Dataset("flat", data.X, np.ones_like(data.y), ("a", "b"), "y", None, "regression")
    recipe = Recipe.learn(flat)
    assert set(recipe.score(recipe.network((), "relu", 0.0, seed=0), flat)) == {"rmse"}


@pytest.mark.parametrize("data", [load("penguins"), load("digits"), numbers()])
def test_a_recipe_is_stored_exactly(data: Dataset) -> None:
    recipe = Recipe.learn(data)
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again.to_dict() == recipe.to_dict()
    np.testing.assert_array_equal(again.inputs(data.X), recipe.inputs(data.X))


@pytest.mark.parametrize("stored", [None, 3, {}, {"class_names": None}, {"feature_names": 1}])
def test_a_damaged_recipe_is_refused(stored: object) -> None:
    with pytest.raises(RunError, match="damaged"):
        Recipe.from_dict(stored)


def test_other_features_are_refused() -> None:
    with pytest.raises(DataError, match="3 features and the network was trained on 2"):
        Recipe.learn(numbers()).inputs(np.zeros((1, 3), np.float32))


def test_hidden_widths() -> None:
    assert read_hidden("128,64") == (128, 64)
    assert read_hidden(" 7 ") == (7,)
    assert read_hidden("none") == ()
    deep = ",".join("1" * 101)
    for text in ("", "0", "-1", "1.5", "a", "1,,2", "1,", "9" * 50, "²", "1;2", deep):
        with pytest.raises(UsageError, match="--hidden"):
            read_hidden(text)
