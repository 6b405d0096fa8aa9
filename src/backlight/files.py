"""Writing text files whole or not at all, with an error that says what to do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from backlight.errors import DataError


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text file by way of a temporary one beside it, so that it is never half-written.

    Parameters
    ----------
    path : path-like
    text : str
        Written as UTF-8, with its line ends as they are.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    DataError
        When the folder does not exist or cannot be written to.
    """
    target = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{target.name}.", dir=target.parent, text=False
        )
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{target} cannot be written ({reason}); choose another place.") from error
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
