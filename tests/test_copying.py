"""Copies and pickles of tensors and networks: leaves of their own, or a clear refusal."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import backlight as bl
from backlight.errors import UsageError

WAYS = [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]


def network():
    return bl.nn.Sequential(
        bl.nn.Linear(2, 3), bl.nn.ReLU(), bl.nn.Dropout(0.5), bl.nn.Linear(3, 1), seed=0
    )


@pytest.mark.parametrize("again", WAYS)
def test_a_copied_parameter_is_a_parameter_with_its_own_value_and_name(again):
    w = bl.param([1.0, 2.0])
    bl.sum(w * w).backward()
    other = again(w)
    assert (other.name, other.dtype, other.grad) == ("w", w.dtype, None)
    other.assign([5.0, 6.0])
    np.testing.assert_array_equal(w.value, [1.0, 2.0])
    bl.sum(other * other).backward()
    np.testing.assert_array_equal(other.grad, [10.0, 12.0])
    np.testing.assert_array_equal(w.grad, [2.0, 4.0])


@pytest.mark.parametrize("again", WAYS)
def test_a_copied_network_keeps_all_its_parameters_and_trains_apart(again):
    net = network()
    before = net.state()
    other = again(net)
    assert list(other.parameters()) == list(net.parameters())
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(other(x).value, net(x).value)
    bl.fit(other, (x, np.zeros((4, 1), np.float32)), loss=bl.nn.mse, epochs=1, seed=0)
    for name, value in net.state().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("again", WAYS)
def test_what_is_shared_stays_shared_in_the_copy(again):
    layer = bl.nn.Linear(2, 2, seed=0)
    other = again({"first": layer, "second": layer, "weight": layer.weight})
    assert other["first"] is other["second"]
    assert other["first"].weight is other["weight"]


@pytest.mark.parametrize("again", WAYS)
def test_data_and_constants_are_copied_too(again):
    x = bl.tensor([1, 2], name="x")
    other = again(x)
    np.testing.assert_array_equal(other.value, [1, 2])
    assert other.name == "x"
    assert not other.tracked
    assert again(bl.asarray(2.0)).item() == 2.0


@pytest.mark.parametrize("again", [copy.copy, *WAYS])
def test_a_result_is_refused_with_the_remedy(again):
    w = bl.param(3.0)
    square = w * w
    with pytest.raises(UsageError, match=r"square is the result of mul .* keep its \.value"):
        again(square)


@pytest.mark.parametrize("again", WAYS)
def test_a_trace_is_copied_with_all_its_numbers(again):
    w = bl.param([1.0, 3.0])
    trace = bl.record(bl.sum(bl.exp(w) * 2.0))
    other = again(trace)
    assert other.to_json() == trace.to_json()
    assert bl.explain(other, "w", index=(1,)).value == bl.explain(trace, "w", index=(1,)).value
