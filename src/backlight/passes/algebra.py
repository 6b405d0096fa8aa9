"""Rules about single operations: what the facts in their records allow, and a few by name.

Every rule gives the same bits, for NaN, infinities and both zeros too (one NaN counts as any
other).  The two that round differently stand in `LOOSE` and say by how much.
"""

from __future__ import annotations

import math

import numpy as np

from backlight.graph.node import Node
from backlight.graph.primitive import Array, Dtype
from backlight.ops.arithmetic import ADD, DIV, MUL, NEG, SUB
from backlight.ops.convert import CAST
from backlight.ops.leaf import CONSTANT, Literal
from backlight.ops.logical import EQUAL, GREATER, LOGICAL_NOT, NOT_EQUAL
from backlight.ops.move import BROADCAST, RESHAPE
from backlight.ops.piecewise import WHERE
from backlight.passes.rewrite import Rewriter

LARGEST_LOOKED_AT = 4096
"""Constants with more entries are not searched for repetition."""


# ── by facts ─────────────────────────────────────────────────────────────────────────────────────


def see_through(rewriter: Rewriter, node: Node) -> int | None:
    """Identity(x) = x."""
    return node.inputs[0] if node.primitive.facts.transparent else None


def drop_identity_operand(rewriter: Rewriter, node: Node) -> Node | int | None:
    """x·1 = x, x/1 = x, x − 0 = x, x + (−0) = x; but x + 0 is not x where x is −0."""
    facts = node.primitive.facts
    for position, identity in enumerate((facts.left_identity, facts.right_identity)):
        if identity is None:
            continue
        value = rewriter.constant(node.inputs[position])
        if value is None or not _is(value, identity):
            continue
        other = node.inputs[1 - position]
        kept = rewriter.nodes[other]
        if kept.dtype != node.dtype:
            continue
        if kept.shape == node.shape:
            return other
        return rewriter.become(node, BROADCAST, (other,), {"shape": node.shape})
    return None


def _is(value: Array, number: float) -> bool:
    """Whether a constant is a number, the sign of a zero included; integers have one zero."""
    if value != number:
        return False
    return value.dtype.kind != "f" or bool(np.signbit(value)) == (math.copysign(1.0, number) < 0)


def undo_twice(rewriter: Rewriter, node: Node) -> int | None:
    """−(−x) = x, ¬¬x = x and flipping twice."""
    inner = rewriter.nodes[node.inputs[0]]
    if (
        node.primitive.facts.involution
        and inner.primitive is node.primitive
        and inner.attributes == node.attributes
    ):
        return inner.inputs[0]
    return None


def once_is_enough(rewriter: Rewriter, node: Node) -> int | None:
    """f(f(x)) = f(x), such as ||x|| = |x|, and g(x, x) = x, such as max(x, x) = x."""
    first = node.inputs[0]
    if len(node.inputs) == 2:
        return first if first == node.inputs[1] else None
    return first if rewriter.nodes[first].primitive is node.primitive else None


def remember_positive(rewriter: Rewriter, node: Node) -> None:
    """Note that this result says where the operand is positive; see `reuse_positive`.

    It is worth it only for a result that is stored anyway, because it is used more than once.
    """
    if node.primitive.facts.keeps_positive and rewriter.uses(rewriter.index) > 1:
        # The current node, if nothing replaces it, comes next.
        rewriter.positive[node.inputs[0]] = len(rewriter.nodes)


def reuse_positive(rewriter: Rewriter, node: Node) -> Node | None:
    """x > 0 = relu(x) > 0, so that x itself need not be kept for the backward pass."""
    first, second = node.inputs
    found = rewriter.positive.get(first)
    if found is None or rewriter.nodes[first].is_leaf:
        return None
    value = rewriter.constant(second)
    if value is None or value != 0 or rewriter.nodes[found].shape != rewriter.nodes[first].shape:
        return None
    return rewriter.become(node, GREATER, (found, second))


def narrow_first(rewriter: Rewriter, node: Node) -> Node | None:
    """f(repeat x, y) = f(x, y) where f repeats by itself, and f(repeat x) = repeat f(x)."""
    nodes = rewriter.nodes
    inputs = [_unrepeated(rewriter, each) for each in node.inputs]
    if inputs == list(node.inputs):
        return None
    shape = np.broadcast_shapes(*[nodes[each].shape for each in inputs])
    if shape == node.shape:
        return rewriter.become(node, node.primitive, inputs, node.attributes)
    small = rewriter.make(node, node.primitive, inputs, node.attributes)
    return rewriter.become(node, BROADCAST, (small,), {"shape": node.shape})


REPEATING = frozenset((BROADCAST, RESHAPE))
"""Operations whose result may repeat its operand, or have more axes in front."""


def _unrepeated(rewriter: Rewriter, index: int) -> int:
    """Return the operand of a repetition, or of a reshape that only adds axes in front."""
    node = rewriter.nodes[index]
    if node.primitive not in REPEATING:
        return index
    source = node.inputs[0]
    if node.primitive is BROADCAST:
        return source
    inner = rewriter.nodes[source].shape
    added = len(node.shape) - len(inner)
    if node.primitive is RESHAPE and added > 0 and node.shape == (1,) * added + inner:
        return source
    return index


# ── by name ──────────────────────────────────────────────────────────────────────────────────────


def absorb_sign(rewriter: Rewriter, node: Node) -> Node | None:
    """a + (−b) = a − b, (−a) + b = b − a, a − (−b) = a + b."""
    left, right = node.inputs
    nodes = rewriter.nodes
    if nodes[right].primitive is NEG:
        other = SUB if node.primitive is ADD else ADD
        return rewriter.become(node, other, (left, nodes[right].inputs[0]))
    if node.primitive is ADD and nodes[left].primitive is NEG:
        return rewriter.become(node, SUB, (right, nodes[left].inputs[0]))
    return None


def cancel_signs(rewriter: Rewriter, node: Node) -> Node | None:
    """(−a)·(−b) = a·b, (−a)/(−b) = a/b, and (−a)·c = a·(−c) for a constant c."""
    nodes = rewriter.nodes
    negative = [nodes[each].primitive is NEG for each in node.inputs]
    if all(negative):
        inner = [nodes[each].inputs[0] for each in node.inputs]
        return rewriter.become(node, node.primitive, inner)
    if not any(negative) or node.dtype.kind != "f":
        return None
    turned = negative.index(True)
    value = rewriter.constant(node.inputs[1 - turned])
    if value is None:
        return None
    inputs = list(node.inputs)
    inputs[turned] = nodes[inputs[turned]].inputs[0]
    inputs[1 - turned] = rewriter.make_constant(node, np.asarray(-value))
    return rewriter.become(node, node.primitive, inputs)


def multiply_by_minus_one(rewriter: Rewriter, node: Node) -> Node | None:
    """x·(−1) = −x."""
    for position in (0, 1):
        value = rewriter.constant(node.inputs[position])
        if value is not None and value == -1:
            other = rewriter.nodes[node.inputs[1 - position]]
            if other.shape == node.shape and other.dtype == node.dtype:
                return rewriter.become(node, NEG, (node.inputs[1 - position],))
    return None


def multiply_by_inverse(rewriter: Rewriter, node: Node) -> Node | None:
    """x/c = x·(1/c) where c is a power of two; for other divisors the product rounds twice."""
    value = rewriter.constant(node.inputs[1])
    if value is None or not _invertible(float(value), value.dtype):
        return None
    inverse = rewriter.number(node, 1.0 / float(value), value.dtype)
    return rewriter.become(node, MUL, (node.inputs[0], inverse))


def _invertible(divisor: float, dtype: Dtype) -> bool:
    if not math.isfinite(divisor) or abs(math.frexp(divisor)[0]) != 0.5:
        return False
    tiny = float(np.finfo(dtype).tiny)  # neither it nor its inverse may be denormal
    return tiny <= abs(divisor) <= 1.0 / tiny


def zeroth_power(rewriter: Rewriter, node: Node) -> Node | None:
    """x⁰ = 1, for NaN too."""
    value = rewriter.constant(node.inputs[1])
    if value is None or value != 0:
        return None
    one = rewriter.number(node, 1, node.dtype)
    return rewriter.become(node, BROADCAST, (one,), {"shape": node.shape})


def small_power(rewriter: Rewriter, node: Node) -> Node | None:
    """x² = x·x, x³ = x·x·x and x⁻¹ = 1/x: within 2 ulps of the power function."""
    value = rewriter.constant(node.inputs[1])
    base = node.inputs[0]
    if value is None or rewriter.nodes[base].spec != node.spec:
        return None
    if value == 2:
        return rewriter.become(node, MUL, (base, base))
    if value == 3:
        return rewriter.become(node, MUL, (rewriter.make(node, MUL, (base, base)), base))
    if value == -1 and node.dtype.kind == "f":
        return rewriter.become(node, DIV, (rewriter.number(node, 1.0, node.dtype), base))
    return None


def simplify_cast(rewriter: Rewriter, node: Node) -> Node | int | None:
    """No cast to the same dtype, and one cast instead of two when the first one loses nothing."""
    source = node.inputs[0]
    inner = rewriter.nodes[source]
    if inner.dtype == node.dtype:
        return source
    if inner.primitive is not CAST:
        return None
    start = rewriter.nodes[inner.inputs[0]].dtype
    if not _lossless(start, inner.dtype):
        return None
    if start == node.dtype:
        return inner.inputs[0]
    if inner.dtype.kind == "f" and node.dtype.kind in "iu" and start.kind != "b":
        return None  # what does not fit is converted differently from floats and from integers
    return rewriter.become(node, CAST, (inner.inputs[0],), node.attributes)


def _lossless(start: Dtype, wide: Dtype) -> bool:
    """Whether every value of one dtype is a value of another one."""
    if start.kind in "iu" and wide.kind == "f":
        bits = 8 * start.itemsize - (start.kind == "i")
        return bits <= np.finfo(wide).nmant + 1
    return bool(np.can_cast(start, wide, "safe"))


def choose_branch(rewriter: Rewriter, node: Node) -> Node | int | None:
    """where(true, a, b) = a, where(c, a, a) = a, where(¬c, a, b) = where(c, b, a)."""
    condition, first, second = node.inputs
    value = rewriter.constant(condition)
    if value is not None or first == second:
        chosen = first if value is None or value else second
        kept = rewriter.nodes[chosen]
        if kept.dtype != node.dtype:
            return (
                rewriter.become(node, CAST, (chosen,), {"dtype": node.dtype})
                if (kept.shape == node.shape)
                else None
            )
        if kept.shape == node.shape:
            return chosen
        return rewriter.become(node, BROADCAST, (chosen,), {"shape": node.shape})
    turned = rewriter.nodes[condition]
    if turned.primitive is LOGICAL_NOT:
        return rewriter.become(node, WHERE, (turned.inputs[0], second, first))
    return None


def turn_comparison(rewriter: Rewriter, node: Node) -> Node | None:
    """¬(a = b) is a ≠ b, for NaN too; ¬(a < b) is not a ≥ b."""
    inner = rewriter.nodes[node.inputs[0]]
    if inner.primitive is EQUAL:
        return rewriter.become(node, NOT_EQUAL, inner.inputs)
    if inner.primitive is NOT_EQUAL:
        return rewriter.become(node, EQUAL, inner.inputs)
    return None


def fill_with_zero(rewriter: Rewriter, node: Node) -> Node | None:
    """Zeros of a shape do not depend on the values of that shape."""
    if node.shape == ():
        return rewriter.become(node, CONSTANT, (), {"value": Literal(np.zeros((), node.dtype))})
    zero = rewriter.number(node, 0, node.dtype)
    return rewriter.become(node, BROADCAST, (zero,), {"shape": node.shape})


def repeat_constant(rewriter: Rewriter, node: Node) -> Node | None:
    """An array of equal numbers is one number, repeated."""
    if node.shape == () or 0 in node.shape:
        return None
    array: Array = node.attributes["value"].array
    if any(array.strides) and not _uniform(array):
        return None
    kind = type(node.attributes["value"])
    one = rewriter.make_constant(node, np.array(array[(0,) * array.ndim]), kind)
    return rewriter.become(node, BROADCAST, (one,), {"shape": node.shape})


def _uniform(array: Array) -> bool:
    """Whether all entries have the same bits."""
    if array.size > LARGEST_LOOKED_AT:
        return False
    lines = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
    return bool((lines == lines[0]).all())
