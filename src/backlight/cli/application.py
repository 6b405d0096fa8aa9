"""What all commands share: exit codes, errors as one sentence, warnings, and text that fits.

`Application` is the click group that the commands hang on; whatever a command raises ends here
and becomes one line on stderr and an exit code.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

import click

from backlight.errors import (
    BacklightError,
    BacklightWarning,
    FormulaError,
    UnknownNameError,
    UsageError,
)

DEBUG_VARIABLE = "BACKLIGHT_DEBUG"
"""The environment variable that makes every error show its traceback when it is 1."""

OK = 0
FAILURE = 1
USAGE = 2
INTERRUPTED = 130

EXIT_CODES = "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted."

_USAGE_ERRORS = (UsageError, FormulaError, UnknownNameError)


class Application(click.Group):
    """A click group whose every error is one sentence on stderr and a documented exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        _forgive_encoding()
        code = FAILURE
        try:
            with _plain_warnings():
                returned = super().main(
                    args,
                    prog_name,
                    complete_var,
                    standalone_mode=False,
                    windows_expand_args=windows_expand_args,
                    **extra,
                )
            sys.stdout.flush()
            code = returned if isinstance(returned, int) else OK
        except click.exceptions.Abort:  # click's form of KeyboardInterrupt
            _complain("Interrupted; nothing was left half-written.")
            code = INTERRUPTED
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = USAGE
        except click.ClickException as error:
            _complain(_usage_message(error))
            code = error.exit_code
        except BacklightError as error:
            _show_traceback_if_asked()
            _complain(f"Error: {error}")
            code = USAGE if isinstance(error, _USAGE_ERRORS) else FAILURE
        except BrokenPipeError:
            _leave_pipe()
        except OSError as error:
            _show_traceback_if_asked()
            if error.errno == errno.EPIPE:
                _leave_pipe()
            else:
                _complain(f"Error: {_system_error(error)}")
        except MemoryError:
            _show_traceback_if_asked()
            _complain("Error: The memory of this machine does not suffice; use less data.")
        except Exception as error:  # noqa: BLE001 (the last stop: a defect is reported, not dumped)
            _show_traceback_if_asked()
            _complain(
                f"Error: Backlight has met a defect of its own ({type(error).__name__}); please "
                f"run the command again with {DEBUG_VARIABLE}=1 and report what it prints."
            )
        if standalone_mode:
            sys.exit(code)
        return code


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print a warning of Backlight as one line on stderr, each text once."""
    said: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        if text not in said:
            said.add(text)
            say(f"Warning: {text}")

    with warnings.catch_warnings():
        if DEBUG_VARIABLE not in os.environ:
            # Warnings of libraries are for programmers; those of Backlight are for everyone.
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", BacklightWarning)
        warnings.showwarning = show
        yield


def say(message: str) -> None:
    """Print a message for people on stderr, apart from the data on stdout."""
    click.echo(message, err=True)


def usage_error(message: str) -> NoReturn:
    """End the command because of how it was called, with exit code 2."""
    raise UsageError(message)


def _complain(message: str) -> None:
    try:
        say(message)
    except OSError:  # nobody listens on stderr
        _leave_pipe()


def _usage_message(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    help_hint = f" (see {context.command_path} --help)" if context is not None else ""
    short = isinstance(error, click.NoSuchOption) and not error.option_name.startswith("--")
    if short and context is not None and context.command.name in ("explain", "check"):
        message += "; a formula that begins with a minus sign goes into brackets, as in '(-x^2)'"
    return f"Error: {message}{help_hint}."


def _system_error(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{what[:1].lower() if place else what[:1]}{what[1:]}."


def _show_traceback_if_asked() -> None:
    if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        import traceback  # import here: only defects need it

        traceback.print_exc()


def _forgive_encoding() -> None:
    """Print ``?`` for a character that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and not encoding.startswith("utf"):
            reconfigure(errors="replace")


def _leave_pipe() -> None:
    """Send what is still buffered nowhere, since the reader of stdout has gone."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a stream without a file, as in tests
        return
