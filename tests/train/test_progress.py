"""Progress is shown as a bar on a terminal and as few plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.train.networks import classes, examples, tiny

from backlight import nn, optim
from backlight.train import fit
from backlight.train.progress import MOST_LINES, Bar, Lines, Silent, describe, progress


def terminal(**options):
    # A terminal that is not dumb, whatever the environment of the tests says.
    environment = {"TERM": "xterm-256color", **options.pop("environment", {})}
    return Console(file=io.StringIO(), force_terminal=True, width=120, _environ=environment)


def plain():
    return Console(file=io.StringIO(), width=40)


def run_through(show, epochs, steps=1):
    with show:
        for epoch in range(epochs):
            for step in range(steps):
                show.within(epoch, (step + 1) / steps, 0.5)
            show.epoch(epoch, {"loss": 1.0 / (epoch + 1), "accuracy": 0.5, "seconds": 0.1})
        show.end("finished")


def test_one_line():
    values = {"loss": 0.123456, "accuracy": 0.9, "validation_loss": 12345.6, "learning_rate": 0.1}
    assert describe(values) == "loss 0.1235, accuracy 90.0 %, validation loss 1.235e+04"


@pytest.mark.parametrize("epochs", [1, 5, 18, 19, 1000, 60_000])
def test_elsewhere_there_are_at_most_twenty_lines(epochs):
    console = plain()
    run_through(Lines(console, epochs), epochs)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= MOST_LINES
    assert lines[0].startswith(f"epoch 1/{epochs}: loss 1, accuracy 50.0 %")
    assert lines[-2].startswith(f"epoch {epochs}/{epochs}") and lines[-1] == "finished"
    assert "\x1b" not in console.file.getvalue()
    if epochs <= 18:
        assert len(lines) == epochs + 1


def test_a_bar_is_drawn_about_ten_times_a_second(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("backlight.train.progress.time.perf_counter", lambda: now[0])
    drawn = []
    bar = Bar(terminal(), 60_000, 1)
    monkeypatch.setattr(bar._progress, "refresh", lambda: drawn.append(now[0]))
    for epoch in range(60_000):
        now[0] += 5e-5  # three seconds in all
        bar.epoch(epoch, {"loss": 1.0})
    assert 25 <= len(drawn) <= 32


def test_a_bar_shows_where_training_stands():
    console = terminal()
    show = Bar(console, 3, 2)
    run_through(show, 3, 2)
    text = console.file.getvalue()
    assert "epoch" in text and "3/3" in text and "loss 0.3333" in text and "finished" in text


def test_no_color_is_honoured():
    console = terminal(environment={"NO_COLOR": "1"})
    run_through(Bar(console, 3, 1), 3)
    assert "\x1b[3" not in console.file.getvalue()  # no colours, though the line is redrawn


def test_what_is_chosen():
    assert type(progress(False, 5, 1, terminal())) is Silent
    assert type(progress(True, 0, 1, terminal())) is Silent
    assert type(progress(True, 5, 1, plain())) is Lines
    assert type(progress(True, 5, 1, terminal())) is Bar
    assert type(progress(True, 5, 1, terminal(environment={"TERM": "dumb"}))) is Lines


def test_fit_writes_to_standard_error(capsys):
    fit(tiny(), classes(), loss=nn.cross_entropy, epochs=3, progress=True, validation=classes(6))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 4 and lines[-1] == "finished after 3 of 3 epochs"
    assert "validation accuracy" in lines[0]


def test_fit_is_silent_unasked(capsys):
    fit(tiny(), examples(), loss=nn.mse, epochs=2, optimizer=optim.SGD(0.1))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
