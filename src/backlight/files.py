"""Writing text files whole or not at all, with an error that says what to do."""

from __future__ import annotations

import os
from pathlib import Path

from backlight.errors import UsageError


def write_text(path: Path, text: str) -> Path:
    """Write a text file as UTF-8 and return its path.

    The text goes to a file beside it first, which then takes its place, so that a reader never
    sees half of it.

    Parameters
    ----------
    path : pathlib.Path
    text : str

    Raises
    ------
    UsageError
        When the folder does not exist or cannot be written to.
    """
    if not path.parent.is_dir():
        raise UsageError(f"The folder {path.parent} does not exist; make it first.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{path} cannot be written: {reason}.") from error
    return path
