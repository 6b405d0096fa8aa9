"""`backlight train`: what it trains, saves and says, and every kind of bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from backlight import data
from backlight.cli import main
from backlight.cli.parts import divide
from backlight.data import names
from backlight.errors import DataError
from backlight.train import RunStore

QUICK = ["--hidden", "6", "--epochs", "3", "--quiet"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["train", *arguments])


def trained(*arguments: str) -> dict[str, object]:
    result = train(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def table(path: Path, rows: int = 60, target: str = "number", seed: int = 0) -> Path:
    """Write a table of two features and a target."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 2))
    lines = ["a,b,t"]
    for a, b in X:
        if target == "number":
            t: object = 100 + 30 * (2 * a - b)
        else:
            t = "yes" if a > b else "no"
        lines.append(f"{a},{b},{t}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ---- what it does -------------------------------------------------------------------------------


def test_the_penguins_are_learnt_with_the_defaults(folder: Path) -> None:
    result = train("penguins")
    assert result.exit_code == 0, result.stderr
    assert "4-128-64-3 network" in result.stdout
    accuracy = float(result.stdout.split("Test accuracy ")[1].split(" %")[0])
    assert accuracy > 92
    assert "Saved to runs/penguins-1." in result.stdout
    assert "backlight explain runs/penguins-1 --weight" in result.stdout
    assert "epoch" in result.stderr  # progress, and not on stdout
    assert "epoch 1/" not in result.stdout
    assert sorted(each.name for each in (folder / "runs" / "penguins-1").iterdir()) == [
        "history.jsonl", "run.json", "snapshots.safetensors", "weights.safetensors",
    ]  # fmt: skip


def test_json_and_the_next_free_place() -> None:
    first = trained("penguins", *QUICK)
    second = trained("penguins", *QUICK)
    assert (first["format"], first["version"]) == ("backlight.train", 1)
    assert [Path(each["run"]).name for each in (first, second)] == ["penguins-1", "penguins-2"]
    assert first["layers"] == [4, 6, 3]
    assert first["parameters"] == 4 * 6 + 6 + 6 * 3 + 3
    assert first["rows"] == {"train": 274, "validation": 0, "test": 68}
    assert len(first["history"]["loss"]) == first["epochs"] == 3
    same = {key: value for key, value in first["history"].items() if key != "seconds"}
    assert same == {key: value for key, value in second["history"].items() if key != "seconds"}


def test_a_table_of_numbers_is_a_regression() -> None:
    table(Path("prices.csv"), 200)
    found = trained("prices.csv", "--hidden", "16", "--epochs", "80", "--lr", "0.01", "--quiet")
    assert found["task"] == "regression"
    assert found["scores"]["r2"] > 0.95
    assert found["scores"]["rmse"] < 15  # in the units of the target, whose spread is 67
    shown = train("prices.csv", *QUICK)
    assert "R²" in shown.stdout
    assert "runs/prices-2" in shown.stdout


def test_a_table_of_classes_and_a_chosen_target() -> None:
    table(Path("t.csv"), target="word")
    found = trained("t.csv", "--target", "t", *QUICK)
    assert (found["task"], found["layers"]) == ("classification", [2, 6, 2])
    assert trained("t.csv", "--target", "t", "--hidden", "none", "--epochs", "2")["layers"] == [
        2,
        2,
    ]


def test_few_rows_stay_whole_and_the_score_says_so() -> None:
    found = trained("xor", *QUICK)
    assert (found["scored_on"], found["rows"]["test"]) == ("train", 0)
    assert "on the training rows" in train("xor", *QUICK).stdout


@pytest.mark.parametrize("source", [name for name in names() if name != "fashion-mnist"])
def test_every_set_can_be_trained_on(source: str) -> None:
    assert trained(source, *QUICK)["steps"] > 0


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta"])
def test_every_optimizer(optimizer: str) -> None:
    options = ["--optimizer", optimizer, "--weight-decay", "0.001", "--clip-norm", "1"]
    assert trained("xor", *options, "--lr", "0.01", *QUICK)["epochs"] == 3


def test_options_reach_the_run(folder: Path) -> None:
    found = trained(
        "moons", "--hidden", "5,4", "--activation", "tanh", "--optimizer", "sgd", "--lr", "0.05",
        "--batch-size", "full", "--epochs", "4", "--seed", "7", "--dropout", "0.25",
        "--clip-norm", "2", "--validation", "0.25", "--test", "0.5", "--no-standardize",
        "--out", "deep/er/run", "--quiet",
    )  # fmt: skip
    assert found["run"] == "deep/er/run"
    assert found["steps"] == 4
    stored = json.loads((folder / "deep" / "er" / "run" / "run.json").read_text(encoding="utf-8"))
    kinds = [layer["kind"] for layer in stored["architecture"]["layers"]]
    assert kinds == ["Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear"]
    assert stored["optimizer"]["name"] == "SGD"
    assert stored["optimizer"]["learning_rate"] == 0.05
    assert stored["optimizer"]["clip"]["limit"] == 2
    assert (stored["batch_size"], stored["seed"]) == (None, 7)
    assert stored["preprocessing"] == {"features": None, "targets": None}
    assert "validation_loss" in found["history"]


def test_early_stopping_takes_a_validation_share_of_its_own() -> None:
    found = trained("moons", "--hidden", "4", "--early-stopping", "2", "--epochs", "400", "--quiet")
    assert found["rows"]["validation"] > 0
    assert found["stopped"] in ("early stopping", "finished")


def test_overwrite_replaces_a_run_and_nothing_else(folder: Path) -> None:
    trained("xor", *QUICK, "--out", "here")
    said = refused("xor", *QUICK, "--out", "here", code=2)
    assert "--overwrite" in said
    before = (folder / "here" / "run.json").read_bytes()
    trained("moons", *QUICK, "--out", "here", "--overwrite")
    assert (folder / "here" / "run.json").read_bytes() != before
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("precious", encoding="utf-8")
    said = refused("xor", *QUICK, "--out", "mine", "--overwrite", code=2)
    assert "is not a run" in said
    assert (folder / "mine" / "thesis.txt").read_text(encoding="utf-8") == "precious"


def test_data_with_test_rows_of_its_own_uses_them() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), np.arange(50) % 2
    np.savez("set.npz", x_train=X[:30], y_train=y[:30], x_test=X[30:], y_test=y[30:])
    assert trained("set.npz", *QUICK)["rows"] == {"train": 30, "validation": 0, "test": 20}
    rows = trained("set.npz", *QUICK, "--test", "0.5")["rows"]
    assert (rows["train"], rows["test"]) == (15, 15)


def test_a_class_with_a_single_row_does_not_stop_the_split() -> None:
    lines = ["a,t", *[f"{k},{'x' if k % 2 else 'y'}" for k in range(30)], "99,z"]
    Path("rare.csv").write_text("\n".join(lines), encoding="utf-8")
    assert trained("rare.csv", *QUICK)["layers"] == [1, 6, 3]


def test_parts_are_disjoint_complete_and_repeatable() -> None:
    digits = data.load("digits")
    first, again = divide(digits, 0.2, 0.1, 3), divide(digits, 0.2, 0.1, 3)
    pieces = [first.train, first.validation, first.test]
    assert sum(len(each) for each in pieces if each) == len(digits)
    rows = np.concatenate([each.X for each in pieces if each])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, digits.X))
    assert again.train.fingerprint() == first.train.fingerprint()
    assert divide(digits, 0.0, 0.0, 0) == divide(digits, 0.0, 0.0, 0)


# ---- bad input ----------------------------------------------------------------------------------


def refused(*arguments: str, code: int) -> str:
    """Return the sentence of a refusal, which must leave nothing behind."""
    before = sorted(Path().rglob("*"))
    result = train(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert sorted(Path().rglob("*")) == before
    return sentence


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["digts"], "did you mean 'digits'"),
        (["digits", "--target", "pixel"], "has the target 'digit'"),
        (["digits", "--hidden", "12,x"], "--hidden"),
        (["digits", "--hidden", ""], "--hidden"),
        (["digits", "--activation", "rellu"], "--activation"),
        (["digits", "--optimizer", "adamm"], "--optimizer"),
        (["digits", "--lr", "-1"], "learning_rate"),
        (["digits", "--lr", "fast"], "--lr"),
        (["digits", "--epochs", "0"], "--epochs"),
        (["digits", "--epochs", "1.5"], "--epochs"),
        (["digits", "--batch-size", "0"], "--batch-size"),
        (["digits", "--batch-size", "some"], "--batch-size"),
        (["digits", "--test", "1"], "--test"),
        (["digits", "--test", "nan"], "--test"),
        (["digits", "--validation", "-0.1"], "--validation"),
        (["digits", "--dropout", "1"], "--dropout"),
        (["digits", "--seed", "-1"], "--seed"),
        (["digits", "--early-stopping", "3", "--validation", "0"], "--validation"),
        (["digits", "--clip-norm", "0"], "--clip-norm"),
        (["digits", "--epoch", "3"], "--epochs"),
        ([], "DATA"),
    ],
)
def test_wrong_usage(arguments: list[str], says: str) -> None:
    quick = QUICK if arguments else []
    assert says in refused(*arguments[:1], *quick, *arguments[1:], code=2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("a,b,t\n", "row"),
        ("a,b,t\n1,2,3\n4,5\n", "line 3"),
        ("a,b,t\n1,2,3\n4,five,6\n7,8,9\n", "line 3, column 'b'"),
        ("a,b,t\n1,2,3\n4,inf,6\n7,8,9\n", "line 3, column 'b'"),
        ("a,b,t\n1,2,yes\n4,3,yes\n7,8,yes\n", "single class"),
        ("a\n1\n2\n", "single column"),
    ],
)
def test_files_that_cannot_be_used(content: str, says: str) -> None:
    Path("bad.csv").write_text(content, encoding="utf-8")
    assert says in refused("bad.csv", *QUICK, code=1)


def test_a_file_that_is_missing_and_a_column_that_is_missing() -> None:
    table(Path("prices.csv"))
    assert "did you mean 'prices.csv'" in refused("price.csv", *QUICK, code=1)
    assert "no column 'tt'" in refused("prices.csv", "--target", "tt", *QUICK, code=1)
    Path("notes.odt").write_bytes(b"\x01\x02\x03\x04")
    assert "convert it" in refused("notes.odt", *QUICK, code=1)


def test_a_learning_rate_that_makes_the_loss_overflow() -> None:
    table(Path("prices.csv"))
    result = train(
        "prices.csv", "--optimizer", "sgd", "--lr", "1e30", "--hidden", "8", "--epochs", "50",
        "--quiet",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "no longer finite" in result.stderr
    assert "learning rate" in result.stderr
    # The store says what happened; nothing else is left.
    assert [each.name for each in Path("runs").iterdir()] == ["backlight.sqlite3"]
    with RunStore("runs") as store:
        (record,) = store.records()
        assert (record.name, record.status) == ("prices-1", "failed")
        assert "non-finite" in [each.kind for each in store.events(record)]


def test_a_place_that_cannot_be_written() -> None:
    Path("file").write_text("", encoding="utf-8")
    assert "--out" in refused("xor", *QUICK, "--out", "file/run", code=2)
    assert "--out" in refused("xor", *QUICK, "--out", "file", code=2)


def test_a_disk_that_refuses_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert "No space left" in refused("xor", *QUICK, "--out", "new/run", code=1)


def test_an_interrupt_keeps_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from backlight.train.engine import Engine

    advance, taken = Engine.advance, []

    def interrupted(self: Engine, *arguments: object) -> object:
        taken.append(0)
        if len(taken) > 5:
            raise KeyboardInterrupt
        return advance(self, *arguments)

    monkeypatch.setattr(Engine, "advance", interrupted)
    monkeypatch.setattr(Engine, "iterates", property(lambda self: False))
    result = train("xor", "--hidden", "4", "--epochs", "50", "--quiet", "--out", "run")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert "Saved to run" in result.stdout
    assert json.loads(Path("run/run.json").read_text(encoding="utf-8"))["steps"] == 5

    said = refused("xor", "--hidden", "4", "--epochs", "50", "--quiet", "--out", "run", code=2)
    assert "--overwrite" in said

    taken[:] = [0] * 9
    shutil.rmtree("run")
    shutil.rmtree("run.checkpoints")
    result = train("xor", "--hidden", "4", "--epochs", "50", "--quiet", "--out", "run")
    assert result.exit_code == 130
    assert not Path("run").exists() and not Path("run.checkpoints").exists()


def test_a_process_of_its_own(folder: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "backlight", "train", "xor", "--epochs", "4", "--json"],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["epochs"] == 4
    assert "\x1b" not in result.stderr


@pytest.mark.slow
def test_fashion_mnist_reaches_87_percent_in_ten_epochs() -> None:
    try:
        data.load("fashion-mnist")
    except DataError as error:
        pytest.skip(str(error))
    found = trained("fashion-mnist", "--hidden", "256,128", "--epochs", "10", "--quiet")
    assert found["layers"] == [784, 256, 128, 10]
    assert found["rows"] == {"train": 60000, "validation": 0, "test": 10000}
    assert found["scores"]["accuracy"] >= 0.87
