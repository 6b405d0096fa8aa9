"""The derivation of one derivative: from the loss back to one scalar, every factor in sight.

A derivation is a list of steps.  Each step finds one derivative ∂L/∂x as a sum of terms, one for
each way in which x is used; a term is a chain of factors that ends at the loss or at a scalar
whose own derivative an earlier step found.  Derivatives of later layers therefore come first.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import numpy as np

from backlight.errors import GradientError
from backlight.explain.entries import Entry, coordinates, gradient_at, value_at
from backlight.explain.formulas import Formulas
from backlight.explain.known import known_form
from backlight.explain.links import Hop, Link, links, only_link
from backlight.explain.symbols import Symbols, symbols_of
from backlight.explain.writing import DIGITS, is_choice, plus, product
from backlight.graph.notation import DERIVATIVE, Apply, Expression, Number, Symbol
from backlight.record import Trace

WHOLE_SUM = 8
"""Sums of up to this many terms are written out whole."""
LARGEST_TERMS = 4
"""Of longer sums, this many of the largest terms are; the rest is one exact remainder."""
MOST_LISTED = 20
"""Terms in all steps together after which inner derivatives are quoted instead of derived."""
MOST_DEFINITIONS = 24
"""Forward values that are written out."""
SMALL = 10
"""Forward values of a whole computation up to which all of them are written out; a computation on
single numbers may have as many as are written out at all."""
MOST_WAYS = 3
"""Hidden paths between two shown scalars whose formulas are written as a sum."""
LONGEST_CHAIN = 16
"""Factors of one chain that are written out."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a chain: a local derivative between two shown scalars.

    Attributes
    ----------
    of, by : Symbol
        The factor is ∂of/∂by.
    symbolic : Expression
        Its formula.
    numeric : Expression
        The formula with numbers in it.
    value : float
    target : Entry
        The scalar ``of``.
    """

    of: Symbol
    by: Symbol
    symbolic: Expression
    numeric: Expression
    value: float
    target: Entry


@dataclass(frozen=True, slots=True)
class Term:
    """One way in which a scalar acts on the loss.

    Attributes
    ----------
    factors : tuple of Factor
        From the scalar towards the loss.
    end : Entry or None
        The scalar whose derivative is the remaining factor; None when the chain reaches the loss.
    end_symbol : Symbol or None
    end_value : float
        The derivative of the loss by ``end``; 1 at the loss.
    contribution : float
        The product of it all.
    skipped : int
        Factors in the middle of a long chain that are not written out; their product is one
        factor without a formula.
    """

    factors: tuple[Factor, ...]
    end: Entry | None
    end_symbol: Symbol | None
    end_value: float
    contribution: float
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One derivative and the terms that it is the sum of.

    Attributes
    ----------
    entry : Entry
    symbol : Symbol
    value : float
        The engine's gradient.
    terms : tuple of Term
        The largest ones when there are many, in the order of the graph.
    count : int
        How many terms there are.
    remainder : float
        The sum of those that are not listed.
    axes : int
        Over how many indices a long sum runs, when its terms are all alike; 0 when they are not.
    """

    entry: Entry
    symbol: Symbol
    value: float
    terms: tuple[Term, ...]
    count: int
    remainder: float
    axes: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """A forward value on the way: symbol = formula = numbers = value."""

    symbol: Symbol
    symbolic: Expression
    numeric: Expression
    value: float


@dataclass(slots=True)
class Deriver:
    """Builds the steps of one derivation."""

    trace: Trace
    fold: bool = True
    symbols: Symbols = field(init=False)
    formulas: Formulas = field(init=False)

    def __post_init__(self) -> None:
        self.symbols = symbols_of(self.trace, fold=self.fold)
        self.formulas = Formulas(self.trace, self.symbols)

    @property
    def output(self) -> Entry:
        """The loss."""
        return Entry(self.trace.output, 0)

    def steps(self, target: Entry) -> list[Step]:
        """Return the steps, those of later layers first and the target's last.

        The inner scalars to derive are chosen by how much of the result goes through them.
        """
        if gradient_at(self.trace, target) is None:
            raise GradientError(
                f"No gradient reaches {self.trace.graph.nodes[target.node].name}; "
                f"bl.why_no_grad says why."
            )
        done: dict[Entry, Step] = {}
        weight: dict[Entry, float] = {target: 1.0}
        queue: list[tuple[float, int, int, Entry]] = [(-1.0, target.node, target.flat, target)]
        listed = 0
        while queue and listed < MOST_LISTED:
            _, _, _, entry = heapq.heappop(queue)
            if entry in done:
                continue
            step = self.step(entry)
            done[entry] = step
            listed += len(step.terms)
            for term in step.terms:
                if term.end is None or term.end in done:
                    continue
                prefix = 1.0
                for factor in term.factors:
                    prefix *= factor.value
                share = abs(weight[entry] * prefix * term.end_value)
                weight[term.end] = weight.get(term.end, 0.0) + abs(weight[entry] * prefix)
                end = term.end
                heapq.heappush(queue, (-share, end.node, end.flat, end))
        return sorted(done.values(), key=lambda step: (-step.entry.node, step.entry.flat))

    def step(self, entry: Entry) -> Step:
        """Derive one scalar's gradient from those of the scalars that use it."""
        value = gradient_at(self.trace, entry)
        symbol = self.formulas.symbol(entry)
        if entry == self.output:
            return Step(entry, symbol, 1.0, (), 0, 0.0)
        found = links(self.trace, self.symbols, entry)
        total = 0.0 if value is None else value
        contributions = np.array([link.value * self._gradient(link.target) for link in found])
        if total == total:
            # A finite sum has no term 0·∞ that is NaN: behind a `where` zeros stay zero.
            contributions[np.isnan(contributions)] = 0.0
        chosen = list(range(len(found)))
        if len(found) > WHOLE_SUM:
            order = np.argsort(-np.nan_to_num(np.abs(contributions), nan=np.inf), kind="stable")
            chosen = sorted(order[:LARGEST_TERMS].tolist())
        terms = tuple(self._term(entry, found[k], float(contributions[k])) for k in chosen)
        remainder = float(np.delete(contributions, chosen).sum())
        axes = self._axes(found) if len(found) > len(chosen) else 0
        return Step(entry, symbol, total, terms, len(found), remainder, axes)

    def _axes(self, found: list[Link]) -> int:
        """Along how many axes the targets of like links differ; 0 when the links are not alike."""
        kinds = {
            (link.target.node, tuple(tuple(hop.edge.target for hop in way) for way in link.ways))
            for link in found
        }
        if len(kinds) > 1:
            return 0
        shape = self.trace.graph.nodes[found[0].target.node].shape
        places = zip(*(coordinates(link.target.flat, shape) for link in found), strict=True)
        sizes = [len(set(each)) for each in places]
        return sum(size > 1 for size in sizes) if math.prod(sizes) == len(found) else 0

    def _gradient(self, entry: Entry) -> float:
        if entry == self.output:
            return 1.0
        return gradient_at(self.trace, entry) or 0.0

    def _term(self, entry: Entry, first: Link, contribution: float) -> Term:
        """Follow one use until the loss or a scalar that is itself used in several ways."""
        chain: list[tuple[Entry, Link]] = [(entry, first)]
        target = first.target
        while target != self.output:
            following = only_link(self.trace, self.symbols, target)
            if following is None:
                break
            chain.append((target, following))
            target = following.target
        end = None if target == self.output else target
        end_value = self._gradient(target)
        skipped = max(len(chain) - LONGEST_CHAIN, 0)
        if skipped:
            chain = [*chain[: LONGEST_CHAIN // 2], *chain[-LONGEST_CHAIN // 2 :]]
        factors = tuple(self.factor(source, link) for source, link in chain)
        symbol = None if end is None else self.formulas.symbol(end)
        return Term(factors, end, symbol, end_value, contribution, skipped)

    def factor(self, source: Entry, link: Link) -> Factor:
        """Write the local derivative between two shown scalars."""
        of, by = self.formulas.symbol(link.target), self.formulas.symbol(source)
        known = known_form(self.formulas, source, link) if self.fold else None
        if known is not None:
            return Factor(of, by, *known, link.value, link.target)
        if len(link.ways) > MOST_WAYS:
            unknown = Apply(DERIVATIVE, (of, by))
            return Factor(of, by, unknown, Number(link.value, DIGITS), link.value, link.target)
        written = [self._way(way) for way in link.ways]
        symbolic, numeric = written[0]
        for formula, numbers in written[1:]:
            symbolic, numeric = plus(symbolic, formula), plus(numeric, numbers)
        return Factor(of, by, symbolic, numeric, link.value, link.target)

    def _way(self, way: tuple[Hop, ...]) -> tuple[Expression, Expression]:
        """Write the product of the local derivatives along one hidden path."""
        symbolic, numeric = [], []
        for hop in reversed(way):
            formula = self.formulas.local(hop.edge, hop.target, hop.source, hop.local)
            prime = self.formulas.prime(hop.edge, hop.target)
            symbolic.append(formula if prime is None else prime)
            # A choice such as [z > 0] is the number 0 or 1 once z is a number.
            bare = is_choice(formula)
            numeric.append(Number(hop.local) if bare else self.formulas.numbers(formula))
        return product(symbolic), product(numeric)

    def _small_forward(self) -> list[Entry]:
        """All shown values of a small computation, so that no symbol stays unexplained."""
        nodes = self.trace.graph.nodes
        before = self.trace.graph.upstream(self.trace.output)
        shown = [
            k
            for k in sorted(before)
            # A condition is written where it decides.
            if k in self.symbols.visible and not nodes[k].is_leaf and nodes[k].dtype.kind == "f"
        ]
        most = SMALL if any(nodes[k].shape for k in shown) else MOST_DEFINITIONS
        if sum(math.prod(nodes[k].shape) for k in shown) > most:
            return []
        return [Entry(k, flat) for k in shown for flat in range(math.prod(nodes[k].shape))]

    def _on_the_way(self, steps: list[Step]) -> list[Entry]:
        """The scalars between the targets of the steps and the loss, in forward order."""
        entries: set[Entry] = {self.output}
        for step in steps:
            entries.add(step.entry)
            for term in step.terms:
                entries.update(factor.target for factor in term.factors)
        entries.update(self._small_forward())
        ordered = sorted(entries, key=lambda each: (each.node, each.flat))
        return [each for each in ordered if not self.trace.graph.nodes[each.node].is_leaf]

    def leaves_out(self, steps: list[Step]) -> bool:
        """Tell whether some of the forward values on the way are not among the definitions."""
        skipped = any(term.skipped for step in steps for term in step.terms)
        return skipped or len(self._on_the_way(steps)) > MOST_DEFINITIONS

    def definitions(self, steps: list[Step]) -> list[Definition]:
        """Write how the scalars on the way got their values, in forward order."""
        found: list[Definition] = []
        ordered = self._on_the_way(steps)
        if len(ordered) > MOST_DEFINITIONS:
            # The start and the end of the way say most: the first layers' values and the loss.
            ordered = [*ordered[: MOST_DEFINITIONS // 2], *ordered[-MOST_DEFINITIONS // 2 :]]
        for entry in ordered:
            symbolic = self.formulas.definition(entry)
            if self.fold and not self.formulas.all_shown(symbolic):
                symbolic = self.formulas.call(entry) or symbolic
            symbol = self.formulas.symbol(entry)
            value = value_at(self.trace, entry)
            if symbolic == symbol:
                continue
            numeric = self.formulas.numbers(symbolic)
            found.append(Definition(symbol, symbolic, numeric, value))
        return found
