"""What all commands share: exit codes, one-sentence errors, warnings, encodings, pipes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from backlight.cli import main
from backlight.cli.application import Application
from backlight.errors import (
    BacklightWarning,
    DataError,
    FormulaError,
    RunError,
    ShapeError,
    TrainingError,
    UnknownNameError,
    UsageError,
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "backlight", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def raising(error: BaseException) -> Application:
    """Return an application whose one command raises."""

    @click.group(cls=Application)
    def group() -> None:
        """A group."""

    @group.command()
    def fail() -> None:
        """Fail."""
        raise error

    return group


def outcome(error: BaseException) -> Result:
    return CliRunner().invoke(raising(error), ["fail"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("No."), 2),
        (FormulaError("No."), 2),
        (UnknownNameError("No."), 2),
        (DataError("No."), 1),
        (RunError("No."), 1),
        (ShapeError("No."), 1),
        (TrainingError("No."), 1),
    ],
)
def test_an_error_is_one_sentence_on_stderr(error: Exception, code: int) -> None:
    result = outcome(error)
    assert result.exit_code == code
    assert result.stderr == "Error: No.\n"
    assert result.stdout == ""


def test_an_interrupt_says_so_and_exits_with_130() -> None:
    result = outcome(KeyboardInterrupt())
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr


def test_a_defect_asks_for_a_report_without_a_traceback() -> None:
    result = outcome(ZeroDivisionError("secret detail"))
    assert result.exit_code == 1
    assert "BACKLIGHT_DEBUG=1" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKLIGHT_DEBUG", "1")
    for error in (ZeroDivisionError("detail"), DataError("No.")):
        result = outcome(error)
        assert result.exit_code == 1
        assert "Traceback" in result.stderr
        assert type(error).__name__ in result.stderr


def test_errors_of_the_system_name_the_file() -> None:
    result = outcome(PermissionError(errno.EACCES, "Permission denied", "here.csv"))
    assert (result.exit_code, result.stderr) == (1, "Error: here.csv: permission denied.\n")
    assert outcome(MemoryError()).stderr.startswith("Error: The memory of this machine")


def test_a_closed_pipe_is_quiet() -> None:
    assert outcome(BrokenPipeError(errno.EPIPE, "Broken pipe")).stderr == ""


def test_warnings_are_one_line_each_and_once() -> None:
    @click.group(cls=Application)
    def group() -> None:
        """A group."""

    @group.command()
    def warn() -> None:
        for _ in range(3):
            warnings.warn("log gave NaN.", BacklightWarning, stacklevel=2)
        warnings.warn("of a library", DeprecationWarning, stacklevel=2)

    result = CliRunner().invoke(group, ["warn"])
    assert (result.exit_code, result.stderr) == (0, "Warning: log gave NaN.\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explian", "x"], "Did you mean 'explain'"),
        (["doctor", "--jsn"], "--json"),
        (["doctor", "extra"], "unexpected extra argument"),
        (["explain"], "Missing argument"),
        (["explain", "x", "--step", "-1"], "--step"),
        (["explain", "x", "--step", "two"], "not a valid integer"),
    ],
)
def test_wrong_usage_exits_with_2_in_one_line(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_no_command_shows_the_help_and_exits_with_2() -> None:
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def words_of_commands(group: click.Group = main, before: str = "") -> Iterator[str]:
    """Name every command, those within commands too."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from words_of_commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


@pytest.mark.parametrize("command", list(words_of_commands()))
def test_every_command_has_help_with_an_example_json_and_exit_codes(command: str) -> None:
    result = CliRunner().invoke(main, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"backlight {command}" in result.stdout
    assert "--json" in result.stdout
    assert "Exit codes: 0" in result.stdout


def test_the_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("backlight, version ")


# ---- in processes of their own ------------------------------------------------------------------


def test_the_module_runs_and_its_errors_have_no_traceback() -> None:
    result = run("explain", "2x", "--at", "x=1")
    assert result.returncode == 2
    assert "write 2*x" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_an_encoding_without_our_letters_does_not_stop_the_output() -> None:
    arguments = ["explain", "(w*x - y)**2", *"--at w=1 --at x=1 --at y=2 --wrt w".split()]
    result = run(*arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 0
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes are closed in another way here")
def test_the_reader_of_a_pipe_may_leave() -> None:
    script = f"{sys.executable} -m backlight doctor --json | true"
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert result.stderr == ""


def test_doctor_of_this_machine_as_a_process(tmp_path: Path) -> None:
    result = run("doctor", NO_COLOR="1", XDG_CACHE_HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "numpy" in result.stdout
