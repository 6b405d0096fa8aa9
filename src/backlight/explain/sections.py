"""A derivation laid out as sections of equations, the same for text, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backlight.explain.common import Indices, common_form
from backlight.explain.derive import Definition, Step, Term
from backlight.explain.writing import DIGITS, shortest
from backlight.graph.notation import (
    ADD,
    CHAIN,
    DERIVATIVE,
    UNICODE,
    Apply,
    Expression,
    Number,
    Symbol,
    summation,
)


@dataclass(frozen=True, slots=True)
class Equation:
    """``left = right[0] = right[1] = …``, with a remark.

    Attributes
    ----------
    left : Expression or None
        None continues a list, as the terms of a sum do; ``label`` then stands in its place.
    right : tuple of Expression
    label : str
    remark : str
    """

    left: Expression | None
    right: tuple[Expression, ...]
    label: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, sentences and equations.

    Attributes
    ----------
    title : str
    notes : tuple of str
    equations : tuple of Equation
    stacked : bool
        Whether each ``= …`` gets a line of its own.
    """

    title: str
    notes: tuple[str, ...] = ()
    equations: tuple[Equation, ...] = ()
    stacked: bool = False


def partial_of(loss: Symbol, by: Expression) -> Expression:
    """Write ∂L/∂by."""
    return Apply(DERIVATIVE, (loss, by))


def chain_of(factors: Sequence[Expression]) -> Expression:
    """Write a chain of factors, or the one factor alone."""
    return factors[0] if len(factors) == 1 else Apply(CHAIN, tuple(factors))


def forward_section(definitions: Sequence[Definition], *, gaps: bool = False) -> Section:
    """Write how the values on the way came about, and whether some are left out."""
    equations = []
    for each in definitions:
        value = Number(each.value, DIGITS)
        equations.append(Equation(each.symbol, distinct(each.symbolic, each.numeric, value)))
    notes = ("Of the many values on the way, those in the middle are left out.",) if gaps else ()
    return Section("Forward pass: the values", notes, tuple(equations))


def step_section(loss: Symbol, step: Step, number: int, count: int) -> Section:
    """Write one step: the derivative as a chain or as a sum of chains."""
    heading = f"Step {number} of {count}" if count > 1 else "Backward pass"
    left = partial_of(loss, step.symbol)
    value = Number(shortest(step.value))
    if not step.terms:
        note = "Nothing that the loss depends on uses it."
        if step.symbol == loss:
            note = "The derivative of the loss by itself is 1."
        return Section(heading, (note,), (Equation(left, (value,)),))
    if step.count == 1:
        return Section(
            heading, _skipped_notes(step), (_single(loss, left, step.terms[0], value),), True
        )
    equations = []
    common = _common(loss, step)
    if common is not None:
        equations.append(Equation(left, common))
    else:
        sums = [chain_of(_partials(loss, term)) for term in step.terms]
        equations.append(Equation(left, (_sum_of(sums, step.count),)))
    for term in step.terms:
        equations.append(_listed(loss, term))
    if step.count > len(step.terms):
        rest = step.count - len(step.terms)
        equations.append(
            Equation(None, (Number(step.remainder, DIGITS),), f"{rest:,} more", "their sum")
        )
    equations.append(Equation(None, (value,), "total"))
    note = (
        f"{UNICODE.expression(step.symbol)} acts on the loss in {step.count:,} ways; "
        f"the chain rule adds them up."
    )
    return Section(heading, (note, *_skipped_notes(step)), tuple(equations))


def _sum_of(parts: Sequence[Expression], count: int) -> Expression:
    total = parts[0]
    shown = parts[:3]
    for each in shown[1:]:
        total = Apply(ADD, (total, each))
    if count > len(shown):
        total = Apply(ADD, (total, Symbol("…")))
    return total


def _skipped_notes(step: Step) -> tuple[str, ...]:
    skipped = max((term.skipped for term in step.terms), default=0)
    if not skipped:
        return ()
    return (f"{skipped:,} factors in the middle of the chain are left out of the formula.",)


def _single(loss: Symbol, left: Expression, term: Term, value: Number) -> Equation:
    right = [chain_of(_partials(loss, term)), chain_of(_symbolic(loss, term))]
    if not term.skipped:
        right.append(chain_of(_numeric(term)))
    # A chain without any formula of its own ends at the number at once.
    return Equation(left, distinct(*(each for each in right if each != left), value))


def distinct(*sides: Expression) -> tuple[Expression, ...]:
    """Leave out a side of an equation that reads like the one before it."""
    kept: list[Expression] = []
    texts: list[str] = []
    for each in sides:
        text = UNICODE.expression(each)
        if not texts or text != texts[-1]:
            kept.append(each)
            texts.append(text)
    return tuple(kept)


def _listed(loss: Symbol, term: Term) -> Equation:
    end = term.factors[-1].of if term.end is None else term.end_symbol
    over = term.factors[0].of
    label = "via " if over != loss else "directly"
    right = [chain_of(_symbolic(loss, term))]
    if not term.skipped:
        right.append(chain_of(_numeric(term)))
    assert end is not None
    sides = distinct(*right, Number(term.contribution, DIGITS))
    return Equation(over if over != loss else None, sides, label)


def _partials(loss: Symbol, term: Term) -> list[Expression]:
    """∂L/∂end · … · ∂of/∂by, the loss's end first."""
    parts: list[Expression] = [
        Apply(DERIVATIVE, (factor.of, factor.by)) for factor in reversed(term.factors)
    ]
    if term.end_symbol is not None:
        parts.insert(0, partial_of(loss, term.end_symbol))
    return _with_gap(parts, term)


def _symbolic(loss: Symbol, term: Term) -> list[Expression]:
    parts = [factor.symbolic for factor in reversed(term.factors)]
    if term.end_symbol is not None:
        parts.insert(0, partial_of(loss, term.end_symbol))
    return _with_gap(parts, term)


def _numeric(term: Term) -> list[Expression]:
    parts = [factor.numeric for factor in reversed(term.factors)]
    if term.end_symbol is not None:
        parts.insert(0, Number(term.end_value, DIGITS))
    return _with_gap(parts, term)


def _with_gap(parts: list[Expression], term: Term) -> list[Expression]:
    if not term.skipped:
        return parts
    middle = len(parts) // 2
    return [*parts[:middle], Symbol("…"), *parts[middle:]]


def _common(loss: Symbol, step: Step) -> tuple[Expression, ...] | None:
    """Write all terms as one with an index, when they differ in nothing else."""
    whole = step.count == len(step.terms)
    if any(term.skipped for term in step.terms) or not (whole or step.axes):
        return None
    terms = step.terms if whole else tuple(map(_first_factor, step.terms))
    written = []
    for write in (_partials, _symbolic):
        indices = Indices()
        merged = common_form([chain_of(write(loss, term)) for term in terms], indices)
        if merged is None:
            return None
        if not (indices.complete(step.count) if whole else len(indices) == step.axes):
            return None
        written.append(Apply(summation(indices.label), (merged,)))
    return tuple(written) if written[0] != written[1] else (written[0],)


def _first_factor(term: Term) -> Term:
    """Cut a chain after its first factor, which has the same form in all terms of a sum."""
    first = term.factors[0]
    return Term(term.factors[:1], first.target, first.of, 0.0, term.contribution)
