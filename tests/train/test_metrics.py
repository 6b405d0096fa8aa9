"""Metrics against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight import nn
from backlight.errors import ShapeError, UnknownNameError, UsageError
from backlight.train.metrics import (
    Metric,
    accuracy,
    accuracy_above,
    higher_is_better,
    mean_absolute_error,
    mean_squared_error,
    resolve,
)


def test_accuracy_of_class_numbers_and_of_shares():
    scores = bl.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    assert accuracy(scores, bl.tensor([1, 0, 1, 2])).item() == 0.5
    shares = np.eye(3)[[1, 0, 2, 2]]
    assert accuracy(scores, bl.tensor(shares)).item() == 0.75


@pytest.mark.parametrize("targets", [[[1.0], [0.0], [1.0]], [1.0, 0.0, 1.0], [1, 0, 1]])
def test_accuracy_of_one_output(targets):
    logits = bl.tensor([[2.0], [1.0], [-1.0]])
    assert accuracy_above(0.0)(logits, bl.tensor(targets)).item() == pytest.approx(1 / 3)


def test_errors():
    prediction, target = bl.tensor([[1.0], [4.0]]), bl.tensor([[0.0], [6.0]])
    assert mean_absolute_error(prediction, target).item() == 1.5
    assert mean_squared_error(prediction, target).item() == 2.5


def test_a_count_in_float32_stays_exact():
    n = 2**24 + 1  # one more than float32 can count to
    assert (
        accuracy_above(0.0)(
            bl.tensor(np.ones(n, np.float32)), bl.tensor(np.ones(n, np.float32))
        ).item()
        == 1.0
    )


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="accuracy"):
        accuracy(bl.tensor([[1.0, 2.0]]), bl.tensor([[1], [2]]))
    with pytest.raises(ShapeError, match="entry by entry"):
        mean_absolute_error(bl.tensor([1.0]), bl.tensor([[1.0]]))
    with pytest.raises(ShapeError, match="one number"):
        Metric("raw", lambda p, t: p)(bl.tensor([1.0]), bl.tensor([1.0]))


def test_a_metric_must_return_a_tensor():
    with pytest.raises(UsageError, match="must return a tensor"):
        Metric("odd", lambda p, t: 3.0)(bl.tensor(1.0), bl.tensor(1.0))


def test_metrics_are_found_by_name():
    def top(prediction, target):
        return nn.mse(prediction, target)

    found = resolve(["mean_squared_error", top], accuracy)
    assert [each.name for each in found] == ["accuracy", "mean_squared_error", "top"]
    assert [each.name for each in resolve(["accuracy"], accuracy)] == ["accuracy"]
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        resolve(["acuracy"], None)
    with pytest.raises(UsageError, match="called 'top'"):
        resolve([top, top], None)


def test_which_direction_is_better():
    assert higher_is_better("validation_accuracy") and higher_is_better("r2")
    assert not higher_is_better("loss") and not higher_is_better("mean_absolute_error")
