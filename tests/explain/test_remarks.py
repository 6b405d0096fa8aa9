"""Nothing is silent: kinks, zeros and cuts are said with the factor or the place."""

from __future__ import annotations

import inspect

import pytest

import backlight as bl
from backlight.graph.primitive import REGISTRY


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


def test_a_choice_exactly_where_its_condition_changes() -> None:
    x = bl.param([0.0, 1.0], name="x")
    loss = bl.sum(bl.where(x > 0.0, 2.0 * x + 1.0, -x))
    at, beside = (bl.explain(loss, x, index=k) for k in (0, 1))
    (note,) = [each for each in at.remarks if each.startswith("Kink")]
    assert "by x₁ > 0, which changes exactly here" in note
    assert not any(each.startswith("Kink") for each in beside.remarks)


@pytest.mark.filterwarnings("ignore::backlight.errors.BacklightWarning")
def test_an_infinite_value_on_the_way_cannot_be_compared() -> None:
    x = bl.param(0.0, name="x")
    q = 1.0 / x
    loss = bl.erf(bl.where(x > 3.0, x, q)) + x
    assert bl.explain(loss, x).numeric.reason == "q on the way is not finite"


def test_a_kink_that_rounding_hides_is_no_disagreement() -> None:
    x = bl.param([0.7, 0.7 + 1e-13, 0.1], name="x")  # a tie but for the last digits
    d = bl.explain(bl.max(3.0 * x), x, index=1)
    assert d.value == 3.0
    assert d.numeric.reason == "the loss has a kink closer than a step"


def test_a_wrong_rule_is_not_excused_as_a_kink() -> None:
    wrong = bl.primitive(
        "wrong_cube", lambda xp, x: x * x * x, partials=[lambda y, x: 3.003 * x**2.0]
    )
    try:
        x = bl.param(0.5, name="x")
        d = bl.explain(wrong(x), x)
        assert not d.numeric.ok and not d.numeric.reason
    finally:
        REGISTRY.remove("wrong_cube")


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
