"""Textbook forms of the derivatives of folded composites: p − y for softmax with cross-entropy.

A composite's derivative can always be written as the sum over its hidden paths.  For the few whose
sum has a well-known short form, that form is shown instead, but only after its value has been
compared with the sum: a form that does not apply, because of label smoothing or weights, is never
shown.  Sources: C. M. Bishop, "Pattern Recognition and Machine Learning", 2006, sections 4.3.2 and
4.3.4 (σ(z) − y and softmax(z) − y).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from backlight.explain.entries import Entry, coordinates, value_at
from backlight.explain.formulas import Formulas
from backlight.explain.links import Link
from backlight.graph.notation import (
    DIVIDE,
    MULTIPLY,
    NEGATE,
    SUBTRACT,
    UNICODE,
    Apply,
    Expression,
    Number,
    Symbol,
    function,
)
from backlight.graph.scope import Scope
from backlight.ops.exponential import EXP
from backlight.record import Trace

Written = tuple[Expression, Expression]
CLOSE = 1e-5
"""How closely, relative to 1/n, a form's value must agree; float32 sums leave about 1e-7."""

PROBABILITY = ("p", "p̂", "π")
"""Letters for a probability: the first that the program does not use."""
_SIGMOID = function("σ", r"\sigma")


def known_form(formulas: Formulas, source: Entry, link: Link) -> Written | None:
    """Return the textbook form of a link through one composite, with symbols and with numbers.

    Parameters
    ----------
    formulas : Formulas
    source : Entry
        The scalar that the link starts at.
    link : Link

    Returns
    -------
    pair of Expression, or None
        None when there is no known form, or its value is another.
    """
    name = _composite_name(formulas.trace, link)
    rule = _RULES.get(name or "")
    return None if rule is None else rule(formulas, source, link)


def _composite_name(trace: Trace, link: Link) -> str | None:
    """The composite that all hidden steps of a link are in, or None."""
    names = set()
    for way in link.ways:
        for hop in way:
            names.add(outermost(trace.graph.nodes[hop.edge.target].scope))
    return names.pop() if len(names) == 1 else None


def outermost(scope: Scope | None) -> str | None:
    """The name of the outermost composite around a node, up to the module that it is in."""
    found = None
    while scope is not None and scope.kind != "module":
        if scope.kind == "composite":
            found = scope.name
        scope = scope.parent
    return found


def _softmax_row(trace: Trace, source: Entry) -> tuple[np.ndarray, int] | None:
    """The softmax of the row that a scalar is in, and the scalar's place in it."""
    values = trace.values[source.node]
    if values.ndim == 0:
        return None
    index = coordinates(source.flat, values.shape)
    row = values[index[:-1]].astype(np.float64)
    with np.errstate(all="ignore"):
        shares = np.exp(row - row.max())
        shares /= shares.sum()
    return shares, index[-1]


def _probability(formulas: Formulas, source: Entry, value: float) -> Symbol:
    """The symbol pₖ of a class's probability, with the subscripts of its score."""
    score = formulas.symbol(source)
    taken = {each.base for each in formulas.symbols.bases.values()}
    letter = next(each for each in (*PROBABILITY, "softmax") if each not in taken)
    symbol = Symbol(letter, score.subscript, "", score.case)
    formulas.values[symbol] = value
    scores = UNICODE.expression(Symbol(score.base, "", score.superscript))
    formulas.notes[letter] = f"{letter} is softmax({scores}), the probabilities of the classes."
    return symbol


def _cross_entropy(formulas: Formulas, source: Entry, link: Link) -> Written | None:
    """∂L/∂zₖ = (pₖ − [k is the class])/n."""
    found = _softmax_row(formulas.trace, source)
    if found is None:
        return None
    shares, k = found
    examples = math.prod(formulas.trace.values[source.node].shape[:-1])
    for count in dict.fromkeys((examples, 1)):
        for right in (0.0, 1.0):
            if abs(link.value * count - (float(shares[k]) - right)) > CLOSE:
                continue
            p = _probability(formulas, source, float(shares[k]))
            symbolic: Expression = p
            if right:
                symbolic = Apply(SUBTRACT, (p, Number(1.0)))
            if count > 1:
                symbolic = Apply(DIVIDE, (symbolic, Number(float(count))))
            return symbolic, formulas.numbers(symbolic)
    return None


def _softmax(formulas: Formulas, source: Entry, link: Link) -> Written | None:
    """∂aⱼ/∂zₖ = aⱼ([j = k] − aₖ)."""
    found = _softmax_row(formulas.trace, source)
    if found is None or formulas.trace.values[link.target.node].shape != (
        formulas.trace.values[source.node].shape
    ):
        return None
    shares, k = found
    j = coordinates(link.target.flat, formulas.trace.values[link.target.node].shape)[-1]
    same = 1.0 if j == k else 0.0
    if abs(link.value - float(shares[j]) * (same - float(shares[k]))) > CLOSE:
        return None
    of = formulas.symbol(link.target)
    by = formulas.symbol(Entry(link.target.node, link.target.flat - j + k))
    if same:
        symbolic = Apply(MULTIPLY, (of, Apply(SUBTRACT, (Number(1.0), of))))
    else:
        symbolic = Apply(MULTIPLY, (Apply(NEGATE, (of,)), by))
    return symbolic, formulas.numbers(symbolic)


def _log_softmax(formulas: Formulas, source: Entry, link: Link) -> Written | None:
    """∂sⱼ/∂zₖ = [j = k] − exp(sₖ), where s is the logarithm of the softmax."""
    found = _softmax_row(formulas.trace, source)
    shape = formulas.trace.values[link.target.node].shape
    if found is None or shape != formulas.trace.values[source.node].shape:
        return None
    shares, k = found
    j = coordinates(link.target.flat, shape)[-1]
    same = 1.0 if j == k else 0.0
    if abs(link.value - (same - float(shares[k]))) > CLOSE:
        return None
    by = formulas.symbol(Entry(link.target.node, link.target.flat - j + k))
    share = Apply(EXP.form, (by,))
    symbolic = Apply(SUBTRACT, (Number(1.0), share)) if same else Apply(NEGATE, (share,))
    return symbolic, formulas.numbers(symbolic)


def _with_logits(formulas: Formulas, source: Entry, link: Link) -> Written | None:
    """∂L/∂z = (σ(z) − y)/n."""
    trace = formulas.trace
    z = value_at(trace, source)
    sigmoid = 1.0 / (1.0 + math.exp(-z)) if z > -700 else 0.0
    shape = trace.values[source.node].shape
    for count in dict.fromkeys((math.prod(shape), 1)):
        target = sigmoid - link.value * count
        for entry in _targets(formulas, source, link):
            if abs(value_at(trace, entry) - target) > CLOSE:
                continue
            score = Apply(_SIGMOID, (formulas.symbol(source),))
            symbolic: Expression = Apply(SUBTRACT, (score, formulas.symbol(entry)))
            if count > 1:
                symbolic = Apply(DIVIDE, (symbolic, Number(float(count))))
            return symbolic, formulas.numbers(symbolic)
    return None


def _of_probabilities(formulas: Formulas, source: Entry, link: Link) -> Written | None:
    """∂L/∂p = (−y/p + (1 − y)/(1 − p))/n."""
    trace = formulas.trace
    p = value_at(trace, source)
    if not 0 < p < 1:
        return None
    shape = trace.values[source.node].shape
    for count in dict.fromkeys((math.prod(shape), 1)):
        for entry in _targets(formulas, source, link):
            y = value_at(trace, entry)
            value = (-y / p + (1 - y) / (1 - p)) / count
            if abs(value - link.value) > CLOSE * abs(value):
                continue
            mine, other = formulas.symbol(source), formulas.symbol(entry)
            one = Number(1.0)
            missed = [Apply(SUBTRACT, (one, each)) for each in (other, mine)]
            symbolic: Expression = Apply(
                SUBTRACT, (Apply(DIVIDE, tuple(missed)), Apply(DIVIDE, (other, mine)))
            )
            if count > 1:
                symbolic = Apply(DIVIDE, (symbolic, Number(float(count))))
            return symbolic, formulas.numbers(symbolic)
    return None


def _targets(formulas: Formulas, source: Entry, link: Link) -> Iterator[Entry]:
    """The entries beside a scalar in the leaves that its composite uses."""
    trace = formulas.trace
    shape = trace.values[source.node].shape
    for index, node in enumerate(trace.graph.nodes):
        beside = node.is_leaf and node.shape == shape and index != source.node
        if beside and index in formulas.symbols.visible and _used_inside(trace, index, link):
            yield Entry(index, source.flat)


def _used_inside(trace: Trace, index: int, link: Link) -> bool:
    """Whether a leaf is an operand of the composite that a link goes through."""
    name = _composite_name(trace, link)
    consumers = trace.graph.consumers[index]
    return any(outermost(trace.graph.nodes[target].scope) == name for target, _ in consumers)


_RULES: dict[str, Callable[[Formulas, Entry, Link], Written | None]] = {
    "cross_entropy": _cross_entropy,
    "log_softmax": _log_softmax,
    "softmax": _softmax,
    "binary_cross_entropy": _of_probabilities,
    "binary_cross_entropy_with_logits": _with_logits,
}
