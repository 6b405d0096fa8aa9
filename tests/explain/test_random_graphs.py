"""Derivations of random graphs: the numbers add up, the formulas mean what they say."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.explain.brute import contributions, counted
from tests.explain.programs import Built, build, forget_custom_operations
from tests.explain.reading import UnreadableError, read

import backlight as bl
from backlight.explain.derivation import Derivation
from backlight.graph.notation import UNICODE, Apply, Expression, Number

CHOICES = st.lists(st.integers(0, 10_000), min_size=30, max_size=400)
SMALL = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
FEW_PATHS = 1500
CALL = re.compile(r"\w+\([^()·+/ ]+(?:, [^()·+/ ]+)*\)")  # a composite of whole tensors: mean(p0)
ABBREVIATED = ("Σ", "Π", "max(", "min(", "cumsum", "test_normalise", "logsumexp")


@pytest.fixture(scope="module", autouse=True)
def _registry() -> Iterator[None]:
    yield
    forget_custom_operations()


def program(choices: list[int], **limits: int) -> Built:
    """Build from numbers that Hypothesis chose, read round and round."""
    place = 0

    def choose(count: int) -> int:
        nonlocal place
        place += 1
        return (choices[place % len(choices)] + place // len(choices)) % count

    return build(choose, **limits)


def derivations(
    built: Built, choices: list[int], *, fold: bool = True
) -> Iterator[tuple[Any, Derivation]]:
    """One random entry of each leaf and inner tensor that the loss depends on."""
    for number, tensor in enumerate((*built.leaves, *built.inner)):
        flat = choices[number % len(choices)] % tensor.size
        index = tuple(int(k) for k in np.unravel_index(flat, tensor.shape)) if tensor.shape else ()
        try:
            yield tensor, bl.explain(built.loss, tensor, index=index, fold=fold)
        except bl.errors.UnknownNameError:
            continue  # the loss does not use it


def full(expression: Expression) -> Expression:
    """The same formula with every digit of its numbers."""
    if isinstance(expression, Number):
        return Number(expression.value)
    if isinstance(expression, Apply):
        return Apply(expression.form, tuple(map(full, expression.arguments)))
    return expression


def close(found: float, wanted: float, relative: float = 1e-9) -> bool:
    return math.isclose(found, wanted, rel_tol=relative, abs_tol=1e-9)


@SMALL
@given(CHOICES, st.booleans())
def test_steps_and_terms_add_up_to_the_engines_gradient(choices: list[int], fold: bool) -> None:
    built = program(choices)
    built.loss.backward()
    for tensor, d in derivations(built, choices, fold=fold):
        assert d.value == tensor.grad.reshape(-1)[d.target.flat]
        assert d.steps[-1].entry == d.target
        for step in d.steps:
            total = sum(term.contribution for term in step.terms) + step.remainder
            assert close(total, step.value)
            assert step.count >= len(step.terms)
            for term in step.terms:
                product = math.prod(factor.value for factor in term.factors)
                assert close(product * term.end_value, term.contribution)
                if term.end is not None:
                    gradient = d.trace.gradients[term.end.node].reshape(-1)[term.end.flat]
                    assert term.end_value == gradient
        nodes = [step.entry.node for step in d.steps]
        assert nodes == sorted(nodes, reverse=True), "later layers come first"


@SMALL
@given(CHOICES, st.booleans())
def test_printed_formulas_give_the_numbers(choices: list[int], fold: bool) -> None:
    built = program(choices)
    for _, d in derivations(built, choices, fold=fold):
        symbols: dict[str, float] = {}
        assert d.steps and d.definitions  # writing them collects the values of their symbols
        for symbol, value in d._deriver.formulas.values.items():
            assert symbols.setdefault(UNICODE.expression(symbol), value) == value
        for factor in (f for step in d.steps for term in step.terms for f in term.factors):
            for formula in (factor.symbolic, factor.numeric):
                text = UNICODE.expression(full(formula))
                if "∂" not in text:  # too many hidden ways: the factor is its own symbol
                    assert close(read(text, symbols), factor.value, 1e-7), (text, factor.value)
        for each in d.definitions:
            for formula in (each.symbolic, each.numeric):
                text = UNICODE.expression(full(formula))
                try:
                    found = read(text, symbols)
                except UnreadableError:
                    assert any(word in text for word in ABBREVIATED) or CALL.fullmatch(text), text
                    continue
                assert close(found, each.value, 1e-7), (text, each.value)


@SMALL
@given(CHOICES)
def test_paths_are_those_of_the_scalar_graph(choices: list[int]) -> None:
    built = program(choices, most=5, largest=12)
    for _, d in derivations(built, choices):
        count = counted(d.trace, d.target.node)[d.target.flat]
        for top in (0, 1, 4):
            paths = d.paths(top)
            assert paths.count == count
            assert paths.exhausted
            assert len(paths) == min(top, count)
            assert paths.total == d.value
            assert close(sum(path.contribution for path in paths) + paths.remainder, d.value)
        sizes = [abs(path.contribution) for path in paths]
        assert all(a >= b * (1 - 1e-12) for a, b in itertools.pairwise(sizes))
        for path in paths:
            assert close(math.prod(path.factors), path.contribution)
            assert len(path.nodes) == len(path.factors) + 1
        if count <= FEW_PATHS:
            every = contributions(d.trace, d.target.node, d.target.flat)
            assert close(sum(every), d.value, 1e-7)
            largest = sorted(map(abs, every), reverse=True)[: len(sizes)]
            assert np.allclose(sizes, largest, rtol=1e-9, atol=1e-12)


@SMALL
@given(CHOICES, st.booleans())
def test_every_form_of_a_derivation_is_well_made(choices: list[int], fold: bool) -> None:
    built = program(choices)
    for _, d in derivations(built, choices, fold=fold):
        assert d.numeric.ok or "kink" in d.numeric.reason, d.text()
        again = bl.explain(d.trace, d.trace.graph.nodes[d.target.node].name, index=indices(d),
                           fold=fold)  # fmt: skip
        for written in ("text", "latex", "html"):
            assert getattr(d, written)() == getattr(again, written)()
        check_forms(d)


def indices(d: Derivation) -> tuple[int, ...]:
    shape = d.trace.graph.nodes[d.target.node].shape
    return tuple(int(k) for k in np.unravel_index(d.target.flat, shape)) if shape else ()


def check_forms(d: Derivation) -> None:
    """Text without control characters, balanced LaTeX, well-formed HTML, plain JSON."""
    assert all(line.isprintable() for line in d.text().splitlines())
    latex = d.latex()
    depth = 0
    for before, each in zip(" " + latex, latex, strict=False):
        depth += (each == "{" and before != "\\") - (each == "}" and before != "\\")
        assert depth >= 0
    assert depth == 0
    assert latex.count(r"\left") == latex.count(r"\right")
    assert latex.count(r"\begin{align*}") == latex.count(r"\end{align*}")
    ElementTree.fromstring(d.html())
    data = d.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["format"] == "backlight.derivation"
