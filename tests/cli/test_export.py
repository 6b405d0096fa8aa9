"""`backlight export`: each format opened again, and bad input."""

from __future__ import annotations

import csv
import json
import sys
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


def sessions_of(path: Path):  # type: ignore[no-untyped-def]
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(path)


def predictions(run: Path, data: str, folder: Path, *more: str) -> list[dict[str, str]]:
    to = folder / "predicted.csv"
    result = CliRunner().invoke(main, ["predict", str(run), data, "--output", str(to), *more])
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(to.read_text("utf-8").splitlines()))


def train(data: str, out: Path, *more: str) -> Path:
    arguments = ["train", data, "--hidden", "6", "--epochs", "3", "--quiet", "--out", str(out)]
    result = CliRunner().invoke(main, [*arguments, *more])
    assert result.exit_code == 0, result.stderr
    return out


def test_an_onnx_model_of_digits_predicts_the_same(tmp_path: Path) -> None:
    run = train("digits", tmp_path / "digits")
    result = export(run, tmp_path / "digits.onnx")
    assert result.exit_code == 0, result.stderr
    session = sessions_of(tmp_path / "digits.onnx")
    whole = bl.data.load("digits")
    X = whole.X.reshape(len(whole.X), -1)
    (given,) = session.get_inputs()
    assert given.name == "X" and given.shape == ["batch", 64]
    chosen, chances = session.run(None, {"X": X.astype(np.float32)})
    rows = predictions(run, "digits", tmp_path, "--proba")
    names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    assert [names[k] for k in chosen] == [row["digit"] for row in rows]
    wanted = [[float(row[f"p({name})"]) for name in names] for row in rows]
    np.testing.assert_allclose(chances, wanted, rtol=1e-4, atol=1e-6)


def test_an_onnx_model_of_a_table_takes_words_and_gaps(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    towns = ["Ulm", "Bonn", "", "Trier", "Ulm", "Bonn"] * 5
    ages = ["20", "", "31.5", "44", "1e3", "7"] * 5
    lines = [f"{a},{t},{k % 7 + 0.25}" for k, (a, t) in enumerate(zip(ages, towns, strict=True))]
    table.write_text("age,town,price\n" + "\n".join(lines) + "\n")
    run = train(str(table), tmp_path / "run", "--target", "price")
    assert export(run, tmp_path / "model.onnx").exit_code == 0
    session = sessions_of(tmp_path / "model.onnx")
    assert [(each.name, each.type, each.shape) for each in session.get_inputs()] == [
        ("age", "tensor(double)", ["batch", 1]),
        ("town", "tensor(string)", ["batch", 1]),
    ]
    new = tmp_path / "new.csv"
    new.write_text("town,age\nUlm,20\n,\nParis,3\nTrier,-5\n")
    age = np.array([[20.0], [np.nan], [3.0], [-5.0]])
    town = np.array([["Ulm"], [""], ["Paris"], ["Trier"]])
    (found,) = session.run(None, {"age": age, "town": town})
    wanted = [float(row["price"]) for row in predictions(run, str(new), tmp_path)]
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-5)


def test_many_categories_share_an_input_of_the_network(tmp_path: Path) -> None:
    table = tmp_path / "many.csv"
    lines = [f"w{k % 130},{k % 2}" for k in range(520)]
    table.write_text("word,y\n" + "\n".join(lines) + "\n")
    run = train(str(table), tmp_path / "run", "--target", "y")
    assert export(run, tmp_path / "model.onnx").exit_code == 0
    new = tmp_path / "new.csv"
    words = ["w0", "w129", "never", ""]
    new.write_text("n,word\n" + "\n".join(f"1,{word}" for word in words) + "\n")
    found = sessions_of(tmp_path / "model.onnx").run(None, {"word": np.array([words]).T})[1]
    rows = predictions(run, str(new), tmp_path, "--proba")
    wanted = [[float(row["p(0)"]), float(row["p(1)"])] for row in rows]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_steps_belong_to_no_model(run: Path, tmp_path: Path) -> None:
    result = export(run, tmp_path / "model.onnx", "--step", "1")
    assert result.exit_code == 2 and "whole run" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_onnx_without_its_extra(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = export(run, tmp_path / "model.onnx")
    assert result.exit_code in (1, 2) and "backlight[onnx]" in result.stderr
    assert list(tmp_path.iterdir()) == []
