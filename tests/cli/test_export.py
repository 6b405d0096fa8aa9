"""`backlight export`: each format opened again, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file

import backlight as bl
from backlight.cli import main


def export(run: Path, to: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["export", str(run), "--to", str(to), *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "moons"
    arguments = ["train", "moons", "--hidden", "4", "--epochs", "2", "--quiet", "--out", str(place)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    return place


def test_the_report_holds_the_first_and_the_last_step(run: Path, tmp_path: Path) -> None:
    assert export(run, tmp_path / "report.html").exit_code == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    text = page.partition('id="backlight-report">')[2].partition("</script>")[0]
    report = json.loads(text)
    traces = [each for each in report["answers"] if each["do"] == "trace"]
    last = bl.train.load(run).steps - 1
    assert [each["at"]["step"] for each in traces] == [last, 0]
    assert report["hello"]["state"]["subject"]["history"]["loss"]


def test_weights_drawing_trace_history_and_derivations(run: Path, tmp_path: Path) -> None:
    stored = bl.train.load(run)
    assert export(run, tmp_path / "w.safetensors").exit_code == 0
    weights = load_file(tmp_path / "w.safetensors")
    assert set(weights) == set(stored.parameters)
    assert all(np.array_equal(weights[name], each) for name, each in stored.parameters.items())

    assert export(run, tmp_path / "g.svg").exit_code == 0
    assert ElementTree.parse(tmp_path / "g.svg").getroot().tag.endswith("svg")

    assert export(run, tmp_path / "t.json", "--step", "3", "--example", "5").exit_code == 0
    trace = bl.Trace.from_json((tmp_path / "t.json").read_text("utf-8"))
    assert trace.about["step"] == 3 and trace.about["rows"] == [5]

    assert export(run, tmp_path / "h.csv").exit_code == 0
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text("utf-8").splitlines()))
    assert [float(row["loss"]) for row in rows] == stored.history["loss"]

    result = export(run, tmp_path / "d.tex", "--weight", "layers.0.weight[1,0]", "--json")
    assert json.loads(result.stdout)["format"] == "backlight.export"
    assert "\\begin{align*}" in (tmp_path / "d.tex").read_text("utf-8")


def test_bad_input_is_one_sentence_and_writes_nothing(run: Path, tmp_path: Path) -> None:
    for to, more, sentence in (
        ("x.png", (), ".safetensors"),
        ("x.json", ("--step", "10000"), "beyond the run"),
        ("x.json", ("--example", "10000"), "no example"),
        ("x.tex", ("--weight", "nothing[0]"), "no node"),
        ("missing/x.svg", (), "cannot be written"),
    ):
        result = export(run, tmp_path / to, *more)
        assert result.exit_code in (1, 2) and sentence in result.stderr, (to, result.stderr)
        assert not (tmp_path / to).exists()
    assert export(tmp_path / "nothing", tmp_path / "x.svg").exit_code == 1
    assert list(tmp_path.iterdir()) == []
