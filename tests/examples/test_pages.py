"""The pages that programs write are up to date, and the documentation's links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from tests.examples.running import ROOT, made, script

import backlight as bl
from backlight.formula import MAX_DEPTH, MAX_LENGTH, MAX_NODES, parse

DOCS = ROOT / "docs"
PAGES = script("docs/examples/build.py")


@pytest.mark.parametrize("name", [each.script for each in PAGES.EXAMPLES])
def test_the_page_of_an_example_is_up_to_date(name):
    files = {DOCS / "examples" / file: text for file, text in made(name).items()}
    assert PAGES.outdated(files) == [], "run: python docs/examples/build.py"


def test_every_example_has_a_page():
    scripts = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"demo"}
    assert scripts == {each.script for each in PAGES.EXAMPLES}


def test_the_pictures_are_sound():
    for path in (DOCS / "examples").glob("*.svg"):
        ET.fromstring(path.read_text(encoding="utf-8"))


def test_the_reference_pages_are_up_to_date():
    # In a process of its own: other tests register primitives.
    done = subprocess.run(
        [sys.executable, "docs/build.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, f"run: python docs/build.py\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("old", "new", "alike"),
    [
        ("w = 1.25", "w = 1.2500000001", True),
        ("w = 1.25", "w  =  1.25", True),
        ("w = 1.25", "w = 1.26", False),
        ("w = 1.25", "v = 1.25", False),
        ("60,000 rows", "60,001 rows", False),
        ("−0.5 and -0.5", "-0.5 and −0.5", True),
        ("0.5", "−0.5", False),
        ("relative difference 1.0e-13, estimated error 2.2e-13.", "relative difference 3.0e-12, "
         "estimated error 9.", True),
        ("one 1", "one 1 2", False),
    ],
)  # fmt: skip
def test_pages_are_compared_up_to_rounding(old, new, alike):
    assert PAGES.same(old, new) is alike


def test_links_lead_to_files_and_headings():
    broken = []
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
            if target.startswith("https://"):
                continue
            file, _, heading = target.partition("#")
            path = (page.parent / file).resolve() if file else page
            anchors = headings(path.read_text(encoding="utf-8")) if path.is_file() else set()
            if not path.exists() or (heading and heading not in anchors):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def headings(text: str) -> set[str]:
    """Return the anchors of a page: its headings and those written in HTML."""
    titles = re.findall(r"^#+ (.+)$", text, flags=re.M)
    named = set(re.findall(r'<a id="([\w-]+)">', text))
    return named | {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}


def test_every_field_of_a_trace_is_described():
    page = (DOCS / "trace-schema.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.M))
    described |= {"file", "line", "function", "text"}  # in the row of `location`
    net = bl.nn.Sequential(bl.nn.Linear(2, 2), bl.nn.Softmax(), seed=0)
    data = ([[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]])
    run = bl.fit(net, data, loss=bl.nn.mse, optimizer=bl.optim.Adam(0.1), epochs=1)
    trace = run.replay(0).to_dict()
    used = set()
    waiting: list[object] = [trace]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            used |= set(each) - {"about", "attributes"}
            waiting += [value for key, value in each.items() if key not in ("about", "attributes")]
        elif isinstance(each, list):
            waiting += each
    assert used <= described, f"docs/trace-schema.md does not describe {used - described}"
    assert set(trace["about"]) <= set(re.findall(r"`(\w+)`", page))


def test_the_example_of_a_trace_can_be_read():
    page = (DOCS / "trace-schema.md").read_text(encoding="utf-8")
    text = re.search(r"```json\n(.*?)```", page, flags=re.S)[1]
    assert json.loads(text)["version"] == 1
    trace = bl.Trace.from_json(text)
    assert float(trace.gradient("w")) == 6.0


def test_every_primitive_is_in_the_table():
    page = (DOCS / "primitives.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.M))
    assert {"exp", "sigmoid", "relu", "contract", "sum", "where"} <= rows
    assert "| `tanh` |" in page and "1 − y²" in page


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("p = 2*x; (p - 1)^2", 25.0),
        ("-x^2", -9.0),
        ("2^x^2", 512.0),
        ("x² + x⁻¹·3 + |x| + √(x + 1)", 9.0 + 1.0 + 3.0 + 2.0),
        ("where(x > 2, 1, 0)", 1.0),
        ("max(x, 5) ÷ 2", 2.5),
        ("ln(exp(x))", 3.0),
        ("arctan(x - 3) + mean(x)", 3.0),
    ],
)
def test_the_formula_page_is_right(text, value):
    formula = parse(text)
    assert float(formula.evaluate({"x": bl.tensor(3.0)})) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("text", ["2x", "w(x + 1)", "a < b", "where(a < b < c, 1, 0)", "exp = 2"])
def test_the_formula_page_is_right_about_mistakes(text):
    with pytest.raises(bl.BacklightError, match=r"^Formula, column \d"):
        parse(text)


def test_the_formula_page_names_the_limits():
    page = (DOCS / "formulas.md").read_text(encoding="utf-8")
    assert f"{MAX_LENGTH:,} characters and {MAX_NODES} operations" in page
    assert f"nested at most {MAX_DEPTH} deep" in page
