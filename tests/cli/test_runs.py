"""`predict`, `explain`, `check` and `diagnose` on stored runs."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from backlight import data, nn, train
from backlight.cli import main, runs
from backlight.cli.parts import divide


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def refused(*arguments: str, code: int) -> str:
    """Return the sentence of a refusal, which must leave nothing behind."""
    before = sorted(Path().rglob("*"))
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return result.stderr


def document(*arguments: str) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, object] = json.loads(result.stdout)
    assert (found["format"], found["version"]) == (f"backlight.{arguments[0]}", 1)
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the penguins, one of a table of numbers, and their tables."""
    folder = tmp_path_factory.mktemp("runs")
    penguins = data.load("penguins")
    write(
        folder / "birds.csv",
        [*penguins.feature_names, "species"],
        [
            [*map(float, x), penguins.class_names[k]]
            for x, k in zip(penguins.X, penguins.y, strict=True)
        ],
    )
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2)) * [10, 0.1]
    write(folder / "numbers.csv", ["a", "b", "t"], [[a, b, 50 + 3 * a - 80 * b] for a, b in X])
    for source, options in (("birds", []), ("numbers", ["--lr", "0.01"])):
        result = run(
            "train", folder / f"{source}.csv", "--hidden", "8,5", "--epochs", "40", "--quiet",
            "--out", folder / source, *options,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(autouse=True)
def folder(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder with a copy of the runs in it."""
    for name in ("birds", "numbers"):
        shutil.copytree(stored / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# ---- predict ------------------------------------------------------------------------------------


def test_predictions_of_classes_agree_with_the_network(stored: Path) -> None:
    result = run("predict", "birds", stored / "birds.csv", "--proba")
    assert result.exit_code == 0, result.stderr
    rows = table(result.stdout)
    penguins = data.load("penguins")
    assert len(rows) == len(penguins)
    by_library = train.load("birds").predict(penguins.X)
    assert [row["species"] for row in rows] == list(by_library)
    names = [penguins.class_names[k] for k in penguins.y]
    right = [row["species"] == name for row, name in zip(rows, names, strict=True)]
    assert np.mean(right) > 0.95
    probabilities = np.array(
        [[float(row[f"p({c})"]) for c in penguins.class_names] for row in rows]
    )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(
        probabilities, train.load("birds").probabilities(penguins.X), atol=1e-5
    )


def test_columns_go_by_name_in_any_order_and_others_are_left_alone(stored: Path) -> None:
    rows = table((stored / "birds.csv").read_text(encoding="utf-8"))
    header = [*reversed(data.load("penguins").feature_names), "remark"]
    write(Path("new.csv"), header, [[row.get(name, "-") for name in header] for row in rows])
    same = run("predict", "birds", stored / "birds.csv").stdout
    assert run("predict", "birds", "new.csv").stdout == same


def test_predictions_of_numbers_are_in_their_units(stored: Path) -> None:
    found = document("predict", "numbers", str(stored / "numbers.csv"))
    assert found["columns"] == ["t"]
    truth = np.loadtxt(stored / "numbers.csv", delimiter=",", skiprows=1)[:, 2]
    predicted = np.array(found["rows"])[:, 0]
    assert np.corrcoef(predicted, truth)[0, 1] > 0.99
    assert abs(predicted.mean() - truth.mean()) < 5


def test_a_set_by_its_name_and_an_output_file() -> None:
    result = run("predict", "birds", "penguins", "--output", "out.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "342 predictions" in result.stderr
    assert len(table(Path("out.csv").read_text(encoding="utf-8"))) == 342


def test_what_predict_refuses(stored: Path) -> None:
    write(Path("few.csv"), ["bill_length_mm", "body_mass_g"], [[1, 2]])
    said = refused("predict", "birds", "few.csv", code=1)
    assert "'bill_depth_mm'" in said
    said = refused("predict", "birds", "digits", code=1)
    assert "'bill_length_mm', 'bill_depth_mm', 'flipper_length_mm', 'body_mass_g'" in said
    assert "does not exist" in refused("predict", "birds", "none.csv", code=1)
    assert "neither a data set nor a file" in refused("predict", "birds", "none", code=2)
    assert "no run" in refused("predict", "nowhere", "few.csv", code=1)
    assert "--proba" in refused("predict", "numbers", stored / "numbers.csv", "--proba", code=2)
    said = refused("predict", "birds", "penguins", "--output", "no/where.csv", code=1)
    assert "cannot be written" in said
    header = list(data.load("penguins").feature_names)
    write(Path("text.csv"), header, [[1, 2, 3, 4], [1, 2, "x", 4]])
    assert "line 3, column 'flipper_length_mm'" in refused("predict", "birds", "text.csv", code=1)


# ---- explain ------------------------------------------------------------------------------------


def gradient(step: int, example: int | None = None) -> dict[str, np.ndarray]:
    """The gradients of a step by the library's own backward pass."""
    attached = runs.load("birds").attach()
    replayed = attached.replay_loss(step, example)
    replayed.loss.backward()
    return {name: each.grad for name, each in replayed.parameters.items()}


def test_a_weight_of_a_run_is_explained_with_the_engines_gradient() -> None:
    found = document("explain", "birds", "--weight", "layers.0.weight[3,1]", "--step", "5")
    assert (found["weight"], found["index"], found["step"]) == ("layers.0.weight", [3, 1], 5)
    assert found["derivation"]["value"] == gradient(5)["layers.0.weight"][3, 1]
    assert found["derivation"]["numeric"]["ok"]
    text = run("explain", "birds", "--weight", "layers.0.weight[3,1]", "--step", "5").stdout
    assert "is layers.0.weight[3, 1]" in text
    assert "numeric check agrees" in text
    assert "Update: what Adam makes of it" in text


def test_one_example_and_the_last_step_by_default() -> None:
    last = json.loads(Path("birds/run.json").read_text(encoding="utf-8"))["steps"] - 1
    found = document("explain", "birds", "--weight", "layers.4.bias[0]", "--example", "7")
    assert (found["step"], found["example"]) == (last, 7)
    assert found["derivation"]["value"] == gradient(last, 7)["layers.4.bias"][0]


def test_a_whole_tensor_of_a_run() -> None:
    found = document("explain", "birds", "--weight", "layers.4.bias", "--step", "0")
    np.testing.assert_array_equal(found["derivation"]["value"], gradient(0)["layers.4.bias"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "layers.0.weight (8, 4)"),
        (["--weight", "layers.0.wieght[0,0]"], "did you mean 'layers.0.weight'"),
        (["--weight", "layers.0.weight[8,0]"], "Index 8 is out of range for axis 0"),
        (["--weight", "layers.0.weight[0]"], "takes 2 indices, not 1"),
        (["--weight", "layers.0.weight[a,b]"], "whole numbers"),
        (["--weight", "layers.0.bias[0]", "--step", "999999"], "--step 999999 is beyond"),
        (["--weight", "layers.0.bias[0]", "--example", "999999"], "--example 999999 is beyond"),
        (["--weight", "layers.0.bias[0]", "--at", "x=1"], "exclude each other"),
    ],
)
def test_what_explain_refuses_of_a_run(options: list[str], says: str) -> None:
    assert says in refused("explain", "birds", *options, code=2)


# ---- check and diagnose -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["birds", "numbers"])
def test_the_gradients_of_a_run_agree(name: str) -> None:
    found = document("check", name, "--samples", "12")
    assert found["report"]["ok"] is True
    assert 0 < found["report"]["checked"] <= 12


def test_a_diagnosis_says_what_was_and_was_not_looked_at() -> None:
    found = document("diagnose", "birds")
    assert found["report"]["checked"]
    assert found["report"]["not_checked"]
    assert "Did not look at" in run("diagnose", "birds").stdout


def test_dead_units_are_found() -> None:
    loaded = train.load("birds")
    weights = nn.state(loaded.net)
    weights["layers.0.bias"] = weights["layers.0.bias"] - 1e6
    from safetensors.numpy import save_file

    save_file(weights, "birds/weights.safetensors")
    found = run("diagnose", "birds", "--json")
    kinds = [each["what"] for each in json.loads(found.stdout)["report"]["findings"]]
    assert "dead relu units" in kinds


# ---- damage -------------------------------------------------------------------------------------


def test_data_that_changed_or_went_is_noticed(stored: Path) -> None:
    description = Path("numbers/run.json")
    text = description.read_text(encoding="utf-8")
    copy = write(Path("copy.csv"), ["a", "b", "t"], [[k, -k, k * k] for k in range(60)])
    stored_path = json.dumps(str(stored / "numbers.csv"))
    assert stored_path in text
    description.write_text(text.replace(stored_path, json.dumps(str(copy.absolute()))), "utf-8")
    assert "has changed" in refused("diagnose", "numbers", code=1)
    copy.unlink()
    assert "does not exist" in refused("diagnose", "numbers", code=1)


@pytest.mark.parametrize("file", ["run.json", "weights.safetensors", "history.jsonl"])
def test_damaged_runs_are_one_sentence(file: str) -> None:
    (Path("birds") / file).write_bytes(b"\x00{")
    assert "birds" in refused("predict", "birds", "penguins", code=1)
    (Path("birds") / file).unlink()
    assert "birds" in refused("diagnose", "birds", code=1)


def test_a_run_of_another_program_is_told_apart() -> None:
    X, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    net = nn.Sequential(nn.Linear(2, 2), seed=0)
    made = train.fit(net, (X, y), loss=nn.cross_entropy, epochs=1)
    train.save(made, "other")
    assert "not saved by backlight train" in refused("predict", "other", "penguins", code=1)
    Path("empty").mkdir()
    assert "not a run" in refused("diagnose", "empty", code=1)
    assert "not a run" in refused("explain", "empty", "--weight", "a[0]", code=1)


def test_the_rows_of_a_run_are_those_it_was_trained_on(stored: Path) -> None:
    loaded = runs.load("birds")
    X, _ = loaded.training_rows()
    whole = data.read(stored / "birds.csv")
    train_rows = divide(whole, None, 0.0, 0).train
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-5)
    assert len(X) == len(train_rows)
