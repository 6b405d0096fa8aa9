"""Formulas mean what they were built from, in Unicode, LaTeX and MathML."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlight as bl
from backlight.graph.notation import (
    ADD,
    DERIVATIVE,
    DIVIDE,
    LATEX,
    MATHML,
    MULTIPLY,
    NEGATE,
    SUBTRACT,
    UNICODE,
    Apply,
    Expression,
    Form,
    Number,
    Symbol,
    exponential,
    fence,
    format_number,
    function,
    postfix,
    power,
    root,
    summation,
)

A, B, C = Symbol("a"), Symbol("b"), Symbol("c")
POWER, EXP, ROOT = power(), exponential(), root()
TRANSPOSE = postfix("ᵀ", "^T")


def of(form: Form, *arguments: Expression) -> Apply:
    return Apply(form, arguments)


def number(value: float) -> Number:
    return Number(value)


WRITTEN = (
    (of(SUBTRACT, A, of(SUBTRACT, B, C)), "a − (b − c)", r"a - \left(b - c\right)"),
    (of(SUBTRACT, of(SUBTRACT, A, B), C), "a − b − c", "a - b - c"),
    (of(SUBTRACT, A, of(ADD, B, C)), "a − (b + c)", r"a - \left(b + c\right)"),
    (of(ADD, A, of(SUBTRACT, B, C)), "a + b − c", "a + b - c"),
    (of(MULTIPLY, of(NEGATE, of(ADD, A, B)), C), "−(a + b)·c", r"-\left(a + b\right) \cdot c"),
    (of(POWER, of(ADD, A, B), number(2)), "(a + b)²", r"\left(a + b\right)^{2}"),
    (of(POWER, of(NEGATE, A), number(2)), "(−a)²", r"\left(-a\right)^{2}"),
    (of(NEGATE, of(POWER, A, number(2))), "−a²", "-a^{2}"),
    (of(POWER, number(-1), number(2)), "(−1)²", r"\left(-1\right)^{2}"),
    (of(MULTIPLY, number(2), number(-1)), "2·(−1)", r"2 \cdot \left(-1\right)"),
    (of(MULTIPLY, number(2), A), "2a", "2 a"),
    (of(MULTIPLY, number(2), of(POWER, number(3), number(2))), "2·3²", r"2 \cdot 3^{2}"),
    (of(SUBTRACT, A, number(-2)), "a − (−2)", r"a - \left(-2\right)"),
    (of(ADD, A, of(NEGATE, B)), "a + (−b)", r"a + \left(-b\right)"),
    (of(NEGATE, of(NEGATE, A)), "−(−a)", r"-\left(-a\right)"),
    (of(DIVIDE, of(ADD, A, B), C), "(a + b)/c", r"\frac{a + b}{c}"),
    (of(DIVIDE, A, of(MULTIPLY, B, C)), "a/(b·c)", r"\frac{a}{b \cdot c}"),
    (of(DIVIDE, A, of(DIVIDE, B, C)), "a/(b/c)", r"\frac{a}{\frac{b}{c}}"),
    (of(DIVIDE, A, of(POWER, B, number(2))), "a/b²", r"\frac{a}{b^{2}}"),
    (of(DIVIDE, A, number(-2)), "a/(−2)", r"\frac{a}{-2}"),
    (of(POWER, A, of(POWER, B, C)), "a^(b^c)", "a^{b^{c}}"),
    (of(POWER, of(POWER, A, B), C), "(a^b)^c", r"\left(a^{b}\right)^{c}"),
    (of(POWER, A, number(-1)), "a⁻¹", "a^{-1}"),
    (of(ADD, A, of(DIVIDE, number(-1), B)), "a + (−1/b)", r"a + \frac{-1}{b}"),
    (of(SUBTRACT, number(1), number(-0.0)), "1 − 0", "1 - 0"),
    (of(POWER, number(1e-9), number(2)), "(1e−9)²", r"\left(1 \times 10^{-9}\right)^{2}"),
    (
        of(TRANSPOSE, of(DERIVATIVE, Symbol("L"), A)),
        "(∂L/∂a)ᵀ",
        r"{\left(\frac{\partial L}{\partial a}\right)}^T",
    ),
    (
        of(POWER, Symbol("z", case="3"), number(2)),
        "z⟨3⟩²",
        r"\left(z^{\langle 3\rangle}\right)^{2}",
    ),
    (Symbol("a\\b^~%<&"), "a\\b^~%<&", r"\mathrm{a\backslash{}b\wedge{}\sim{}\%<\&}"),
    (Symbol("{"), "{", r"\{"),
    (Symbol("m̂"), "m̂", r"\hat{m}"),
    (of(POWER, A, number(0.5)), "a^0.5", "a^{0.5}"),
    (of(POWER, A, of(ADD, B, number(1))), "a^(b + 1)", "a^{b + 1}"),
    (of(EXP, of(NEGATE, A)), "exp(−a)", "e^{-a}"),
    (of(POWER, of(EXP, A), number(2)), "exp(a)²", r"\left(e^{a}\right)^{2}"),
    (of(ROOT, of(ADD, A, B)), "√(a + b)", r"\sqrt{a + b}"),
    (of(function("ln", r"\ln"), of(ADD, A, B)), "ln(a + b)", r"\ln\left(a + b\right)"),
    (of(fence("|", "|", "|", "|"), of(SUBTRACT, A, B)), "|a − b|", r"\left|a - b\right|"),
    (of(DERIVATIVE, Symbol("L"), A), "∂L/∂a", r"\frac{\partial L}{\partial a}"),
    (Symbol("w", "12"), "w₁₂", "w_{12}"),
)


@pytest.mark.parametrize(("expression", "unicode", "latex"), WRITTEN)
def test_written(expression: Expression, unicode: str, latex: str) -> None:
    assert UNICODE.expression(expression) == unicode
    assert LATEX.expression(expression) == latex


def test_a_power_of_a_symbol_with_a_raised_index_gets_brackets() -> None:
    w = Symbol("w", superscript="(2)")
    assert UNICODE.expression(of(POWER, w, number(2))) == "(w⁽²⁾)²"
    assert LATEX.expression(of(POWER, w, number(2))) == r"\left(w^{(2)}\right)^{2}"


@pytest.mark.parametrize(("value", "digits", "text"), [
    (0.0, None, "0"),
    (-2.0, None, "−2"), (0.1, None, "0.1"), (1e-9, 3, "1e−9"), (1e300, 2, "1e300"),
    (math.inf, None, "∞"), (-math.inf, 3, "−∞"), (math.nan, 3, "NaN"), (100.0, None, "100"),
    (2 / 3, 4, "0.6667"), (120.0, 2, "1.2e2"), (-1.50, 3, "−1.5"),
])  # fmt: skip
def test_numbers(value: float, digits: int | None, text: str) -> None:
    assert format_number(value, digits) == text


def test_numbers_in_latex() -> None:
    assert LATEX.expression(Number(-1e-9, 3)) == r"-1 \times 10^{-9}"
    assert LATEX.expression(Number(math.inf)) == r"\infty"


# ── the meaning survives ─────────────────────────────────────────────────────────────────────────

VALUES = {"a": 1.7, "b": 0.6, "c": 2.3}
NUMBERS = st.sampled_from([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0])
EXPONENTS = st.sampled_from([-2.0, -1.0, 0.5, 2.0, 3.0]).map(Number)
FLOOR = fence("⌊", "⌋", r"\lfloor", r"\rfloor")
BINARY = {ADD: operator.add, SUBTRACT: operator.sub, MULTIPLY: operator.mul,
          DIVIDE: operator.truediv, POWER: operator.pow}  # fmt: skip
UNARY = {
    NEGATE: operator.neg,
    EXP: lambda x: Real(math.e) ** x,
    ROOT: lambda x: x ** Real(0.5),
    FLOOR: lambda x: Real(math.floor(x.value)),
}
EXPRESSIONS = st.recursive(
    st.one_of(st.sampled_from([A, B, C]), NUMBERS.map(Number)),
    lambda inner: st.one_of(
        st.builds(of, st.sampled_from([*BINARY]), inner, inner),
        st.builds(of, st.sampled_from([*UNARY]), inner),
        st.builds(of, st.just(POWER), inner, EXPONENTS),
    ),
    max_leaves=10,
)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


@dataclass(frozen=True)
class Real:
    """A real number whose powers are those of its size, so that each of them has a value."""

    value: float

    def __add__(self, other: Real) -> Real:
        return Real(self.value + other.value)

    def __sub__(self, other: Real) -> Real:
        return Real(self.value - other.value)

    def __mul__(self, other: Real) -> Real:
        return Real(self.value * other.value)

    def __truediv__(self, other: Real) -> Real:
        return Real(self.value / other.value)

    def __pow__(self, other: Real) -> Real:
        return Real(abs(self.value) ** other.value)

    def __neg__(self) -> Real:
        return Real(-self.value)


def evaluate(expression: Expression) -> Real:
    if isinstance(expression, Symbol):
        return Real(VALUES[expression.base])
    if isinstance(expression, Number):
        return Real(expression.value)
    values = map(evaluate, expression.arguments)
    return (BINARY | UNARY)[expression.form](*values)


def as_python(text: str) -> str:
    """Turn a line of notation into Python with the same rules of precedence."""
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda found: f"**({found[0].translate(RAISED)})", text)
    text = text.replace("−", "-").replace("·", "*").replace("^", "**")
    text = re.sub(r"√([abc]|\d+(?:\.\d+)?)", r"root(\1)", text).replace("√", "root")
    text = text.replace("⌊", "(floor(").replace("⌋", "))")
    text = re.sub(r"(\d)(?=[a-z(])", r"\1*", text)
    return re.sub(r"\b(\d+(?:\.\d+)?)", r"Real(\1)", text)


@given(EXPRESSIONS)
def test_unicode_keeps_the_meaning(expression: Expression) -> None:
    try:
        want = evaluate(expression).value
    except (ZeroDivisionError, OverflowError):
        return
    text = UNICODE.expression(expression)
    source = as_python(text)
    names = {name: Real(value) for name, value in VALUES.items()}
    functions = {"exp": UNARY[EXP], "root": UNARY[ROOT], "floor": UNARY[FLOOR], "Real": Real}
    got = eval(source, {"__builtins__": {}}, {**names, **functions}).value
    # Reordered sums and products may round differently, and ⌊…⌋ may then jump: not compared.
    if abs(want) < 1e12 and "⌊" not in text:
        assert got == pytest.approx(want, rel=1e-6, abs=1e-9), (text, source)


def balanced(text: str) -> bool:
    depth = 0
    for each in re.sub(r"\\[{}]", "", text):
        depth += (each == "{") - (each == "}")
        if depth < 0:
            return False
    return depth == 0 and text.count(r"\left") == text.count(r"\right")


def parse_mathml(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<math>{text}</math>")


CHILDREN = {"mfrac": 2, "msup": 2, "msub": 2, "msubsup": 3, "munder": 2}


@given(EXPRESSIONS)
def test_latex_and_mathml_are_well_formed(expression: Expression) -> None:
    assert balanced(LATEX.expression(expression))
    for element in parse_mathml(MATHML.expression(expression)).iter():
        if element.tag in CHILDREN:
            assert len(element) == CHILDREN[element.tag], element.tag


STRANGE = ("w", "alpha", "a<b>&c", "x_1", "50%", "layers.0.weight", "é")


@pytest.mark.parametrize("name", bl.registry())
def test_every_primitive_can_be_written(name: str) -> None:
    form = bl.registry()[name].form
    for base in STRANGE:
        for count in (1, 2, 3):
            arguments = tuple(Symbol(base, str(k), "(2)") for k in range(count))
            try:
                unicode = UNICODE.expression(Apply(form, arguments))
            except (IndexError, ValueError):
                continue  # not this many operands
            assert unicode
            assert balanced(LATEX.expression(Apply(form, arguments)))
            parse_mathml(MATHML.expression(Apply(form, arguments)))


def test_sums_and_nested_fractions_in_mathml() -> None:
    expression = of(summation("i"), of(DIVIDE, of(POWER, A, of(POWER, B, C)), number(-2)))
    tree = parse_mathml(MATHML.expression(expression))
    assert {"mfrac", "msup", "munder"} <= {element.tag for element in tree.iter()}
    assert [len(each) for each in tree.iter("msup")] == [2, 2]
    assert balanced(LATEX.expression(expression))
