"""Textbook forms of whole gradients through folded composites: (softmax(z) − onehot(y))/n.

Takes a trace and a node whose uses are all inside one loss or softmax, gives the short form of its
gradient or None.  A form is shown only after all its entries have been compared with the engine's
gradient, so that one which does not apply, because of weights or label smoothing, is never shown.
Source: C. M. Bishop, "Pattern Recognition and Machine Learning", 2006, sections 4.3.2 and 4.3.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from backlight.explain.known import CLOSE, outermost
from backlight.explain.matrices import HADAMARD, Written, reshaped, summed
from backlight.explain.symbols import outer_composite
from backlight.graph.notation import (
    DERIVATIVE,
    DIVIDE,
    SUBTRACT,
    Apply,
    Expression,
    Form,
    Number,
    Symbol,
    function,
)
from backlight.graph.primitive import Array
from backlight.ops.exponential import EXP
from backlight.record import Trace

SYMBOL = Callable[[int], Symbol]
_SOFTMAX = function("softmax")
_SIGMOID = function("σ", r"\sigma")
_ONE_HOT = function("onehot")


def known_gradient(trace: Trace, index: int, symbol: SYMBOL) -> Written | None:
    """Return the textbook form of a node's whole gradient.

    Parameters
    ----------
    trace : Trace
    index : int
        The node.
    symbol : callable
        Gives the symbol of a node.

    Returns
    -------
    Written or None
        None when there is no known form, or its value is another.
    """
    uses = trace.outgoing[index]
    names = {outermost(trace.graph.nodes[edge.target].scope) for edge in uses}
    name = names.pop() if len(names) == 1 else None
    rule = _RULES.get(name or "")
    if outermost(trace.graph.nodes[index].scope) == name:
        return None  # a step inside the loss is not its score
    if name in ("softmax", "log_softmax"):
        return _normalized(trace, index, symbol, logarithm=name == "log_softmax")
    gradient = trace.gradients[index]
    scores = trace.values[index].astype(np.float64)
    if rule is None or gradient is None or not scores.size:
        return None
    predicted = rule(scores)
    if predicted is None:
        return None
    form, shares, examples = predicted
    for target, wanted in _targets(trace, index, name or ""):
        for count in dict.fromkeys((examples, 1)):
            if not np.allclose(gradient * count, shares - wanted, rtol=0.0, atol=CLOSE):
                continue
            left = Apply(form, (symbol(index),))
            same = wanted.shape == trace.values[target].shape
            right: Expression = symbol(target) if same else Apply(_ONE_HOT, (symbol(target),))
            found: Expression = Apply(SUBTRACT, (left, right))
            if count > 1:
                found = Apply(DIVIDE, (found, Number(float(count))))
            return Written(found, scores.shape)
    return None


def _normalized(trace: Trace, index: int, symbol: SYMBOL, *, logarithm: bool) -> Written | None:
    """With a = softmax(z): a ⊙ (∂L/∂a − Σ a ⊙ ∂L/∂a); with its logarithm: ∂L/∂a − eᵃ Σ ∂L/∂a."""
    nodes = trace.graph.nodes
    box = outer_composite(nodes[trace.outgoing[index][0].target].scope)
    result = max(k for k, node in enumerate(nodes) if outer_composite(node.scope) is box)
    gradient, above = trace.gradients[index], trace.gradients[result]
    scores = trace.values[index].astype(np.float64)
    if gradient is None or above is None or above.shape != scores.shape:
        return None
    left = symbol(result)
    upstream = Apply(DERIVATIVE, (symbol(trace.output), left))
    for axis in reversed(range(scores.ndim)):
        with np.errstate(all="ignore"):
            shares = np.exp(scores - scores.max(axis=axis, keepdims=True))
            shares /= shares.sum(axis=axis, keepdims=True)
            made = np.log(shares) if logarithm else shares
            weighted = above if logarithm else shares * above
            total = weighted.sum(axis=axis, keepdims=True)
            wanted = above - shares * total if logarithm else shares * (above - total)
        close = CLOSE * float(np.abs(weighted).max(initial=0.0))
        if not np.allclose(trace.values[result], made, rtol=0.0, atol=CLOSE):
            continue
        if not np.allclose(gradient, wanted, rtol=0.0, atol=close):
            continue
        each: Expression = upstream if logarithm else Apply(HADAMARD, (left, upstream))
        if scores.ndim == 1:
            summation = summed(each)
        else:
            summation = reshaped(summed(each, axis), total.shape)
        if logarithm:
            second = Apply(HADAMARD, (Apply(EXP.form, (left,)), summation))
            return Written(Apply(SUBTRACT, (upstream, second)), scores.shape)
        difference = Apply(SUBTRACT, (upstream, summation))
        return Written(Apply(HADAMARD, (left, difference)), scores.shape)
    return None


def _targets(trace: Trace, index: int, name: str) -> Iterator[tuple[int, Array]]:
    """Leaves that a loss takes as targets: of the same shape, or the numbers of the classes."""
    shape = trace.graph.nodes[index].shape
    for place, node in enumerate(trace.graph.nodes):
        users = trace.graph.consumers[place]
        inside = any(outermost(trace.graph.nodes[user].scope) == name for user, _ in users)
        if not node.is_leaf or place == index or not inside:
            continue
        value = trace.values[place]
        if node.shape == shape and value.dtype.kind in "fiu":
            yield place, value
        classes = node.shape == shape[:-1] and value.dtype.kind in "iu" and value.size > 0
        if classes and shape and value.min() >= 0 and value.max() < shape[-1]:
            yield place, np.eye(shape[-1])[value]


def _softmax_rows(scores: Array) -> tuple[Form, Array, int] | None:
    if scores.ndim == 0 or scores.shape[-1] < 2:
        return None
    with np.errstate(all="ignore"):
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
    return _SOFTMAX, shares, math.prod(scores.shape[:-1])


def _sigmoids(scores: Array) -> tuple[Form, Array, int] | None:
    with np.errstate(over="ignore"):
        return _SIGMOID, 1.0 / (1.0 + np.exp(-scores)), scores.size


_RULES = {"cross_entropy": _softmax_rows, "binary_cross_entropy_with_logits": _sigmoids}
