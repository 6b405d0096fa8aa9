"""Odd but valid computations are explained without an exception, and errors say what is wrong."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.explain.test_random_graphs import check_forms

import backlight as bl
from backlight.errors import GradientError, ShapeError, UnknownNameError, UsageError
from backlight.formula import parse
from backlight.graph.notation import UNICODE


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", bl.errors.BacklightWarning)
        yield


def x3() -> Any:
    return bl.param([1.0, 0.0, -2.0], name="x")


CASES: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "a choice guards a root": lambda: guarded(2),
    "a choice guards a root at 0": lambda: guarded(1),
    "infinite derivative": lambda: logarithms(1),
    "NaN value, finite derivative": lambda: logarithms(2),
    "infinity times zero": lambda: one(lambda x: bl.sum(bl.exp(x * 1e4)) * 0.0, 0),
    "infinite loss": lambda: one(lambda x: bl.sum(bl.exp(x * 1e4)), 0),
    "NaN parameter": lambda: one(lambda x: bl.sum(x * x * math.nan), 0),
    "maximum with NaN": lambda: one(lambda x: bl.max(bl.log(x)), 0),
    "derivative zero": lambda: one(lambda x: bl.sum(x * x), 1),
    "Boolean data beside": lambda: one(
        lambda x: bl.sum(bl.where(bl.tensor([True, False, True]), x, 1.0)), 1
    ),
    "integer data beside": lambda: one(
        lambda x: bl.sum(bl.astype(bl.tensor([1, 2, 3]), bl.float64) * x), 2
    ),
    "not used by the loss but recorded": lambda: one(lambda x: bl.sum(x[:2]), 2),
    "float32": lambda: float32(),
}


def one(function: Callable[[Any], Any], index: int) -> tuple[Any, Any, Any]:
    x = x3()
    return function(x), x, index


def guarded(index: int) -> tuple[Any, Any, Any]:
    return one(lambda x: bl.sum(bl.where(x > 0, bl.sqrt(x), 0.0)), index)


def logarithms(index: int) -> tuple[Any, Any, Any]:
    return one(lambda x: bl.sum(bl.log(x)), index)


def float32() -> tuple[Any, Any, Any]:
    f = bl.param(np.array([0.1, 0.2], np.float32), name="f")
    return bl.sum(f * 0.7) * np.float32(0.3), f, 0


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_explained(case: str, fold: bool) -> None:
    loss, tensor, index = CASES[case]()
    loss.backward()
    d = bl.explain(loss, tensor, index=index, fold=fold)
    assert np.array_equal(d.value, tensor.grad[index], equal_nan=True)
    check_forms(d)
    for top in (0, 1, 5):
        d.paths(top)
    whole = bl.explain(loss, tensor, fold=fold)
    assert np.array_equal(whole.value, tensor.grad, equal_nan=True)
    for written in (whole.text(), whole.latex(), whole.html()):
        assert written
    json.dumps(whole.to_dict(), allow_nan=False)


def test_behind_a_choice_a_zero_stays_zero() -> None:
    loss, x, _ = guarded(2)
    d = bl.explain(loss, x, index=2)
    assert d.value == 0.0
    assert d.steps[-1].terms[0].contribution == 0.0
    assert "because [x₃ > 0] = 0; what a choice has made zero stays zero" in d.text()


def test_a_path_that_a_choice_cuts_contributes_nothing() -> None:
    x = bl.param([0.0, 4.0], name="x")
    root = bl.sqrt(x)
    loss = bl.sum(bl.where(x > 0.0, root, 3.0 * x))
    for flat, expected in enumerate([3.0, 0.25]):
        d = bl.explain(loss, x, index=flat)
        assert d.value == expected
        assert sorted(path.contribution for path in d.paths()) == [0.0, expected]
        (largest,) = d.paths(1)
        assert largest.contribution == expected and d.paths(1).remainder == 0.0
        assert "NaN" not in d.text()


def test_a_target_that_no_gradient_reaches_is_told_why() -> None:
    x, y = bl.param(2.0, name="x"), bl.param(1.0, name="y")
    with pytest.raises(GradientError, match="from y to the loss goes through greater .*Boolean"):
        bl.explain(bl.where(x > y, bl.log(x), x), y)
    with pytest.raises(GradientError, match="it goes through detach"):
        bl.explain(x.detach() * 3.0, x)
    with pytest.raises(GradientError, match="needs a scalar"):
        bl.explain(bl.exp(bl.param([1.0, 2.0])) * y, y)


def test_in_a_small_computation_no_symbol_stays_unexplained() -> None:
    a, b, c = bl.param(3.0, name="a"), bl.param(1.0, name="b"), bl.param(-2.0, name="c")
    d = 2.0 * b
    e = a + d
    derived = bl.explain(c * e, c)
    assert [(each.symbol.base, each.value) for each in derived.definitions] == [
        ("d", 2.0), ("e", 5.0), ("L", -10.0),
    ]  # fmt: skip


def test_an_entry_never_looks_like_another_name() -> None:
    formula = parse("sum(x*x₁) + x₁")
    given = {"x": bl.param([2.0, 3.0], name="x"), "x₁": bl.tensor(5.0, name="x₁")}
    d = bl.explain(formula.evaluate(given), given["x"], index=0)
    assert "p₁ = (x)₁·x₁ = 2·5 = 10" in d.text()
    assert "(x)₁ is x[0]" in d.text()
    assert r"\mathrm{(x)}_{1} \cdot {x_{1}} = 2 \cdot 5" in d.latex()


def test_what_is_left_out_of_a_long_way_is_said() -> None:
    x = bl.param(1.0, name="x")
    for depth, said in ((10, False), (40, True)):
        y = x
        for _ in range(depth):
            y = bl.sin(y)
        text = bl.explain(y, x).text()
        assert ("those in the middle are left out" in text) == said
        assert max(len(line) for line in text.splitlines() if "check" not in line) <= 98


def test_a_run_is_explained_by_one_of_its_steps() -> None:
    net = bl.nn.Sequential(bl.nn.Linear(1, 1), seed=0)
    run = bl.fit(net, ([[1.0]], [[2.0]]), loss=bl.nn.mse, epochs=1)
    with pytest.raises(UsageError, match=r"not Run; of a run, take a step: run\.replay"):
        bl.explain(run, weight="layers.0.weight[0,0]")
    with pytest.raises(UsageError, match="not float"):
        bl.explain(3.0, weight="w")


def test_only_the_layers_that_a_derivation_names_are_listed() -> None:
    layers = [bl.nn.Linear(2, 2, dtype="float64") for _ in range(12)]
    net = bl.nn.Sequential(*layers, seed=0)
    loss = bl.sum(net([[1.0, 2.0]]) ** 2)
    text = bl.explain(loss, net, weight="layers.10.weight[0,1]").text()
    (line,) = [each for each in text.splitlines() if each.startswith("Layers: ")]
    assert line.startswith("Layers: (10) layers.9.weight") and "(12) layers.11" in line
    assert "(1) " not in line


def test_long_constants_are_shortened_in_products() -> None:
    x = bl.param(0.5, name="x")
    text = bl.explain(bl.nn.gelu(x), x).text()
    assert "0.707107" in text and "0.70710678" not in text and "1.1283791" not in text


@pytest.mark.parametrize(
    ("function", "point"),
    [
        (lambda x, y: x**y, (0.0, 0.0)),
        (lambda x, y: x**x, (0.0, 1.0)),
        (lambda x, y: bl.hypot(x, y), (0.0, 0.0)),
    ],
)
def test_where_a_rule_does_not_hold_its_formula_is_not_shown(
    function: Any, point: tuple[float, float]
) -> None:
    x, y = (bl.param(value, name=name) for value, name in zip(point, "xy", strict=True))
    d = bl.explain(function(x, y), x)
    (factor,) = d.steps[-1].terms[0].factors
    assert d.value == 0.0 and UNICODE.expression(factor.symbolic) in ("0", "0 + 0")
    assert "has the derivative 0 there" in d.text()


def test_numbers_of_float32_are_short() -> None:
    loss, f, _ = float32()
    text = bl.explain(loss, f, index=0).text()
    assert "0.7" in text
    assert "0.699999" not in text
    assert "0.300000" not in text


def test_the_loss_itself() -> None:
    w = bl.param(2.0, name="w")
    L = w * w
    d = bl.explain(L, L)
    assert (d.value, d.title) == (1.0, "∂L/∂L = 1")
    assert "The derivative of the loss by itself is 1." in d.text()
    assert d.numeric.ok
    assert [path.contribution for path in d.paths()] == [1.0]
    assert bl.explain(w, w).value == 1.0


def test_tensors_without_entries() -> None:
    z, w = bl.param(np.zeros((0, 3)), name="z"), bl.param(2.0, name="w")
    loss = bl.sum(z * 2.0) + bl.prod(z) * w * w
    assert bl.explain(loss, w).value == 4.0
    whole = bl.explain(loss, z)
    assert whole.value.shape == (0, 3)
    assert "there are no entries to compare" in whole.text()
    with pytest.raises(ShapeError, match="axis 0 of z, which has no entries"):
        bl.explain(loss, z, index=(0, 0))


def test_constant_data_can_be_the_target() -> None:
    x, c = x3(), bl.tensor([1.0, 2.0, 3.0], name="c")
    assert bl.explain(bl.sum(c * x), c, index=2).value == -2.0
    assert bl.explain(bl.sum(c * c), c, index=2).value == 6.0


def test_an_intermediate_tensor() -> None:
    x = x3()
    h = x * 2.0
    loss = bl.sum(h * h)
    assert bl.explain(loss, h, index=0).value == 4.0
    assert bl.explain(loss, "h", index=(0,)).value == 4.0


@pytest.mark.parametrize("name", [
    '<b>&"', "a\nb", "\x1b[31mred", "\\{}%$#_^~", "\\", "%", "{", "ünïcode λ", "m̂", "'", "a b",
])  # fmt: skip
def test_names_of_every_kind_are_escaped(name: str) -> None:
    p = bl.param([3.0, 1.0], name=name)
    loss = bl.sum(p**2) * bl.tensor(2.0, name=name)
    d = bl.explain(loss, p, index=0)
    check_forms(d)
    assert "<b>" not in d.html()
    assert "\x1b" not in d.text() + d.latex() + d.html() + str(bl.record(loss))
    json.dumps(bl.explain(loss, p).to_dict(), allow_nan=False)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_explained() -> None:
    x, w = x3(), bl.param(1.0, name="w")
    loss = bl.sum(x * 2.0)
    with pytest.raises(UnknownNameError, match="w is no part of the computation"):
        bl.explain(loss, w)
    with pytest.raises(UnknownNameError, match="no node named 'nothing'"):
        bl.explain(loss, "nothing")
    with pytest.raises(ShapeError, match=r"axis 0 of x, which has 3 entries \(0 to 2\)"):
        bl.explain(loss, x, index=3)
    with pytest.raises(ShapeError, match=r"chosen by 1 number, not 2"):
        bl.explain(loss, x, index=(0, 0))
    with pytest.raises(UsageError, match="index either in weight= or in index="):
        bl.explain(loss, weight="x[1]", index=1)
    with pytest.raises(UsageError, match="is not a weight"):
        bl.explain(loss, weight="x[1")
    with pytest.raises(UsageError, match="needs a tensor"):
        bl.explain(loss)
    k = bl.tensor([1, 2, 3], name="k")
    with pytest.raises(GradientError, match="k is int64"):
        bl.explain(bl.sum(bl.astype(k, bl.float64) * x), k)
    cut = x.detach() * 2.0
    with pytest.raises(GradientError):
        bl.explain(bl.sum(cut) + w, x, index=0)


def test_a_long_custom_operation_says_that_it_is_too_long() -> None:
    big = bl.primitive("test_big", lambda xp, x: x * 2.0, vjp=lambda u, y, x: (u * 2.0,), inputs=1)
    try:
        x = bl.param(np.zeros(5000), name="x")
        loss = bl.sum(big(x))
        assert bl.explain(loss, x).value[0] == 2.0
        with pytest.raises(GradientError, match="explain it as a tensor"):
            bl.explain(loss, x, index=0).text()
    finally:
        bl.graph.primitive.REGISTRY.remove("test_big")
