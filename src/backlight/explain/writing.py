"""Writing operations on expressions: products with ones left out, rules run on placeholders.

Takes the forms of primitives and the nodes that a derivative rule built; gives expressions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from backlight.graph.notation import (
    ADD,
    MULTIPLY,
    SUBTRACT,
    Apply,
    Expression,
    Form,
    Number,
    fence,
    function,
)
from backlight.graph.primitive import Kind, Primitive
from backlight.ops.arithmetic import NEG, POW
from backlight.ops.convert import CAST
from backlight.ops.leaf import CONSTANT
from backlight.ops.piecewise import WHERE
from backlight.tensor import Tensor
from backlight.trace import history

DIGITS = 6
"""Significant digits of a number in a formula."""
LONGEST_CONSTANT = 9
"""Characters of a number in the program that is written in full."""
IVERSON = fence("[", "]", "[", "]")


def combine(primitive: Primitive, arguments: Sequence[Expression]) -> Expression:
    """Write an operation on expressions, leaving out what changes nothing (1·x, x + 0, x¹)."""
    if len(arguments) == 2:
        left, right = arguments
        facts = primitive.facts
        if isinstance(left, Number) and left.value == facts.left_identity:
            return right
        if isinstance(right, Number) and right.value == facts.right_identity:
            return left
        if primitive is POW and isinstance(right, Number) and right.value == 0.0:
            return Number(1.0)
        if primitive.form is MULTIPLY and facts.commutative:
            return product([left, right])
    if primitive.form is ADD:
        return plus(arguments[0], arguments[1])
    if primitive is NEG and isinstance(arguments[0], Number):
        return Number(-arguments[0].value, arguments[0].digits)
    return Apply(primitive.form, tuple(arguments))


def product(factors: Sequence[Expression]) -> Expression:
    """Write a product: ones left out, the numeric coefficient first."""
    rest = [each for each in factors if not isinstance(each, Number)]
    numbers = [each for each in factors if isinstance(each, Number)]
    if not rest:
        # Numbers alone stay side by side, so that one sees where each comes from.
        kept = [each for each in numbers if each.value != 1.0] or numbers[:1]
        side_by_side: Expression = kept[0]
        for number in kept[1:]:
            side_by_side = Apply(MULTIPLY, (side_by_side, number))
        return side_by_side
    coefficient = math.prod(each.value for each in numbers)
    ordered: list[Expression] = [] if coefficient == 1.0 else [constant(coefficient)]
    ordered += rest
    result: Expression = ordered[0]
    for each in ordered[1:]:
        if isinstance(result, Number) and result.value == -1.0:
            result = Apply(NEG.form, (each,))
            continue
        if isinstance(result, Number) and isinstance(each, Apply) and each.form is MULTIPLY:
            # 2·(x·y) reads 2x·y
            result = Apply(MULTIPLY, (Apply(MULTIPLY, (result, each.arguments[0])),
                                      each.arguments[1]))  # fmt: skip
            continue
        result = Apply(MULTIPLY, (result, each))
    return result


def plus(left: Expression, right: Expression) -> Expression:
    """Write a sum, as a difference when the second operand has a minus sign before it."""
    if isinstance(right, Apply) and right.form is NEG.form:
        return Apply(SUBTRACT, (left, right.arguments[0]))
    if isinstance(right, Number) and right.value < 0:
        return Apply(SUBTRACT, (left, Number(-right.value, right.digits)))
    return Apply(ADD, (left, right))


def is_choice(expression: Expression) -> bool:
    """Whether an expression is a condition in brackets, which is 0 or 1."""
    return isinstance(expression, Apply) and expression.form is IVERSON


def constant(value: float) -> Number:
    """Write a number of the program as it was typed, a long one with six digits.

    Examples
    --------
    >>> import numpy as np
    >>> constant(np.float32(0.1)), constant(1.1283791670955126)
    (Number(value=0.1, digits=None), Number(value=1.1283791670955126, digits=6))
    """
    plain = shortest(float(value))
    return Number(plain, DIGITS if len(repr(plain)) > LONGEST_CONSTANT else None)


def shortest(value: float) -> float:
    """Return the shortest decimal of the float32 that a number is, or the number itself.

    Examples
    --------
    >>> shortest(0.10000000149011612), shortest(0.1)
    (0.1, 0.1)
    """
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    return float(str(narrow)) if float(narrow) == value else value


def tensor_expression(output: Tensor, given: Mapping[int, Expression]) -> Expression:
    """Write what a rule built out of placeholders with values, by the forms of its primitives.

    A choice by ``where`` inside a rule guards it against points where it would not hold; the
    branch that holds here is written.
    """
    known: dict[int, Expression] = dict(given)
    if output.known_value is not None and output.shape == () and is_convention(output):
        return Number(0.0)
    for each in history([output]):
        if each.serial in known:
            continue
        if each.primitive is CONSTANT:
            known[each.serial] = constant(float(each.value.reshape(-1)[0]))
            continue
        arguments = [known[operand.serial] for operand in each.inputs]
        if each.primitive is WHERE and each.inputs[0].known_value is not None:
            known[each.serial] = arguments[1 if bool(each.inputs[0].value) else 2]
            continue
        if each.primitive is CAST:
            boolean = each.inputs[0].dtype.kind == "b"
            known[each.serial] = Apply(IVERSON, tuple(arguments)) if boolean else arguments[0]
        elif each.primitive.kind is Kind.MOVE:
            known[each.serial] = arguments[0]
        else:
            known[each.serial] = combine(each.primitive, arguments)
    return known[output.serial]


def is_convention(output: Tensor) -> bool:
    """Tell whether a rule's zero holds by a choice at a point where its formula does not hold.

    Such a rule puts a constant in the place of an operand, as 1 for a base of 0.
    """
    if float(output.value) != 0.0:
        return False
    choices = [each for each in history([output]) if each.primitive is WHERE]
    return any(
        each.inputs[1 if bool(each.inputs[0].value) else 2].primitive is CONSTANT
        for each in choices
        if each.inputs[0].known_value is not None
    )


@lru_cache(maxsize=256)
def marked(form: Form) -> Form:
    """Return the form of a function's derivative, σ′."""
    latex = form.latex if form.latex is not None else rf"\operatorname{{{form.name}}}"
    return function(f"{form.name}′", f"{latex}'")


@lru_cache(maxsize=256)
def named_form(name: str) -> Form:
    """Return the form of a call by name."""
    return function(name)
