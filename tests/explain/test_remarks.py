"""Nothing is silent: kinks, zeros and cuts are said with the factor or the place."""

from __future__ import annotations

import inspect

import pytest

import backlight as bl


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_relu_exactly_at_its_kink() -> None:
    x = bl.param([0.0, 1.0], name="x")
    d = bl.explain(bl.sum(3.0 * bl.relu(x)), x, index=0)
    assert d.value == 0.0
    assert (
        "Kink: relu at x₁ = 0 has the derivative 0 from below and the derivative 1 from above; "
        "the derivative at 0 is taken as 0."
    ) in d.text()
    assert d.numeric.reason == "relu (v) is at a kink" or "relu" in d.numeric.reason
    assert "cannot be compared" in d.badge
    assert "Kink" not in bl.explain(bl.sum(3.0 * bl.relu(x)), x, index=1).text()


def test_the_absolute_value_at_zero() -> None:
    x = bl.param(0.0, name="x")
    text = bl.explain(abs(x) * 2.0, x).text()
    assert "has the derivative −1 from below and the derivative 1 from above" in text


def test_a_tie_for_the_maximum() -> None:
    x = bl.param([2.0, 2.0, 1.0], name="x")
    d = bl.explain(bl.max(x), x, index=1)
    assert d.value == 0.5
    assert "has the derivative 0 from below and the derivative 1 from above" in d.text()
    assert "share the gradient equally" in d.text()
    a, b = bl.param(1.0, name="a"), bl.param(1.0, name="b")
    assert "at a tie each operand gets half" in bl.explain(bl.maximum(a, b), a).text()


def test_a_jump() -> None:
    x = bl.param(2.0, name="x")
    text = bl.explain(bl.floor(x) + x, x).text()
    assert "has a jump from below and the derivative 0 from above" in text


def test_many_kinks_are_counted() -> None:
    x = bl.param([[0.0]] * 3, name="x")
    w = bl.param([[1.0, 1.0, 1.0]], name="w")
    text = bl.explain(bl.sum(bl.relu(x @ w)), x, index=(0, 0)).text()
    assert text.count("Kink:") == 3


def test_a_dead_unit() -> None:
    net = bl.nn.Sequential(bl.nn.Linear(2, 2, dtype="float64"), bl.nn.ReLU(),
                           bl.nn.Linear(2, 1, dtype="float64"), seed=0)  # fmt: skip
    parameters = net.parameters()
    parameters["layers.0.weight"].assign([[-1.0, -1.0], [1.0, 1.0]])
    L = bl.nn.squared_error(net(bl.tensor([1.0, 2.0], name="x")), bl.tensor([1.0], name="y"))
    d = bl.explain(L, parameters["layers.0.weight"], index=(0, 0))
    assert d.value == 0.0
    text = d.text()
    assert "σ" not in text
    assert "relu′(z₁⁽¹⁾)" in text
    assert "It is exactly zero because relu′(z₁⁽¹⁾) = 0." in text
    assert d.to_dict()["remarks"] == ["It is exactly zero because relu′(z₁⁽¹⁾) = 0."]
    assert d.numeric.ok
    alive = bl.explain(L, parameters["layers.0.weight"], index=(1, 0))
    assert "zero because" not in alive.text()


def test_a_unit_that_is_dead_for_every_example() -> None:
    w = bl.param(-1.0, name="w")
    X = bl.tensor([[1.0], [2.0], [3.0]], name="X")
    text = bl.explain(bl.sum(bl.relu(X * w)), w).text()
    assert "Every term is zero because relu′" in text


def test_contributions_that_cancel() -> None:
    x = bl.param(3.0, name="x")
    text = bl.explain(x * 2.0 - x * 2.0, x).text()
    assert "The derivative by x is zero because its contributions cancel." in text


def test_a_zero_further_on() -> None:
    x = bl.param(2.0, name="x")
    h = bl.exp(x)
    z = bl.relu(-h)
    text = bl.explain(z * 3.0 + z * z, x).text()
    assert "relu′" in text
    assert "zero because" in text


def test_a_path_that_detach_cuts() -> None:
    x = bl.param(2.0, name="x")
    h = x * 3.0
    fixed = h.detach()
    here = line() - 1
    d = bl.explain(fixed * h, x)
    assert d.value == 18.0
    text = d.text()
    assert "Cut: no gradient flows through detach (fixed)" in text
    assert f"test_remarks.py:{here}" in text
    assert d.numeric.ok, "the numeric check holds the cut copy fixed, as the derivative does"
    assert "Cut" in bl.explain(fixed * h, "h").text()


def test_a_path_through_integers() -> None:
    x = bl.param(2.5, name="x")
    steps = bl.astype(bl.astype(x, bl.int64), bl.float64)
    text = bl.explain(steps * x, x).text()
    assert "Cut: no gradient flows through cast" in text
    assert "its result is int64" in text


def test_a_comparison_is_no_cut() -> None:
    x = bl.param(2.5, name="x")
    assert "Cut" not in bl.explain(bl.where(x > 1.0, x * x, x), x).text()


def test_what_a_composite_cuts_inside_is_shown_when_it_is_opened() -> None:
    @bl.functions.composite.composite()
    def shifted(x: bl.Tensor) -> bl.Tensor:
        return x * x - x.detach()

    x = bl.param(2.0, name="x")
    assert "Cut" not in bl.explain(shifted(x) * 2.0, x).text()
    assert "Cut" in bl.explain(shifted(x) * 2.0, x, fold=False).text()


@pytest.mark.parametrize("index", [0, 1])
def test_a_tensor_says_its_cuts_too(index: int) -> None:
    x = bl.param([2.0, 3.0], name="x")
    loss = bl.sum(x * x.detach())
    assert "Cut" in bl.explain(loss, x).text()
    assert "Cut" in bl.explain(loss, x, index=index).text()
