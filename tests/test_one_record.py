"""One record is all that a new primitive needs: everything else follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import special

import backlight as bl
from backlight.formula import parse
from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY, Primitive
from backlight.ops.rules import elementwise

POINT = 0.7


@pytest.fixture
def swish() -> Iterator[Primitive]:
    """x·σ(x), written down once; the registry is left as it was."""
    record = elementwise(
        "one_record_swish",
        lambda xp, x: x / (1.0 + xp.exp(-x)),
        lambda y, x: bl.sigmoid(x) + y * (1.0 - bl.sigmoid(x)),
        formula=function("swish", r"\operatorname{swish}"),
        description="The operand times its sigmoid.",
    )
    yield record
    REGISTRY.remove("one_record_swish")


def value(x: float) -> float:
    return x * float(special.expit(x))


def first(x: float) -> float:
    s = float(special.expit(x))
    return s + x * s * (1 - s)


def second(x: float) -> float:
    s = float(special.expit(x))
    return s * (1 - s) * (2 + x * (1 - 2 * s))


def test_evaluation(swish: Primitive) -> None:
    x = np.array([-2.0, 0.0, 3.0])
    assert np.allclose(swish(bl.tensor(x)).value, [value(k) for k in x], rtol=1e-15)


def test_gradients_of_both_modes_and_of_second_order(swish: Primitive) -> None:
    assert bl.grad(swish)(POINT).item() == pytest.approx(first(POINT), rel=1e-14)
    assert bl.grad(bl.grad(swish))(POINT).item() == pytest.approx(second(POINT), rel=1e-13)
    assert bl.jvp(swish, (POINT,), (1.0,))[1].item() == pytest.approx(first(POINT), rel=1e-14)
    assert bl.check_gradients(swish, np.array([-1.0, 0.3, 2.0])).ok


def test_tracing(swish: Primitive) -> None:
    graph = bl.trace(lambda x: swish(x) * 2.0, POINT)
    assert swish in {node.primitive for node in graph.nodes}


def test_explanation(swish: Primitive) -> None:
    x = bl.param(POINT, name="x")
    d = bl.explain(swish(x) ** 2, x)
    assert d.value == pytest.approx(2 * value(POINT) * first(POINT), rel=1e-14)
    assert "swish(x)" in d.text()
    assert r"\operatorname{swish}\left(x\right)" in d.latex()
    assert [factor.value for factor in d.steps[-1].terms[0].factors] == pytest.approx(
        [first(POINT), 2 * value(POINT)], rel=1e-14
    )
    assert d.numeric.ok


def test_drawing(swish: Primitive) -> None:
    x = bl.param(POINT, name="x")
    assert "swish" in bl.draw(swish(x) * x).svg


def test_trace_and_back(swish: Primitive) -> None:
    x = bl.param(POINT, name="x")
    trace = bl.record(swish(x) * 3.0)
    assert bl.Trace.from_json(trace.to_json()).gradient("x") == trace.gradient("x")


def test_the_formula_language_of_the_command_line(swish: Primitive) -> None:
    from backlight.cli import main

    done = CliRunner().invoke(
        main, ["explain", "one_record_swish(w*x)", "--at", f"w={POINT}", "--at", "x=1",
               "--wrt", "w"]
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"{first(POINT):.6f}"[:7] in done.output
    assert parse("one_record_swish(x)") is not None


def test_it_is_gone_afterwards() -> None:
    assert "one_record_swish" not in REGISTRY.view()
    assert math.isfinite(value(POINT))
