"""`backlight studio`: the address it prints, what it opens, how it ends, and bad input."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backlight.cli import main
from backlight.cli.opening import open_run, open_subject
from backlight.studio.subjects import FormulaSubject, RunSubject

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")


def studio(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["studio", *arguments, "--no-browser"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "moons"
    arguments = ["train", "moons", "--hidden", "4", "--epochs", "2", "--quiet", "--out", str(place)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    return place


def test_a_formula_with_its_values() -> None:
    subject = open_subject("sum((w*x - y)**2)", ("w=1", "x=[1,2]", "y=2"))
    assert isinstance(subject, FormulaSubject)
    assert subject.at == {"w": 1.0, "x": [1.0, 2.0], "y": 2.0}


def test_a_run_with_its_data(run: Path) -> None:
    subject = open_subject(str(run), ())
    assert isinstance(subject, RunSubject) and subject.replayable
    assert subject.task is not None and subject.task.dataset.class_names == ("0", "1")
    assert open_run(str(run)).reason == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["(w*x"], "is missing"),
        (["w*x", "--at", "w=1"], "'x'"),
        (["w*x", "--at", "q=1"], "'w', 'x'"),
        (["./nothing-here"], "does not exist"),
        (["w", "--port", "99999"], "port"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str) -> None:
    result = studio(*arguments)
    assert result.exit_code in (1, 2) and sentence in result.stderr
    assert "Traceback" not in result.output + result.stderr


def test_without_the_extra_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = studio()
    assert result.exit_code == 1
    assert "pip install 'backlight[studio]'" in result.stderr


def test_it_prints_its_address_serves_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "backlight", "studio", "a*b", "--no-browser"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
        assert found is not None
        assert httpx.get(found[0]).status_code == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=15)
        assert process.returncode == 0, rest
        assert "closed" in rest and "Traceback" not in rest
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if httpx.get(found[0]).status_code == 403:
                return  # another studio has the port by now, and another token
        except httpx.HTTPError:
            return
    raise AssertionError("the port is still open")


@pytest.mark.parametrize("word", ["nowhere", "digits-1", "some/where", "w"])
def test_a_word_that_is_neither_a_run_nor_a_formula(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["studio", word, "--no-browser"], ["explain", word], ["check", word]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1 and "neither a run" in result.stderr
        assert "backlight runs list" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    (tmp_path / "runs" / "digits-1").mkdir(parents=True)
    hint = "did you mean runs/digits-1?" in CliRunner().invoke(main, ["explain", word]).stderr
    assert hint == (word == "digits-1")


def test_words_with_values_and_one_letter_names_are_formulas() -> None:
    assert isinstance(open_subject("rate", ("rate=2",)), FormulaSubject)
    assert isinstance(open_subject("w/x-2", ()), FormulaSubject)
