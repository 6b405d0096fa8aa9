"""Formulas with and without numbers: what a scalar is, and what its local derivatives are.

The formulas are not written a second time anywhere: a derivative rule is run on symbols, and the
nodes that it builds are written by their primitives' forms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backlight.explain.common import Indices, common_form
from backlight.explain.entries import (
    Entry,
    contraction_labels,
    coordinates,
    flat_index,
    is_gather,
    source_map,
    value_at,
)
from backlight.explain.symbols import Symbols, outer_composite
from backlight.explain.writing import (
    DIGITS,
    IVERSON,
    combine,
    constant,
    marked,
    named_form,
    plus,
    product,
    shortest,
    tensor_expression,
)
from backlight.graph.node import Node
from backlight.graph.notation import (
    MULTIPLY,
    Apply,
    Expression,
    Number,
    Symbol,
    summation,
)
from backlight.graph.primitive import Dtype, Kind, Spec
from backlight.ops.leaf import CONSTANT, INPUT
from backlight.ops.logical import LOGICAL_NOT
from backlight.ops.piecewise import WHERE
from backlight.ops.reduce import PROD, SUM
from backlight.record import Edge, Trace
from backlight.tensor import Tensor, leaf, literal, quiet
from backlight.trace import history

DEEPEST = 6
"""How far unnamed operands are written out inside a formula."""
LONGEST_SUM = 4
"""Sums of products of up to this many terms are written out; longer ones with Σ."""
LONGEST_REDUCTION = 64
"""Entries of a reduction up to which the formula of its local derivative is looked for."""
MOST_COMPARED = 64
"""Terms of a long sum that are all looked at before it is written with Σ; of more, a few are."""


@dataclass(slots=True)
class Formulas:
    """Writes the scalars of one trace; collects the values of the symbols that it used.

    Scalar nodes among ``literals`` are written as numbers; ``notes`` says what letters stand for
    that no node has.
    """

    trace: Trace
    symbols: Symbols
    values: dict[Symbol, float] = field(default_factory=dict)
    literals: frozenset[int] = frozenset()
    notes: dict[str, str] = field(default_factory=dict)
    sums: dict[int, tuple[Expression, float]] = field(default_factory=dict)

    def symbol(self, entry: Entry) -> Symbol:
        """Return the symbol of a scalar and remember its value."""
        found = self.symbols.of(self.trace, entry)
        self.values[found] = value_at(self.trace, entry)
        return found

    def operand(self, entry: Entry, depth: int = 0) -> Expression:
        """Write a scalar: its symbol when it is shown, what it is made of otherwise."""
        asked = self.trace.graph.nodes[entry.node]
        entry = self.origin(entry)
        node = self.trace.graph.nodes[entry.node]
        if node.dtype.kind == "b" and asked.dtype.kind != "b":
            return Apply(IVERSON, (self.operand(entry, depth),))
        if (node.primitive is CONSTANT and node.shape == ()) or entry.node in self.literals:
            return constant(value_at(self.trace, entry))
        condition = node.dtype.kind == "b" and not node.named and not node.is_leaf
        if depth >= DEEPEST or (entry.node in self.symbols.visible and not condition):
            return self.symbol(entry)
        if node.primitive.kind in (Kind.ELEMENTWISE, Kind.CONTRACT):
            return self.definition(entry, depth + 1)
        return self.symbol(entry)

    def origin(self, entry: Entry) -> Entry:
        """Follow a hidden move back to the scalar that it shows in another place."""
        while entry.node not in self.symbols.visible:
            node = self.trace.graph.nodes[entry.node]
            if node.primitive.kind is Kind.MOVE or is_gather(node):
                moved = self._moved(node, entry)
                if moved is None:
                    return entry
                entry = moved
            elif (
                node.primitive.kind is Kind.ELEMENTWISE
                and node.primitive.transposes
                and (len(node.inputs) == 1)
            ):
                entry = Entry(node.inputs[0], entry.flat)
            else:
                return entry
        return entry

    def _moved(self, node: Node, entry: Entry) -> Entry | None:
        operands = node.inputs if node.primitive.kind is Kind.MOVE else node.inputs[:1]
        for position, operand in enumerate(operands):
            edge = Edge(operand, entry.node, position, None, np.zeros(()))
            source = int(source_map(self.trace, edge)[entry.flat])
            if source >= 0:
                return Entry(operand, source)
        return None

    def definition(self, entry: Entry, depth: int = 0) -> Expression:
        """Write what a scalar is made of, one operation deep."""
        node = self.trace.graph.nodes[entry.node]
        if node.primitive.kind is Kind.ELEMENTWISE and node.inputs:
            arguments = [self.operand(operand, depth) for operand in self.operands_of(entry)]
            return combine(node.primitive, arguments)
        if node.primitive.kind is Kind.CONTRACT:
            return self._sum_of_products(entry, node, depth)
        if node.primitive.kind is Kind.REDUCE:
            return self._reduction(entry, node, depth)
        if node.primitive.kind is Kind.MOVE or is_gather(node):
            moved = self._moved(node, entry)
            return Number(value_at(self.trace, entry)) if moved is None else self.operand(moved)
        if node.primitive.kind is Kind.LEAF:
            return self.symbol(entry)
        bases = [self.symbols.bases[k] for k in node.inputs]
        return Apply(
            node.primitive.form, tuple(Symbol(each.base, "", each.superscript) for each in bases)
        )

    def all_shown(self, expression: Expression) -> bool:
        """Whether a formula has only symbols that derivations show."""
        shown = {self.symbols.bases[index] for index in self.symbols.visible}
        waiting = [expression]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Symbol) and Symbol(each.base, "", each.superscript) not in shown:
                return False
            if isinstance(each, Apply):
                waiting.extend(each.arguments)
        return True

    def call(self, entry: Entry) -> Expression | None:
        """Write the result of a composite as a call of it, or None outside of one."""
        nodes = self.trace.graph.nodes
        box = outer_composite(nodes[entry.node].scope)
        if box is None:
            return None
        given: dict[int, None] = {}
        for node in nodes[: entry.node + 1]:
            if outer_composite(node.scope) is box:
                given.update(dict.fromkeys(map(self._shown_source, node.inputs)))
        outside = [
            self.symbols.bases[k]
            for k in given
            if outer_composite(nodes[k].scope) is not box
            and not (nodes[k].primitive is CONSTANT and not nodes[k].named)
        ]
        return Apply(named_form(box.name), tuple(outside)) if outside else None

    def _shown_source(self, index: int) -> int:
        """Follow a hidden move back to what it moves."""
        nodes = self.trace.graph.nodes
        while index not in self.symbols.visible and len(nodes[index].inputs) == 1:
            index = nodes[index].inputs[0]
        return index

    def operands_of(self, entry: Entry) -> list[Entry]:
        """The operand scalars of one entry of an elementwise node."""
        node = self.trace.graph.nodes[entry.node]
        index = coordinates(entry.flat, node.shape)
        found = []
        for operand in node.inputs:
            shape = self.trace.graph.nodes[operand].shape
            own = index[len(index) - len(shape) :]
            place = tuple(0 if size == 1 else k for k, size in zip(own, shape, strict=True))
            flat = flat_index(place, shape)
            found.append(Entry(operand, flat))
        return found

    def _sum_of_products(self, entry: Entry, node: Node, depth: int) -> Expression:
        left, right, result = contraction_labels(node, 0)
        fixed = dict(zip(result, coordinates(entry.flat, node.shape), strict=True))
        summed = [label for label in left if label not in fixed]
        shapes = [self.trace.graph.nodes[k].shape for k in node.inputs]
        sizes = [shapes[0][left.index(label)] for label in summed]
        count = int(np.prod(sizes)) if sizes else 1

        def term(index: tuple[int, ...]) -> Expression:
            where = fixed | dict(zip(summed, index, strict=True))
            factors = []
            for operand, labels, shape in zip(node.inputs, (left, right), shapes, strict=True):
                place = tuple(where[label] for label in labels)
                flat = flat_index(place, shape)
                factors.append(self.operand(Entry(operand, flat), max(depth, 1)))
            # The textbook writes the weight first: w₂₁a₁.
            first, second = factors
            weights = [_is_weight(each) for each in factors]
            if weights == [False, True]:
                first, second = second, first
            return Apply(MULTIPLY, (first, second))

        if count == 0:
            return Number(0.0)
        if count <= LONGEST_SUM:
            terms = [term(tuple(map(int, np.unravel_index(k, sizes)))) for k in range(count)]
            total = terms[0]
            for each in terms[1:]:
                total = plus(total, each)
            return total
        if len(sizes) > 1:
            return self.symbol(entry)
        # One letter for each level, so that a sum inside a sum has another one.
        letter, value = "kklmnpqr"[depth], value_at(self.trace, entry)
        return self._sum(lambda k: term((k,)), count, letter, value) or self.symbol(entry)

    def _count_reduced(self, node: Node) -> int:
        shape = self.trace.graph.nodes[node.inputs[0]].shape
        return math.prod(shape[axis] for axis in node.attributes["axes"])

    def _reduction(self, entry: Entry, node: Node, depth: int) -> Expression:
        count = self._count_reduced(node)
        additive = node.primitive is SUM
        at = self._reduced_entry(entry)
        if 0 < count <= LONGEST_SUM:
            terms = [self.operand(each, depth) for each in map(at, range(count))]
            if not additive:
                return Apply(node.primitive.form, tuple(terms))
            total = terms[0]
            for each in terms[1:]:
                total = plus(total, each)
            return total
        if additive and count and len(node.attributes["axes"]) == 1:
            value = value_at(self.trace, entry)
            found = self._sum(lambda k: self.operand(at(k), depth), count, "j", value)
            if found is not None:
                return found
        inner = self.symbols.bases[node.inputs[0]]
        return Apply(node.primitive.form, (Symbol(inner.base, "", inner.superscript),))

    def _sum(
        self, term: Callable[[int], Expression], count: int, letter: str, value: float
    ) -> Expression | None:
        """Write a long sum with Σ, when its terms differ in an index that counts from 1."""
        places = sorted({*range(3), *range(count // 2 - 1, count // 2 + 2), count - 2, count - 1})
        if count <= MOST_COMPARED:
            places = list(range(count))
        indices = Indices(letter)
        common = common_form([term(k) for k in places], indices)
        numbers = tuple(str(k + 1) for k in places)
        if common is None or not indices.only(numbers):
            return None
        found = Apply(summation(indices.label), (common,))
        self.sums[id(found)] = (found, value)
        return found

    def local(self, edge: Edge, target: Entry, source: Entry, value: float) -> Expression:
        """Write the local derivative ∂target/∂source along one edge."""
        node = self.trace.graph.nodes[edge.target]
        kind = node.primitive.kind
        if kind is Kind.CONTRACT:
            return self._other_factor(edge, target, source)
        if node.primitive is WHERE:
            return self._chosen(target, edge.position)
        if kind is Kind.ELEMENTWISE and node.primitive.partial(edge.position) is not None:
            return self._partial(node, edge.position, target)
        if kind is Kind.REDUCE and self._count_reduced(node) <= LONGEST_REDUCTION:
            return self._reduced(edge, node, target, source, value)
        return Number(shortest(value), DIGITS)

    def prime(self, edge: Edge, target: Entry) -> Expression | None:
        """Write an activation's derivative as σ′(z), or return None for other operations."""
        node = self.trace.graph.nodes[edge.target]
        form = node.primitive.form
        if node.primitive.symbol != "a" or len(node.inputs) != 1 or not form.name:
            return None
        return Apply(marked(form), (self.operand(self.operands_of(target)[0]),))

    def _other_factor(self, edge: Edge, target: Entry, source: Entry) -> Expression:
        node = self.trace.graph.nodes[edge.target]
        own, other, result = contraction_labels(node, edge.position)
        shape = self.trace.graph.nodes[edge.source].shape
        where = dict(zip(own, coordinates(source.flat, shape), strict=True))
        where |= dict(zip(result, coordinates(target.flat, node.shape), strict=True))
        operand = node.inputs[1 - edge.position]
        place = tuple(where[label] for label in other)
        operand_shape = self.trace.graph.nodes[operand].shape
        flat = flat_index(place, operand_shape)
        return self.operand(Entry(operand, flat))

    def _chosen(self, target: Entry, position: int) -> Expression:
        """Write the derivative of a choice: 1 for what is chosen, as a condition in brackets."""
        condition = self.operand(self.operands_of(target)[0])
        if position == 2:
            condition = Apply(LOGICAL_NOT.form, (condition,))
        return Apply(IVERSON, (condition,))

    def _partial(self, node: Node, position: int, target: Entry) -> Expression:
        """Run the derivative rule on symbols that have values and write what it builds."""
        rule = node.primitive.partial(position)
        assert rule is not None
        entries = self.operands_of(target)
        with quiet():
            placeholders = [self._placeholder(self.origin(each)) for each in entries]
            output = self._placeholder(target)
            result = rule(output, *placeholders, **node.attributes)
        if not isinstance(result, Tensor):
            return constant(float(result))
        # Only what the rule uses is written: the derivative of a sum needs no operand at all.
        used = {each.serial for each in history([result])}
        given = {
            each.serial: self.operand(entry)
            for each, entry in zip((*placeholders, output), (*entries, target), strict=True)
            if each.serial in used
        }
        return tensor_expression(result, given)

    def _placeholder(self, entry: Entry) -> Tensor:
        """A scalar for a rule to work on: a constant of the program, or a leaf with its value."""
        node = self.trace.graph.nodes[entry.node]
        value, dtype = self._scalar(entry)
        if node.primitive is CONSTANT and node.shape == ():
            return literal(value, dtype)
        return leaf(INPUT, Spec((), dtype), value)

    def _scalar(self, entry: Entry) -> tuple[Any, Dtype]:
        array = self.trace.values[entry.node]
        return array.reshape(-1)[entry.flat], array.dtype

    def _reduced(
        self, edge: Edge, node: Node, target: Entry, source: Entry, value: float
    ) -> Expression:
        """Write the local derivative of a reduction by one of its entries, where it has a formula.

        A rule such as exp(x − y) holds entry by entry; it is run as the reduction of one entry and
        believed if it gives the recorded number.
        """
        if node.primitive is PROD:
            entries = map(self._reduced_entry(target), range(self._count_reduced(node)))
            others = [each for each in entries if each != source]
            return product([self.operand(each) for each in others]) if others else Number(1.0)
        if node.primitive.partial(0) is None or value != value:
            return Number(value)
        x, y = self.operand(source), self.operand(target)
        if isinstance(x, Number) or isinstance(y, Number):
            return Number(value, DIGITS)
        with quiet():
            given = [self._placeholder(each) for each in (target, source)]
            rule = node.primitive.partial(0)
            assert rule is not None
            result = rule(*given, axes=())
        if not isinstance(result, Tensor) or any(
            each.primitive.kind is Kind.REDUCE for each in history([result])
        ):
            return Number(value, DIGITS)
        if abs(float(result.value) - value) > 1e-5 * abs(value):
            return Number(value, DIGITS)
        return tensor_expression(result, {given[0].serial: y, given[1].serial: x})

    def _reduced_entry(self, target: Entry) -> Callable[[int], Entry]:
        """A function that gives the k-th of the entries that a reduction's entry is made from."""
        node = self.trace.graph.nodes[target.node]
        shape = self.trace.graph.nodes[node.inputs[0]].shape
        axes = node.attributes["axes"]
        index = iter(coordinates(target.flat, node.shape))
        kept = [0 if axis in axes else next(index) for axis in range(len(shape))]
        sizes = [shape[axis] for axis in axes]

        def entry(k: int) -> Entry:
            place = list(kept)
            for axis, at in zip(axes, coordinates(k, tuple(sizes)), strict=True):
                place[axis] = at
            return Entry(node.inputs[0], flat_index(tuple(place), shape))

        return entry

    def numbers(self, expression: Expression) -> Expression:
        """Write an expression with the values of its symbols."""
        if id(expression) in self.sums:
            return Number(self.sums[id(expression)][1], DIGITS)
        if isinstance(expression, Symbol):
            known = self.values.get(expression)
            return expression if known is None else Number(known, DIGITS)
        if isinstance(expression, Number):
            return expression
        return Apply(expression.form, tuple(self.numbers(each) for each in expression.arguments))


def _is_weight(expression: Expression) -> bool:
    return isinstance(expression, Symbol) and expression.base == "w"
