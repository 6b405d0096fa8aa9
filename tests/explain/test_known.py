"""Textbook forms of composites: shown where they hold, and never where they do not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import special

import backlight as bl
from backlight.graph.notation import UNICODE

SCORES = np.array([[0.5, -1.0, 2.0], [0.1, 0.2, -0.3]])
CLASSES = [2, 0]
SHARES = special.softmax(SCORES, axis=1)


def first_factor(loss: Any, tensor: Any, index: tuple[int, ...]) -> tuple[str, float, str]:
    """The formula and the value of the last factor of a derivation, and its text."""
    d = bl.explain(loss, tensor, index=index)
    factor = d.steps[-1].terms[0].factors[0]
    assert factor.value == pytest.approx(d.value)
    return UNICODE.expression(factor.symbolic), factor.value, d.text()


def scores() -> Any:
    return bl.param(SCORES, name="z")


@pytest.mark.parametrize(("i", "k"), [*itertools.product(range(2), range(3))])
def test_cross_entropy_is_probability_minus_target(i: int, k: int) -> None:
    z = scores()
    loss = bl.nn.cross_entropy(z, bl.tensor(CLASSES, name="y"))
    formula, value, text = first_factor(loss, z, (i, k))
    right = k == CLASSES[i]
    assert value == pytest.approx((SHARES[i, k] - right) / 2, rel=1e-12)
    p = f"p{'₁₂'[i]}{'₁₂₃'[k]}"
    assert formula == (f"({p} − 1)/2" if right else f"{p}/2")
    assert "p is softmax(z), the probabilities of the classes." in text


def test_the_sum_has_no_denominator() -> None:
    z = scores()
    loss = bl.nn.cross_entropy(z, bl.tensor(CLASSES), reduction="sum")
    assert first_factor(loss, z, (0, 2))[0] == "p₁₃ − 1"


@pytest.mark.parametrize("options", [
    {"label_smoothing": 0.25}, {"weights": bl.tensor([1.0, 3.0])},
])  # fmt: skip
def test_a_form_that_does_not_hold_is_not_shown(options: dict[str, Any]) -> None:
    z = scores()
    loss = bl.nn.cross_entropy(z, bl.tensor(CLASSES), **options)
    formula, value, text = first_factor(loss, z, (0, 2))
    assert "p₁₃" not in formula
    assert "softmax(z), the probabilities" not in text
    loss.backward()
    assert value == pytest.approx(float(z.grad[0, 2]))


def test_the_letter_is_one_that_the_program_does_not_use() -> None:
    p = bl.param(SCORES, name="p")
    loss = bl.nn.cross_entropy(p, bl.tensor(CLASSES))
    formula, _, text = first_factor(loss, p, (0, 2))
    assert formula == "(p̂₁₃ − 1)/2"
    assert "p̂ is softmax(p)" in text


def test_softmax() -> None:
    z = scores()
    a = bl.nn.softmax(z)
    loss = bl.sum(a * bl.tensor([[1.0, 2.0, 3.0]] * 2))
    d = bl.explain(loss, z, index=(0, 1))
    factors = [term.factors[0] for term in d.steps[-1].terms]
    assert [UNICODE.expression(each.symbolic) for each in factors] == [
        "−a₁₁·a₁₂", "a₁₂·(1 − a₁₂)", "−a₁₃·a₁₂",
    ]  # fmt: skip
    wanted = [SHARES[0, j] * ((j == 1) - SHARES[0, 1]) for j in range(3)]
    assert [each.value for each in factors] == pytest.approx(wanted, rel=1e-12)


def test_the_logarithm_of_softmax() -> None:
    z = scores()
    s = bl.nn.log_softmax(z)
    weights = np.array([[1.0, 2.0, 3.0]] * 2)
    d = bl.explain(bl.sum(s * weights), z, index=(1, 2))
    factors = [term.factors[0] for term in d.steps[-1].terms]
    assert [UNICODE.expression(each.symbolic) for each in factors] == [
        "−exp(s₂₃)", "−exp(s₂₃)", "1 − exp(s₂₃)",
    ]  # fmt: skip
    wanted = [(j == 2) - SHARES[1, 2] for j in range(3)]
    assert [each.value for each in factors] == pytest.approx(wanted, rel=1e-12)


def test_two_classes() -> None:
    z, y = bl.param([0.3, -2.0], name="z"), bl.tensor([1.0, 0.25], name="y")
    loss = bl.nn.binary_cross_entropy_with_logits(z, y)
    formula, value, _ = first_factor(loss, z, (1,))
    assert formula == "(σ(z₂) − y₂)/2"
    assert value == pytest.approx((special.expit(-2.0) - 0.25) / 2, rel=1e-12)
    q = bl.param([0.3, 0.9], name="q")
    formula, value, _ = first_factor(bl.nn.binary_cross_entropy(q, y), q, (1,))
    assert formula == "((1 − y₂)/(1 − q₂) − y₂/q₂)/2"
    assert value == pytest.approx((0.75 / 0.1 - 0.25 / 0.9) / 2, rel=1e-12)


def test_opened_composites_show_their_insides() -> None:
    z = scores()
    loss = bl.nn.cross_entropy(z, bl.tensor(CLASSES))
    text = bl.explain(loss, z, index=(0, 0), fold=False).text()
    assert "exp(" in text
    assert "the probabilities" not in text
