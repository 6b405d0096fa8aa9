"""Simplify: the same results with fewer and smaller operations.

It takes a graph and gives one in which the rules of `algebra` and `structure` were used on every
node.  Rules are found by a primitive's record, kind and facts; all of them are exact unless loose
ones are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from backlight.graph.graph import Graph
from backlight.graph.primitive import Kind, Primitive
from backlight.ops.arithmetic import ADD, DIV, MUL, NEG, POW, SUB
from backlight.ops.contract import CONTRACT
from backlight.ops.convert import CAST
from backlight.ops.leaf import CONSTANT
from backlight.ops.logical import EQUAL, GREATER, LOGICAL_NOT, NOT_EQUAL
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.piecewise import WHERE, ZEROS_LIKE
from backlight.ops.reduce import SUM
from backlight.passes import algebra, structure
from backlight.passes.rewrite import Rule, Tally, walk

_OF_PRIMITIVE: tuple[tuple[Primitive, tuple[Rule, ...]], ...] = (
    (CONSTANT, (algebra.repeat_constant,)),
    (ZEROS_LIKE, (algebra.fill_with_zero,)),
    (ADD, (algebra.absorb_sign,)),
    (SUB, (algebra.absorb_sign,)),
    (MUL, (algebra.multiply_by_minus_one, algebra.cancel_signs)),
    (DIV, (algebra.multiply_by_inverse, algebra.cancel_signs)),
    (POW, (algebra.zeroth_power,)),
    (CAST, (algebra.simplify_cast,)),
    (WHERE, (algebra.choose_branch,)),
    (LOGICAL_NOT, (algebra.turn_comparison,)),
    (GREATER, (algebra.reuse_positive,)),
    (RESHAPE, (structure.reshape_once,)),
    (PERMUTE, (structure.permute_once, structure.contract_into_order)),
    (BROADCAST, (structure.repeat_once,)),
    (SLICE, (structure.slice_once, structure.slice_one_part)),
    (CONTRACT, (structure.contract_transposed,)),
)
_LOOSE: tuple[tuple[Primitive, tuple[Rule, ...]], ...] = (
    (POW, (algebra.small_power,)),
    (SUM, (structure.multiply_repeated,)),
    (CONTRACT, (structure.sum_against_ones,)),
)
_NEEDS: Mapping[Rule, frozenset[Primitive]] = {
    algebra.narrow_first: algebra.REPEATING,
    algebra.drop_identity_operand: frozenset((CONSTANT,)),
    algebra.absorb_sign: frozenset((NEG,)),
    algebra.multiply_by_minus_one: frozenset((CONSTANT,)),
    algebra.cancel_signs: frozenset((NEG,)),
    algebra.multiply_by_inverse: frozenset((CONSTANT,)),
    algebra.zeroth_power: frozenset((CONSTANT,)),
    algebra.small_power: frozenset((CONSTANT,)),
    algebra.turn_comparison: frozenset((EQUAL, NOT_EQUAL)),
    structure.reshape_once: frozenset((RESHAPE,)),
    structure.permute_once: frozenset((PERMUTE,)),
    structure.repeat_once: frozenset((BROADCAST, RESHAPE)),
    structure.slice_once: frozenset((SLICE,)),
    structure.slice_one_part: frozenset((CONCAT,)),
    structure.contract_transposed: frozenset((PERMUTE,)),
    structure.contract_into_order: frozenset((CONTRACT,)),
}
"""Rules that apply only where one of these made an operand; the others look for themselves."""

_IDLE = (RESHAPE, PERMUTE, BROADCAST, SLICE, PAD, FLIP, CONCAT)


@lru_cache(maxsize=512)
def exact_rules(primitive: Primitive) -> tuple[Rule, ...]:
    """Return the rules for a primitive that keep every bit.

    Parameters
    ----------
    primitive : Primitive

    Returns
    -------
    tuple of callable
        Empty for an operation that is not pure.
    """
    if not primitive.pure:
        return ()
    facts = primitive.facts
    found: list[Rule] = []
    if primitive in _IDLE:
        found += [structure.drop_idle_move, structure.move_constant]
    if facts.transparent:
        found.append(algebra.see_through)
    elif primitive.kind is Kind.ELEMENTWISE and primitive is not ZEROS_LIKE:
        found.append(algebra.narrow_first)
    if facts.left_identity is not None or facts.right_identity is not None:
        found.append(algebra.drop_identity_operand)
    if facts.involution:
        found.append(algebra.undo_twice)
    if facts.idempotent and primitive.kind is Kind.ELEMENTWISE and not facts.transparent:
        found.append(algebra.once_is_enough)
    if primitive.kind is Kind.REDUCE:
        found += [structure.reduce_nothing, structure.reduce_repeated_once]
    found += [rule for each, rules in _OF_PRIMITIVE if each is primitive for rule in rules]
    if facts.keeps_positive:
        found.append(algebra.remember_positive)  # last: no other rule may follow it
    return tuple(found)


@lru_cache(maxsize=512)
def loose_rules(primitive: Primitive) -> tuple[Rule, ...]:
    """Return the exact rules for a primitive and those that round differently."""
    exact = exact_rules(primitive)
    loose = [rule for each, rules in _LOOSE if each is primitive for rule in rules]
    return (*exact, *loose)


def simplify(graph: Graph, *, exact: bool = False, tally: Tally | None = None) -> Graph:
    """Use the algebraic rules on every node once, operands first.

    Parameters
    ----------
    graph : Graph
    exact : bool
        Leave out the rules that round differently: small powers as products (within 2 ulps), sums
        of equal entries as a product, products with ones as sums.
    tally : Counter, optional
        Counts how often each rule was used, by its name.

    Returns
    -------
    Graph
        The same object when nothing was to be simplified.

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.passes import eliminate_dead
    >>> graph = bl.trace(lambda x: -(-x) * 1.0, 2.0)
    >>> print(eliminate_dead(simplify(graph)))
    graph(x: float64[])
      p: float64[] = identity(x)
      return p
    """
    return walk(graph, exact_rules if exact else loose_rules, tally, _NEEDS)
