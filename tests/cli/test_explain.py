"""`backlight explain` with typed formulas: the printed derivation, its JSON, and bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backlight.cli import main
from backlight.graph.notation import function
from backlight.graph.primitive import REGISTRY
from backlight.ops.rules import elementwise

EXAMPLE = ["(w*x - y)**2", "--at", "w=1", "--at", "x=1", "--at", "y=2", "--wrt", "w"]


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments])


def document(*arguments: str) -> dict[str, object]:
    result = explain(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def derivative(*arguments: str) -> float:
    return document(*arguments)["derivation"]["value"]


def refused(*arguments: str, code: int = 2) -> str:
    """Return the one sentence that a command is refused with."""
    result = explain(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    return result.stderr


def test_the_first_worked_example() -> None:
    result = explain(*EXAMPLE)
    assert result.exit_code == 0
    assert result.stderr == ""
    text = result.stdout
    assert text.splitlines()[0] == "∂L/∂w = −2"
    assert "= 2s · 1 · x\n" in text
    assert "= 2·(−1) · 1 · 1\n" in text
    assert "= −2\n" in text
    assert "s = p − y = 1 − 2 = −1" in text
    assert "✓ numeric check agrees" in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_the_first_worked_example_as_json() -> None:
    data = document(*EXAMPLE)
    assert (data["format"], data["version"]) == ("backlight.explain", 1)
    assert data["formula"] == "(w*x - y)**2"
    assert data["at"] == {"w": 1.0, "x": 1.0, "y": 2.0}
    derivation = data["derivation"]
    assert derivation["value"] == -2.0
    (term,) = derivation["steps"][-1]["terms"]
    assert [factor["formula"] for factor in term["factors"]] == ["2s", "1", "x"]
    assert [factor["value"] for factor in term["factors"]] == [-2.0, 1.0, 1.0]
    assert term["contribution"] == -2.0
    assert derivation["numeric"]["ok"] is True


def test_latex_and_html(tmp_path: Path) -> None:
    result = explain(*EXAMPLE, "--latex")
    assert result.exit_code == 0
    assert r"\frac{\partial L}{\partial w}" in result.stdout
    page = tmp_path / "page.html"
    result = explain(*EXAMPLE, "--html", str(page))
    assert (result.exit_code, result.stdout) == (0, "")
    assert str(page) in result.stderr
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert "<math" in html
    assert list(tmp_path.iterdir()) == [page]
    assert "exclude each other" in refused(*EXAMPLE, "--latex", "--json")


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    said = refused(*EXAMPLE, "--html", str(tmp_path / "no" / "page.html"), code=1)
    assert "cannot be written" in said


def test_one_name_needs_no_choice_and_several_do() -> None:
    assert derivative("x^3", "--at", "x=2") == pytest.approx(12, rel=1e-12)
    said = refused("w*x", "--at", "w=1", "--at", "x=2")
    assert "several names (w, x)" in said
    assert "--wrt w" in said


def test_intermediate_results_can_be_differentiated_by() -> None:
    text = "p = w*x; s = p - y; s**2"
    at = ["--at", "w=1", "--at", "x=1", "--at", "y=2"]
    assert derivative(text, *at, "--wrt", "s") == -2.0
    assert derivative(text, *at, "--wrt", "p") == -2.0
    assert "does not depend on u" in refused("u = x*2; x*3", "--at", "x=1", "--wrt", "u")


def test_an_entry_of_an_array() -> None:
    # d/dw₁ of Σ (wᵢx − y)² = 2(w₁x − y)x
    at = ["--at", "w=[1,5]", "--at", "x=3", "--at", "y=2"]
    text = "sum((w*x - y)**2)"
    assert derivative(text, *at, "--wrt", "w[1]") == pytest.approx(2 * (15 - 2) * 3, rel=1e-12)
    assert derivative(text, *at, "--wrt", "w[-2]") == pytest.approx(2 * (3 - 2) * 3, rel=1e-12)
    assert "Index 2 is out of range for axis 0 of w" in refused(text, *at, "--wrt", "w[2]")
    assert "takes 1 index, not 2" in refused(text, *at, "--wrt", "w[0,0]")
    assert "takes 0 indices, not 1" in refused(text, *at, "--wrt", "x[0]")
    said = refused("(w*x - y)**2", *at, "--wrt", "w[0]")
    assert "has the shape (2,)" in said
    assert "sum(…)" in said


def test_a_function_registered_here_works() -> None:
    elementwise(
        "cube", lambda xp, x: x * x * x, lambda y, x: 3.0 * x**2.0, formula=function("cube")
    )
    try:
        assert derivative("cube(x)", "--at", "x=2") == pytest.approx(12, rel=1e-12)
    finally:
        REGISTRY.remove("cube")


def test_a_value_that_is_not_a_number_is_said_aloud_and_json_stays_valid() -> None:
    result = explain("log(-x)", "--at", "x=1", "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: log")

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    data = json.loads(result.stdout, parse_constant=refuse)
    assert data["derivation"]["loss"]["value"] == "NaN"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["2x", "--at", "x=1"], "write 2*x"),
        (["w*x", "--at", "w=1", "--wrt", "w"], "needs values for 'x'; add --at x=…"),
        (["w*x", "--at", "w=1", "--at", "x=1", "--at", "z=1"], "'z', which is not in the formula"),
        (["w*x", "--at", "w=1", "--at", "w=2", "--at", "x=1"], "'w' twice"),
        (["x", "--at", "x=one"], "'one' where a number belongs"),
        (["x", "--at", "x=[1,2", "--wrt", "x"], "cannot be read"),
        (["x", "--at", "x"], "name=value"),
        (["weight", "--at", "weight=1", "--wrt", "wieght"], "did you mean 'weight'?"),
        (["sum(x)", "--at", "x=[1,2]", "--wrt", "x[one]"], "whole numbers in brackets"),
        (["1 + 2"], "no names"),
        (["", "--at", "x=1"], "empty"),
        (["sine(x)", "--at", "x=1"], "did you mean 'sin'?"),
        (["-x^2", "--at", "x=1"], "as in '(-x^2)'"),
        (["x + y", "--at", "x=[1,2]", "--at", "y=[1,2,3]", "--wrt", "x[0]"], "do not broadcast"),
        (["x", "--weight", "a[0]", "--at", "x=1"], "exclude each other"),
        (["__import__('os').system('true')", "--at", "x=1"], "Formula, column"),
        (["(" * 3000, "--at", "x=1"], "3000 characters"),
        (["(" * 1500, "--at", "x=1"], "nested"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: list[str], says: str) -> None:
    assert says in refused(*arguments)


def test_a_name_that_only_decides_says_where_its_gradient_ends() -> None:
    arguments = ("where(x>y, x, 0)", "--at", "x=1", "--at", "y=0", "--wrt", "y")
    assert "Every way from y to the loss goes through greater" in refused(*arguments, code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs/digits-9", "--weight", "layers.0.weight[0,0]"],
        ["./nowhere"],
        ["/nowhere/at/all"],
        ["nowhere", "--step", "3"],
    ],
)
def test_a_run_that_does_not_exist(arguments: list[str]) -> None:
    said = refused(*arguments, code=1)
    assert "does not exist" in said
    assert "backlight train" in said


def test_a_name_beside_a_folder_of_runs_is_meant_as_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "neither a run" in refused("runs/digits-9", code=1)
    (tmp_path / "runs").mkdir()
    assert "does not exist" in refused("runs/digits-9", code=1)


def test_the_gradient_of_a_saturated_function_is_exactly_its_own() -> None:
    found = derivative("sigmoid(w*x)", "--at", "w=2", "--at", "x=3", "--wrt", "w")
    a = 1 / (1 + math.exp(-6))
    assert found == pytest.approx(3 * a * (1 - a), rel=1e-12)
