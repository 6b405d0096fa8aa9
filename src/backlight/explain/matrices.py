"""Matrix notation for what a backward rule builds: W⁽²⁾ᵀ @ ∂L/∂z, [z > 0] ⊙ ∂L/∂a.

Names stand for whole arrays; ⊙ and functions go entry by entry and broadcast as in NumPy; @ is the
matrix product with vectors as columns.  A contraction that is none is written as an einsum, and a
move that changes the shape by its name, so that nothing reads as what it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from backlight.explain.writing import combine, constant, plus
from backlight.graph.node import Node
from backlight.graph.notation import (
    Apply,
    Expression,
    Form,
    Number,
    Piece,
    Precedence,
    Symbol,
    Writer,
    fence,
    function,
    postfix,
)
from backlight.graph.primitive import Kind, Shape
from backlight.ops.arithmetic import MUL
from backlight.ops.contract import label_text
from backlight.ops.convert import CAST
from backlight.ops.leaf import CONSTANT
from backlight.ops.move import BROADCAST, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.piecewise import WHERE, ZEROS_LIKE
from backlight.ops.reduce import SUM
from backlight.tensor import Tensor
from backlight.trace import history


def _product(unicode: str, latex: str, shape: str) -> Form:
    """A product whose operands get brackets when they are products of another kind."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        texts: list[str] = []
        for each in arguments:
            text = writer.bracketed(each, Precedence.PRODUCT, signed=bool(texts))
            other = isinstance(each, Apply) and each.form.shape != shape
            loose = other and writer.piece(each)[1] is Precedence.PRODUCT
            signed = bool(texts) and text.startswith(("−", "-"))
            texts.append(writer.brackets(text) if loose or signed else text)
        return writer.infix(unicode, latex, texts[0], texts[1]), Precedence.PRODUCT

    return Form(write, shape)


MATRIX_PRODUCT = _product("@", r"\,", "matrix product")
HADAMARD = _product("⊙", r"\odot", "entrywise product")
TRANSPOSE: Form = postfix("ᵀ", r"^{\mathsf{T}}")
IVERSON = fence("[", "]", "[", "]")


@dataclass(frozen=True, slots=True)
class Written:
    """A formula and the shape that it has when it is read; broadcasting may widen it."""

    expression: Expression
    shape: Shape


def matrix_expression(output: Tensor, given: Mapping[int, Written]) -> Written:
    """Write what a rule built out of placeholders in matrix notation."""
    known: dict[int, Written] = dict(given)
    for each in history([output]):
        if each.serial not in known:
            arguments = [known[operand.serial] for operand in each.inputs]
            known[each.serial] = _written(each, arguments)
    return known[output.serial]


def add(terms: Sequence[Written]) -> Written:
    """Write a sum of arrays of one shape."""
    if not terms:
        return Written(Number(0.0), ())
    total = terms[0].expression
    for each in terms[1:]:
        total = plus(total, each.expression)
    if len(terms) == 1:
        return terms[0]
    return Written(total, np.broadcast_shapes(*(each.shape for each in terms)))


def _written(tensor: Tensor, arguments: Sequence[Written]) -> Written:
    primitive = tensor.primitive
    if primitive is CONSTANT:
        return _constant(tensor)
    if primitive is ZEROS_LIKE:
        return Written(Number(0.0), ())
    if primitive.kind is Kind.ELEMENTWISE:
        return _elementwise(tensor, arguments)
    if primitive is BROADCAST:
        return arguments[0]  # the next operation broadcasts by itself, or `whole` does
    if primitive.kind is Kind.CONTRACT:
        sides = [
            whole(each, operand.shape)
            for each, operand in zip(arguments, tensor.inputs, strict=True)
        ]
        return Written(product_of(tensor, sides[0], sides[1]), tensor.shape)
    if arguments and arguments[0].shape == () and primitive in (RESHAPE, PERMUTE):
        return arguments[0]  # one number, the same everywhere
    sides = [
        whole(each, operand.shape) for each, operand in zip(arguments, tensor.inputs, strict=True)
    ]
    return Written(_moved(tensor, sides), tensor.shape)


def _constant(tensor: Tensor) -> Written:
    flat = np.asarray(tensor.value).reshape(-1)
    if flat.size and np.all(flat == flat[0]):
        return Written(constant(float(flat[0])), ())
    return Written(Symbol("constant"), tensor.shape)


def whole(written: Written, shape: Shape) -> Expression:
    """Write an array at its full shape, with the broadcast that was left out."""
    if written.shape == shape:
        return written.expression
    return Apply(_named("broadcast"), (written.expression, Symbol(str(shape))))


def _elementwise(tensor: Tensor, arguments: Sequence[Written]) -> Written:
    primitive = tensor.primitive
    expressions = [each.expression for each in arguments]
    shape = np.broadcast_shapes(*(each.shape for each in arguments))
    if primitive is CAST:
        boolean = tensor.inputs[0].dtype.kind == "b"
        return Written(Apply(IVERSON, (expressions[0],)) if boolean else expressions[0], shape)
    if primitive is WHERE:
        return Written(Apply(primitive.form, tuple(expressions)), shape)
    ones = any(isinstance(each, Number) and each.value == 1.0 for each in expressions)
    if primitive is MUL and not ones and all(each.shape != () for each in arguments):
        return Written(Apply(HADAMARD, tuple(expressions)), shape)
    return Written(combine(primitive, expressions), shape)


def _moved(tensor: Tensor, sides: Sequence[Expression]) -> Expression:
    """Write a move, an index or a reduction with what one must know to follow it."""
    primitive, attributes = tensor.primitive, tensor.attributes
    if primitive is PERMUTE and tensor.ndim >= 2:
        swapped = (*range(tensor.ndim - 2), tensor.ndim - 1, tensor.ndim - 2)
        if attributes["axes"] == swapped:
            return Apply(TRANSPOSE, (sides[0],))
    if primitive is RESHAPE:
        if isinstance(sides[0], Apply) and sides[0].form is _named("reshape"):
            sides = [sides[0].arguments[0]]  # the last shape is the one that counts
        return Apply(_named("reshape"), (sides[0], Symbol(str(tensor.shape))))
    if primitive is SLICE:
        cuts = ", ".join(
            f"{start}:{stop}" + (f":{step}" if step != 1 else "")
            for start, stop, step in zip(
                attributes["starts"], attributes["stops"], attributes["steps"], strict=True
            )
        )
        return Apply(_cut(cuts), (sides[0],))
    if primitive is PAD and not any(attributes["between"]):
        widths = tuple(zip(attributes["before"], attributes["after"], strict=True))
        return Apply(primitive.form, (sides[0], Symbol(str(widths))))
    if primitive.kind is Kind.REDUCE:
        axes = attributes["axes"]
        if len(axes) == tensor.inputs[0].ndim:
            return Apply(primitive.form, (sides[0],))
        where = ", ".join(str(axis) for axis in axes)
        return Apply(primitive.form, (sides[0], Symbol(f"axis {where}")))
    return Apply(primitive.form, tuple(sides))


def summed(expression: Expression, axis: int | None = None) -> Expression:
    """Write the sum of all entries, or of those along one axis."""
    along = () if axis is None else (Symbol(f"axis {axis}"),)
    return Apply(SUM.form, (expression, *along))


def reshaped(expression: Expression, shape: Shape) -> Expression:
    """Write an array in another shape."""
    return Apply(_named("reshape"), (expression, Symbol(str(shape))))


def product_of(tensor: Tensor | Node, left: Expression, right: Expression) -> Expression:
    """Write a contraction as a matrix product with transposes where it is one."""
    labels = [tuple(tensor.attributes["left"]), tuple(tensor.attributes["right"])]
    result = tuple(tensor.attributes["result"])
    sides = [left, right]
    # Shared leading axes count matrices; what follows them is what is multiplied.
    while result and all(each and each[0] == result[0] for each in labels):
        labels, result = [each[1:] for each in labels], result[1:]
        if not result and not any(labels):
            return combine(MUL, sides) if tensor.shape == () else Apply(HADAMARD, (left, right))
    batched = len(result) < len(tensor.attributes["result"])
    if () in labels:
        scalar, other = sides if labels[0] == () else reversed(sides)
        own = labels[1] if labels[0] == () else labels[0]
        if not batched and own == result:
            return combine(MUL, [scalar, other])
        return _einsum(tensor, left, right)
    if len(result) == 2 and [len(each) for each in labels] == [2, 2]:
        first, second = (0, 1) if result[0] in labels[0] else (1, 0)
        a, b = sides[first], sides[second]
        if labels[first][0] != result[0]:
            a = Apply(TRANSPOSE, (a,))
        if labels[second][1] != result[1]:
            b = Apply(TRANSPOSE, (b,))
        return Apply(MATRIX_PRODUCT, (a, b))
    if batched:
        return _einsum(tensor, left, right)
    if len(result) == 1 and sorted(map(len, labels)) == [1, 2]:
        matrix = 0 if len(labels[0]) == 2 else 1
        turned = labels[matrix][0] != result[0]
        of = Apply(TRANSPOSE, (sides[matrix],)) if turned else sides[matrix]
        return Apply(MATRIX_PRODUCT, (of, sides[1 - matrix]))
    if len(result) == 2 and [len(each) for each in labels] == [1, 1]:
        first, second = (0, 1) if labels[0][0] == result[0] else (1, 0)
        return Apply(MATRIX_PRODUCT, (sides[first], Apply(TRANSPOSE, (sides[second],))))
    if result == () and labels[0] == labels[1]:
        if len(labels[0]) == 1:
            return Apply(MATRIX_PRODUCT, (Apply(TRANSPOSE, (left,)), right))
        return Apply(SUM.form, (Apply(HADAMARD, (left, right)),))
    return _einsum(tensor, left, right)


def _einsum(tensor: Tensor | Node, left: Expression, right: Expression) -> Expression:
    text = [label_text(tensor.attributes[key]) for key in ("left", "right", "result")]
    return Apply(_named("einsum"), (Symbol(f"{text[0]},{text[1]}→{text[2]}"), left, right))


@lru_cache(maxsize=256)
def _named(name: str) -> Form:
    return function(name)


@lru_cache(maxsize=256)
def _cut(cuts: str) -> Form:
    return postfix(f"[{cuts}]", rf"\left[{cuts}\right]")
