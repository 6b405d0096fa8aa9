"""The one contraction: sums of products over shared axes.

``matmul``, ``vecdot``, ``tensordot`` and ``einsum`` are all made from it.  Axes are labelled with
small integers; a label that both operands have and the result lacks is summed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from backlight.errors import ShapeError
from backlight.graph.notation import Expression, Form, Piece, Precedence, Writer
from backlight.graph.primitive import REGISTRY, Kind, Operand, Primitive, Spec, always
from backlight.ops.rules import accept, promote

Labels = tuple[int, ...]


def label_text(labels: Labels) -> str:
    """Write labels as letters, as ``einsum`` does."""
    return "".join(chr(ord("i") + label) if label < 18 else f"<{label}>" for label in labels)


def _specify(a: Spec, b: Spec, left: Labels, right: Labels, result: Labels) -> Spec:
    text = f"contract {label_text(left)},{label_text(right)}→{label_text(result)}"
    accept(text, a.dtype, "numeric")
    accept(text, b.dtype, "numeric")
    sizes: dict[int, int] = {}
    for labels, spec in ((left, a), (right, b)):
        if len(labels) != len(spec.shape):
            raise ShapeError(f"{text}: {len(labels)} labels for the shape {spec.shape}.")
        for label, size in zip(labels, spec.shape, strict=True):
            if sizes.setdefault(label, size) != size:
                raise ShapeError(
                    f"{text}: shapes {a.shape} and {b.shape} disagree on an axis that they share "
                    f"({sizes[label]} against {size})."
                )
    if (
        any(len(set(labels)) != len(labels) for labels in (left, right, result))
        or not set(result) <= sizes.keys()
        or set(left) - set(right) - set(result)
        or set(right) - set(left) - set(result)
    ):
        raise ShapeError(f"{text}: every label must be in two of the three, none twice in one.")
    return Spec(tuple(sizes[label] for label in result), promote(text, [a.dtype, b.dtype]))


@lru_cache(maxsize=1024)
def plan(left: Labels, right: Labels, result: Labels) -> Callable[[Any, Any, Any], Any]:
    """Return a function that evaluates one labelling as a batched matrix product.

    The axes of each operand are put in the order batch, free, summed (batch, summed, free for the
    right one), groups of several axes are made one, and the product's axes are put in order.
    """
    batch = [each for each in result if each in left and each in right]
    rows = [each for each in result if each in left and each not in right]
    columns = [each for each in result if each in right and each not in left]
    summed = [each for each in left if each not in result]
    order_a = tuple(left.index(each) for each in (*batch, *rows, *summed))
    order_b = tuple(right.index(each) for each in (*batch, *summed, *columns))
    made = (*batch, *rows, *columns)
    order = tuple(made.index(each) for each in result)
    straight_a = order_a == tuple(range(len(order_a)))
    straight_b = order_b == tuple(range(len(order_b)))
    straight = order == tuple(range(len(order)))
    # A matrix product needs no reshaping, nor does one of vectors, which matmul takes as they are.
    plain = len(summed) == 1 and (
        len(rows) == len(columns) == 1 or (not batch and len(rows) <= 1 and len(columns) <= 1)
    )
    outer = not batch and not summed and len(rows) == len(columns) == 1

    def run(xp: Any, a: Any, b: Any) -> Any:
        left_side = a if straight_a else xp.permute_dims(a, order_a)
        right_side = b if straight_b else xp.permute_dims(b, order_b)
        if plain:
            product = xp.matmul(left_side, right_side)
        elif outer:
            product = xp.matmul(left_side[:, None], right_side[None, :])
        else:
            shape_a, shape_b = left_side.shape, right_side.shape
            n, r, s = len(batch), len(rows), len(summed)
            first = shape_a[:n]
            inner = math.prod(shape_a[n + r :])
            flat_a = (*first, math.prod(shape_a[n : n + r]), inner)
            flat_b = (*first, inner, math.prod(shape_b[n + s :]))
            product = xp.matmul(xp.reshape(left_side, flat_a), xp.reshape(right_side, flat_b))
            product = xp.reshape(product, (*first, *shape_a[n : n + r], *shape_b[n + s :]))
        return product if straight else xp.permute_dims(product, order)

    return run


def _evaluate(xp: Any, a: Any, b: Any, left: Labels, right: Labels, result: Labels) -> Any:
    return plan(left, right, result)(xp, a, b)


def _back_to_left(
    upstream: Operand, y: Operand, a: Operand, b: Operand, left: Labels, right: Labels,
    result: Labels,
) -> Any:  # fmt: skip
    return CONTRACT(upstream, b, left=result, right=right, result=left)


def _back_to_right(
    upstream: Operand, y: Operand, a: Operand, b: Operand, left: Labels, right: Labels,
    result: Labels,
) -> Any:  # fmt: skip
    return CONTRACT(upstream, a, left=result, right=left, result=right)


def _write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
    left = writer.bracketed(arguments[0], Precedence.PRODUCT)
    right = writer.bracketed(arguments[1], Precedence.PRODUCT, signed=True)
    return writer.infix("@", r"\,", left, right), Precedence.PRODUCT


def _nodes(e: Any, a: Any, b: Any, left: Labels, right: Labels, result: Labels) -> Any:
    """A matrix product where it is one, which programs run faster than a general sum."""
    a, b = e.alike(a, b)
    if len(left) == len(right) == len(result) == 2 and left[0] == result[0]:
        if right == (left[1], result[1]):
            return e.node("MatMul", a, b)
        if right == (result[1], left[1]):
            return e.node("MatMul", a, e.permute(b, (1, 0)))
    names = {label: chr(ord("a") + k) for k, label in enumerate(sorted({*left, *right}))}
    terms = ["".join(names[each] for each in labels) for labels in (left, right, result)]
    return e.node("Einsum", a, b, equation=f"{terms[0]},{terms[1]}->{terms[2]}")


CONTRACT = REGISTRY.add(
    Primitive(
        "contract",
        Kind.CONTRACT,
        _specify,
        _evaluate,
        transposes=(_back_to_left, _back_to_right),
        formula=Form(_write, "infix"),
        symbol="z",
        careful=always,
        onnx="Einsum",
        to_onnx=_nodes,
        description="Sums of products of two operands over the axes that they share.",
    )
)
