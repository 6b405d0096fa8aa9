"""Mistakes in a user's own operation are named with the operation."""

from __future__ import annotations

import math

import pytest

import backlight as bl
from backlight.errors import DtypeError, UsageError


def test_evaluate_may_return_a_python_number():
    sine = bl.primitive("own_sine", lambda xp, x: math.sin(x), partials=[lambda y, x: bl.cos(x)])
    x = bl.param(0.5)
    result = sine(x)
    result.backward()
    assert result.item() == math.sin(0.5)
    assert x.grad == math.cos(0.5)


@pytest.mark.parametrize("value", [None, "a", [1.0]])
def test_evaluate_that_returns_no_array_is_named(value):
    broken = bl.primitive("own_broken", lambda xp, x: value, partials=[lambda y, x: 1.0])
    with pytest.raises(DtypeError, match=r"own_broken gave a value of type \w+; its evaluate"):
        broken(bl.param(1.0))


def test_evaluate_must_be_a_function():
    with pytest.raises(UsageError, match="own_number needs a function that evaluates it, not 3"):
        bl.primitive("own_number", 3, partials=[lambda y, x: 1.0])


def test_a_list_is_refused_as_by_every_other_function():
    # Tensors in a list would become a constant, and their gradients zero.
    double = bl.primitive("listed", lambda xp, x: 2 * x, partials=[lambda y, x: 2.0])
    with pytest.raises(bl.errors.DtypeError, match=r"wrap it in bl\.tensor"):
        bl.grad(lambda x: bl.sum(double(x)))([1.0, 2.0])
