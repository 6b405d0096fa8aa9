"""`backlight check` with typed formulas."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from backlight.cli import main
from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY
from backlight.ops.rules import elementwise


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments])


def test_a_right_gradient_passes() -> None:
    result = check("tanh(w*x)^2", "--at", "w=0.5", "--at", "x=2")
    assert result.exit_code == 0
    assert result.stdout.startswith("The gradients agree: 2 of 2")


def test_json() -> None:
    result = check("x^2", "--at", "x=[1,2,3]", "--json")
    data = json.loads(result.stdout)
    assert (data["format"], data["version"], data["formula"]) == ("backlight.check", 1, "x^2")
    assert data["report"]["ok"] is True
    assert data["report"]["checked"] == 3


def test_a_wrong_rule_is_found_and_fails() -> None:
    elementwise("almost", lambda xp, x: x * x, lambda y, x: 2.002 * x, formula=function("almost"))
    try:
        result = check("almost(x)", "--at", "x=1.5", "--json")
    finally:
        REGISTRY.remove("almost")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["report"]["ok"] is False


def test_a_kink_is_not_called_wrong() -> None:
    result = check("relu(x)", "--at", "x=0")
    assert result.exit_code == 0
    assert "kink" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["w*x", "--at", "w=1"], 2, "needs values for 'x'"),
        (["2x", "--at", "x=1"], 2, "write 2*x"),
        (["1 + 1"], 2, "no names"),
        (["x", "--at", "x=1", "--tolerance", "0"], 2, "--tolerance"),
        (["x", "--at", "x=1", "--samples", "5"], 2, "exclude each other"),
        (["runs/nothing", "--samples", "5"], 1, "does not exist"),
    ],
)
def test_bad_input(arguments: list[str], code: int, says: str) -> None:
    result = check(*arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stdout == ""
