"""The formula language: what it means, what it refuses, and that nothing typed can break it."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight import param, tensor
from backlight.errors import FormulaError
from backlight.formula import (
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NODES,
    function_names,
    parse,
)
from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY, Kind, Primitive
from backlight.ops.rules import elementwise
from backlight.trace import capture


def value(text: str, **values: float | list[float]) -> float:
    """Evaluate a formula at numbers."""
    formula = parse(text)
    return float(formula.evaluate({name: tensor(values[name], name) for name in formula.names}))


# ---- meaning -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2*3", 7),
        ("(1 + 2)*3", 9),
        ("2 - 3 - 4", -5),
        ("16/4/2", 2),
        ("2^3^2", 512),
        ("2**3**2", 512),
        ("-2^2", -4),
        ("2^-1", 0.5),
        ("2^-2^2", 2**-4),
        ("--3", 3),
        ("+3 - +2", 1),
        ("-2*-3", 6),
        ("1e-3 + .5 + 2.", 2.501),
        ("1E+2", 100),
        ("3 × 4 ÷ 6 − 1", 1),
        ("3·4", 12),
        ("√16 + 1", 5),
        ("√(9 + 16)", 5),
        ("2*√4^2", 8),
        ("3² + 2⁻¹", 9.5),
        ("2^3²", 512),
        ("|2 - 5|*2", 6),
        ("||-3| - 5|", 2),
        ("abs(-2)", 2),
        ("exp(0) + ln(1) + log(1)", 1),
        ("max(2, 3) - min(2, 3)", 1),
        ("maximum(2, 3)", 3),
        ("sigmoid(0) + sigma(0) + σ(0)", 1.5),
        ("where(1 < 2, 10, 20)", 10),
        ("where(2 ≤ 1, 10, 20)", 20),
        ("where(logical_and(1 < 2, 2 != 2), 1, 0)", 0),
        ("where((1 >= 2), 1, where(1 == 1, 5, 6))", 5),
        ("a = 2; b = a*3; b^2 + a", 38),
        ("a = 2; b = a*3;", 6),
        ("a = 2; c = a; c + a", 4),
        ("arctan(0)", 0),
    ],
)
def test_numbers(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected, rel=1e-15)


def test_names_are_free_variables_in_order_of_appearance() -> None:
    formula = parse("p = w₁*x' + β; s = p - ŷ_2; s**2 + w₁")
    assert formula.names == ("w₁", "x'", "β", "ŷ_2")
    assert str(formula) == formula.text


def test_a_composed_and_a_decomposed_letter_are_one_name() -> None:
    assert parse("\u0177 + y\u0302").names == ("\u0177",)


def test_arrays_broadcast_and_reduce() -> None:
    assert value("sum(w*x)", w=[1.0, 2.0], x=[3.0, 4.0]) == 11
    assert value("mean((x - 1)^2)", x=[1.0, 3.0]) == 2
    assert value("max(x) - min(x)", x=[1.0, 5.0, 3.0]) == 4


def test_a_function_that_shares_its_letter_with_a_variable() -> None:
    assert value("sigma*σ(x)", sigma=2.0, x=0.0) == 1


def test_the_gradient_flows_through_a_formula() -> None:
    w = param(1.0, name="w")
    loss = parse("(w*x - y)**2").evaluate({"w": w, "x": tensor(1.0), "y": tensor(2.0)})
    loss.backward()
    assert float(loss) == 1
    assert float(w.grad) == -2


def test_intermediate_results_carry_their_names_and_others_none() -> None:
    formula = parse("p = w*x; s = p - y; s**2")
    leaves = {name: param(1.0, name=name) for name in formula.names}
    loss = formula.evaluate(leaves)
    graph, tensors = capture([loss])
    assert [node.name for node in graph.nodes if node.named] == ["w", "x", "y", "p", "s"]
    assert loss.name is None
    assert {str(each.location) for each in tensors if each.inputs} == {"<formula>:1"}


def test_another_name_for_a_leaf_leaves_the_leaf_its_own() -> None:
    w = param(2.0, name="w")
    result = parse("v = w; v*w").evaluate({"w": w})
    assert w.name == "w"
    assert [each.name for each in result.inputs] == ["v", "w"]


def test_what_is_written_twice_is_two_nodes() -> None:
    x = param(3.0, name="x")
    result = parse("(x + 1)*(x + 1)").evaluate({"x": x})
    assert result.inputs[0] is not result.inputs[1]


def test_each_call_uses_the_registry_of_the_moment() -> None:
    with pytest.raises(FormulaError, match="no function 'cube'"):
        parse("cube(x)")
    elementwise(
        "cube", lambda xp, x: x * x * x, lambda y, x: 3.0 * x**2.0, formula=function("cube")
    )
    try:
        assert "cube" in function_names()
        x = param(2.0, name="x")
        result = parse("cube(x) + 1").evaluate({"x": x})
        result.backward()
        assert float(result) == 9
        assert float(x.grad) == 12
    finally:
        REGISTRY.remove("cube")


def test_every_elementwise_primitive_that_needs_no_option_is_a_function() -> None:
    missing = {
        name
        for name, each in REGISTRY.view().items()
        if each.kind is Kind.ELEMENTWISE and name not in function_names()
    }
    assert missing == {"cast"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("softplus(x)", np.log1p(np.exp(0.7))),
        ("silu(x)", 0.7 / (1 + np.exp(-0.7))),
        ("gelu(x)", 0.35 * (1 + math.erf(0.7 / math.sqrt(2)))),
        ("elu(-x)", math.expm1(-0.7)),
        ("leaky_relu(-x)", -0.007),
        ("-sum(z*softmax(z))", -(2 + 3 * math.e) / (1 + math.e)),
        ("sum(log_softmax(z))", 1 - 2 * math.log(1 + math.e)),
    ],
)
def test_activations_of_several_primitives(text: str, expected: float) -> None:
    formula = parse(text)
    given = {"x": param(0.7, name="x"), "z": param([2.0, 3.0], name="z")}
    result = formula.evaluate({name: given[name] for name in formula.names})
    assert float(result) == pytest.approx(expected, rel=1e-14)
    graph, _ = capture([result])
    assert {str(node.location) for node in graph.nodes if node.inputs} == {"<formula>:1"}


def test_activations_refuse_what_does_not_fit_with_the_column() -> None:
    with pytest.raises(FormulaError, match="softplus takes 1 value, not 2"):
        parse("softplus(x, y)")
    with pytest.raises(FormulaError, match="'softmax' is a function"):
        parse("softmax = 2; softmax")
    with pytest.raises(FormulaError, match="Formula, column 5: softmax: .*no axes"):
        parse("1 + softmax(x)").evaluate({"x": tensor(1.0)})


def test_a_function_takes_its_own_number_of_values() -> None:
    with pytest.raises(FormulaError, match="tanh takes 1 value, not 2"):
        parse("tanh(x, y)")
    with pytest.raises(FormulaError, match="hypot takes 2 values, not 1"):
        parse("hypot(x)")
    with pytest.raises(FormulaError, match="max takes 1 or 2 values, not 0"):
        parse("max()")
    with pytest.raises(FormulaError, match="where takes 3 values, not 2"):
        parse("where(x > 0, x)")
    with pytest.raises(FormulaError, match="mean takes 1 value, not 2"):
        parse("mean(x, y)")


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "empty"),
        ("  ", 1, "empty"),
        ("2x", 2, "write 2*x"),
        ("x y", 3, "write x*y"),
        ("(a)(b)", 4, "operator is missing"),
        ("x 2", 3, "write x*2"),
        ("1.2.3", 4, "operator is missing"),
        ("2 +", 4, "ends where a value belongs"),
        ("2 + * 3", 5, "a value belongs here, not '*'"),
        ("(x + 1", 7, "the ')' for column 1 is missing"),
        ("|x + 1", 7, "the '|' for column 1 is missing"),
        ("exp(x", 6, "the ')' for column 1 is missing"),
        ("x)", 2, "does not belong here"),
        ("x, y", 2, "does not belong here"),
        ("x > 0", 3, "inside where"),
        ("relu(x > 0)", 8, "inside where"),
        ("where(0 < x < 1, 1, 0)", 13, "logical_and(a < b, b < c)"),
        ("where(x = 0, 1, 0)", 9, "compare with =="),
        ("sine(x)", 1, "did you mean 'sin'?"),
        ("w(x)", 1, "write w*(…)"),
        ("exp + 1", 1, "'exp' is a function; write exp(…)"),
        ("exp = 2; exp", 1, "'exp' is a function"),
        ("p = x; p = 2; p", 8, "has a meaning already"),
        ("x + 1; x = 2", 8, "has a meaning already"),
        ("cast(x)", 1, "cannot be used in a formula"),
        ("matmul(x, y)", 1, "there is no function"),
        ("x @ y", 3, "'@' has no meaning"),
        ("x; __import__('os')", 15, "has no meaning"),
        ("x.y", 2, "'.' has no meaning"),
        ("1e999", 1, "too large"),
        ("; x", 1, "a value belongs here"),
        ("x\x00", 2, "has no meaning"),
    ],
)
def test_refusals_name_the_column(text: str, column: int, says: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    sentence, *excerpt = str(caught.value).split("\n")
    assert sentence.startswith(f"Formula, column {column}: ")
    assert says in sentence
    assert sentence.count(". ") == 0
    line, caret = excerpt
    assert caret.index("^") == column - 1 + 2
    assert "\x00" not in line


def test_the_excerpt_of_a_long_formula_is_short_and_points_right() -> None:
    with pytest.raises(FormulaError) as caught:
        parse("x + " * 200 + "$ + " + "x + " * 100 + "x")
    sentence, line, caret = str(caught.value).split("\n")
    assert "column 801:" in sentence
    assert len(line) < 80
    assert line[caret.index("^")] == "$"


def test_bounds() -> None:
    with pytest.raises(FormulaError, match="2001 characters; write it with at most 2000"):
        parse("x" * (MAX_LENGTH + 1))
    with pytest.raises(FormulaError, match=f"more than {MAX_NODES} operations"):
        parse("+".join(["1"] * 400))
    with pytest.raises(FormulaError, match=f"nested more than {MAX_DEPTH} deep"):
        parse("(" * 500 + "x" + ")" * 500)
    for deep in ("-" * 1500 + "x", "2^" * 900 + "2", "√" * 1500 + "2", "|" * 1900, "exp(" * 499):
        with pytest.raises(FormulaError):
            parse(deep)
    assert value("(" * 45 + "1" + ")" * 45) == 1
    assert value("+".join(["1"] * 250)) == 250


def test_no_recursion_error_close_to_the_limit_of_the_interpreter() -> None:
    limit = sys.getrecursionlimit()
    worst = "1-2*3^(" * 200
    try:
        sys.setrecursionlimit(600)
        with pytest.raises(FormulaError, match="nested"):
            parse(worst)
    finally:
        sys.setrecursionlimit(limit)


def test_values_and_names_must_agree() -> None:
    formula = parse("w*x + b")
    w, x, b = tensor(1.0), tensor(1.0), tensor(1.0)
    with pytest.raises(FormulaError, match="The formula needs values for 'x', 'b'."):
        formula.evaluate({"w": w})
    with pytest.raises(FormulaError, match="no name 'X' .did you mean 'x'.*'w', 'x', 'b'"):
        formula.evaluate({"w": w, "x": x, "b": b, "X": x})
    with pytest.raises(FormulaError, match="it has no names"):
        parse("1 + 1").evaluate({"w": w})


def test_shapes_and_dtypes_that_do_not_fit_name_the_place() -> None:
    with pytest.raises(FormulaError, match=r"column 7: add: shapes \(2,\) and \(3,\)"):
        parse("1*(x  + y)").evaluate({"x": tensor([1.0, 2.0]), "y": tensor([1.0, 2.0, 3.0])})
    with pytest.raises(FormulaError, match="column 1: where takes a Boolean condition"):
        parse("where(x, 1, 2)").evaluate({"x": tensor(1.0)})


# ---- properties ----------------------------------------------------------------------------------

SYMBOLS = "xyw₁σ'0123456789.eE+-−*/^²⁻()|√,;=<>! \t\n@$\"\\é\u0302漢\x00"


@given(
    st.text(max_size=80)
    | st.text(alphabet=SYMBOLS, max_size=200)
    | st.lists(
        st.sampled_from(["x", "2", "(", ")", "|", "-", "*", "where(", ",", "<", "exp(", ";", "="]),
        max_size=80,
    ).map("".join)
)
def test_any_text_is_a_formula_or_refused_with_one_error(text: str) -> None:
    began = time.perf_counter()
    try:
        formula = parse(text)
    except FormulaError as error:
        said = str(error)
    else:
        said = ""
        assert formula.nodes
        assert all(k < i for i, node in enumerate(formula.nodes) for k in operands(node))
    assert not said or "column" in said
    assert len(said) < 600
    assert time.perf_counter() - began < 5.0


def operands(node: object) -> tuple[int, ...]:
    return getattr(node, "operands", ())


UNARY = {"exp": math.exp, "tanh": math.tanh, "sin": math.sin, "relu": lambda x: max(x, 0.0)}


def expressions() -> st.SearchStrategy[str]:
    """Texts that mean the same in Python, with `^` for its `**` and our names of functions."""
    numbers = st.sampled_from(["1", "2.5", "0.3", ".5", "3e-1", "x", "y", "β"])

    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.tuples(inner, st.sampled_from(" + | - |*|/".split("|")), inner).map("".join)
        return (
            binary
            | inner.map(lambda text: f"({text})")
            | inner.map(lambda text: f"-{text}")
            | st.tuples(st.sampled_from(sorted(UNARY)), inner).map(lambda p: f"{p[0]}({p[1]})")
            | st.tuples(inner, st.sampled_from(["2", "3", "-1", "-2**2"])).map("**".join)
        )

    return st.recursive(numbers, extend, max_leaves=12)


@given(expressions())
def test_arithmetic_is_that_of_python(text: str) -> None:
    at = {"x": 0.7, "y": -1.3, "β": 2.0}
    functions = {name: np.vectorize(function, otypes=[float]) for name, function in UNARY.items()}
    try:
        with np.errstate(all="ignore"):
            # Python itself is the oracle; the text comes from the strategy above, not from users.
            expected = float(eval(text, {"__builtins__": {}}, functions | as_float64(at)))
    except (OverflowError, ZeroDivisionError):
        return
    formula = parse(text.replace("**", "^"))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = float(formula.evaluate({name: tensor(at[name]) for name in formula.names}))
    if math.isfinite(expected) and abs(expected) < 1e100:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)


def as_float64(values: dict[str, float]) -> dict[str, np.float64]:
    return {name: np.float64(number) for name, number in values.items()}


@pytest.fixture
def loose_primitive() -> Iterator[Primitive]:
    """A user's primitive whose shape rule does not count its operands."""
    from backlight.graph.primitive import Spec

    def specify(*specs: Spec) -> Spec:
        return specs[0]

    yield REGISTRY.add(
        Primitive("first_of", Kind.ELEMENTWISE, specify, lambda xp, *values: values[0] + 0.0)
    )
    REGISTRY.remove("first_of")


def test_a_primitive_with_any_number_of_operands(loose_primitive: Primitive) -> None:
    assert value("first_of(1, 2, 3)") == 1
    assert value("first_of(4)") == 4
