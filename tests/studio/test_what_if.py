"""What-ifs: the recorded computation with other leaves, compared with computing it anew."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight.errors import BacklightError
from backlight.studio.asking import Edit
from backlight.studio.what_if import what_if


def loss_of(w: float, x: float, y: float) -> bl.Tensor:
    return (bl.param(w, name="w") * bl.tensor(x, name="x") - bl.tensor(y, name="y")) ** 2


def test_other_values_give_what_computing_anew_gives() -> None:
    changed = what_if(bl.record(loss_of(1.0, 1.0, 2.0)), [Edit("x", (), 3.0), Edit("w", (), 0.5)])
    # d/dw (w·x − y)² = 2x(w·x − y) = 2·3·(1.5 − 2)
    assert float(changed.gradient("w")) == -3.0
    assert changed.about["edits"][0]["node"] == "x"


def test_one_entry_of_a_weight_of_a_network() -> None:
    net = bl.nn.Sequential(bl.nn.Linear(2, 3), bl.nn.Tanh(), bl.nn.Linear(3, 1), seed=1)
    X, y = np.array([[0.5, -1.0]], np.float32), np.array([[1.0]], np.float32)
    trace = bl.record(bl.nn.mse(net(bl.tensor(X, name="X")), bl.tensor(y, name="y")))
    changed = what_if(trace, [Edit("layers.0.weight", (2, 1), 0.25)])
    net.parameters()["layers.0.weight"].assign(
        np.where(
            (np.arange(3)[:, None] == 2) & (np.arange(2) == 1), np.float32(0.25),
            trace.value("layers.0.weight"),
        )
    )  # fmt: skip
    again = bl.record(bl.nn.mse(net(bl.tensor(X, name="X")), bl.tensor(y, name="y")))
    assert np.array_equal(again.values[again.output], changed.values[changed.output])
    for name in trace.parameters:
        assert np.array_equal(again.gradient(name), changed.gradient(name))
    # The trace that it came from is untouched.
    assert trace.value("layers.0.weight")[2, 1] != np.float32(0.25)


def test_the_exponent_is_a_leaf_too() -> None:
    trace = bl.record(loss_of(1.0, 1.0, 3.0))
    exponent = next(k for k, node in enumerate(trace.graph.nodes) if node.name == "c")
    changed = what_if(trace, [Edit(exponent, (), 4.0)])
    assert float(changed.values[changed.output]) == 16.0


@pytest.mark.parametrize(
    "edit",
    [
        Edit("nothing", (), 1.0),
        Edit("w", (0,), 1.0),
        Edit(99, (), 1.0),
        Edit("s", (), 1.0),  # computed from others
    ],
)
def test_edits_that_make_no_sense_are_refused(edit: Edit) -> None:
    with pytest.raises(BacklightError):
        what_if(bl.record(loss_of(1.0, 1.0, 2.0)), [edit])


def test_a_class_number_that_does_not_exist_is_refused() -> None:
    logits = bl.param([[0.1, 0.2]], name="logits")
    loss = bl.nn.cross_entropy(logits, bl.tensor(np.array([1]), name="y"))
    trace = bl.record(loss)
    assert float(what_if(trace, [Edit("y", (0,), 0.0)]).values[trace.output]) > 0
    with pytest.raises(BacklightError):
        what_if(trace, [Edit("y", (0,), 7.0)])
    with pytest.raises(BacklightError, match="whole numbers"):
        what_if(trace, [Edit("y", (0,), 0.5)])
