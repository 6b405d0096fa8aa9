"""Exports opened again: each file is read by what would read it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import backlight as bl
from backlight.errors import UsageError
from backlight.studio.exports import export
from backlight.studio.session import Session
from backlight.studio.subjects import TraceSubject


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(folder=tmp_path, executor="reference")
    yield made
    made.close()


def live(session: Session, **config: Any) -> None:
    session.handle({"do": "open", "what": {"kind": "live", "config": config}})


def test_the_drawing_is_xml(session: Session) -> None:
    made = export(session, "svg")
    assert ElementTree.fromstring(made.text).tag.endswith("svg")


def test_the_trace_is_read_back(session: Session) -> None:
    live(session, data="digits", layers=[40])
    trace = bl.Trace.from_json(export(session, "json").text)
    assert trace.value("layers.0.weight").shape == (40, 64)  # nothing summarised


def test_the_table_of_a_formula_and_of_a_training(session: Session) -> None:
    rows = list(csv.DictReader(io.StringIO(export(session, "csv").text)))
    assert {"node": "w", "index": "", "operation": "parameter", "value": "1.0",
            "gradient": "-2.0"} in rows  # fmt: skip
    live(session, data="moons", layers=[3])
    session.handle({"do": "train", "action": "step", "count": 7})
    rows = list(csv.DictReader(io.StringIO(export(session, "csv").text)))
    losses = session.handle({"do": "scalars"})["loss"]
    assert [float(row["loss"]) for row in rows] == losses and len(rows) == 7


def test_the_derivations_are_a_latex_document(session: Session) -> None:
    text = export(session, "tex", target="w").text
    assert text.count("\\begin{align*}") == text.count("\\end{align*}") > 0
    assert text.rstrip().endswith("\\end{document}")


def run_script(text: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def subject(session: Session, kind: str) -> tuple[dict[str, Any], str]:
    """Open something; return what is looked at, and a target."""
    if kind == "formula":
        what = {
            "kind": "formula",
            "text": "tanh(w*x)^2",
            "at": {"w": 0.5, "x": [1, 2]},
            "wrt": ["w"],
        }
        with pytest.raises(Exception, match="sum"):
            session.handle({"do": "open", "what": what})
        what["text"] = "sum(tanh(w*x)^2)"
        session.handle({"do": "open", "what": what})
        return {}, "w"
    if kind == "chapter":
        session.handle({"do": "open", "what": {"kind": "example", "name": "two-layers"}})
        edit = {"node": "x", "index": [0], "value": 0.75}
        return {"edits": [edit]}, "layers.0.weight[0,0]"
    if kind == "chapter 4":
        session.handle({"do": "open", "what": {"kind": "example", "name": "accumulated-deltas"}})
        session.handle({"do": "train", "action": "step", "count": 12})
        return {"step": 10}, "layers.0.weight[2,1]"
    live(session, data="moons", layers=[3], optimizer="momentum", batch_size=64, weight_decay=0.01)
    session.handle({"do": "train", "action": "step", "count": 6})
    session.handle({"do": "configure", "config": {"learning_rate": 0.25}})
    session.handle({"do": "train", "action": "step", "count": 6})
    return {"step": 11, "example": 3}, "layers.0.weight[1,0]"


@pytest.mark.parametrize("kind", ["formula", "chapter", "chapter 4", "live"])
def test_the_script_prints_what_is_on_the_screen(
    session: Session, tmp_path: Path, kind: str
) -> None:
    at, target = subject(session, kind)
    text = export(session, "py", at, target).text
    shown = session.handle({"do": "explain", "at": at, "target": target})
    printed = run_script(text, tmp_path)
    value = float(printed.splitlines()[0].rpartition(" = ")[2].replace("−", "-"))
    # The rate of a schedule is rounded once more than a factor on the rate is.
    assert value == pytest.approx(shown["value"], rel=1e-5)


def test_a_trace_has_no_script(tmp_path: Path) -> None:
    w = bl.param(2.0, name="w")
    made = Session(TraceSubject(bl.record(w * w)), folder=tmp_path)
    with pytest.raises(UsageError, match="no script"):
        export(made, "py")


def report_of(page: str) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="backlight-report">(.*?)</script>', page, re.DOTALL
    )
    assert found is not None
    return json.loads(found[1])


def test_the_report_holds_the_answers_of_the_page(session: Session) -> None:
    live(session, data="moons", layers=[3])
    session.handle({"do": "train", "action": "step", "count": 9})
    report = report_of(export(session, "html", {"step": 8}, "layers.0.weight[0,1]").text)
    assert report["format"] == "backlight.report" and not report["hello"]["state"]["live"]
    assert len(report["hello"]["scalars"]["loss"]) == 9
    kinds = {each["do"] for each in report["answers"]}
    assert {"trace", "explain", "outline", "paths", "prediction", "rows"} <= kinds
    asked = session.handle({"do": "explain", "at": {"step": 8}, "target": "layers.0.weight[0,1]"})
    (stored,) = [
        each["ok"]
        for each in report["answers"]
        if each["do"] == "explain" and each["target"] == "layers.0.weight[0,1]"
    ]
    assert stored["value"] == asked["value"] and stored["text"] == asked["text"]
