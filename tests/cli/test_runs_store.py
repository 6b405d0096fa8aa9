"""`backlight runs` and `backlight train --resume`: the store and checkpoints in the terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from backlight import train
from backlight.cli import main
from backlight.cli.plot import plot
from backlight.train import RunStore
from backlight.train.checkpoints import found_in

QUICK = ["--hidden", "6", "--quiet"]


def run(*arguments: object, **options: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], **options)


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object, code: int) -> str:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return sentence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of the penguins."""
    place = tmp_path_factory.mktemp("project")
    before = os.getcwd()
    os.chdir(place)
    try:
        done("train", "penguins", *QUICK, "--epochs", "6")
        done("train", "penguins", *QUICK, "--epochs", "4", "--lr", "0.01", "--validation", "0.2")
    finally:
        os.chdir(before)
    return place


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_the_list() -> None:
    lines = done("runs", "list").splitlines()
    assert lines[0].split()[:4] == ["name", "status", "epochs", "loss"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["penguins-1", "finished", "6"], ["penguins-2", "finished", "4"],
    ]  # fmt: skip
    found = json.loads(done("runs", "list", "--json"))
    assert (found["format"], found["version"]) == ("backlight.runs", 1)
    history = train.load("runs/penguins-1").history
    assert found["runs"][0]["last"]["loss"] == history["loss"][-1]
    assert found["runs"][0]["data"] == "penguins"


@pytest.mark.parametrize("name", ["penguins-2", "runs/penguins-2"])
def test_one_run(name: str, tmp_path: Path) -> None:
    text = done("runs", "show", name)
    assert "Linear 4→6, ReLU, Linear 6→3" in text
    assert "validation_loss" in text and "started: training began" in text
    assert "\x1b[" not in text  # not a terminal
    history = train.load("runs/penguins-2").history
    found = json.loads(done("runs", "show", name, "--json"))
    assert [value for _, value in found["epoch_metrics"]["loss"]] == history["loss"]
    svg = tmp_path / "plot.svg"
    done("runs", "show", name, "--svg", svg, "--metric", "accuracy", "--log")
    assert svg.read_text(encoding="utf-8").startswith("<svg")


def test_a_comparison(tmp_path: Path) -> None:
    text = done("runs", "compare", "penguins-1", "penguins-2", "--svg", tmp_path / "c.svg")
    assert "optimizer.learning_rate" in text and "0.01" in text
    assert "penguins-1 •, penguins-2 ×" in text
    assert "penguins-2" in (tmp_path / "c.svg").read_text(encoding="utf-8")
    found = json.loads(done("runs", "compare", "penguins-1", "penguins-2", "--json"))
    assert found["differences"]["optimizer.learning_rate"] == ["0.001", "0.01"]
    assert found["differences"]["epochs"] == ["6", "4"]
    assert "seed" not in found["differences"]


def test_exports(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in done("runs", "export", "penguins-1", "--jsonl", "-")
            .splitlines()]  # fmt: skip
    assert rows[0]["name"] == "penguins-1" and sum(row["type"] == "epoch" for row in rows) == 6
    done("runs", "export", "penguins-1", "--tensorboard", tmp_path)
    assert list((tmp_path / "penguins-1").glob("events.out.tfevents.*"))
    refused("runs", "export", "penguins-1", code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "penguins-3"], 2, "did you mean 'penguins-"),
        (["show", "penguins-1", "--metric", "los"], 2, "There is no metric 'los'"),
        (["compare", "penguins-1"], 2, "two different runs"),
        (["compare", "penguins-1", "penguins-2", "--metric", "x"], 2, "no metric 'x' in common"),
        (["list", "--in", "nowhere"], 1, "no folder nowhere"),
        (["delete", "penguins-1"], 2, "add --yes"),
        (["show", "penguins-1", "--svg", "no/where.svg"], 1, "cannot be written"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, says: str) -> None:
    assert says in refused("runs", *arguments, code=code)


def test_deleting_and_finding_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done("train", "xor", *QUICK, "--epochs", "3")
    Path("runs/backlight.sqlite3").unlink()
    assert "xor-2" in done("runs", "list")  # entered again from the folders
    assert json.loads(done("runs", "delete", "xor-1", "--yes", "--json"))["runs"] == ["xor-1"]
    assert not Path("runs/xor-1").exists() and Path("runs/xor-2").exists()
    assert "xor-1" not in done("runs", "list")
    assert "Deleted xor-2" in done("runs", "delete", "runs/xor-2", "--yes")
    assert "no runs yet" in done("runs", "list")


def test_deleting_stays_inside_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that names another folder does not make that go."""
    monkeypatch.chdir(tmp_path)
    done("train", "xor", *QUICK, "--epochs", "3")
    done("train", "xor", *QUICK, "--epochs", "3", "--out", "elsewhere/xor-1")
    with RunStore("runs") as store:
        store.change(store.record("xor-1").id, {"directory": "../elsewhere/xor-1"})
    done("runs", "delete", "xor-1", "--yes")
    assert Path("elsewhere/xor-1/run.json").exists()


# ---- going on -----------------------------------------------------------------------------------

LONG = ["train", "digits", "--hidden", "32", "--epochs", "30", "--quiet", "--checkpoint-every", "0"]


def weights(place: str) -> dict[str, np.ndarray]:
    return train.load(place).parameters


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize("how", ["KILL", "TERM", "INT"])
def test_a_stopped_run_goes_on(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "backlight", *LONG], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while len(found_in(Path("runs/digits-1.checkpoints"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(getattr(signal, f"SIG{how}"))
    _, errors = process.communicate()
    assert process.returncode == (-9 if how == "KILL" else 130), errors.decode()
    status = json.loads(done("runs", "list", "--json"))["runs"][0]["status"]
    assert status == ("died" if how == "KILL" else "finished")
    assert Path("runs/digits-1").exists() == (how != "KILL")
    said = refused(*LONG, "--resume", "--lr", "0.5", code=1)
    assert "optimizer.learning_rate is 0.5 and was 0.001" in said
    done(*LONG, "--resume")
    done(*LONG, "--out", "whole")
    for name, each in weights("whole").items():
        np.testing.assert_array_equal(weights("runs/digits-1")[name], each)
    assert sorted(each.name for each in Path("runs").iterdir()) == [
        "backlight.sqlite3", "digits-1",
    ]  # fmt: skip
    assert "it has ended" in refused(*LONG, "--resume", "--out", "runs/digits-1", code=2)


def test_there_is_nothing_to_go_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no run to go on with" in refused("train", "xor", "--resume", code=2)
    assert list(tmp_path.iterdir()) == []


def test_the_health_of_a_run_and_its_hardest_rows(folder: Path) -> None:
    text = run("diagnose", "runs/penguins-1", "--examples", "4").stdout
    assert "The hardest training rows" in text and len(text.splitlines()) > 6
    found = json.loads(run("diagnose", "runs/penguins-1", "--examples", "4", "--json").stdout)
    assert len(found["hardest"]["rows"]) == 4


def test_options_of_a_formula_with_a_run() -> None:
    said = refused("explain", "runs/penguins-1", "--at", "x=1", code=2)
    assert "is the folder of a run" in said and "--weight" in said


# ---- plots --------------------------------------------------------------------------------------


def test_a_straight_line_is_drawn_from_corner_to_corner() -> None:
    lines = plot({"y": [(k, k) for k in range(50)]}, width=60, height=6)
    rows = [line.partition("│")[2] for line in lines[:6]]
    assert rows[0].rstrip()[-1] != " " and rows[-1][0] != " "
    # Every row has dots, further right the higher it is.
    starts = [len(row) - len(row.lstrip(" ")) for row in rows]
    assert starts == sorted(starts, reverse=True)
    assert lines[0].startswith("49 │") and lines[5].strip().startswith("0 │")


@pytest.mark.parametrize(
    "points", [[], [(0, float("nan"))], [(0, 1.0)], [(0, -1e308), (1, 1e308)], [(0, 0.0), (5, 0.0)]]
)
def test_odd_curves(points: list[tuple[float, float]]) -> None:
    for unicode in (True, False):
        for log_y in (True, False):
            for line in plot({"y": points}, width=40, unicode=unicode, log_y=log_y):
                assert len(line) <= 60
                assert unicode or line.isascii()
